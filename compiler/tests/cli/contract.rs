//! Contracts: resolving, sealing, signing, showing, comparing with the source.

use super::world::{World, files_below, holds};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

const SOURCE: &str = "\
var TOKEN = @env.TOKEN
fun deploy(env = \"prod\", replicas: Int = 2) {
    login --token @var.TOKEN
    scale @var.replicas @var.env
}
";

const SECRET: &str = "hunter2-hunter2";
const ENV: &[(&str, &str)] = &[("TOKEN", SECRET)];

fn world() -> World {
    World::with("deploy.opl", SOURCE)
}

/// The digest after `name` in a summary.
fn field(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
    line.split_whitespace().next().expect("a value").to_owned()
}

#[test]
fn a_contract_is_written_signed_and_shown() {
    let world = world();
    let done = world.run_with(ENV, &["deploy.opl", "--resolve", "-o", "prod.plan"]);
    assert_eq!((done.status, done.stdout.len()), (0, 0), "{}", done.stderr);
    assert!(done.stderr.contains("made your identity SHA256:") && done.stderr.contains("(in 1w)"), "{}", done.stderr);
    assert_eq!(world.names(), ["deploy.opl", "prod.plan"]);
    assert!(world.read("prod.plan").starts_with(b"OPAL"));
    let identity = world.home().join(".config/opal/identity");
    assert_eq!(fs::metadata(identity).expect("made").mode() & 0o777, 0o600);

    let shown = world.run(&["show", "prod.plan"]).good();
    assert_eq!(field(&shown, "Contract Hash:"), field(&done.stderr, "contract"));
    assert_eq!(field(&shown, "Plan Hash:"), field(&done.stderr, "plan"));
    assert!(shown.contains("└─ scale 2 prod") && shown.contains("deploy(env=\"prod\", replicas=2)"), "{shown}");
    let document: serde_json::Value = serde_json::from_str(&world.run(&["show", "--json", "prod.plan"]).good()).expect("one document");
    assert_eq!(document["contract_hash"], field(&done.stderr, "contract"));
    assert_eq!(document["terms"]["source"], "deploy.opl");
}

#[test]
fn no_byte_of_a_secret_is_in_a_file_or_an_output() {
    let world = world();
    for words in [
        &["deploy.opl"][..],
        &["deploy.opl", "--json"],
        &["deploy.opl", "--resolve", "--format", "tree"],
        &["deploy.opl", "--resolve", "-o", "prod.plan"],
        &["deploy.opl", "--resolve"],
        &["show", "prod.plan"],
        &["show", "--json", "prod.plan"],
        &["disasm", "prod.plan"],
    ] {
        let done = world.run_with(ENV, words);
        assert_eq!(done.status, 0, "{}", done.stderr);
        assert!(!holds(&done.stdout, SECRET.as_bytes()) && !done.stderr.contains(SECRET), "{words:?}");
    }
    let files = files_below(&world.path("..")).into_iter();
    let leaking: Vec<_> = files.filter(|path| holds(&fs::read(path).expect("file"), SECRET.as_bytes())).collect();
    assert!(leaking.is_empty(), "{leaking:?}");
}

#[test]
fn the_plan_hash_is_the_same_for_everyone_and_the_contract_hash_is_not() {
    let hashes = |env: &[(&str, &str)], name: &str, layout: &str| {
        let world = World::with(name, &format!("{layout}{SOURCE}"));
        let env = [ENV, env].concat();
        let first = world.run_with(&env, &[name, "deploy", "--resolve", "-o", "a.plan"]);
        let second = world.run_with(&env, &[name, "deploy", "--resolve", "-o", "b.plan"]);
        let (plan, again) = (field(&first.stderr, "plan"), field(&second.stderr, "plan"));
        assert_eq!(plan, again);
        assert_ne!(field(&first.stderr, "contract"), field(&second.stderr, "contract"));
        assert_eq!(world.run_with(&env, &[name, "deploy", "--hash"]).good(), format!("{plan}\n"));
        plan
    };
    let plain = hashes(&[], "deploy.opl", "");
    assert_eq!(hashes(&[("LC_ALL", "de_DE.UTF-8"), ("LANG", "C")], "other.opl", "# a comment\n\n"), plain);
    assert_eq!(hashes(&[("TZ", "Pacific/Kiritimati")], "deploy.opl", ""), plain);
    // A secret's value is committed to, not named.
    assert_eq!(hashes(&[("TOKEN", "another-token")], "deploy.opl", ""), plain);
    let world = world();
    let blake3 = world.run_with(ENV, &["deploy.opl", "--hash", "--hash-algo", "blake3"]).good();
    assert!(blake3.starts_with("blake3:"));
    let other = world.run_with(ENV, &["deploy.opl", "--hash", "deploy", "--replicas=3"]).good();
    assert_ne!(other, format!("{plain}\n"));
}

#[test]
fn a_hash_alone_leaves_nothing_behind() {
    let world = world();
    world.run_with(ENV, &["deploy.opl", "--hash"]).good();
    world.run_with(ENV, &["deploy.opl", "--resolve", "--format=json"]).good();
    assert_eq!((world.names(), files_below(&world.home()).len()), (vec!["deploy.opl".to_owned()], 0));
}

#[test]
fn a_contract_goes_into_a_pipe_and_comes_from_one() {
    let world = world();
    let line = "TOKEN=x \"$opalc\" deploy.opl --resolve 2>/dev/null | \"$opalc\" show -";
    assert!(world.bash(line).good().contains("login --token opal:secret:"));
}

#[test]
fn terms_are_those_of_the_options() {
    let world = world();
    let show = |options: &[&str]| -> serde_json::Value {
        let words = [&["deploy.opl", "--resolve", "-o", "x.plan", "--json"], options].concat();
        let env = [ENV, &[("REGION", "eu")]].concat();
        let written: serde_json::Value = serde_json::from_str(&world.run_with(&env, &words).good()).expect("one document");
        let shown: serde_json::Value = serde_json::from_str(&world.run(&["show", "--json", "x.plan"]).good()).expect("one document");
        assert_eq!(written["schema"], "opal/contract-written/v1");
        assert_eq!(written["contract_hash"], shown["contract_hash"]);
        shown
    };
    let plain = show(&[]);
    assert_eq!(plain["terms"]["once"], false);
    assert!(plain["terms"]["not_after"].is_string() && plain["signers"].as_array().expect("signers").len() == 1);
    let other = show(&["--once", "--expires", "never", "--unsigned", "--no-public", "--pass-env", "REGION"]);
    assert_eq!(other["terms"]["once"], true);
    assert_eq!(other["terms"]["no_public"], true);
    assert_eq!(other["terms"]["pass_env"], serde_json::json!(["REGION"]));
    assert!(other["terms"]["not_after"].is_null() && other["signers"].as_array().expect("signers").is_empty());
}

#[test]
fn a_contract_is_sealed_to_the_recipients_that_are_named() {
    let world = world();
    let text = world.run(&["keygen", "-o", "host"]).good();
    assert_eq!(world.read("host.pub"), text.as_bytes());
    let recipients = |recipient: &str| {
        world.run_with(ENV, &["deploy.opl", "--resolve", "--unsigned", "-o", "x.plan", "--recipient", recipient]).good();
        let shown: serde_json::Value = serde_json::from_str(&world.run(&["show", "--json", "x.plan"]).good()).expect("one document");
        shown["recipients"].clone()
    };
    let by_text = recipients(text.trim());
    assert_eq!(by_text.as_array().map(Vec::len), Some(1));
    assert_eq!(recipients("host.pub"), by_text);
    // Neither signing nor sealing needed an identity of the caller's own.
    assert!(files_below(&world.home()).is_empty());
    let refuse = |recipient: &str| world.run_with(ENV, &["deploy.opl", "--resolve", "-o", "y.plan", "--recipient", recipient]);
    refuse("ssh-rsa AAAA").refused(64, "usage");
    refuse("none.pub").refused(66, "file_not_found");
    refuse("deploy.opl").refused(65, "bad_recipient");
    assert!(!world.path("y.plan").exists());
}

#[test]
fn a_second_signature_leaves_the_contract_as_it_is() {
    let world = world();
    world.run_with(ENV, &["deploy.opl", "--resolve", "-o", "x.plan"]);
    let show = || -> serde_json::Value { serde_json::from_str(&world.run(&["show", "--json", "x.plan"]).good()).expect("one document") };
    let before = show();
    fs::set_permissions(world.path("x.plan"), fs::Permissions::from_mode(0o640)).expect("chmod");
    world.run(&["keygen", "-o", "second"]).good();
    world.run(&["sign", "x.plan", "--key", "second"]).good();
    let after = show();
    assert_eq!(before["contract_hash"], after["contract_hash"]);
    assert_eq!(after["signers"].as_array().map(Vec::len), Some(2));
    assert_eq!(fs::metadata(world.path("x.plan")).expect("there").mode() & 0o777, 0o640);
    // Signing again with the same key changes nothing.
    world.run(&["sign", "x.plan"]).good();
    assert_eq!(show()["signers"], after["signers"]);
    let bytes = world.read("x.plan");
    world.run(&["sign", "x.plan", "--key", "second.pub"]).refused(69, "no_agent");
    world.run(&["sign", "x.plan", "--key", "none"]).refused(66, "identity_unreadable");
    world.run(&["sign", "deploy.opl"]).refused(65, "plan_bad_magic");
    assert_eq!(world.read("x.plan"), bytes);
}

#[test]
fn a_changed_contract_is_refused_before_anything_else() {
    let world = world();
    world.run_with(ENV, &["deploy.opl", "--resolve", "-o", "x.plan"]);
    let mut bytes = world.read("x.plan");
    if let Some(byte) = bytes.get_mut(200) {
        *byte ^= 1;
    }
    world.write("bad.plan", bytes);
    for words in
        [&["show", "bad.plan"][..], &["sign", "bad.plan"], &["disasm", "bad.plan"], &["verify", "bad.plan", "--source", "deploy.opl"]]
    {
        world.run(words).refused(20, "signature_mismatch");
    }
    world.write("short.plan", "OPAL");
    world.run(&["show", "short.plan"]).refused(65, "plan_truncated");
}

#[test]
fn a_contract_is_compared_with_its_source() {
    let world = world();
    world.run_with(ENV, &["deploy.opl", "deploy", "stage", "--replicas=3", "--resolve", "-o", "x.plan"]);
    assert!(world.run(&["verify", "x.plan", "--source", "deploy.opl"]).good().contains("is what deploy.opl compiles to"));
    world.write("other.opl", SOURCE.replace("scale", "sc4le"));
    let said = world.run(&["verify", "x.plan", "--source", "other.opl"]).refused(3, "program_differs");
    assert!(said.contains("opalc disasm"), "{said}");
    world.write("broken.opl", "fun");
    world.write("none.opl", "fun other = echo hi");
    world.run(&["verify", "x.plan", "--source", "none.opl"]).refused(64, "usage");
    let script = World::with("s.opl", "echo hi\n");
    script.run(&["s.opl", "--resolve", "-o", "s.plan"]).out();
    script.run(&["verify", "s.plan", "--source", "s.opl"]).good();
}

#[test]
fn a_program_is_listed_from_its_source_and_from_its_contract_alike() {
    let world = world();
    world.run_with(ENV, &["deploy.opl", "--resolve", "-o", "x.plan"]);
    let listing = world.run(&["disasm", "x.plan"]).good();
    assert!(listing.contains("resolve"), "{listing}");
    assert_eq!(world.run(&["disasm", "deploy.opl"]).good(), listing);
}

#[test]
fn a_key_is_never_overwritten() {
    let world = World::new();
    let line = world.run(&["keygen"]).good();
    assert!(line.starts_with("ssh-ed25519 "));
    world.run(&["keygen"]).refused(74, "file_exists");
    world.run(&["keygen", "-o", "k"]).good();
    let key = world.read("k");
    world.run(&["keygen", "-o", "k"]).refused(74, "file_exists");
    assert_eq!((world.read("k"), fs::metadata(world.path("k")).expect("there").mode() & 0o777), (key, 0o600));
    world.write("half.pub", "");
    world.run(&["keygen", "-o", "half"]).refused(74, "file_exists");
    assert_eq!(world.names(), ["half.pub", "k", "k.pub"]);
}

#[test]
fn an_unsafe_home_or_a_missing_shell_stops_before_anything_is_written() {
    let world = world();
    fs::set_permissions(world.home(), fs::Permissions::from_mode(0o777)).expect("chmod");
    let said = world.run_with(ENV, &["deploy.opl", "--resolve", "-o", "x.plan"]);
    assert_eq!(said.status, 78, "{}", said.stderr);
    assert!(said.stderr.contains("chmod"), "{}", said.stderr);
    fs::set_permissions(world.home(), fs::Permissions::from_mode(0o700)).expect("chmod");
    let without = [ENV, &[("PATH", "/nowhere")]].concat();
    world.run_with(&without, &["deploy.opl", "--resolve", "-o", "x.plan"]).refused(69, "missing_shell");
    assert_eq!((world.names(), files_below(&world.home()).len()), (vec!["deploy.opl".to_owned()], 0));
}

#[test]
fn a_disk_that_is_full_leaves_the_older_contract_and_no_partial_one() {
    let world = world();
    world.run_with(ENV, &["deploy.opl", "--resolve", "-o", "old.plan"]);
    let old = world.read("old.plan");
    for name in ["old.plan", "new.plan"] {
        // A file may have one kilobyte; the signal that would end the process is ignored, as a full disk gives none.
        let line = format!("trap '' XFSZ; ulimit -f 1; TOKEN=x \"$opalc\" deploy.opl --resolve -o {name}");
        world.bash(&line).refused(74, "cannot_write");
    }
    assert_eq!(world.read("old.plan"), old);
    assert_eq!(world.names(), ["deploy.opl", "old.plan"]);
}

#[test]
fn an_output_may_be_a_link_or_a_device() {
    let world = world();
    world.run_with(ENV, &["deploy.opl", "--resolve", "-o", "real.plan"]);
    std::os::unix::fs::symlink("real.plan", world.path("link.plan")).expect("link");
    let before = world.read("real.plan");
    assert_eq!(world.run_with(ENV, &["deploy.opl", "--resolve", "-o", "link.plan"]).status, 0);
    assert!(world.path("link.plan").symlink_metadata().expect("there").is_symlink());
    assert_ne!(world.read("real.plan"), before);
    assert_eq!(world.run_with(ENV, &["deploy.opl", "--resolve", "-o", "/dev/null"]).status, 0);
    assert!(!fs::metadata("/dev/null").expect("there").is_file());
}
