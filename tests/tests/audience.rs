//! Contracts that are made for certain hosts are refused on every other one, and the way from a host's name to its key.
//!
//! Hosts of their own take root. Where that is missing these tests say so and pass.

use opal_format::identity::Identity;
use opal_tests::guarded::Guarded;
use opal_tests::{Ended, Host};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

const SOURCE: &str = "go: echo SITE @env.A > ran\n";

/// Makes a key in the work directory and gives its public line.
fn key(host: &Host, name: &str) -> String {
    host.opalc(&["keygen", "-o", name]).expect(0);
    host.read(&format!("{name}.pub")).trim().to_owned()
}

fn make(host: &Host, words: &[&str]) -> Ended {
    host.write("deploy.opl", host.named(SOURCE));
    host.opalc(&[&["deploy.opl", "go", "--resolve", "-o", "prod.plan"], words].concat())
}

fn audience(host: &Host) -> Vec<String> {
    let shown: Value = serde_json::from_str(&host.opalc(&["show", "prod.plan", "--json"]).expect(0).stdout).expect("JSON");
    let text = |one: &Value| one.as_str().expect("a key").to_owned();
    shown["audience"].as_array().expect("a list").iter().map(text).collect()
}

/// The type and the digits, without a comment.
fn bare(line: &str) -> String {
    line.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_contract_that_names_its_hosts_is_refused_on_every_other_one() {
    let Some(here) = Guarded::new() else { return };
    here.trust(&[("ops", "own")]);
    let (mine, other) = (key(&here.host, "mine"), key(&here.host, "other"));
    here.put("host.pub", &mine);
    let vm = |words: &[&str]| here.inside("", "opal-vm", words);
    let all: [&[&str]; 4] = [
        &["verify", "--plan", "prod.plan"],
        &["policy", "check", "--plan", "prod.plan"],
        &["resolve", "--plan", "prod.plan", "-o", "-"],
        &["run", "--plan", "prod.plan"],
    ];
    let everywhere = |status: i32, says: &str| {
        for words in all {
            let ended = vm(words);
            ended.expect(status);
            if status != 0 {
                ended.says(&format!("error[{says}]")).says("effects: none").says("help:");
            }
        }
        let ran = here.host.work().join("ran");
        assert_eq!(ran.exists(), status == 0, "{says}");
        let _ = std::fs::remove_file(ran);
    };
    here.contract(SOURCE, &["go", "--host", &mine]);
    everywhere(0, "");
    here.contract(SOURCE, &["go", "--host", &other, "--host", "mine.pub"]);
    everywhere(0, "");
    // Whatever else the caller says speaks for it.
    here.contract(SOURCE, &["go", "--host", &other]);
    everywhere(20, "wrong_host");
    for words in [&["--allow-unsigned"][..], &["--expect", &here.hash()]] {
        here.run_as("", words).expect(20).says("error[wrong_host]");
    }
    let refused = vm(all[0]);
    refused.says(&fingerprint(&here.host, "other.pub")).says(&fingerprint(&here.host, "mine.pub"));
    refused.says(&format!("--host '{}'", bare(&mine)));
    // Who looks at it is shown whom it is for.
    for shown in [vm(&["inspect", "--plan", "prod.plan"]), here.host.opalc(&["show", "prod.plan"])] {
        let line = shown.expect(0).stdout.lines().find(|line| line.starts_with("for hosts:")).expect("a line").to_owned();
        assert!(line.ends_with(&fingerprint(&here.host, "other.pub")), "{line}");
    }
    // Without a key of its own for this, the host is told by that of its SSH server.
    std::fs::remove_file(here.etc("host.pub")).expect("there");
    everywhere(78, "no_host_key");
    let ssh = here.host.path().join("etc/ssh");
    std::fs::create_dir(&ssh).expect("a directory");
    let file = ssh.join("ssh_host_ed25519_key.pub");
    std::fs::write(&file, format!("{other} root@host\n")).expect("a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).expect("its mode");
    everywhere(78, "unsafe_mode");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("its mode");
    everywhere(0, "");
    std::fs::write(&file, "ssh-rsa AAAA\n").expect("a file");
    everywhere(78, "bad_host_key");
    // A contract for any host asks for no key.
    here.contract(SOURCE, &["go"]);
    everywhere(0, "");
}

fn fingerprint(host: &Host, file: &str) -> String {
    let listed = Command::new("ssh-keygen").args(["-lf", file]).current_dir(host.work()).output().expect("ssh-keygen");
    String::from_utf8_lossy(&listed.stdout).split(' ').nth(1).expect("a fingerprint").to_owned()
}

#[test]
fn the_audience_is_signed_and_stays_with_the_contract() {
    let Some(here) = Guarded::new() else { return };
    here.trust(&[("ops", "own")]);
    let mine = key(&here.host, "mine");
    here.put("host.pub", &mine);
    here.contract(SOURCE, &["go", "--host", &mine]);
    let bytes = std::fs::read(here.host.work().join("prod.plan")).expect("a contract");
    let at = bytes.windows(4).position(|window| window == b"AUDI").expect("its section");
    for changed in [b"AUDX", b"audi"] {
        let mut torn = bytes.clone();
        torn[at..at + 4].copy_from_slice(changed);
        here.host.write("torn.plan", &torn);
        here.inside("", "opal-vm", &["run", "--plan", "torn.plan"]).expect(20).says("error[signature_mismatch]");
    }
    // What is made of it is for the same hosts.
    here.inside("", "opal-vm", &["resolve", "--plan", "prod.plan", "-o", "new.plan"]).expect(0).says("for host ");
    let hosts = |plan: &str| {
        let shown: Value = serde_json::from_str(&here.host.opalc(&["show", plan, "--json"]).expect(0).stdout).expect("JSON");
        shown["audience"].clone()
    };
    assert_eq!(hosts("new.plan"), hosts("prod.plan"));
    here.host.opalc(&["sign", "new.plan"]).expect(0).says("for host ");
    let diff = here.host.opalc(&["diff", "prod.plan", "new.plan"]);
    assert!(!diff.stdout.contains("hosts"), "{}", diff.stdout);
    here.host.opalc(&["deploy.opl", "go", "--resolve", "-o", "any.plan"]).expect(0);
    let diff = here.host.opalc(&["diff", "prod.plan", "any.plan"]);
    assert!(diff.stdout.lines().any(|line| line.contains("hosts") && line.contains("any")), "{}", diff.stdout);
    // The command that drift offers makes one for the same hosts.
    let drift = here.inside("env A=two", "opal-vm", &["verify", "--plan", "prod.plan"]);
    drift.expect(3).says(&format!("--host '{}'", bare(&mine)));
}

/// A host with this as its user's known_hosts.
fn knowing(text: &str) -> Host {
    let mut host = Host::new();
    host.set("A", "one");
    let ssh = host.path().join("home/.ssh");
    std::fs::create_dir(&ssh).expect("a directory");
    std::fs::write(ssh.join("known_hosts"), text).expect("a file");
    host
}

fn known(host: &Host, text: &str) {
    std::fs::write(host.path().join("home/.ssh/known_hosts"), text).expect("a file");
}

#[test]
fn a_host_is_named_by_its_key_a_file_or_a_name_that_known_hosts_has() {
    let host = knowing("");
    let (web, db) = (key(&host, "web"), key(&host, "db"));
    known(&host, &format!("web1,10.0.0.1 {web}\n[db1]:2222 {db}\n# db1 {web}\n"));
    for (word, line) in [
        (web.as_str(), &web),
        ("web.pub", &web),
        ("./db.pub", &db),
        ("web1", &web),
        ("WEB1", &web),
        ("10.0.0.1", &web),
        ("[db1]:2222", &db),
    ] {
        let made = make(&host, &["--host", word]);
        made.expect(0).says("for host ");
        assert_eq!(audience(&host), [bare(line)], "{word}");
    }
    make(&host, &["--host", "web1", "--host", "[db1]:2222", "--host", &web]).expect(0);
    assert_eq!(audience(&host).len(), 2);
    host.write("commands.opl", SOURCE);
    host.run("opal", &["plan", "go", "--host", "web1", "-o", "prod.plan"]).expect(0);
    assert_eq!(audience(&host), [bare(&web)]);
    host.run("opal", &["go", "--host", "web1"]).expect(64).says("`--host` has no meaning");
    host.opalc(&["deploy.opl", "go", "--host", "web1"]).expect(64).says("add `--resolve`");
    // Names that OpenSSH hides are found too.
    let hidden = Command::new("ssh-keygen")
        .args(["-H", "-f"])
        .arg(host.path().join("home/.ssh/known_hosts"))
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .status();
    assert!(hidden.expect("ssh-keygen").success());
    let text = std::fs::read_to_string(host.path().join("home/.ssh/known_hosts")).expect("there");
    assert!(text.contains("|1|") && !text.contains("web1,"), "{text}");
    for (word, line) in [("web1", &web), ("10.0.0.1", &web), ("[db1]:2222", &db)] {
        make(&host, &["--host", word]).expect(0);
        assert_eq!(audience(&host), [bare(line)], "{word}");
    }
}

#[test]
fn what_names_no_one_key_is_refused() {
    let host = knowing("");
    let (web, db) = (key(&host, "web"), key(&host, "db"));
    known(
        &host,
        &format!(
            "two {web}\ntwo {db}\nold ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB\n@cert-authority *.net {web}\ngone {web}\n@revoked gone {web}\n[port]:22 {web}\ntorn ssh-ed25519 AAAA\n"
        ),
    );
    host.write("file", &web);
    let most: Vec<String> = (0..65).map(|_| Identity::generate("").expect("a key").public().to_string()).collect();
    for (word, status, code, help) in [
        ("nobody", 66, "host_unknown", "--host ./nobody.pub"),
        ("torn", 66, "host_unknown", ""),
        ("file", 66, "host_unknown", "--host ./file"),
        ("port:22", 66, "host_unknown", "--host '[port]:22'"),
        ("two", 66, "host_ambiguous", "--host 'ssh-ed25519"),
        ("old", 66, "host_without_key", "--host ./old.pub"),
        ("a.net", 66, "host_without_key", ""),
        ("gone", 66, "host_revoked", ""),
        ("", 64, "usage", ""),
        ("a b", 64, "usage", ""),
        ("ssh-rsa AAAA", 64, "usage", ""),
        ("ssh-ed25519 AAAA", 64, "usage", ""),
        ("./none.pub", 66, "file_not_found", ""),
        ("deploy.opl/", 66, "", ""),
        ("./deploy.opl", 65, "bad_host", ""),
    ] {
        let refused = make(&host, &["--host", word]);
        refused.expect(status).says(&format!("error[{code}")).says("help:").says(help);
        assert!(!host.work().join("prod.plan").exists(), "{word}");
    }
    let mut words = Vec::new();
    for line in &most {
        words.extend(["--host", line.as_str()]);
    }
    make(&host, &words).expect(64).says("at most 64 hosts");
    make(&host, &words[2..]).expect(0);
    assert_eq!(audience(&host).len(), 64);
    assert!(Path::new(&host.work().join("prod.plan")).exists());
}
