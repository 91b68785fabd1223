//! A small contract that uses every kind of record.

use crate::crypto::hash::HashAlgorithm;
use crate::crypto::identity::PublicKey;
use crate::crypto::regen::{Regen, RegenName, SubKeys, fingerprint};
use crate::crypto::seed::{Drbg, Seed};
use crate::read::canonical::CanonicalValue;
use crate::read::kind::{NodeKind, PlanType, Position, ValueType};
use crate::read::plan_type::derive_plan_type;
use crate::read::program::{Constant, Function, Instruction, Program};
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
            program: program(),
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

fn program() -> Program {
    Program {
        instruction_set: 2,
        constants: vec![Constant {
            scalar: i64_le::from_native(3),
            text: TextRef::EMPTY,
            value_type: ValueType::Int.number(),
            reserved: [0; 7],
        }],
        functions: vec![Function {
            name: TextRef::new(0, 6),
            code: Range::new(0, 1),
            params: u16_le::from_native(2),
            locals: u16_le::from_native(2),
            kind: 0,
            reserved: [0; 3],
        }],
        code: vec![Instruction::new(1, 0, 0, 0)],
        text: b"deploy".to_vec(),
        ..Program::default()
    }
}

/// Builds step tables; each `node` call appends in pre-order.
#[derive(Default)]
pub(crate) struct Builder(pub Steps);

pub(crate) enum Piece<'a> {
    Text(&'a str),
    Slot(u32, Position),
    Binding(u32),
}

impl Builder {
    pub(crate) fn text(&mut self, text: &str) -> TextRef {
        let offset = u32::try_from(self.0.text.len()).unwrap();
        self.0.text.extend_from_slice(text.as_bytes());
        TextRef::new(offset, u32::try_from(text.len()).unwrap())
    }

    pub(crate) fn parts(&mut self, pieces: &[Piece<'_>]) -> Range {
        let first = u32::try_from(self.0.parts.len()).unwrap();
        for piece in pieces {
            let (kind, position, first, second) = match *piece {
                Piece::Text(text) => {
                    let text = self.text(text);
                    (PartKind::Text, 0, text.offset, text.length)
                }
                Piece::Slot(slot, position) => (PartKind::Slot, position.number(), slot.into(), 0.into()),
                Piece::Binding(node) => (PartKind::Binding, Position::Word.number(), node.into(), 0.into()),
            };
            self.0.parts.push(Part { kind: kind.number(), position, reserved: 0.into(), first, second });
        }
        Range::new(first, u32::try_from(pieces.len()).unwrap())
    }

    pub(crate) fn node(&mut self, kind: NodeKind, subtree: u32, args: &[(u8, ValueType, i64)], command: &[Piece<'_>]) {
        let first = u32::try_from(self.0.args.len()).unwrap();
        for &(param, value_type, scalar) in args {
            self.0.args.push(Arg {
                scalar: scalar.into(),
                parts: Range::EMPTY,
                slot: 0.into(),
                param,
                value_type: value_type.number(),
                reserved: 0.into(),
            });
        }
        let parts = if command.is_empty() { Range::EMPTY } else { self.parts(command) };
        let header = if kind.is_flow() { self.text("region in regions") } else { TextRef::EMPTY };
        self.0.nodes.push(Node {
            kind: kind.number().into(),
            flags: 0.into(),
            subtree: subtree.into(),
            args: if args.is_empty() { Range::EMPTY } else { Range::new(first, u32::try_from(args.len()).unwrap()) },
            parts,
            header,
            span: Span::new(10, 20, 2, 1),
        });
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
    let parts = builder.parts(&[Piece::Text("/srv/"), Piece::Slot(1, Position::Argument)]);
    builder.0.args.push(Arg {
        scalar: 0.into(),
        parts,
        slot: 0.into(),
        param: 0,
        value_type: ValueType::String.number(),
        reserved: 0.into(),
    });
    builder.0.nodes[9].args = Range::new(2, 1);
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
