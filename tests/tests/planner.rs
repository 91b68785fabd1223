//! The planner is another process, and is not believed: whatever stands in its place, what runs is nothing, or the signed work with committed values.

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use opal_core::agreed::{Agreed, Comparison, Consent};
use opal_core::code::Code;
use opal_core::plan::{FileFailure, Reality, Scalar};
use opal_core::refusal::Refusal;
use opal_format::identity::Identity;
use opal_format::kind::NodeKind;
use opal_format::program::{NodeUse, Program};
use opal_format::read_file::read_path;
use opal_format::reader::{Authenticated, Contract};
use opal_format::record::TextRef;
use opal_format::regen::SubKeys;
use opal_format::seed::{Seed, same_commitment};
use opal_format::slots::{SLOT_SHAPES, Slots};
use opal_format::steps::Steps;
use opal_format::writer::PlanContents;
use opal_tests::{Host, root};
use opal_vm::planner::{Planner, Replanning, plan_at};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Kinds of frames, as `vm/aside/src/planner/wire.rs` numbers them.
const HELLO: u8 = 1;
const VALID: u8 = 2;
const INVALID: u8 = 3;
const GET: u8 = 4;
const DONE: u8 = 5;
const STOPPED: u8 = 6;
const TABLES: u8 = 7;

const SOURCE: &str = "var SUM = int(@env.A) + int(@env.B)\nvar WORD = @random.password(length=12)\ngo: {\n    echo SITE @env.NAME @env.SHOWN(public=true) @var.SUM @var.WORD\n    \
                      if @env.STAGE == \"x\" { echo extra } else { echo usual @file.read(\"conf\") }\n    for i in 1...3 { echo @var.i }\n}\n";

const OTHER: &str = "go: { echo SITE other @env.NAME; rm -rf all; echo @env.A }\n";

/// A host that is a table.
struct Table(BTreeMap<&'static str, &'static str>);

impl Reality for Table {
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name).map(|value| value.as_bytes().to_vec())
    }

    fn read_file(&self, path: &[u8]) -> Result<Vec<u8>, FileFailure> {
        if path == b"conf" { Ok(b"content".to_vec()) } else { Err(FileFailure { missing: true, reason: "not there".to_owned() }) }
    }
}

const VALUES: [(&str, &str); 6] =
    [("A", "20"), ("B", "22"), ("NAME", "some-secret"), ("SHOWN", "shown"), ("STAGE", "production"), ("OTHER", "o")];

struct Bench {
    host: Host,
    plans: Vec<Authenticated>,
    identity: Identity,
}

impl Bench {
    fn new() -> Self {
        let mut host = Host::new();
        for (name, value) in VALUES {
            host.set(name, value);
        }
        host.write("conf", "content");
        let plans = [SOURCE, OTHER].map(|source| {
            host.contract(source, &["go"]);
            let raw = read_path(&host.work().join("prod.plan"), 1 << 20).expect("a plan");
            raw.authenticate().expect("its own signature")
        });
        let files = host.files();
        let identity = files.iter().find_map(|(_, bytes)| Identity::from_openssh(bytes).ok()).expect("the key that was made");
        host.write("deploy.opl", host.named(SOURCE));
        Self { host, plans: plans.into(), identity }
    }

    fn contract(&self) -> Contract<'_> {
        self.plans[0].decode().expect("a contract")
    }
}

/// How long the gate waits: for an honest planner on a busy machine, and for any other, of which an end by time is as good as another.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(150);

fn consent(force: Option<&[String]>, yes: bool) -> Consent {
    Consent::given(force, || Ok::<_, ()>(yes)).expect("an answer")
}

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC).expect("a pair")
}

/// What comes of a contract whose planner is `end`.
fn compare(
    contract: &Contract<'_>,
    (seed, keys): (&Seed, &SubKeys),
    table: &Table,
    wait: Duration,
    end: impl FnOnce(OwnedFd) + Send,
) -> Result<Comparison, Refusal> {
    let (mine, theirs) = pair();
    std::thread::scope(|scope| {
        scope.spawn(move || end(theirs));
        let mut planner = Planner::at(mine, wait);
        let secrets = std::sync::Arc::default();
        let replanning = Replanning::new(contract, table, &|_| true, &secrets);
        replanning.compare(&mut planner, seed, keys)
    })
}

fn honest(end: OwnedFd) {
    let _ = plan_at(end, 3);
}

/// One frame.
fn hear(from: &mut File) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    from.read_exact(&mut head).ok()?;
    let length = u32::from_ne_bytes(head[..4].try_into().expect("four")) as usize;
    let mut body = vec![0; length.checked_sub(1)?];
    from.read_exact(&mut body).ok()?;
    Some((head[4], body))
}

fn say(to: &mut File, kind: u8, body: &[u8]) -> bool {
    let mut frame = (u32::try_from(body.len()).expect("short") + 1).to_ne_bytes().to_vec();
    frame.push(kind);
    frame.extend_from_slice(body);
    to.write_all(&frame).is_ok()
}

/// Stands between the gate and an honest planner and passes on what `change` makes of each frame of the planner.
fn between(end: OwnedFd, mut change: impl FnMut(u8, Vec<u8>) -> Vec<(u8, Vec<u8>)> + Send) {
    let (mine, theirs) = pair();
    let twice = |end: OwnedFd| (File::from(end.try_clone().expect("a descriptor")), File::from(end));
    let ((mut from_gate, mut to_gate), (mut from_planner, mut to_planner)) = (twice(end), twice(mine));
    std::thread::scope(|scope| {
        scope.spawn(|| honest(theirs));
        scope.spawn(move || {
            let _ = std::io::copy(&mut from_gate, &mut to_planner);
            let _ = nix::sys::socket::shutdown(std::os::fd::AsRawFd::as_raw_fd(&to_planner), nix::sys::socket::Shutdown::Both);
        });
        while let Some((kind, body)) = hear(&mut from_planner) {
            for (kind, body) in change(kind, body) {
                if !say(&mut to_gate, kind, &body) {
                    break;
                }
            }
        }
        let _ = nix::sys::socket::shutdown(std::os::fd::AsRawFd::as_raw_fd(&to_gate), nix::sys::socket::Shutdown::Both);
    });
}

/// The theorem: what was agreed on is the signed work, and each value is committed to, or was accepted and is this host's own.
fn is_the_signed_work(contract: &Contract<'_>, seed: &Seed, table: &Table, agreed: &Agreed) {
    let plan = agreed.plan();
    let signed = contract.steps;
    let same = plan.steps.nodes == signed.nodes
        && plan.steps.args == signed.args
        && plan.steps.parts == signed.parts
        && plan.steps.text == signed.text;
    assert!(same, "other steps than those that were signed");
    let keys = seed.keys();
    assert_eq!(plan.values.len(), contract.slots.slots.len());
    for (slot, value) in contract.slots.slots.iter().zip(&plan.values) {
        let text = |text: TextRef| text.of(contract.slots.text).expect("in the pool");
        let value = value.as_ref().expect("a value");
        let mut encoded = vec![value.value_type().number()];
        match value {
            Scalar::String(bytes) => {
                encoded.extend_from_slice(&u32::try_from(bytes.len()).expect("short").to_le_bytes());
                encoded.extend_from_slice(bytes);
            }
            Scalar::Int(int) => encoded.extend_from_slice(&int.to_le_bytes()),
            _ => unreachable!("the source has no other"),
        }
        let committed = same_commitment(&keys.commit(text(slot.key), value.value_type(), &encoded), &slot.commitment);
        let key = String::from_utf8_lossy(text(slot.key)).into_owned();
        if slot.is_public() {
            assert_eq!(text(slot.value), encoded, "{key} is public and another");
        }
        if committed {
            continue;
        }
        assert!(format!("{:?}", agreed.accepted()).contains(&format!("{key:?}")), "{key} moved and nobody accepted it");
        if let (Some(name), Scalar::String(bytes)) = (key.strip_prefix("env."), value) {
            assert_eq!(table.env(name).as_deref(), Some(bytes.as_slice()), "{key} is not what this host has");
        }
    }
}

/// A generator of numbers that are the same in each run.
struct Numbers(Cell<u64>);

impl Numbers {
    fn next(&self) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        x
    }

    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(0) % bound.max(1)
    }
}

#[test]
fn an_honest_planner_is_agreed_with_and_what_moved_is_found() {
    let bench = Bench::new();
    let contract = bench.contract();
    let seed = contract.unseal(&bench.identity.signing).expect("it opens");
    let keys = contract.sub_keys(&seed).expect("there are none");
    let drift = |comparison: &Comparison| -> Vec<String> {
        comparison.drift().iter().map(|drift| format!("{} {}", drift.code.name(), drift.key.clone().unwrap_or_default())).collect()
    };
    for (change, moved) in [
        (None, vec![]),
        (Some(("NAME", "another-secret")), vec!["env_changed env.NAME"]),
        (Some(("A", "21")), vec!["env_changed env.A"]),
        (Some(("SHOWN", "x")), vec!["env_changed env.SHOWN(public=true)", "structure_changed "]),
        (Some(("STAGE", "x")), vec!["env_changed env.STAGE", "structure_changed "]),
        (Some(("A", "one")), vec!["env_changed env.A"]),
    ] {
        let mut table = Table(VALUES.into());
        table.0.extend(change);
        let comparison = compare(&contract, (&seed, &keys), &table, LONG, honest).expect("an answer");
        assert_eq!(drift(&comparison), moved, "{change:?}");
        match comparison.agree(&consent(None, false)) {
            Ok(agreed) if moved.is_empty() => is_the_signed_work(&contract, &seed, &table, &agreed),
            outcome => assert!(outcome.is_err() && !moved.is_empty(), "{change:?}"),
        }
    }
    let mut table = Table(VALUES.into());
    table.0.insert("A", "21");
    let accept = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        compare(&contract, (&seed, &keys), &table, LONG, honest)
            .expect("an answer")
            .agree(&consent(Some(&names), false))
            .map_err(|left| drift(&left))
    };
    // What is computed by the planner alone is named as well.
    accept(&["A"]).expect_err("the sum moved too");
    let comparison = compare(&contract, (&seed, &keys), &table, LONG, honest).expect("an answer");
    let sum = comparison.not_named(&["A".to_owned()]).first().map(|key| (*key).to_owned()).expect("the sum");
    let agreed = accept(&["A", &sum]).expect("all of it is named");
    is_the_signed_work(&contract, &seed, &table, &agreed);
    assert_eq!(agreed.accepted().len(), 2);
}

#[test]
fn whatever_stands_in_the_planners_place_nothing_runs_or_the_signed_work_with_committed_values() {
    let bench = Bench::new();
    let contract = bench.contract();
    let seed = contract.unseal(&bench.identity.signing).expect("it opens");
    let keys = contract.sub_keys(&seed).expect("there are none");
    let table = Table(VALUES.into());
    let mut moved = Table(VALUES.into());
    moved.0.extend([("NAME", "another-secret"), ("A", "1")]);
    let agreed_on = Cell::new(0);
    // Each is tried where nothing moved, and where all that moved is accepted.
    let waiting = |what: &str, wait: Duration, end: &(dyn Fn(OwnedFd) + Sync)| {
        for (table, consent) in [(&table, &consent(None, false)), (&moved, &consent(Some(&[]), true))] {
            let since = Instant::now();
            let outcome = compare(&contract, (&seed, &keys), table, wait, end);
            assert!(since.elapsed() < Duration::from_secs(20), "{what} holds the gate up");
            match outcome.map(|comparison| comparison.agree(consent)) {
                Ok(Ok(agreed)) => {
                    agreed_on.set(agreed_on.get() + 1);
                    is_the_signed_work(&contract, &seed, table, &agreed);
                }
                Ok(Err(_)) => {}
                Err(refusal) => assert!(
                    matches!(refusal.code, Code::PlannerEnded | Code::Internal) || refusal.code.name().starts_with("program_"),
                    "{what}: {refusal:?}"
                ),
            }
        }
    };

    let stands = |what: &str, end: &(dyn Fn(OwnedFd) + Sync)| waiting(what, SHORT, end);

    stands("one that closes at once", &drop);
    stands("one that is silent", &|end| {
        let mut end = File::from(end);
        let _ = end.read_to_end(&mut Vec::new());
    });
    stands("an echo", &|end| {
        let mut end = File::from(end);
        let mut buffer = [0; 4096];
        say(&mut end, HELLO, &[3]);
        while let Ok(read @ 1..) = end.read(&mut buffer) {
            if end.write_all(&buffer[..read]).is_err() {
                return;
            }
        }
    });
    stands("a flood of questions", &|end| {
        let mut end = File::from(end);
        say(&mut end, HELLO, &[3]);
        say(&mut end, VALID, &[]);
        let question = [&[0, 0, 0, 0, 0, 1][..], &[0; 8], &3_u32.to_ne_bytes(), b"k.k", &[0; 4]].concat();
        while say(&mut end, GET, &question) {}
    });
    stands("a frame without an end", &|end| {
        let mut end = File::from(end);
        say(&mut end, HELLO, &[3]);
        let _ = end.write_all(&[255, 255, 255, 255, DONE]);
        while end.write_all(&[0; 4096]).is_ok() {}
    });
    stands("a long frame that comes slowly", &|end| {
        let mut end = File::from(end);
        say(&mut end, HELLO, &[3]);
        say(&mut end, VALID, &[]);
        let _ = end.write_all(&[0, 0, 0, 8, DONE]);
        while end.write_all(&[0]).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let numbers = Numbers(Cell::new(0x9e37_79b9_7f4a_7c15));
    for round in 0..16 {
        let noise: Vec<u8> = (0..512).map(|_| u8::try_from(numbers.next() & 0xff).expect("a byte")).collect();
        stands("random bytes", &|end| {
            let mut end = File::from(end);
            if round % 2 == 0 {
                say(&mut end, HELLO, &[3]);
                say(&mut end, VALID, &[]);
                say(&mut end, [GET, DONE, STOPPED, TABLES][round / 2 % 4], &noise);
            }
            let _ = end.write_all(&noise);
        });
    }
    for (what, kind, body) in [
        ("one that finds the program broken", INVALID, vec![1, 2, 3, 0, 0, 0]),
        ("one that names a rule that is none", INVALID, vec![255, 255, 0, 0, 0, 0]),
        ("one that is done before it began", DONE, [contract.header.plan_hash.bytes.as_slice(), &[0; 36]].concat()),
    ] {
        stands(what, &|end| {
            let mut end = File::from(end);
            say(&mut end, HELLO, &[3]);
            say(&mut end, kind, &body);
            let _ = end.read_to_end(&mut Vec::new());
        });
    }
    for code in 0..=40 {
        stands("one that stops with any code", &|end| {
            between(end, |kind, body| match kind {
                DONE => vec![(STOPPED, [&[u8::from(code == 40), code][..], &[code, 0, 0, 0], &[0; 16]].concat())],
                _ => vec![(kind, body)],
            });
        });
    }

    // An honest planner whose words are changed on the way.
    let before = agreed_on.get();
    waiting("an honest one", LONG, &honest);
    assert_eq!(agreed_on.get(), before + 2, "the bench itself works");
    for turn in 0..100 {
        let at = numbers.below(160);
        let bit = 1 << numbers.below(8);
        stands("one of whose digests and values a bit is another", &|end| {
            between(end, |kind, mut body| {
                let at = if turn < 50 { at } else { body.len().saturating_sub(at + 1) };
                if kind == DONE
                    && let Some(byte) = body.get_mut(at)
                {
                    *byte ^= bit;
                }
                vec![(kind, body)]
            });
        });
    }
    for turn in 0..28 {
        let (at, bit) = (numbers.below(48), 1 << numbers.below(8));
        stands("one that asks for something else", &|end| {
            let asked = std::sync::atomic::AtomicUsize::new(0);
            between(end, |kind, mut body| {
                let ordinal = asked.fetch_add(usize::from(kind == GET), std::sync::atomic::Ordering::Relaxed);
                if kind == GET
                    && ordinal == turn % 7
                    && let Some(byte) = body.get_mut(at)
                {
                    *byte ^= bit;
                }
                vec![(kind, body)]
            });
        });
    }
    for kind in [HELLO, VALID, GET, DONE] {
        stands("one that says it twice", &|end| {
            between(end, |of, body| if of == kind { vec![(of, body.clone()), (of, body)] } else { vec![(of, body)] });
        });
        stands("one that leaves it out", &|end| {
            between(end, |of, body| if of == kind { Vec::new() } else { vec![(of, body)] });
        });
        stands("one that stops in the middle of it", &|end| {
            between(end, |of, body| if of == kind { vec![(of, body[..body.len() / 2].to_vec())] } else { vec![(of, body)] });
        });
    }
    // Another program, whose steps are planned honestly, with the digests that the gate wants to hear.
    let other = bench.plans[1].decode().expect("a contract");
    for lies in [false, true] {
        let shown = opal_format::shown_hash::shown_hash(contract.header.algorithm, contract.steps, contract.slots).expect("a digest");
        let digests = [contract.header.plan_hash.bytes, shown.bytes].concat();
        stands("one that plans another program", &|end| {
            let (mine, theirs) = pair();
            let twice = |end: OwnedFd| (File::from(end.try_clone().expect("a descriptor")), File::from(end));
            let ((mut from_gate, mut to_gate), (mut from_planner, mut to_planner)) = (twice(end), twice(mine));
            std::thread::scope(|scope| {
                scope.spawn(|| honest(theirs));
                scope.spawn(|| {
                    while let Some((kind, body)) = hear(&mut from_gate) {
                        let body = if kind == 1 { other.program_bytes.to_vec() } else { body };
                        if !say(&mut to_planner, kind, &body) {
                            break;
                        }
                    }
                    let _ = nix::sys::socket::shutdown(std::os::fd::AsRawFd::as_raw_fd(&to_planner), nix::sys::socket::Shutdown::Both);
                });
                while let Some((kind, mut body)) = hear(&mut from_planner) {
                    if kind == DONE && lies {
                        body[..64].copy_from_slice(&digests);
                    }
                    if !say(&mut to_gate, kind, &body) {
                        break;
                    }
                }
                let _ = nix::sys::socket::shutdown(std::os::fd::AsRawFd::as_raw_fd(&to_gate), nix::sys::socket::Shutdown::Both);
            });
        });
    }
    // Its tables are only ever shown.
    let mut staged = Table(VALUES.into());
    staged.0.insert("STAGE", "x");
    for turn in 0..40 {
        let (at, bit) = (numbers.below(1200), 1 << numbers.below(8));
        let outcome = compare(&contract, (&seed, &keys), &staged, SHORT, |end| {
            between(end, |kind, mut body| {
                let at = if turn == 0 { usize::MAX } else { at };
                if kind == TABLES
                    && let Some(byte) = body.get_mut(at)
                {
                    *byte ^= bit;
                }
                vec![(kind, body)]
            });
        });
        match outcome {
            Ok(comparison) => {
                comparison.agree(&consent(Some(&[]), true)).expect_err("other work is never agreed on");
            }
            Err(refusal) => assert_eq!((refusal.exit(), refusal.code), (69, Code::PlannerEnded)),
        }
    }
}

#[test]
fn what_a_contract_shows_is_what_its_program_gives() {
    let bench = Bench::new();
    let contract = bench.contract();
    let seed = contract.unseal(&bench.identity.signing).expect("it opens");
    let keys = contract.sub_keys(&seed).expect("there are none");
    let table = Table(VALUES.into());
    // The same work under the same `plan_hash`, shown otherwise; sealed under the same seed, so that commitments stay.
    type Change = fn(&mut Steps, &mut Slots, &mut Program);
    let flow = |node: &opal_format::steps::Node| node.kind.to_native() >= 64;
    let changes: [(&str, Change, bool); 8] = [
        ("nothing", |_, _, _| {}, false),
        ("the headers", |_, _, program| turn(program, |node| &mut node.header), false),
        ("the spans", |_, _, program| turn(program, |node| &mut node.span), false),
        ("another arm", |steps, _, program| swap(steps, program, NodeKind::Else, NodeKind::If), true),
        ("no loop", |steps, _, program| swap(steps, program, NodeKind::For, NodeKind::If), true),
        ("a use of a value", |_, slots, _| slots.slots[0].flags = (slots.slots[0].flags.to_native() ^ SLOT_SHAPES).into(), true),
        ("what a value comes from", |_, slots, _| slots.slots[0].decorator = 3.into(), true),
        (
            "the id of a value",
            |_, slots, _| {
                let at = usize::try_from(slots.slots[1].display.offset.to_native()).expect("short");
                slots.text[at] = if slots.text[at] == b'2' { b'3' } else { b'2' };
            },
            true,
        ),
    ];
    assert!(contract.steps.nodes.iter().any(flow), "there is control flow to lie about");
    for (what, change, differs) in changes {
        let view = contract.steps;
        let mut steps = view.to_steps();
        let mut slots = Slots { slots: contract.slots.slots.to_vec(), text: contract.slots.text.to_vec() };
        let mut program = contract.program.to_program();
        change(&mut steps, &mut slots, &mut program);
        let contents = PlanContents {
            algorithm: contract.header.algorithm,
            timestamp: contract.header.timestamp,
            sources: &contract.sources,
            audience: &contract.audience,
            target: contract.header.target,
            terms: &contract.terms,
            program: &program,
            steps: &steps,
            slots: &slots,
            sub_keys: &keys,
            provenance: contract.provenance,
        };
        let mut file = contents.write(&seed, &[bench.identity.public()]).expect("a contract");
        file.sign(&bench.identity.signing).expect("signed");
        let path = bench.host.work().join("lying.plan");
        std::fs::write(&path, file.to_bytes()).expect("written");
        let lying = read_path(&path, 1 << 20).expect("a plan").authenticate().expect("signed");
        let lying = lying.decode().expect("every rule is kept");
        assert_eq!(lying.header.plan_hash, contract.header.plan_hash, "{what}");
        let comparison = compare(&lying, (&seed, &keys), &table, LONG, honest).expect("an answer");
        let codes: Vec<&str> = comparison.drift().iter().map(|drift| drift.code.name()).collect();
        assert_eq!(codes, if differs { vec!["shown_differs"] } else { vec![] }, "{what}: {:?}", comparison.drift());
        assert_eq!(comparison.agree(&consent(Some(&[]), true)).is_err(), differs, "{what} is never forced");
        let ended = bench.host.vm(&["verify", "--plan", "lying.plan"]);
        if differs {
            ended.expect(3).says("error[shown_differs]").says("effects: none");
        } else {
            ended.expect(0);
        }
    }
}

/// Gives each node of a program what another has, so that every text stays in use.
fn turn<T: Copy>(program: &mut Program, field: fn(&mut NodeUse) -> &mut T) {
    let mut all: Vec<T> = program.nodes.iter_mut().map(|node| *field(node)).collect();
    all.rotate_left(1);
    program.nodes.iter_mut().zip(all).for_each(|(node, one)| *field(node) = one);
}

/// Makes the first node of one kind one of another, which comes from where the program has such a node.
fn swap(steps: &mut Steps, program: &Program, from: NodeKind, to: NodeKind) {
    let origin = program.nodes.iter().position(|node| node.kind() == Some(to)).expect("the program has one");
    let node = steps.nodes.iter_mut().find(|node| node.kind() == Some(from)).expect("there is one");
    (node.kind, node.flags) = (to.number().into(), 0.into());
    node.origin = u32::try_from(origin).expect("few").into();
}

#[test]
fn each_kind_of_work_has_one_maker() {
    let mut open = vec![root().join("vm"), root().join("compiler/src"), root().join("format")];
    let mut makers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a directory");
            open.extend(entries.map(|entry| entry.expect("an entry").path()).filter(|path| !path.ends_with("tests")));
            continue;
        }
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for maker in
            ["Agreed {", "Consent::given(", "Direct {", "DirectAllowed::judged(", "Direct::new(", "Runnable::Agreed(", "Runnable::Direct("]
        {
            for line in code.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
                // The sink of a run's output has the same name in its own module.
                let declares = ["struct ", "impl ", "impl<", "Self::", "Arc::new(Direct::new("].iter().any(|word| line.contains(word));
                if line.contains(maker) && !declares {
                    let path = path.strip_prefix(root()).expect("below the root").display().to_string();
                    makers.entry(maker).or_default().push(path);
                }
            }
        }
    }
    let expected: BTreeMap<&str, Vec<String>> = [
        ("Agreed {", "vm/core/src/agreed.rs"),
        ("Consent::given(", "vm/src/cli/consent.rs"),
        ("DirectAllowed::judged(", "vm/trust/src/policy.rs"),
        ("Direct::new(", "compiler/src/cli/opal/direct.rs"),
        ("Runnable::Agreed(", "vm/src/cli/run.rs"),
        ("Runnable::Direct(", "compiler/src/cli/opal/direct.rs"),
    ]
    .into_iter()
    .map(|(maker, path)| (maker, vec![path.to_owned()]))
    .collect();
    assert_eq!(makers, expected);
}

/// What a test that plays a planner does under its filter.
const PLAY: &str = "OPAL_TEST_PLAY_PLANNER";

/// Whether this process gets memory that can be executed.
#[expect(unsafe_code, reason = "there is no safe way to ask")]
fn asks_for_code() -> bool {
    use nix::libc;
    let (protection, flags) = (libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: fresh memory, at no address in particular, that nobody refers to.
    unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) != libc::MAP_FAILED }
}

/// Does nothing unless [`PLAY`] says what: then this process is confined as a planner is.
#[test]
fn play_a_planner() {
    let Ok(act) = std::env::var(PLAY) else { return };
    let (ours, _theirs) = pair();
    assert_eq!(opal_exec::confine::aside(c"opal-planner"), (true, true));
    let outcome = match act.as_str() {
        "plan" => {
            // Memory, time and its socket are what a planner has.
            let block: Vec<u8> = vec![1; 64 << 20];
            let mut end = File::from(ours);
            let written = end.write_all(&block[..1]);
            std::process::exit(i32::from(written.is_err()))
        }
        "open" => i32::from(File::open("/etc/passwd").is_ok()),
        "stat" => i32::from(std::fs::metadata("/etc/passwd").is_ok()),
        "execute" => i32::from(std::process::Command::new("/bin/true").status().is_ok()),
        "socket" => i32::from(socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::empty()).is_ok()),
        "connect" => i32::from(std::net::UdpSocket::bind("127.0.0.1:0").is_ok()),
        "thread" => i32::from(std::thread::Builder::new().spawn(|| ()).is_ok()),
        "kill" => i32::from(nix::sys::signal::kill(nix::unistd::getppid(), None).is_ok()),
        "code" => i32::from(asks_for_code()),
        "memory" => {
            let mut blocks: Vec<Vec<u8>> = Vec::new();
            loop {
                let mut block: Vec<u8> = Vec::new();
                if block.try_reserve_exact(64 << 20).is_err() {
                    std::process::exit(if blocks.len() > 20 { 1 } else { 0 });
                }
                block.resize(64 << 20, 1);
                blocks.push(block);
            }
        }
        _ => 1,
    };
    std::process::exit(outcome);
}

#[test]
fn the_planner_cannot_open_execute_or_make_a_socket() {
    use std::os::unix::process::ExitStatusExt as _;
    let own = std::env::current_exe().expect("the test has a path");
    for (act, ends_it) in [
        ("plan", false),
        ("open", true),
        ("stat", true),
        ("execute", true),
        ("socket", true),
        ("connect", true),
        ("thread", true),
        ("kill", true),
        ("code", true),
        ("memory", false),
    ] {
        let mut command = std::process::Command::new(&own);
        command.args(["--exact", "play_a_planner", "--test-threads=1"]).env(PLAY, act).env_remove("RUST_BACKTRACE");
        let status = command.output().expect("it starts").status;
        if ends_it {
            assert_eq!(status.signal(), Some(nix::libc::SIGSYS), "{act}: {status}");
        } else {
            assert_eq!(status.code(), Some(0), "{act}: {status}");
        }
    }
}

/// The process of this name below another one.
fn below(pid: u32, name: &str) -> Option<u32> {
    let field = |pid: u32, name: &str| -> Option<String> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(|value| value.trim().to_owned())
    };
    let parent = |pid: u32| field(pid, "PPid")?.parse::<u32>().ok();
    let all = std::fs::read_dir("/proc").expect("processes").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find(|one| {
        let mut above = Some(*one);
        field(*one, "Name").as_deref() == Some(name)
            && std::iter::from_fn(|| {
                above = parent(above?).filter(|above| *above > 1);
                above
            })
            .any(|above| above == pid)
    })
}

#[test]
fn a_planner_that_is_killed_ends_the_run_before_anything_runs_and_leaves_nothing() {
    let host = Host::new();
    // Planning takes long enough to be met: it waits for what is read for it.
    let files: Vec<String> = (0..8).map(|number| format!("@file.sha256(\"f{number}\")")).collect();
    for number in 0..8 {
        File::create(host.work().join(format!("f{number}"))).and_then(|file| file.set_len(16 << 20)).expect("a file");
    }
    host.contract(&format!("go: {{\n    echo SITE > ran\n    echo {}\n}}\n", files.join(" ")), &["go"]);
    for command in ["run", "verify"] {
        let mut met = false;
        for _ in 0..5 {
            let mut child = host.command("opal-vm", [command, "--plan", "prod.plan"]);
            let child = child.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("it starts");
            let since = Instant::now();
            let mut planner = None;
            while planner.is_none() && since.elapsed() < Duration::from_secs(5) && !opal_tests::proc::is_zombie(child.id()) {
                planner = below(child.id(), "opal-planner");
            }
            let pid = planner.map(|pid| nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a pid")));
            let killed = pid.is_some_and(|pid| nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).is_ok());
            let (id, ended) = (child.id(), opal_tests::Ended::from(child.wait_with_output().expect("it ends")));
            assert_eq!(below(id, "opal-planner"), None, "a planner is left");
            if killed && ended.status == 69 {
                ended.says("error[planner_ended]").says("effects: none");
                assert_eq!(host.read("ran"), "", "something ran");
                met = true;
                break;
            }
            // It was done before the signal came.
            assert_eq!(ended.status, 0, "{ended:?}");
            let _ = std::fs::remove_file(host.work().join("ran"));
        }
        assert!(met, "{command}: the planner was never met");
    }
    host.vm(&["run", "--plan", "prod.plan"]).expect(0);
    assert_ne!(host.read("ran"), "");
}
