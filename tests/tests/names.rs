//! The two names of a contract through the real programs: `plan_hash` is the same for everyone, `contract_hash` is what is expected.

use opal_tests::Host;
use serde_json::Value;

const SOURCE: &str = "fun go(n: Int = 2) = {\n    for i in 1...@var.n { echo SITE @var.i @env.TOKEN @env.STAGE(public=true) }\n}\n";

fn hash(host: &Host, file: &str, options: &[&str]) -> String {
    let ended = host.opalc(&[&[file, "go", "--hash"], options].concat());
    ended.expect(0);
    ended.stdout.trim().to_owned()
}

#[test]
fn the_work_has_one_name_whatever_surrounds_the_compiler() {
    let mut host = Host::new();
    host.set("TOKEN", "a").set("STAGE", "blue");
    host.write("deploy.opl", SOURCE);
    let name = hash(&host, "deploy.opl", &[]);
    assert!(name.starts_with("sha256:") && name.len() == 71, "{name}");
    std::fs::create_dir(host.work().join("below")).expect("a directory");
    let elsewhere =
        host.command("opalc", ["../deploy.opl", "go", "--hash"]).current_dir(host.work().join("below")).output().expect("starts");
    assert_eq!(String::from_utf8_lossy(&elsewhere.stdout).trim(), name);
    host.write("other name.opl", format!("# a comment\n\n{SOURCE}"));
    assert_eq!(hash(&host, "other name.opl", &[]), name);
    for (variable, value) in [
        ("LC_ALL", "tr_TR.UTF-8"),
        ("TZ", "Pacific/Kiritimati"),
        ("HOME", "/nonexistent"),
        ("USER", "somebody"),
        ("TOKEN", "b"),
        ("UMASK", "0"),
    ] {
        host.set(variable, value);
        assert_eq!(hash(&host, "deploy.opl", &[]), name, "{variable}");
    }
    host.set("HOME", &host.path().join("home").display().to_string());
    assert_eq!(hash(&host, "deploy.opl", &["--env", "TOKEN=c", "--once", "--expires", "1d"]), name);
    assert_ne!(hash(&host, "deploy.opl", &["--env", "STAGE=green"]), name);
    assert_ne!(hash(&host, "deploy.opl", &["3"]), name);
    assert!(hash(&host, "deploy.opl", &["--hash-algo", "blake3"]).starts_with("blake3:"));
}

#[test]
fn verify_states_both_names_and_expect_takes_only_its_own_contract() {
    let mut host = Host::new();
    host.set("TOKEN", "a").set("STAGE", "blue");
    host.contract(SOURCE, &["go", "--unsigned"]);
    std::fs::rename(host.work().join("prod.plan"), host.work().join("first.plan")).expect("a name");
    host.contract(SOURCE, &["go", "--unsigned"]);
    let names = |plan: &str| -> (String, String) {
        let ended = host.vm(&["verify", "--plan", plan, "--allow-unsigned", "--json"]);
        let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        let text = |name: &str| document[name].as_str().expect("a hash").to_owned();
        (text("plan_hash"), text("contract_hash"))
    };
    let ((plan, first), (again, second)) = (names("first.plan"), names("prod.plan"));
    assert_eq!((&plan, &again), (&hash(&host, "deploy.opl", &[]), &plan));
    assert_ne!(first, second);
    host.vm(&["run", "--plan", "first.plan", "--expect", &first]).expect(0);
    // The name of the work authorises nothing, and neither does the name of another contract for the same work.
    for other in [&second, &plan] {
        host.vm(&["run", "--plan", "first.plan", "--expect", other]).expect(20).says("error[unexpected_contract]").says("effects: none");
    }
    host.vm(&["run", "--plan", "first.plan", "--expect", "sha256:00"]).expect(64).says("--expect");
    // What was meant can be pasted.
    let digits = first.strip_prefix("sha256:").expect("the algorithm");
    for text in [digits.to_owned(), digits.to_uppercase(), first.to_uppercase()] {
        host.vm(&["verify", "--plan", "first.plan", "--expect", &text]).expect(64).says(&format!("help: `--expect {first}`"));
    }
}
