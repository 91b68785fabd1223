//! Each key of the policy, through the real programs: with the stricter value something is refused or done that is not with the looser one, at the
//! moment that the key names. A new key needs a case here before this compiles, and one that no program enforces has none that passes.

use opal_tests::Ended;
use opal_tests::guarded::Guarded;
use opal_trust::policy::{Key, Moment, Policy};
use opal_view::policy as words;
use std::os::unix::fs::PermissionsExt as _;

/// What the steps of a run left in `ran`.
fn ran(here: &Guarded) -> String {
    std::fs::read_to_string(here.host.work().join("ran")).unwrap_or_default()
}

/// Runs the contract with one line of policy.
fn under(here: &Guarded, key: Key, value: &str, options: &[&str]) -> Ended {
    // What confines steps, or keeps variables, does so at a level or in a mode only.
    let with = match key {
        Key::SandboxRead | Key::SandboxWrite | Key::SandboxNetwork => "sandbox.level = \"required\"\n",
        Key::SandboxLevel => "sandbox.write = []\n",
        Key::EnvPass => "env.mode = \"clean\"\n",
        _ => "",
    };
    let line = if value.is_empty() { String::new() } else { format!("{} = {value}\n", key.name()) };
    here.policy(&format!("{with}{line}")).run_as("env CHOSEN=by-caller", options)
}

/// A run that one value lets be and another refuses, before its first step where the key says so.
#[track_caller]
fn refuses(here: &Guarded, key: Key, loose: &str, strict: &str, options: &[&str]) {
    under(here, key, loose, options).expect(0);
    assert_ne!(ran(here), "", "{}: nothing ran with {loose}", key.name());
    let ended = under(here, key, strict, options);
    match key.row().moment {
        Moment::Trust => _ = ended.expect(20).says("effects: none"),
        Moment::Steps => assert!(ended.status != 0, "{}: {ended:?}", key.name()),
        _ => _ = ended.expect(24).says(&format!("`{}`", key.name())).says("effects: none"),
    }
    assert_eq!(ran(here), "", "{}: it ran with {strict}", key.name());
}

/// A run that ends well with both values, and whose steps see a difference: `seen` in what they wrote only with the second one.
#[track_caller]
fn changes(here: &Guarded, key: Key, loose: &str, strict: &str, seen: &str) {
    assert_eq!(key.row().moment, Moment::Steps, "{}", key.name());
    for (value, expected) in [(loose, false), (strict, true)] {
        under(here, key, value, &[]).expect(0);
        assert_eq!(ran(here).contains(seen), expected, "{} = {value}: {}", key.name(), ran(here));
    }
}

fn two_steps(here: &Guarded) {
    here.contract("go: {\n    echo SITE @env.A > ran\n    echo SITE two >> ran\n}\n", &["go"]);
}

fn script(here: &Guarded, name: &str, text: &str) {
    here.host.write(name, text);
    here.contract(&format!("go: {{\n    bash {name}\n    : @env.A\n}}\n"), &["go"]);
}

/// Everything inside runs where the kernel has no such call.
fn without(call: i64, inside: impl FnOnce() + Send) {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    let arch = std::env::consts::ARCH.try_into().expect("a known architecture");
    let answer = SeccompAction::Errno(nix::libc::ENOSYS.unsigned_abs());
    let rules = [(call, Vec::new())].into_iter().collect();
    let filter: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, answer, arch).expect("a filter").try_into().expect("a program");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            seccompiler::apply_filter(&filter).expect("the filter holds");
            inside();
        });
        thread.join().expect("it ends");
    });
}

fn directory(here: &Guarded, name: &str) -> std::path::PathBuf {
    let path = here.host.path().join("lib").join(name);
    std::fs::create_dir(&path).expect("a directory");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    path
}

/// Whether this kernel can confine steps.
fn confines() -> bool {
    opal_exec::confine::probe().missing(true).is_none()
}

/// Shows that the key is enforced, on a host whose list trusts the one signer of the contract.
fn enforced(here: &mut Guarded, key: Key) {
    let vm = |here: &Guarded, words: &[&str]| here.inside("", "opal-vm", words);
    match key {
        Key::RequireSignature => {
            here.trust(&[]);
            refuses(here, key, "false", "true", &["--allow-unsigned"]);
        }
        Key::OwnIdentity => {
            here.trust(&[]);
            refuses(here, key, "true", "false", &[]);
        }
        Key::Threshold => refuses(here, key, "1", "2", &[]),
        Key::Touch => refuses(here, key, "false", "true", &[]),
        Key::Vouches => refuses(here, key, "", "1", &[]),
        Key::Direct => {
            here.host.write("commands.opl", "go: echo SITE > ran\n");
            let direct = |value: &str| {
                here.policy(&format!("trust.threshold = 2\n{} = {value}\n", key.name()));
                here.inside("", "opal", &["go"])
            };
            direct("true").expect(0);
            direct("false").expect(24).says("`trust.threshold`").says("effects: none");
        }
        Key::RevokedBy => {
            under(here, key, "", &[]).expect(0);
            under(here, key, "\"ops\"", &[]).expect(78).says("error[revoked_missing]").says("effects: none");
            assert_eq!(ran(here), "");
        }
        Key::RevokedMaxAge => {
            here.put("revoked", "made 20200101\n");
            under(here, key, "", &[]).expect(0);
            under(here, key, "\"1d\"", &[]).expect(78).says("error[revoked_expired]").says("effects: none");
            assert_eq!(ran(here), "");
        }
        Key::RequireHost => refuses(here, key, "false", "true", &[]),
        Key::MaxAge => refuses(here, key, "\"1d\"", "\"0s\"", &[]),
        Key::RequireExpiry => {
            here.contract("go: echo SITE @env.A > ran\n", &["go", "--expires", "never"]);
            refuses(here, key, "false", "true", &[]);
        }
        Key::RequireSource => {
            std::fs::remove_file(here.host.work().join("deploy.opl")).expect("there");
            refuses(here, key, "false", "true", &[]);
        }
        Key::SingleUse => {
            for (value, status) in [("false", 0), ("true", 0), ("true", 22)] {
                under(here, key, value, &[]).expect(status);
            }
        }
        Key::Partial => {
            two_steps(here);
            refuses(here, key, "true", "false", &["--from", "2"]);
        }
        Key::Force => {
            here.host.set("A", "two");
            refuses(here, key, "true", "false", &["--force=A"]);
        }
        Key::Types => refuses(here, key, "[\"atomic\"]", "[\"campaign\"]", &[]),
        Key::Allow => refuses(here, key, "[\"shell\", \"env\"]", "[\"shell\"]", &[]),
        Key::Deny => refuses(here, key, "[\"retry\"]", "[\"env\"]", &[]),
        Key::EnvMode => {
            here.contract("go: env > ran # SITE @env.A\n", &["go"]);
            changes(here, key, "\"clean\"", "\"inherit\"", "CHOSEN=by-caller");
        }
        Key::EnvPass => {
            here.contract("go: env > ran # SITE @env.A\n", &["go"]);
            changes(here, key, "[]", "[\"CHO*\"]", "CHOSEN=by-caller");
        }
        Key::EnvPath => {
            here.contract("go: env > ran # SITE @env.A\n", &["go"]);
            changes(here, key, "\"/usr/bin:/bin\"", "\"/usr/bin:/bin:/none\"", "PATH=/usr/bin:/bin:/none\n");
        }
        Key::Shell => {
            let path = std::env::var("PATH").expect("a path");
            let bash =
                path.split(':').map(|place| format!("\"{place}/bash\"")).find(|path| std::path::Path::new(path.trim_matches('"')).exists());
            refuses(here, key, &bash.expect("bash"), "\"/opt/bash\"", &[]);
        }
        Key::Output => {
            directory(here, "results");
            let resolve = ["resolve", "--plan", "prod.plan", "-o", "new.plan"];
            here.policy("run.output = \"/var/lib/results\"");
            vm(here, &resolve).expect(0);
            here.policy("");
            vm(here, &resolve).expect(24).says("error[output_not_allowed]").says("effects: none");
        }
        Key::Directory => {
            let start = directory(here, "start");
            here.policy("run.directory = \"/var/lib/start\"");
            let plan = here.host.work().join("prod.plan").display().to_string();
            vm(here, &["run", "--plan", &plan]).expect(0);
            assert!(start.join("ran").exists() && ran(here).is_empty());
        }
        Key::Reveal => {
            here.host.write("draft.toml", "");
            let draft = ["policy", "check", "--plan", "prod.plan", "--policy", "draft.toml"];
            here.policy("run.reveal = true");
            vm(here, &draft).expect(0);
            here.policy("run.reveal = false");
            vm(here, &draft).expect(24).says("`run.reveal`").says("effects: none");
        }
        Key::Timeout => {
            script(here, "slow.sh", "sleep 3; echo SITE > ran");
            refuses(here, key, "\"1h\"", "\"500ms\"", &[]);
        }
        Key::Grace => {
            // What it does when it is told to end takes a second.
            script(here, "slow.sh", "trap 'sleep 1; echo SITE late > ran; exit' TERM\nsleep 60 & wait\n");
            for (value, late) in [("\"1h\"", true), ("\"1ms\"", false)] {
                here.policy(&format!("run.timeout = \"2s\"\n{} = {value}\n", key.name())).run_as("", &[]).expect(1);
                assert_eq!(ran(here).contains("late"), late, "{value}");
            }
        }
        Key::MaxParallel => {
            // Each of two waits for the other, a while.
            here.host
                .write("meet.sh", "touch $1; for i in $(seq 30); do [ -e $2 ] && { echo SITE > ran; exit 0; }; sleep 0.1; done; exit 1\n");
            here.contract("go: @parallel() {\n    bash meet.sh a b\n    bash meet.sh b a $((0)) \"@env.A\"\n}\n", &["go"]);
            let meet = |value: &str| {
                let _ = ["a", "b"].map(|name| std::fs::remove_file(here.host.work().join(name)));
                under(here, key, value, &[])
            };
            meet("2").expect(0);
            meet("1").expect(1);
        }
        Key::MaxSteps => {
            two_steps(here);
            refuses(here, key, "2", "1", &[]);
        }
        Key::SandboxLevel => without(nix::libc::SYS_landlock_create_ruleset, || refuses(here, key, "\"best-effort\"", "\"required\"", &[])),
        Key::SandboxPlanner => without(nix::libc::SYS_seccomp, || refuses(here, key, "\"best-effort\"", "\"required\"", &[])),
        Key::SandboxRead if confines() => {
            here.host.write("notes", "SITE\n");
            here.contract("go: {\n    cat notes\n    echo SITE @env.A > ran\n}\n", &["go"]);
            refuses(here, key, "[\"/\"]", "[]", &[]);
        }
        Key::SandboxWrite if confines() => refuses(here, key, "[\"/\"]", "[]", &[]),
        Key::SandboxNetwork if confines() => {
            // Nobody listens there; whether that is what it fails by says whether it got so far.
            script(here, "net.sh", "{ exec 3<>/dev/tcp/127.0.0.1/9; } 2>why; grep -q refused why && echo SITE > ran");
            refuses(here, key, "true", "false", &[]);
        }
        Key::HideIdentity if confines() => {
            let key_file = here.host.path().join("config/opal/identity");
            let look = format!("grep -q PRIVATE {} 2> /dev/null && echo SITE @env.A seen || echo SITE hidden", key_file.display());
            here.contract(&format!("go: {{ ({look}) > ran }}\n"), &["go"]);
            changes(here, key, "false", "true", "hidden");
        }
        Key::SandboxRead | Key::SandboxWrite | Key::SandboxNetwork | Key::HideIdentity => {
            eprintln!("skipped: {}: this kernel confines nothing", key.name())
        }
    }
}

#[test]
fn each_key_is_enforced_at_its_moment() {
    for key in Key::ALL {
        let Some(mut here) = Guarded::new() else { return };
        here.trust(&[("ops", "own")]);
        println!("{}", key.name());
        enforced(&mut here, *key);
    }
}

/// A row of the table in `spec/policy.md`.
fn row(key: Key) -> String {
    let row = key.row();
    format!(
        "| `{}` | {} | {} | {} | {} | {} |\n",
        row.name,
        row.kind.text(),
        words::unset(row.unset),
        words::tighter(row.tighter),
        words::moment(row.moment),
        row.help
    )
}

#[test]
fn the_table_of_the_document_is_that_of_the_code() {
    let path = opal_tests::root().join("spec/policy.md");
    let text = std::fs::read_to_string(&path).expect("the document");
    let is_row = |line: &&str| {
        line.starts_with("| `") && line.matches('`').next().is_some() && line.contains("stricter")
            || line.contains("| no flag changes it |")
    };
    let wanted: String = Key::ALL.iter().copied().map(row).collect();
    let stands: String = text.lines().filter(is_row).map(|line| format!("{line}\n")).collect();
    if stands != wanted && std::env::var_os("OPAL_BLESS").is_some() {
        let (before, after) = text.split_once("| --- | --- | --- | --- | --- | --- |\n").expect("the head of the table");
        let rest: String = after.lines().filter(|line| !is_row(line)).map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, format!("{before}| --- | --- | --- | --- | --- | --- |\n{wanted}{rest}")).expect("written");
        return;
    }
    assert_eq!(stands, wanted, "OPAL_BLESS=1 writes it");
}

#[test]
fn the_example_holds_every_key_with_its_default_and_direction() {
    let text = include_str!("../../examples/policy.toml");
    let example = Policy::parse(text.as_bytes()).expect("reads");
    assert!(Key::ALL.iter().all(|key| example.shown(*key).is_some()));
    assert!(!example.signers.is_empty());
    let (mut table, mut comment) = ("", "");
    let mut compared = 0;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_end_matches(']');
        } else if let Some(name) = line.split(" = ").next().filter(|_| !line.starts_with('#') && line.contains(" = "))
            && let Some(key) = Key::named(&format!("{table}.{name}"))
        {
            assert!(
                comment.starts_with(&format!("# Default: {}; {}", words::unset(key.row().unset), words::tighter(key.row().tighter))),
                "{}: {comment}",
                key.name()
            );
            compared += 1;
        }
        comment = line;
    }
    assert_eq!(compared, Key::ALL.len());
}
