//! What a contract says, and what it does not say, through the real programs.

use opal_format::canonical::CanonicalValue;
use opal_format::reader::RawPlan;
use opal_format::regen::SubKeys;
use opal_format::seed::Seed;
use opal_format::slots::Slots;
use opal_format::writer::PlanContents;
use opal_tests::Host;
use serde_json::Value;

fn document(host: &Host, plan: &str) -> Value {
    let ended = host.opalc(&["show", plan, "--json"]);
    ended.expect(0);
    serde_json::from_str(&ended.stdout).expect("JSON")
}

#[test]
fn a_file_does_not_say_that_a_secret_is_still_the_default() {
    let script =
        "go: {\n    echo hunter22-default\n    var MARK = \"hunter22-default\"\n    : @env.DB_PASSWORD @env.PIN @env.OTHER @var.MARK\n}\n";
    let contract = |value: &str, other: &str| {
        let mut host = Host::new();
        host.set("DB_PASSWORD", value).set("PIN", "7").set("OTHER", other);
        host.contract(script, &["go"]);
        host
    };
    let host = contract("hunter22-default", "something-else");
    // Whoever can open it is told what the seed tells.
    let with_key = host.opalc(&["show", "prod.plan"]);
    with_key.expect(0);
    assert!(with_key.stdout.contains("env.DB_PASSWORD (equal to a constant of the program)"), "{}", with_key.stdout);
    assert!(!with_key.stdout.contains("env.OTHER (equal"), "{}", with_key.stdout);
    host.vm(&["inspect", "--plan", "prod.plan"]).expect(0);
    // Without a key nothing tells the default from another value: what is shown is the same up to what is random.
    let stranger = |value: &str, other: &str| {
        let mut host = contract(value, other);
        let elsewhere = host.path().join("elsewhere").display().to_string();
        std::fs::create_dir(&elsewhere).expect("a directory");
        host.set("XDG_CONFIG_HOME", &elsewhere).set("HOME", &elsewhere);
        let document = document(&host, "prod.plan");
        assert_eq!(document["unscrubbed"], Value::Array(Vec::new()));
        document["slots"].clone()
    };
    assert_eq!(stranger("hunter22-default", "x"), stranger("another-password", "something-else"));
}

#[test]
fn a_key_at_hand_tells_of_secrets_and_never_their_values() {
    let mut host = Host::new();
    host.set("DB_PASSWORD", "hunter22-default").set("PIN", "4711").set("OTHER", "something-else").set("SHORT", "xyz");
    host.contract(
        "go: {\n    var MARK = \"hunter22-default\"\n    var PIN = int(@env.PIN)\n    : @env.DB_PASSWORD @var.PIN @env.OTHER @env.SHORT @env.HOME @var.MARK\n}\n",
        &["go"],
    );
    let (own, foreign) = (host.path().join("config/opal/identity"), host.path().join("other-key"));
    host.opalc(&["keygen", "-o", foreign.to_str().expect("text")]).expect(0);
    let elsewhere = host.path().join("elsewhere").display().to_string();
    std::fs::create_dir(&elsewhere).expect("a directory");
    let own = own.to_str().expect("text").to_owned();
    assert!(std::path::Path::new(&own).is_file(), "{own}");
    for (program, words) in [("opal-vm", &["inspect", "--plan", "prod.plan"][..]), ("opalc", &["show", "prod.plan"])] {
        let shown = |host: &Host, more: &[&str]| host.run(program, &[words, more].concat());
        // The caller's own key is at hand, or one is named.
        let with_own = shown(&host, &[]);
        with_own.expect(0);
        let json: Value = serde_json::from_str(&shown(&host, &["--json"]).stdout).expect("JSON");
        host.set("XDG_CONFIG_HOME", &elsewhere).set("HOME", &elsewhere);
        let named = shown(&host, &["--identity", &own]);
        named.expect(0);
        assert_eq!(named.stdout, with_own.stdout);
        let lines = |text: &str| -> Vec<String> {
            let rest = text.split("secrets:").nth(1).expect("a row").lines().map(|line| line.trim().to_owned());
            rest.take_while(|line| !line.starts_with("claimed:")).collect()
        };
        let listed = lines(&named.stdout);
        assert!(listed.contains(&"env.DB_PASSWORD (String, not scrubbed: equal to a constant of the program)".to_owned()), "{listed:?}");
        assert!(listed.contains(&"env.OTHER (String, scrubbed unless shorter than 4 bytes)".to_owned()), "{listed:?}");
        // How long it is does not show.
        assert!(listed.contains(&"env.SHORT (String, scrubbed unless shorter than 4 bytes)".to_owned()), "{listed:?}");
        assert!(listed.iter().any(|line| line.contains("(Int, not scrubbed: a number, Bool or duration)")), "{listed:?}");
        assert!(!listed.iter().any(|line| line.starts_with("env.HOME")), "{listed:?}");
        for value in ["4711", "something-else", "xyz"] {
            assert!(!named.stdout.contains(value) && !json.to_string().contains(value), "{value}");
        }
        let told: Vec<(&str, &str, Option<&str>)> = json["secrets"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| (one["key"].as_str().expect("a key"), one["type"].as_str().expect("a type"), one["unscrubbed"].as_str()))
            .collect();
        assert!(told.contains(&("env.DB_PASSWORD", "String", Some("equal to a constant of the program"))), "{told:?}");
        assert!(told.contains(&("env.OTHER", "String", None)), "{told:?}");
        // Without one it is only said how many there are.
        let without = shown(&host, &[]);
        without.expect(0);
        assert_eq!(lines(&without.stdout).len(), 1, "{}", without.stdout);
        assert!(!lines(&without.stdout)[0].contains("env."), "{}", without.stdout);
        let json: Value = serde_json::from_str(&shown(&host, &["--json"]).stdout).expect("JSON");
        assert!(json.get("secrets").is_none(), "{json}");
        // A key that is named and does not open it is a mistake.
        let refused = shown(&host, &["--identity", foreign.to_str().expect("text")]);
        refused.expect(69).says("error[infra_missing:seed_keystore]").says("opened by");
        let home = host.path().join("home").display().to_string();
        let config = host.path().join("config").display().to_string();
        host.set("XDG_CONFIG_HOME", &config).set("HOME", &home);
    }
}

#[test]
fn a_program_has_one_digest_whatever_its_source_looks_like() {
    let program = |text: &str| {
        let host = Host::new();
        host.contract(text, &["go"]);
        let document = document(&host, "prod.plan");
        let digest = document["program"].as_str().expect("a digest").to_owned();
        host.opalc(&["show", "prod.plan"]).expect(0);
        let shown = host.opalc(&["show", "prod.plan"]).stdout;
        assert!(shown.lines().any(|line| line == format!("program {digest}")), "{shown}");
        assert!(host.vm(&["inspect", "--plan", "prod.plan"]).stdout.contains(&format!("program {digest}")));
        digest
    };
    let plain = program("go: {\n    for i in 1...3 { echo @var.i }\n}\n");
    assert_eq!(plain, program("# A comment.\n\ngo: {\n        for i   in   1...3 {\n            echo @var.i\n        }\n}\n"));
    assert_ne!(plain, program("go: {\n    for i in 1...4 { echo @var.i }\n}\n"));
    assert_ne!(plain, program("go: {\n    for i in 1...3 { echo  @var.i }\n}\n"));
}

#[test]
fn the_shell_and_the_umask_are_part_of_the_work() {
    let name = |umask: &str, bash: bool| {
        let mut host = Host::new();
        host.write("work.opl", "go: echo hi\n");
        if bash {
            let own = host.path().join("own");
            std::fs::create_dir(&own).expect("a directory");
            std::os::unix::fs::symlink("/bin/bash", own.join("bash")).expect("a link");
            host.set("PATH", &format!("{}:/usr/bin:/bin", own.display()));
        } else {
            host.set("PATH", "/usr/bin:/bin");
        }
        let own = host.command("opalc", ["work.opl", "go", "--hash"]);
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]).arg(own.get_program()).args(own.get_args());
        shell.current_dir(host.work()).env_clear();
        shell.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ended = shell.output().expect("it runs");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).expect("text")
    };
    let usual = name("022", false);
    assert_eq!(usual, name("022", false));
    assert_ne!(usual, name("077", false));
    assert_ne!(usual, name("022", true));
}

#[test]
fn show_and_inspect_refuse_by_the_same_rule() {
    let host = Host::new();
    host.contract("go: echo hi\n", &["go"]);
    let bytes = std::fs::read(host.work().join("prod.plan")).expect("a plan");
    let plan = RawPlan::copy(&bytes, 1 << 20).and_then(RawPlan::authenticate).expect("a plan");
    let contract = plan.decode().expect("a contract");
    let mut program = contract.program.to_program();
    program.entry = 99;
    let (steps, slots) = (contract.steps, contract.slots);
    let slots = Slots { slots: slots.slots.to_vec(), text: slots.text.to_vec() };
    let steps = steps.to_steps();
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
        sub_keys: &SubKeys::default(),
        provenance: "{}",
    };
    let mut made = contents.write(&Seed::from_bytes([1; 32]), &contract.recipients).expect("a file").to_bytes();
    for (name, code) in [("program.plan", "program_entry"), ("both.plan", "plan_hash_mismatch")] {
        host.write(name, &made);
        let shown = host.opalc(&["show", name, "--json"]);
        let inspected = host.vm(&["inspect", "--plan", name, "--json"]);
        for ended in [shown, inspected] {
            ended.expect(65);
            assert!(format!("{}{}", ended.stdout, ended.stderr).contains(code), "{name}: {}{}", ended.stdout, ended.stderr);
        }
        made[64] ^= 1;
    }
}

#[test]
fn an_argument_that_no_command_line_gives_is_refused_by_its_own_rule() {
    let host = Host::new();
    host.contract("fun go(env: String = \"a\") = echo @var.env\n", &["go"]);
    let verify = |plan: &str| host.opalc(&["verify", plan, "--source", "deploy.opl"]);
    verify("prod.plan").expect(0);
    let bytes = std::fs::read(host.work().join("prod.plan")).expect("a plan");
    let plan = RawPlan::copy(&bytes, 1 << 20).and_then(RawPlan::authenticate).expect("a plan");
    let contract = plan.decode().expect("a contract");
    let (steps, slots) = (contract.steps, contract.slots);
    let slots = Slots { slots: slots.slots.to_vec(), text: slots.text.to_vec() };
    let steps = steps.to_steps();
    for (value, code) in [
        (CanonicalValue::Array(vec![CanonicalValue::Int(1)]), "argument_not_scalar"),
        (CanonicalValue::Map(Vec::new()), "argument_not_scalar"),
        (CanonicalValue::String(b"\xff".to_vec()), "argument_not_text"),
    ] {
        let mut terms = contract.terms.clone();
        terms.arguments[0].value = value.encode().expect("canonical");
        let contents = PlanContents {
            algorithm: contract.header.algorithm,
            timestamp: contract.header.timestamp,
            sources: &contract.sources,
            audience: &contract.audience,
            target: contract.header.target,
            terms: &terms,
            program: &contract.program.to_program(),
            steps: &steps,
            slots: &slots,
            sub_keys: &SubKeys::default(),
            provenance: "{}",
        };
        let made = contents.write(&Seed::from_bytes([1; 32]), &contract.recipients).expect("a file").to_bytes();
        host.write("odd.plan", &made);
        verify("odd.plan").expect(65).says(&format!("error[{code}]")).says("`env`").says("help:");
    }
}
