//! `opal-vm resolve`: a contract is planned anew on the host that it is for, and what comes of it is reviewed and signed elsewhere.

use opal_tests::{Ended, Host};
use serde_json::Value;
use std::process::Stdio;

const SCRIPT: &str = "fun go(n: Int = 2) = {\n    for i in 1...@var.n { echo @var.i @env.A > out }\n    if @env.STAGE == \"x\" { echo SITE extra }\n    : @random.password(length=20)\n    cat @env.CONF(public=true)\n}\n";

fn host() -> Host {
    let mut host = Host::new();
    host.set("A", "planner-value").set("STAGE", "s").set("CONF", "/dev/null");
    host.contract(SCRIPT, &["go", "3", "--expires", "2d", "--once", "--pass-env", "A"]);
    host
}

fn resolve(host: &Host, options: &[&str]) -> Ended {
    let mut words = vec!["resolve", "--plan", "prod.plan", "-o", "new.plan"];
    words.extend_from_slice(options);
    host.vm(&words)
}

fn inspect(host: &Host, plan: &str) -> Value {
    let ended = host.vm(&["inspect", "--plan", plan, "--json"]);
    ended.expect(0);
    serde_json::from_str(&ended.stdout).expect("JSON")
}

#[test]
fn values_of_the_host_are_shown_as_drift_and_become_those_of_the_new_contract() {
    let mut host = host();
    host.set("A", "host-value").set("CONF", "/dev/zero");
    let ended = resolve(&host, &[]);
    ended.expect(0).says("drift[env_changed]: `env.A`").says("was `/dev/null`, is now `/dev/zero`").says("drift[structure_changed]");
    ended.says("signed by   nobody").says("effects: none");
    assert!(ended.stdout.is_empty() && !ended.stderr.contains("host-value"));
    let (old, new) = (inspect(&host, "prod.plan"), inspect(&host, "new.plan"));
    for same in ["source", "once", "plan_type", "shell", "umask", "pass_env", "no_public"] {
        assert_eq!(old["terms"][same], new["terms"][same], "{same}");
    }
    assert_eq!((&old["arguments"], &old["recipients"], &old["may_read"]), (&new["arguments"], &new["recipients"], &new["may_read"]));
    assert_eq!((new["signers"].as_array().map(Vec::len), &new["provenance"]["resolved_from"]), (Some(0), &old["contract_hash"]));
    assert_eq!(old["header"]["source_hash"], new["header"]["source_hash"]);
    assert_ne!(old["plan_hash"], new["plan_hash"]);
    let life = |plan: &str| {
        let file = opal_format::read_file::read_path(&host.work().join(plan), 1 << 20).expect("a plan").authenticate().expect("signed");
        let contract = file.decode().expect("whole");
        contract.terms.not_after.expect("an end") - contract.header.timestamp
    };
    assert_eq!((life("prod.plan"), life("new.plan")), (2 * 86_400, 2 * 86_400));
    // Reviewed and signed, it is what this host runs; the old one is not.
    host.vm(&["run", "--plan", "new.plan"]).expect(20);
    host.opalc(&["sign", "new.plan"]).expect(0);
    host.vm(&["verify", "--plan", "new.plan"]).expect(0);
    host.vm(&["verify", "--plan", "prod.plan"]).expect(3);
    assert_eq!(host.read("out"), "", "nothing was run");
}

#[test]
fn a_host_that_is_as_planned_gives_the_same_work() {
    let host = host();
    let ended = resolve(&host, &["--json"]);
    ended.expect(0).says("no value that was read here differs");
    let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&document["schema"], &document["verdict"]), (&Value::from("opal/resolve/v1"), &Value::from("same")));
    let (old, new) = (inspect(&host, "prod.plan"), inspect(&host, "new.plan"));
    assert_eq!((&old["plan_hash"], &document["contract_hash"]), (&new["plan_hash"], &new["contract_hash"]));
    assert_ne!(old["contract_hash"], new["contract_hash"]);
    // The seed is another one: no id of a secret is that of the old contract.
    let ids = |plan: &Value| -> Vec<String> {
        let text = plan.to_string();
        text.match_indices("opal:secret:").map(|(at, found)| text[at..at + found.len() + 8].to_owned()).collect()
    };
    assert!(!ids(&old).is_empty() && ids(&old).iter().all(|id| !ids(&new).contains(id)));
}

#[test]
fn other_structure_is_shown_and_written_and_a_plan_that_cannot_be_made_is_not() {
    let mut host = host();
    host.set("STAGE", "x");
    resolve(&host, &["--json"]).expect(0).says("drift[structure_changed]").says("drift[env_changed]: `env.STAGE`");
    std::fs::remove_file(host.work().join("new.plan")).expect("written");
    host.unset("A");
    resolve(&host, &[]).expect(3).says("error[env_changed]").says("effects: none");
    assert!(!host.work().join("new.plan").exists());
}

#[test]
fn the_new_contract_goes_into_a_pipe_and_to_further_recipients() {
    let host = host();
    host.opalc(&["keygen", "-o", "other"]).expect(0);
    let key = host.read("other.pub");
    let mut words = vec!["resolve", "--plan", "prod.plan", "-o", "-"];
    words.extend(["--recipient", key.trim(), "--recipient", "other.pub"]);
    let ended = host.command("opal-vm", &words).stderr(Stdio::null()).output().expect("starts");
    assert!(ended.status.success() && ended.stdout.starts_with(b"OPAL"));
    host.write("piped.plan", &ended.stdout);
    assert_eq!(inspect(&host, "piped.plan")["recipients"].as_array().map(Vec::len), Some(2));
    host.vm(&["verify", "--plan", "piped.plan", "--allow-unsigned", "--identity", "other"]).expect(0);
}

#[test]
fn what_cannot_be_resolved_or_written_is_refused_and_leaves_no_file() {
    let host = host();
    let refused = |options: &[&str], status, code: &str| {
        let mut words = vec!["resolve", "--plan", "prod.plan"];
        words.extend_from_slice(options);
        host.vm(&words).expect(status).says(&format!("error[{code}]")).says("effects: none").says("help:");
    };
    refused(&["-o", "prod.plan"], 64, "usage");
    refused(&["-o", "-", "--json"], 64, "usage");
    refused(&["-o", "none/new.plan"], 74, "cannot_write");
    refused(&["-o", "new.plan", "--recipient", "ssh-rsa AAAA"], 64, "usage");
    refused(&["-o", "new.plan", "--recipient", "none.pub"], 66, "file_unreadable");
    refused(&["-o", "new.plan", "--recipient", "deploy.opl"], 65, "bad_recipient");
    refused(&["-o", "new.plan", "--expect", &format!("sha256:{}", "0".repeat(64))], 20, "unexpected_contract");
    host.vm(&["resolve", "--plan", "prod.plan"]).expect(64);
    host.opalc(&["deploy.opl", "go", "--resolve", "--unsigned", "-o", "unsigned.plan"]).expect(0);
    host.vm(&["resolve", "--plan", "unsigned.plan", "-o", "new.plan"]).expect(20);
    let left: Vec<_> = std::fs::read_dir(host.work()).expect("the directory").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}
