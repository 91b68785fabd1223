//! A small contract that uses every kind of record.

use crate::crypto::hash::HashAlgorithm;
use crate::crypto::identity::PublicKey;
use crate::crypto::regen::{Regen, RegenName, SubKeys, fingerprint};
use crate::crypto::seed::{Drbg, Seed};
use crate::read::canonical::CanonicalValue;
use crate::read::kind::{NodeKind, PlanType, Position, ValueType};
use crate::read::plan_type::derive_plan_type;
use crate::read::program::{Constant, Function, Instruction, NodeUse, Program, TEMPLATE_HOLE, TEMPLATE_TEXT, Template, TemplatePart};
use crate::read::record::{Range, Span, TextRef, i64_le, u16_le, u32_le};
use crate::read::slots::{SLOT_PUBLIC, SLOT_SHAPES, Slot, Slots};
use crate::read::sources::SourceFile;
use crate::read::steps::{Arg, Node, Part, PartKind, Steps};
use crate::read::terms::{BoundArgument, Terms};
use crate::write::writer::{PlanContents, PlanFile};
use ed25519_dalek::SigningKey;

pub(crate) const PROVENANCE: &str = r#"{"compiler":"opalc 0.1.0"}"#;

pub(crate) fn signer(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

pub(crate) fn public(number: u8) -> PublicKey {
    PublicKey::from_bytes(signer(number).verifying_key().as_bytes()).unwrap()
}

pub(crate) fn seed() -> Seed {
    Seed::from_bytes([42; 32])
}

/// The parts of a contract, free to be changed.
#[derive(Clone)]
pub(crate) struct Sample {
    pub algorithm: HashAlgorithm,
    pub target: String,
    pub terms: Terms,
    pub program: Program,
    pub steps: Steps,
    pub slots: Slots,
    pub sub_keys: SubKeys,
    pub audience: Vec<PublicKey>,
    pub sources: Vec<SourceFile<'static>>,
}

const SOURCE: &[u8] = b"deploy: kubectl apply\n";

pub(crate) fn source(algorithm: HashAlgorithm) -> SourceFile<'static> {
    SourceFile { name: "deploy.opl", length: SOURCE.len() as u64, digest: algorithm.plain(SOURCE).bytes }
}

impl Sample {
    pub(crate) fn new() -> Self {
        Self {
            algorithm: HashAlgorithm::Sha256,
            target: "deploy".into(),
            terms: terms(),
            program: program(&steps()),
            steps: steps(),
            slots: slots(),
            sub_keys: SubKeys::default(),
            audience: Vec::new(),
            sources: vec![source(HashAlgorithm::Sha256)],
        }
    }

    /// With digests of another algorithm.
    pub(crate) fn of(algorithm: HashAlgorithm) -> Self {
        Self { algorithm, sources: vec![source(algorithm)], ..Self::new() }
    }

    /// With other steps, and a program that they come from.
    pub(crate) fn with_steps(steps: Steps) -> Self {
        Self { program: program(&steps), steps, ..Self::new() }
    }

    /// With the type of its steps.
    pub(crate) fn typed(mut self) -> Self {
        self.terms.plan_type = derive_plan_type(self.steps.view()).number();
        self
    }

    /// For the hosts of keys 3 and 4.
    pub(crate) fn for_hosts() -> Self {
        Self { audience: vec![public(3), public(4)], ..Self::new() }
    }

    /// With two sub-keys of the regen root whose bytes all equal 7.
    pub(crate) fn with_sub_keys() -> Self {
        let mut sample = Self::new();
        let root = Seed::from_bytes([7; 32]);
        sample.terms.regen_root = Some(fingerprint(&root).bytes);
        for regen_key in [b"v1", b"v2"] {
            let name = RegenName::new("random.password", regen_key, &[&24_u64.to_le_bytes(), b"abc"]);
            sample.sub_keys.insert(name, Regen::Root(&root).sub_key(name).unwrap());
        }
        sample
    }

    pub(crate) fn contents(&self) -> PlanContents<'_> {
        PlanContents {
            algorithm: self.algorithm,
            timestamp: 1_700_000_000,
            sources: &self.sources,
            audience: &self.audience,
            target: &self.target,
            terms: &self.terms,
            program: &self.program,
            steps: &self.steps,
            slots: &self.slots,
            sub_keys: &self.sub_keys,
            provenance: PROVENANCE,
        }
    }

    pub(crate) fn file(&self) -> PlanFile {
        self.contents().write_with(&seed(), &[public(1)], Drbg::new(&[9; 32])).unwrap()
    }

    /// The file with the signatures of these signers.
    pub(crate) fn signed(&self, signers: &[u8]) -> Vec<u8> {
        let mut file = self.file();
        signers.iter().for_each(|number| file.sign(&signer(*number)).unwrap());
        file.to_bytes()
    }

    pub(crate) fn plan_hash(&self) -> crate::crypto::hash::Digest {
        crate::read::plan_hash::plan_hash(self.algorithm, &self.terms.setting(&self.target), self.steps.view(), self.slots.view()).unwrap()
    }
}

fn terms() -> Terms {
    Terms {
        instruction_set: 2,
        arguments: vec![
            BoundArgument { name: "env".into(), value: CanonicalValue::String(b"prod".to_vec()).encode().unwrap() },
            BoundArgument { name: "replicas".into(), value: CanonicalValue::Int(3).encode().unwrap() },
        ],
        source_name: "deploy.opl".into(),
        not_after: Some(1_700_604_800),
        once: false,
        plan_type: PlanType::Campaign.number(),
        shell: "/bin/bash".into(),
        umask: 0o022,
        directory: "/srv".into(),
        pass_env: vec!["AWS_PROFILE".into(), "LANG".into()],
        regen_root: None,
        no_public: false,
    }
}

/// A program with a constant and a function, and what these steps come from.
pub(crate) fn program(steps: &Steps) -> Program {
    let origins = steps.origins.clone();
    let name = TextRef::new(u32::try_from(origins.text.len()).unwrap(), 6);
    Program {
        instruction_set: 2,
        constants: vec![Constant {
            scalar: i64_le::from_native(3),
            text: TextRef::EMPTY,
            value_type: ValueType::Int.number(),
            reserved: [0; 7],
        }],
        functions: vec![Function {
            name,
            code: Range::new(0, 1),
            params: u16_le::from_native(2),
            locals: u16_le::from_native(2),
            kind: 0,
            reserved: [0; 3],
        }],
        code: vec![Instruction::new(1, 0, 0, 0)],
        nodes: origins.nodes,
        templates: origins.templates,
        template_parts: origins.parts,
        text: [origins.text.as_slice(), b"deploy"].concat(),
        ..Program::default()
    }
}

/// Builds step tables; each `node` call appends in pre-order.
#[derive(Default)]
pub(crate) struct Builder(pub Steps);

pub(crate) enum Piece<'a> {
    /// Text of the program.
    Text(&'a str),
    /// Text of STEPS.
    Own(&'a str),
    Slot(u32, Position),
    Binding(u32),
}

impl Builder {
    pub(crate) fn text(&mut self, text: &str) -> TextRef {
        if text.is_empty() {
            return TextRef::EMPTY;
        }
        let offset = u32::try_from(self.0.text.len()).unwrap();
        self.0.text.extend_from_slice(text.as_bytes());
        TextRef::new(offset, u32::try_from(text.len()).unwrap())
    }

    /// A text of the program.
    fn origin_text(&mut self, text: &str) -> TextRef {
        let pool = &mut self.0.origins.text;
        pool.extend_from_slice(text.as_bytes());
        TextRef::new(u32::try_from(pool.len() - text.len()).unwrap(), u32::try_from(text.len()).unwrap())
    }

    /// A run of these pieces; gives its first part.
    pub(crate) fn run(&mut self, pieces: &[Piece<'_>]) -> u32 {
        let first = u32::try_from(self.0.parts.len()).unwrap();
        for (at, piece) in pieces.iter().enumerate() {
            let part = match *piece {
                Piece::Text(text) | Piece::Own(text) => Part::text(self.text(text)),
                Piece::Slot(slot, position) => Part::new(PartKind::Slot, slot, position.number().into()),
                Piece::Binding(node) => Part::new(PartKind::Binding, node, Position::Word.number().into()),
            };
            self.0.parts.push(if at + 1 < pieces.len() { part.with_more() } else { part });
        }
        first
    }

    pub(crate) fn node(&mut self, kind: NodeKind, subtree: u32, args: &[(u8, ValueType, i64)], command: &[Piece<'_>]) {
        let first = u32::try_from(self.0.args.len()).unwrap();
        for &(param, value_type, scalar) in args {
            self.0.args.push(Arg { value: scalar.into(), slot: 0.into(), param, value_type: value_type.number(), reserved: 0.into() });
        }
        let (mut origin, mut runs) = (self.0.origins.nodes.len(), 0);
        if kind.has_command() {
            origin = self.0.origins.templates.len();
            runs = self.template(command);
        } else {
            let header = if kind.is_flow() { self.origin_text("region in regions") } else { TextRef::EMPTY };
            let span = Span::new(10, 20, 2, 1);
            self.0.origins.nodes.push(NodeUse { kind: kind.number().into(), reserved: 0.into(), params: Range::EMPTY, header, span });
        }
        self.0.nodes.push(Node {
            kind: kind.number().into(),
            flags: 0.into(),
            subtree: subtree.into(),
            origin: u32::try_from(origin).unwrap().into(),
            args: if args.is_empty() { Range::EMPTY } else { Range::new(first, u32::try_from(args.len()).unwrap()) },
            runs: runs.into(),
        });
    }

    /// A template of this command, where what is not text of the program stands in holes; gives the first part of its runs.
    fn template(&mut self, command: &[Piece<'_>]) -> u32 {
        let first = self.0.origins.parts.len();
        let mut runs = None;
        for piece in command {
            let (kind, text) = match piece {
                Piece::Text(text) => (TEMPLATE_TEXT, self.origin_text(text)),
                _ => (TEMPLATE_HOLE, TextRef::EMPTY),
            };
            let position = if kind == TEMPLATE_HOLE { Position::Word.number() } else { 0 };
            self.0.origins.parts.push(TemplatePart { kind, position, alone: 0, reserved: 0, text });
            if kind == TEMPLATE_HOLE {
                let run = self.run(std::slice::from_ref(piece));
                runs = runs.or(Some(run));
            }
        }
        let count = self.0.origins.parts.len() - first;
        let holes = command.iter().filter(|piece| !matches!(piece, Piece::Text(_))).count();
        self.0.origins.templates.push(Template {
            parts: if count == 0 { Range::EMPTY } else { Range::new(u32::try_from(first).unwrap(), u32::try_from(count).unwrap()) },
            name_offset: 0.into(),
            name_length: 0.into(),
            holes: u16::try_from(holes).unwrap().into(),
            span: Span::new(10, 20, 2, 1),
        });
        runs.unwrap_or(0)
    }

    /// A String argument for the node made last.
    pub(crate) fn text_arg(&mut self, param: u8, pieces: &[Piece<'_>]) {
        let run = self.run(pieces);
        let at = u32::try_from(self.0.args.len()).unwrap();
        self.0.args.push(Arg {
            value: i64::from(run).into(),
            slot: 0.into(),
            param,
            value_type: ValueType::String.number(),
            reserved: 0.into(),
        });
        let node = self.0.nodes.last_mut().unwrap();
        let count = node.args.count.to_native();
        node.args = Range::new(if count == 0 { at } else { node.args.first.to_native() }, count + 1);
    }
}

fn steps() -> Steps {
    let mut builder = Builder::default();
    builder.node(NodeKind::For, 3, &[], &[]);
    builder.node(NodeKind::Retry, 2, &[(0, ValueType::Int, 3), (1, ValueType::Duration, 2_000_000_000)], &[]);
    builder.node(NodeKind::Shell, 1, &[], &[Piece::Text("kubectl apply -f "), Piece::Slot(1, Position::Word)]);
    builder.node(NodeKind::Try, 6, &[], &[]);
    builder.node(NodeKind::Let, 1, &[], &[Piece::Text("date +%s")]);
    builder.node(NodeKind::Catch, 2, &[], &[]);
    builder.node(NodeKind::Shell, 1, &[], &[Piece::Text("echo \""), Piece::Slot(0, Position::DoubleQuoted), Piece::Text("\"")]);
    builder.node(NodeKind::Finally, 2, &[], &[]);
    builder.node(NodeKind::Shell, 1, &[], &[Piece::Text("rm -f /tmp/lock."), Piece::Binding(4)]);
    builder.node(NodeKind::Workdir, 2, &[], &[]);
    builder.text_arg(0, &[Piece::Own("/srv/"), Piece::Slot(1, Position::Argument)]);
    builder.node(NodeKind::Sleep, 1, &[(0, ValueType::Duration, 0)], &[]);
    // A computed scalar: the duration is in slot 2.
    builder.0.args[3].slot = u32_le::from_native(3);
    builder.0
}

fn slots() -> Slots {
    let keys = seed().keys();
    let mut slots = Slots::default();
    let rows: [(&[u8], CanonicalValue, u16); 3] = [
        (b"env.TOKEN", CanonicalValue::String(b"hunter22".to_vec()), 0),
        (b"env.HOME", CanonicalValue::String(b"/root".to_vec()), SLOT_PUBLIC | SLOT_SHAPES),
        (b"env.WAIT", CanonicalValue::Duration(5_000_000_000), 0),
    ];
    for (key, value, flags) in rows {
        let canonical = value.encode().unwrap();
        let mut text = |bytes: &[u8]| {
            let offset = u32::try_from(slots.text.len()).unwrap();
            slots.text.extend_from_slice(bytes);
            TextRef::new(offset, u32::try_from(bytes.len()).unwrap())
        };
        let slot = Slot {
            key: text(key),
            display: text(keys.display_id(key, &canonical).as_bytes()),
            value: if flags & SLOT_PUBLIC == 0 { TextRef::EMPTY } else { text(&canonical) },
            commitment: keys.commit(key, value.value_type(), &canonical),
            decorator: 1.into(),
            flags: flags.into(),
            value_type: value.value_type().number(),
            reserved: [0; 3],
            span: Span::new(3, 9, 1, 4),
        };
        slots.slots.push(slot);
    }
    slots
}
