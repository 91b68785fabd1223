//! The main job, through the real binaries: a source becomes a signed contract, and a host replans, compares and runs it.

use opal_tests::Host;

const SCRIPT: &str = r#"
var REPLICAS = @env.REPLICAS(default=1)
var TOKEN = @env.TOKEN

deploy: {
    for service in ["api", "worker"] {
        kubectl scale --replicas=@var.REPLICAS deployment/@var.service
    }
    printf '%s' "@var.TOKEN" > token.txt
    echo "SITE: token is @var.TOKEN"
}
"#;

const SECRET: &str = "correct-horse-battery-staple";

fn host() -> Host {
    let mut host = Host::new();
    host.set("REPLICAS", "3").set("TOKEN", SECRET);
    host
}

#[test]
fn a_contract_is_made_inspected_verified_and_run() {
    let host = host();
    host.contract(SCRIPT, &[]);
    let inspected = host.vm(&["inspect", "--plan", "prod.plan"]);
    inspected.expect(0);
    for expected in ["@env.REPLICAS(default=1)", "@env.TOKEN", "deploy", "opal:secret:", "Contract Hash: sha256:"] {
        assert!(inspected.stdout.contains(expected), "no `{expected}` in {}", inspected.stdout);
    }
    host.vm(&["verify", "--plan", "prod.plan"]).expect(0);
    assert!(host.calls().is_empty(), "verify runs nothing");
    host.vm(&["run", "--plan", "prod.plan"]).expect(0);
    assert_eq!(host.calls(), ["kubectl scale --replicas=3 deployment/api", "kubectl scale --replicas=3 deployment/worker"]);
    assert_eq!(host.read("token.txt"), SECRET);
}

#[test]
fn a_changed_variable_is_drift_and_nothing_runs() {
    let mut host = host();
    host.contract(SCRIPT, &[]);
    host.set("REPLICAS", "5");
    for command in ["verify", "run"] {
        let ended = host.vm(&[command, "--plan", "prod.plan"]);
        ended.expect(3).says("error[env_changed]").says("env.REPLICAS").says("deploy.opl:2:").says("effects: none").says("help:");
        ended.says("expected: kubectl scale --replicas=opal:secret:");
        assert!(!ended.stderr.contains("structure_changed"), "a value that only stands in a command does not move the structure");
    }
    assert!(host.calls().is_empty());
}

#[test]
fn a_variable_that_is_gone_is_drift() {
    let mut host = host();
    host.contract(SCRIPT, &[]);
    host.unset("TOKEN");
    host.vm(&["run", "--plan", "prod.plan"]).expect(3).says("error[env_changed]").says("TOKEN");
    assert!(host.calls().is_empty());
}

#[test]
fn an_edited_source_is_drift_even_in_a_comment() {
    let host = host();
    host.contract(SCRIPT, &[]);
    host.write("deploy.opl", host.named(&format!("# a comment\n{SCRIPT}")));
    host.vm(&["run", "--plan", "prod.plan"]).expect(3).says("error[source_changed]").says("effects: none");
    assert!(host.calls().is_empty());
}

#[test]
fn a_source_that_is_absent_is_made_up_for_by_the_signature() {
    let host = host();
    host.contract(SCRIPT, &[]);
    std::fs::remove_file(host.work().join("deploy.opl")).expect("it was there");
    host.vm(&["verify", "--plan", "prod.plan"]).expect(0);
}

#[test]
fn a_branch_that_flips_is_drift_of_value_and_structure() {
    let mut host = Host::new();
    host.set("STAGE", "production");
    let script = "deploy: {\n    if @env.STAGE == \"production\" {\n        kubectl apply -f prod/\n    } else {\n        kubectl apply -f dev/\n    }\n}\n";
    host.contract(script, &[]);
    host.set("STAGE", "development");
    let ended = host.vm(&["verify", "--plan", "prod.plan", "--json"]);
    ended.expect(3);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).expect("one JSON document");
    let codes: Vec<_> = report["drift"].as_array().expect("an array").iter().map(|drift| drift["code"].as_str().unwrap_or("")).collect();
    assert_eq!(codes, ["env_changed", "structure_changed"]);
    assert_eq!(report["effects"], "none");
}

#[test]
fn a_secret_appears_in_no_file_and_no_output() {
    let host = host();
    let made = host.contract(SCRIPT, &[]);
    let mut outputs = vec![made.stdout, made.stderr];
    for arguments in [
        vec!["inspect", "--plan", "prod.plan"],
        vec!["inspect", "--plan", "prod.plan", "--json"],
        vec!["verify", "--plan", "prod.plan"],
        vec!["run", "--plan", "prod.plan"],
    ] {
        let ended = host.vm(&arguments);
        ended.expect(0);
        outputs.extend([ended.stdout, ended.stderr]);
    }
    let quick = host.opalc(&["deploy.opl"]);
    quick.expect(0);
    outputs.extend([quick.stdout, quick.stderr]);
    for output in &outputs {
        assert!(!output.contains(SECRET), "in output: {output}");
    }
    assert!(outputs.iter().any(|output| output.contains(": token is opal:secret:")), "a placeholder stands for it in the step's output");
    std::fs::remove_file(host.work().join("token.txt")).expect("the script wrote it");
    for (path, bytes) in host.files() {
        assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()), "in {}", path.display());
    }
}

#[test]
fn two_contracts_for_the_same_work_share_the_plan_hash_only() {
    let host = host();
    host.contract(SCRIPT, &[]);
    let hash = |name: &str, key: &str| {
        let ended = host.vm(&["inspect", "--plan", name, "--json"]);
        let report: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
        report[key].as_str().expect("a hash").to_owned()
    };
    host.opalc(&["deploy.opl", "--resolve", "-o", "again.plan"]).expect(0);
    assert_eq!(hash("prod.plan", "plan_hash"), hash("again.plan", "plan_hash"));
    assert_ne!(hash("prod.plan", "contract_hash"), hash("again.plan", "contract_hash"));
}

#[test]
fn a_contract_from_somebody_else_needs_trust() {
    let (alice, bob) = (host(), host());
    alice.contract(SCRIPT, &[]);
    let bytes = std::fs::read(alice.work().join("prod.plan")).expect("the contract");
    bob.write("prod.plan", bytes);
    bob.vm(&["run", "--plan", "prod.plan"]).expect(20).says("effects: none");
    // With the reviewed hash it is trusted, but it is sealed to somebody else.
    let hash = alice.vm(&["inspect", "--plan", "prod.plan", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&hash.stdout).expect("JSON");
    let hash = report["contract_hash"].as_str().expect("a hash");
    bob.vm(&["run", "--plan", "prod.plan", "--expect", hash]).expect(69).says("infra_missing:seed_keystore").says("--recipient");
    let wrong = format!("sha256:{}", "0".repeat(64));
    bob.vm(&["run", "--plan", "prod.plan", "--expect", &wrong]).expect(20);
    assert!(bob.calls().is_empty());
}

#[test]
fn an_unsigned_contract_runs_only_when_allowed() {
    let host = host();
    host.contract(SCRIPT, &["--unsigned"]);
    host.vm(&["verify", "--plan", "prod.plan"]).expect(20);
    host.vm(&["verify", "--plan", "prod.plan", "--allow-unsigned"]).expect(0);
    std::fs::remove_file(host.work().join("deploy.opl")).expect("it was there");
    host.vm(&["verify", "--plan", "prod.plan", "--allow-unsigned"]).expect(3).says("source_missing");
}

#[test]
fn an_expired_contract_is_refused() {
    let host = host();
    host.contract(SCRIPT, &["--expires", "1s"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    host.vm(&["run", "--plan", "prod.plan"]).expect(21).says("error[contract_expired]").says("effects: none");
}

#[test]
fn a_single_use_contract_runs_once() {
    let host = host();
    host.contract(SCRIPT, &["--once"]);
    host.vm(&["verify", "--plan", "prod.plan"]).expect(0);
    host.vm(&["run", "--plan", "prod.plan"]).expect(0);
    let calls = host.calls().len();
    host.vm(&["run", "--plan", "prod.plan"]).expect(22).says("effects: none");
    assert_eq!(host.calls().len(), calls);
}

#[test]
fn bytes_that_change_anywhere_are_refused() {
    let host = host();
    host.contract(SCRIPT, &[]);
    let bytes = std::fs::read(host.work().join("prod.plan")).expect("the contract");
    // Every byte through the library, a sample through the binary.
    for index in 0..bytes.len() {
        for change in [0x01, 0x80] {
            let mut changed = bytes.clone();
            changed[index] ^= change;
            let accepted = opal_format::reader::RawPlan::copy(&changed, usize::MAX)
                .and_then(opal_format::reader::RawPlan::authenticate)
                .is_ok_and(|plan| plan.signers().len() == 1 && plan.decode().is_ok());
            assert!(!accepted, "byte {index} xor {change:#x}");
        }
    }
    for index in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut changed = bytes.clone();
        changed[index] ^= 0x10;
        host.write("bad.plan", &changed);
        let ended = host.vm(&["run", "--plan", "bad.plan"]);
        assert!(matches!(ended.status, 20 | 65), "byte {index}: {ended:?}");
        ended.says("error[");
    }
    assert!(host.calls().is_empty());
}

#[test]
fn a_missing_bash_is_said_before_anything_runs() {
    let host = host();
    host.contract(SCRIPT, &[]);
    let mut nowhere = host;
    nowhere.set("PATH", "/nonexistent");
    nowhere.opalc(&["deploy.opl", "--resolve", "-o", "other.plan"]).expect(69).says("bash");
    assert!(!nowhere.work().join("other.plan").exists());
}

#[test]
fn the_same_plan_does_not_run_twice_at_once() {
    let mut host = Host::new();
    let marker = format!("OPAL_MARKER=lock-{}", std::process::id());
    let (name, value) = marker.split_once('=').expect("an assignment");
    host.set(name, value);
    host.contract("deploy: bash -c 'exec sleep 3' SITE\n", &[]);
    let mut first = host.command("opal-vm", ["run", "--plan", "prod.plan"]).spawn().expect("it starts");
    let begun = std::time::Instant::now();
    while opal_tests::processes_marked(&marker).len() < 2 && begun.elapsed().as_secs() < 20 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    host.vm(&["run", "--plan", "prod.plan"]).expect(75).says("effects: none");
    assert!(first.wait().expect("it ends").success());
    host.vm(&["run", "--plan", "prod.plan"]).expect(0);
}

#[test]
fn a_run_keeps_a_record_and_none_where_none_is_wanted() {
    let host = host();
    host.contract(SCRIPT, &[]);
    host.vm(&["run", "--plan", "prod.plan", "--record", "none"]).expect(0);
    assert!(!host.path().join("state/opal/runs").exists());
    host.vm(&["run", "--plan", "prod.plan", "--record", "here"]).expect(0);
    let summary: serde_json::Value = serde_json::from_str(&host.read("here/summary.json")).expect("JSON");
    assert_eq!((summary["outcome"].as_str(), summary["effects"].as_str()), (Some("succeeded"), Some("started")));
    let events = host.read("here/events.jsonl");
    assert!(
        events.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok_and(|event| event["mac"].is_string())),
        "{events}"
    );
    let done = events.lines().filter(|line| line.contains("\"step_done\"")).count();
    assert_eq!(done, 4);
    // A record is never written over.
    host.vm(&["run", "--plan", "prod.plan", "--record", "here"]).expect(74).says("effects: none");
}

#[test]
fn drift_names_the_command_that_makes_the_contract_anew() {
    let help = |script: &str, arguments: &[&str]| {
        let mut host = Host::new();
        host.set("STAGE", "production").set("PROMISED", "1");
        host.contract(script, arguments);
        host.set("STAGE", "development");
        let ended = host.vm(&["verify", "--plan", "prod.plan"]);
        let line = ended.expect(3).stderr.lines().find_map(|line| line.strip_prefix("help: ")).unwrap_or_default().to_owned();
        let command = line.split_once("opalc ").expect("a command").1.to_owned();
        // What is said can be pasted: it gives a contract for the same work.
        let again =
            host.command("/usr/bin/env", ["bash", "-c", &format!("{} {command}", opal_tests::binaries().join("opalc").display())]).output();
        assert!(again.expect("bash runs").status.success(), "{command}");
        host.vm(&["verify", "--plan", "prod.plan"]).expect(0);
        command
    };
    assert_eq!(help("echo @env.STAGE\n", &[]), "deploy.opl --resolve -o prod.plan", "the work of a script has no name");
    let script = "fun go(env: String, n: Int = 3) = echo @env.STAGE @var.env @var.n\n";
    assert_eq!(
        help(script, &["go", "it's"]),
        "deploy.opl go --resolve -o prod.plan -- '--env=it'\\''s' --n=3",
        "a parameter may be called as an option is"
    );
    let options = ["--pass-env", "PROMISED", "--once", "--hash-algo", "blake3"];
    let command = help("go: echo @env.STAGE\n", &options);
    assert_eq!(command, "deploy.opl go --pass-env PROMISED --once --hash-algo blake3 --resolve -o prod.plan");
    let command = help("go: echo @env.STAGE\n", &["--no-public", "--expires", "1h30m"]);
    assert_eq!(command, "deploy.opl go --no-public --expires 1h30m --resolve -o prod.plan", "a new contract is no less restricted");
    let command = help("go: echo @env.STAGE\n", &["--expires", "never"]);
    assert_eq!(command, "deploy.opl go --expires never --resolve -o prod.plan");
}

#[test]
fn a_new_contract_is_sealed_to_those_who_could_open_the_old_one() {
    let mut host = Host::new();
    host.set("STAGE", "production");
    let keys: Vec<String> = ["one", "two"].map(|name| host.opalc(&["keygen", "-o", name]).expect(0).stdout.trim().to_owned()).into();
    host.contract("go: echo @env.STAGE\n", &["--recipient", "one.pub", "--recipient", "two.pub"]);
    host.set("STAGE", "development");
    let ended = host.vm(&["verify", "--plan", "prod.plan", "--identity", "two"]);
    let line = ended.expect(3).stderr.lines().find_map(|line| line.strip_prefix("help: ")).unwrap_or_default().to_owned();
    for key in keys {
        let words: Vec<&str> = key.split(' ').take(2).collect();
        assert!(line.contains(&format!("--recipient '{}'", words.join(" "))), "{line}");
    }
}

#[test]
fn an_envelope_of_another_contract_is_said_to_be_one() {
    let mut host = Host::new();
    host.set("STAGE", "production");
    let section = |name: &str| {
        let bytes = std::fs::read(host.work().join(name)).expect("a plan");
        let at = bytes.windows(4).position(|tag| tag == b"ENVL").expect("an envelope");
        (bytes, at)
    };
    for name in ["one.plan", "two.plan"] {
        host.contract("go: echo @env.STAGE\n", &["--unsigned"]);
        std::fs::rename(host.work().join("prod.plan"), host.work().join(name)).expect("renamed");
    }
    // The same source and key give plans of the same layout: one frame, and an entry of 112 bytes.
    let (mut one, at) = section("one.plan");
    let (two, other) = section("two.plan");
    let length = 16 + 112;
    one[at..at + length].copy_from_slice(&two[other..other + length]);
    host.write("mixed.plan", one);
    host.vm(&["verify", "--plan", "mixed.plan", "--allow-unsigned"])
        .expect(69)
        .says("infra_missing:seed_keystore")
        .says("put together from others");
}

#[test]
fn a_state_directory_that_others_may_write_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let host = host();
    host.contract(SCRIPT, &[]);
    let state = host.path().join("state");
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o777)).expect("its mode");
    let ended = host.vm(&["run", "--plan", "prod.plan"]);
    ended
        .expect(78)
        .says("error[unsafe_mode]")
        .says("/state` has permissions that are too open")
        .says("help: `chmod go-w")
        .says("effects: none");
    assert!(host.calls().is_empty());
}
