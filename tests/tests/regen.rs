//! Values that last from contract to contract: the regen root, `regen_key`, and planning again without the root.

use opal_tests::Host;
use std::os::unix::fs::PermissionsExt as _;

const SCRIPT: &str = r#"
var LENGTH = @env.LENGTH(default=24)
run: {
    printf '%s\n' SITE @random.password(length=@var.LENGTH, regen_key="db-v1") > first
    printf '%s\n' SITE @random.password(length=24, regen_key="db-v1") > again
    printf '%s\n' SITE @random.password(length=12, regen_key="db-v1") > shorter
    printf '%s\n' SITE @random.password(length=24, regen_key="db-v2") > other-key
    printf '%s\n' SITE @random.password(length=24, alphabet="A-Za-z", regen_key="db-v1") > other-alphabet
    printf '%s\n' SITE @random.password(length=24) > fresh
    printf '%s' @crypto.generate_key(regen_key="db-v1") > key
}
"#;

const VALUES: [&str; 7] = ["first", "again", "shorter", "other-key", "other-alphabet", "fresh", "key"];

fn root(host: &Host) -> std::path::PathBuf {
    host.path().join("config/opal/regen-root")
}

/// Plans and runs the script and gives what the steps were given.
fn values(host: &Host) -> [String; 7] {
    host.contract(SCRIPT, &["run"]);
    ran(host)
}

fn ran(host: &Host) -> [String; 7] {
    host.vm(&["run", "--plan", "prod.plan"]).expect(0);
    VALUES.map(|name| {
        let text = host.read(name);
        std::fs::remove_file(host.work().join(name)).expect("a file");
        text.lines().last().map(str::to_owned).filter(|_| name != "key").unwrap_or(text)
    })
}

#[test]
fn a_value_with_a_regen_key_lasts_until_root_key_or_arguments_change() {
    let mut host = Host::new();
    host.opalc(&["keygen", "--regen-root"]).expect(0);
    let before = values(&host);
    let [first, again, shorter, other_key, other_alphabet, fresh, key] = &before;
    assert_eq!((first.len(), first), (24, again), "one name is one value");
    for unrelated in [other_key, other_alphabet, fresh] {
        assert_eq!(unrelated.len(), 24);
        assert!(unrelated[..4] != first[..4], "{unrelated} {first}");
    }
    assert!(!first.starts_with(&shorter[..4]), "a shorter one is not the start of a longer one");
    assert!(key.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));

    let after = values(&host);
    for (name, (before, after)) in VALUES.iter().zip(before.iter().zip(&after)) {
        assert_eq!(before == after, *name != "fresh", "{name}");
    }
    // The arguments count by their values: computed or not makes no difference.
    host.set("LENGTH", "12");
    let computed = values(&host);
    assert_eq!(computed[0], *shorter);
    host.set("LENGTH", "24");

    std::fs::remove_file(root(&host)).expect("a root");
    host.opalc(&["keygen", "--regen-root"]).expect(0);
    let rotated = values(&host);
    assert!(before.iter().zip(&rotated).all(|(before, rotated)| before != rotated));
}

#[test]
fn a_contract_is_planned_again_without_the_root_and_holds_nothing_of_it() {
    let host = Host::new();
    let shared = host.work().join("shared-root");
    host.opalc(&["keygen", "--regen-root", "-o", "shared-root"]).expect(0);
    let secret = std::fs::read(&shared).expect("a root");
    host.contract(SCRIPT, &["run", "--regen-root", "shared-root"]);
    std::fs::remove_file(&shared).expect("a root");
    host.vm(&["verify", "--plan", "prod.plan"]).expect(0);
    let plan = std::fs::read(host.work().join("prod.plan")).expect("a plan");
    let values = ran(&host);
    assert!(!plan.windows(32).any(|window| window == secret));
    for value in &values {
        assert!(!plan.windows(value.len()).any(|window| window == value.as_bytes()), "a value is in the plan");
    }
    // Whoever plans needs it.
    host.opalc(&["deploy.opl", "run", "--resolve", "--hash"]).expect(65).says("error[no_regen_root]").says("opalc keygen --regen-root");
}

#[test]
fn another_root_shows_as_changed_values_between_two_contracts() {
    let host = Host::new();
    let fingerprint = |host: &Host, name: &str| host.opalc(&["keygen", "--regen-root", "-o", name]).expect(0).stdout.trim().to_owned();
    let (old, new) = (fingerprint(&host, "old"), fingerprint(&host, "new"));
    let script = "run: printf '%s' SITE @random.password(regen_key=\"db\") @random.password()\n";
    for (root, to) in [("old", "a.plan"), ("old", "b.plan"), ("new", "c.plan")] {
        host.contract(script, &["run", "--regen-root", root]);
        std::fs::rename(host.work().join("prod.plan"), host.work().join(to)).expect("renamed");
    }
    let same = host.opalc(&["diff", "a.plan", "b.plan"]);
    same.expect(0);
    assert!(!same.stdout.contains("regen"), "{}", same.stdout);
    assert!(same.stdout.contains("cannot be compared"), "a fresh value is still one: {}", same.stdout);
    let moved = host.opalc(&["diff", "a.plan", "c.plan"]);
    moved.expect(3);
    for expected in ["value_changed", "random.password(regen_key=\"db\")", "another regen root", &format!("was `{old}`, is now `{new}`")] {
        assert!(moved.stdout.contains(expected), "no `{expected}` in {}", moved.stdout);
    }
    let document: serde_json::Value = serde_json::from_str(&host.opalc(&["diff", "a.plan", "c.plan", "--json"]).stdout).expect("JSON");
    assert_eq!((&document["verdict"], &document["drift"][0]["code"]), (&"different".into(), &"value_changed".into()));
    let shown: serde_json::Value = serde_json::from_str(&host.opalc(&["show", "c.plan", "--json"]).stdout).expect("JSON");
    assert_eq!(shown["terms"]["regen_root"], new.as_str());
}

#[test]
fn a_root_is_made_once_and_is_its_owner_s_alone() {
    let host = Host::new();
    let made = host.opalc(&["keygen", "--regen-root"]);
    let bytes = std::fs::read(root(&host)).expect("a root");
    assert_eq!(bytes.len(), 32);
    let sum = std::process::Command::new("sha256sum").arg(root(&host)).output().expect("sha256sum");
    let sum = String::from_utf8(sum.stdout).expect("text");
    assert_eq!(made.expect(0).stdout.trim(), format!("sha256:{}", &sum[..64]));
    assert_eq!(std::fs::metadata(root(&host)).expect("a root").permissions().mode() & 0o7777, 0o600);
    host.opalc(&["keygen", "--regen-root"]).expect(74).says("error[file_exists]");
    host.opalc(&["keygen", "--regen-root", "-o", "-"]).expect(64);
    assert_eq!(std::fs::read(root(&host)).expect("a root"), bytes);

    host.write("deploy.opl", "run: echo SITE @random.password(regen_key=\"k\")\n");
    let plan = || host.opalc(&["deploy.opl", "run", "--resolve", "--hash"]);
    plan().expect(0);
    std::fs::set_permissions(root(&host), std::fs::Permissions::from_mode(0o640)).expect("mode");
    plan().expect(78).says("error[unsafe_mode]");
    std::fs::set_permissions(root(&host), std::fs::Permissions::from_mode(0o600)).expect("mode");
    for size in [0, 31, 33, 100_000] {
        std::fs::write(root(&host), vec![7; size]).expect("a root");
        plan().expect(78).says("error[bad_regen_root]");
    }
    // A plan that has no such value does not look at it, and a quick plan resolves none.
    host.opalc(&["deploy.opl", "run"]).expect(0);
    host.write("deploy.opl", "run: echo SITE @random.password()\n");
    plan().expect(0);
}

#[test]
fn a_regen_key_is_a_name_that_stands_in_the_source() {
    let mut host = Host::new();
    host.opalc(&["keygen", "--regen-root"]).expect(0);
    host.set("NAME", "v1");
    let plan = |source: &str| {
        host.write("deploy.opl", source);
        host.opalc(&["deploy.opl", "run", "--resolve", "--hash"])
    };
    plan("run: echo @random.password(regen_key=\"\")\n").expect(65).says("error[argument_invalid]").says("regen_key");
    plan("run: echo @crypto.generate_key(regen_key=\"\")\n").expect(65).says("error[argument_invalid]");
    plan("run: echo @random.password(regen_key=@env.NAME)\n").expect(65).says("regen_key");
    plan("run: echo @random.password(regen_key=7)\n").expect(65).says("regen_key");
    plan("run: echo @random.password(regen_key=\"a\", regen_key=\"b\")\n").expect(65).says("regen_key");
    plan("run: echo @random.password(regen_key=\"schl\u{fc}ssel \u{1f511}\")\n").expect(0);
    plan(&format!("run: echo @random.password(regen_key=\"{}\")\n", "k".repeat(5000))).expect(0);
}
