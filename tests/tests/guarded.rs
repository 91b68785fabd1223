//! Guarded runs through the real programs: hosts with an `/etc`, `/run` and `/var/lib` of their own, in a mount namespace that nobody else sees.
//!
//! Such a host takes root. Where that is missing these tests say so and pass.

use opal_tests::guarded::{Guarded, NOBODY};
use serde_json::Value;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::process::{Command, Stdio};

/// A host, or the end of the test.
macro_rules! guarded {
    () => {
        match Guarded::new() {
            Some(guarded) => guarded,
            None => return,
        }
    };
}

#[test]
fn a_policy_that_cannot_be_believed_stops_everything() {
    let here = guarded!();
    here.run(&[], 0);
    here.trust(&[("ops", "own")]).policy("").run(&[], 0);
    for (text, code) in [
        ("garbage", "policy_syntax"),
        ("[plan]\nmaxage = \"1h\"", "policy_unknown_key"),
        ("[plan]\nmax_age = 24", "policy_bad_value"),
        ("[[signer]]\ntargets = []", "policy_missing_key"),
        ("\u{0}", "policy_syntax"),
    ] {
        here.policy(text).run(&[], 78).says(&format!("error[{code}]"));
    }
    let policy = here.etc("policy.toml");
    for mode in [0o664, 0o646, 0o777] {
        here.policy("");
        std::fs::set_permissions(&policy, std::fs::Permissions::from_mode(mode)).expect("its mode");
        here.run(&[], 78).says("error[unsafe_mode]");
    }
    here.policy("");
    chown(&policy, Some(NOBODY), None).expect("root may");
    here.run(&[], 78).says("error[unsafe_owner]");
    std::fs::remove_file(&policy).expect("there");
    std::fs::write(here.etc("real.toml"), "").expect("a file");
    symlink("real.toml", &policy).expect("a link");
    here.run(&[], 78).says("error[unsafe_link]");
    std::fs::remove_file(&policy).expect("there");
    std::fs::create_dir(&policy).expect("a directory");
    here.run(&[], 78).says("error[");
    std::fs::remove_dir(&policy).expect("there");
    here.run(&[], 0);
    let directory = here.host.path().join("etc/opal");
    for mode in [0o775, 0o777, 0o1777] {
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(mode)).expect("its mode");
        here.run(&[], 78).says("error[unsafe_mode]");
    }
}

#[test]
fn trust_files_that_cannot_be_believed_stop_everything() {
    let here = guarded!();
    here.trust(&[("ops", "own")]).policy("trust.require_signature = false");
    for name in ["allowed_signers", "revoked"] {
        let here_again = |text: &str| here.put(name, text);
        here_again("garbage\n").run(&["--allow-unsigned"], 78);
        here_again("");
        std::fs::set_permissions(here.etc(name), std::fs::Permissions::from_mode(0o666)).expect("its mode");
        here.run(&["--allow-unsigned"], 78).says("error[unsafe_mode]");
        std::fs::remove_file(here.etc(name)).expect("there");
    }
    here.run(&["--allow-unsigned"], 0);
}

#[test]
fn in_a_guarded_run_only_the_system_s_list_counts() {
    let here = guarded!();
    here.run(&[], 0);
    // The operator's own identity and list are no longer asked.
    here.policy("").run(&[], 20).says("error[untrusted_signer]");
    let own = format!("me {}\n", here.public("own"));
    std::fs::write(here.host.path().join("config/opal/allowed_signers"), own).expect("a file");
    here.run(&[], 20);
    here.policy("trust.own_identity = true").run(&[], 0);
    here.policy("").trust(&[("ops", "own")]).run(&[], 0);
}

#[test]
fn required_signatures_have_no_stand_in() {
    let here = guarded!();
    let hash = here.hash();
    here.policy("trust.require_signature = false").run(&["--allow-unsigned"], 0);
    here.run(&["--expect", &hash], 0);
    for policy in ["", "trust.require_signature = true"] {
        here.policy(policy).run(&["--allow-unsigned"], 20);
        here.run(&["--expect", &hash], 20);
    }
    here.trust(&[("ops", "own")]).run(&[], 0);
    here.run(&["--expect", &format!("sha256:{}", "0".repeat(64))], 20).says("error[unexpected_contract]");
}

#[test]
fn nobody_learns_through_a_guarded_command_what_root_can_read() {
    let here = guarded!();
    here.host.write("notes", "as it was");
    here.contract("go: echo SITE @file.read(\"notes\", public=true) > ran\n", &["go"]);
    here.host.write("notes", "what root reads");
    let hash = here.hash();
    let commands: [&[&str]; 3] =
        [&["verify", "--plan", "prod.plan"], &["verify", "--plan", "prod.plan", "--json"], &["resolve", "--plan", "prod.plan", "-o", "-"]];
    for stand_in in [&["--allow-unsigned"][..], &["--expect", &hash]] {
        for command in commands {
            let said = || format!("{:?}", here.inside("env SUDO_UID=1000", "opal-vm", &[command, stand_in].concat()));
            let refused = said();
            assert!(refused.contains("error[untrusted_signer]") && !refused.contains("what root reads"), "{refused}");
            here.policy("trust.require_signature = false");
            let allowed = said();
            assert!(allowed.contains("what root reads"), "{allowed}");
            std::fs::remove_file(here.etc("policy.toml")).expect("there");
        }
    }
}

#[test]
fn a_threshold_counts_distinct_principals() {
    let here = guarded!();
    for key in ["second", "third"] {
        here.host.opalc(&["keygen", "-o", key]).expect(0);
    }
    here.policy("trust.threshold = 2").trust(&[("a", "own"), ("a", "second"), ("b", "third")]);
    here.run(&[], 20).says("error[threshold_unmet]");
    here.host.opalc(&["sign", "prod.plan", "--key", "second"]).expect(0);
    here.run(&[], 20).says("1 of 2");
    here.host.opalc(&["sign", "prod.plan", "--key", "third"]).expect(0);
    here.run(&[], 0);
}

#[test]
fn what_is_revoked_never_runs() {
    let here = guarded!();
    let hash = here.hash();
    here.trust(&[("ops", "own")]);
    for revoked in [format!("{hash}\n"), format!("# gone\n{}\n", here.public("own"))] {
        here.put("revoked", &revoked);
        for options in [&[][..], &["--expect", &hash], &["--allow-unsigned"]] {
            here.run(options, 20).says("revoked");
        }
    }
    here.put("revoked", "").run(&[], 0);
}

#[test]
fn a_signer_signs_only_what_their_entry_names() {
    let here = guarded!();
    here.trust(&[("ops", "own")]);
    for (entry, status) in [
        ("targets = [\"go\"]", 0),
        ("targets = [\"g*\"]\nsources = [\"*.opl\"]", 0),
        ("targets = [\"stop\"]", 20),
        ("sources = [\"other.opl\"]", 20),
        ("targets = [\"go\"]\nsources = [\"other.opl\"]", 20),
        ("targets = []", 20),
    ] {
        here.policy(&format!("[[signer]]\nprincipal = \"ops\"\n{entry}")).run(&[], status);
    }
    // Where there are entries, who has none signs nothing; and an entry that is about nobody stops everything.
    here.host.opalc(&["keygen", "-o", "second"]).expect(0);
    here.trust(&[("ops", "own"), ("others", "second")]);
    here.policy("[[signer]]\nprincipal = \"others\"\ntargets = [\"stop\"]").run(&[], 20).says("error[signer_outside_entry]");
    here.policy("[[signer]]\nprincipal = \"opps\"\ntargets = [\"go\"]").run(&[], 78).says("error[signer_entry_unmatched]");
}

#[test]
fn a_signer_who_is_bound_to_a_program_signs_no_other_and_with_no_other_arguments() {
    let here = guarded!();
    here.trust(&[("ops", "own")]);
    let source = "fun go(env: String) {\n    echo SITE @var.env @env.A > ran\n}\n";
    here.contract(source, &["go", "prod"]);
    let digest = here.host.opalc(&["show", "prod.plan"]).stdout;
    let digest = digest.lines().find_map(|line| line.trim().strip_prefix("program ")).expect("the line").trim().to_owned();
    assert!(digest.starts_with("sha256:"), "{digest}");
    let bound = |more: &str| format!("[[signer]]\nprincipal = \"ops\"\ntargets = [\"go\"]\nprograms = [\"{digest}\"]\n{more}");
    here.policy(&bound("")).run(&[], 0);
    // Comments, blanks and places are no part of a program.
    here.contract(&format!("# Another comment.\n\n{}", source.replace("    echo", "\n        echo")), &["go", "prod"]);
    here.run(&[], 0);
    // What a contract calls itself binds nobody; what it does is another program.
    here.contract(&source.replace("> ran", ">> ran"), &["go", "prod"]);
    here.run(&[], 20).says("error[signer_outside_entry]").says("its program, sha256:").says("`programs`");
    here.policy("[[signer]]\nprincipal = \"ops\"\ntargets = [\"go\"]").run(&[], 0);
    // The arguments of the contract are others of the same program.
    here.contract(source, &["go", "test"]);
    here.policy(&bound("")).run(&[], 0);
    here.policy(&bound("arguments = { env = \"prod\" }")).run(&[], 20).says("error[signer_outside_entry]").says("its argument `env`");
    here.policy(&bound("arguments = { env = [\"prod\", \"test\"] }")).run(&[], 0);
    here.policy(&bound("arguments = { region = \"eu\" }")).run(&[], 20).says("it has no argument `region`");
    for malformed in ["sha256:12", "blake3:DIGEST", "DIGEST", "sha256:DIGESTx"] {
        let wrong = malformed.replace("DIGEST", digest.trim_start_matches("sha256:"));
        let ended = here.policy(&format!("[[signer]]\nprincipal = \"ops\"\nprograms = [\"{wrong}\"]")).run(&[], 78);
        ended.says("error[policy_bad_value]").says("signer.programs");
    }
    here.policy("[[signer]]\nprincipal = \"ops\"\narguments = { env = 2026-01-01 }").run(&[], 78).says("signer.arguments.env");
}

#[test]
fn a_source_is_said_to_be_compared_as_far_as_it_was() {
    let here = guarded!();
    here.trust(&[("ops", "own")]).policy("plan.require_source = true");
    let ended = here.inside("", "opal-vm", &["verify", "--plan", "prod.plan"]);
    assert!(ended.expect(0).stdout.contains("source:   has the digest that the contract names"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("unchanged"), "{}", ended.stdout);
    here.host.write("deploy.opl", "go: echo other\n");
    let ended = here.inside("", "opal-vm", &["verify", "--plan", "prod.plan"]);
    ended.expect(3).says("has not the digest that the contract claims for its source");
}

#[test]
fn certificates_count_by_their_authority_within_their_time() {
    let here = guarded!();
    let keygen = |arguments: &[&str]| {
        let made = Command::new("ssh-keygen").args(arguments).current_dir(here.host.work()).stderr(Stdio::null()).status();
        made.is_ok_and(|made| made.success())
    };
    if !keygen(&["-q", "-t", "ed25519", "-N", "", "-f", "ca"]) {
        println!("skipped: ssh-keygen is not installed");
        return;
    }
    assert!(keygen(&["-q", "-t", "ed25519", "-N", "", "-f", "key"]));
    here.put("allowed_signers", &format!("*@example.com cert-authority {}\n", here.host.read("ca.pub")));
    for (names, validity, status, says) in [
        ("alice@example.com", "-1h:+1h", 0, "effects: started"),
        ("mallory@example.org", "-1h:+1h", 20, "names nobody"),
        ("alice@example.com", "-2h:-1h", 20, "its certificate has expired"),
        ("alice@example.com", "+1h:+2h", 20, "its certificate is not valid yet"),
    ] {
        assert!(keygen(&["-q", "-s", "ca", "-I", "id", "-n", names, "-V", validity, "key.pub"]));
        here.contract("go: echo went > ran\n", &["go", "--unsigned"]);
        here.host.opalc(&["sign", "prod.plan", "--key", "key-cert.pub"]).expect(0);
        here.run(&[], status).says(says);
    }
    // The key alone is listed nowhere, the authority itself signs nothing, and both can be revoked.
    for key in ["key", "ca"] {
        here.contract("go: echo went > ran\n", &["go", "--unsigned"]);
        here.host.opalc(&["sign", "prod.plan", "--key", key]).expect(0);
        here.run(&[], 20).says("error[untrusted_signer]");
    }
    assert!(keygen(&["-q", "-s", "ca", "-I", "id", "-n", "alice@example.com", "key.pub"]));
    here.contract("go: echo went > ran\n", &["go", "--unsigned"]);
    here.host.opalc(&["sign", "prod.plan", "--key", "key-cert.pub"]).expect(0);
    for revoked in ["key.pub", "ca.pub"] {
        here.put("revoked", &here.host.read(revoked)).run(&[], 20).says("error[key_revoked]");
    }
}

#[test]
fn a_policy_may_want_security_keys_that_were_touched() {
    let here = guarded!();
    here.trust(&[("ops", "own")]).policy("trust.touch = true");
    here.run(&[], 20).says("not a security key");
    here.policy("trust.touch = false").run(&[], 0);
}

#[test]
fn each_key_of_the_plan_refuses_what_it_names() {
    let here = guarded!();
    here.trust(&[("ops", "own")]);
    let bash = std::env::var("PATH").expect("a path");
    let bash = bash.split(':').map(|place| format!("{place}/bash")).find(|path| std::path::Path::new(path).exists()).expect("bash");
    let shell = format!("run.shell = \"{bash}\"");
    for (text, status) in [
        ("plan.max_age = \"1d\"", 0),
        ("plan.max_age = \"0s\"", 24),
        ("plan.require_expiry = true", 0),
        ("plan.require_source = true", 0),
        ("plan.types = [\"atomic\"]", 0),
        ("plan.types = [\"matrix\", \"campaign\"]", 24),
        ("run.max_steps = 1", 0),
        ("decorators.deny = [\"env\"]", 24),
        ("decorators.deny = [\"file\", \"retry\"]", 0),
        ("decorators.deny = [\"shell\"]", 24),
        ("decorators.allow = [\"shell\"]", 24),
        ("decorators.allow = [\"shell\", \"env\"]", 0),
        (&shell, 0),
        ("run.shell = \"/opt/bash\"", 24),
    ] {
        here.policy(text).run(&[], status);
    }
    here.contract("go: {\n    echo SITE > ran\n    echo two @env.A\n}\n", &["go", "--expires", "never"]);
    here.policy("run.max_steps = 1").run(&[], 24);
    here.policy("plan.require_expiry = true").run(&[], 24);
    std::fs::remove_file(here.host.work().join("deploy.opl")).expect("there");
    here.policy("plan.require_source = true").run(&[], 24);
    here.policy("").run(&[], 0);
}

#[test]
fn a_run_that_takes_longer_than_the_policy_allows_says_whose_limit_that_is() {
    let here = guarded!();
    here.trust(&[("ops", "own")]).contract("go: {\n    sleep 60 # SITE\n    echo @env.A\n}\n", &["go"]);
    let ended = here.policy("run.timeout = \"200ms\"").run_as("", &[]);
    ended.expect(1).says("error[step_failed]: the run failed: not done after 200ms").says("limit:   `run.timeout` of this host's policy");
    ended.says("effects: started (stopped after 0 of 2 steps)");
}

#[test]
fn control_flow_and_operators_are_no_decorators() {
    let here = guarded!();
    here.trust(&[("ops", "own")]);
    let script = "go: {\n    for i in 1...2 { if @env.A == \"one\" { echo @var.i > ran } }\n    try {\n        X=$(echo SITE)\n        echo @var.X\n    } catch { echo no }\n    @retry(2) { true } && echo ok\n}\n";
    here.contract(script, &["go"]);
    here.policy("decorators.allow = [\"shell\", \"env\", \"retry\"]").run(&[], 0);
    here.policy("decorators.allow = [\"shell\", \"env\"]").run(&[], 24).says("`@retry`");
}

#[test]
fn steps_of_a_guarded_run_start_from_a_clean_environment() {
    let mut here = guarded!();
    here.host.set("STRAY", "stray").set("LESS", "-R").set("PROMISED", "kept");
    here.trust(&[("ops", "own")]);
    here.contract("go: { echo SITE; env > ran }\n", &["go", "--pass-env", "PROMISED"]);
    let variables = |here: &Guarded| {
        here.run(&[], 0);
        here.host.read("ran")
    };
    let unguarded = variables(&here);
    assert!(unguarded.contains("STRAY=") && unguarded.contains("PROMISED=kept"), "{unguarded}");
    here.policy("");
    let clean = variables(&here);
    assert!(!clean.contains("STRAY=") && !clean.contains("LESS=") && clean.contains("PROMISED=kept"), "{clean}");
    here.policy("env.pass = [\"LES*\"]\nenv.path = \"/usr/bin:/bin\"");
    let passed = variables(&here);
    assert!(!passed.contains("STRAY=") && passed.contains("LESS=-R") && passed.contains("PATH=/usr/bin:/bin\n"), "{passed}");
    here.policy("env.mode = \"inherit\"");
    assert!(variables(&here).contains("STRAY="));
}

#[test]
fn a_policy_makes_every_contract_single_use() {
    let here = guarded!();
    here.trust(&[("ops", "own")]).policy("plan.single_use = true");
    here.run(&[], 0);
    let again = here.run_as("", &[]);
    again.expect(22).says("error[already_run]").says("was used at").says("effects: none");
    let ledger = here.host.path().join("lib/opal/ledger");
    assert_eq!(std::fs::read_dir(ledger).expect("the ledger").count(), 1);
}

#[test]
fn a_guarded_run_is_forced_only_where_the_policy_says_so() {
    let mut here = guarded!();
    here.trust(&[("ops", "own")]).policy("");
    here.host.set("A", "two");
    for (text, status) in [("", 24), ("plan.force = false", 24), ("plan.force = true", 0)] {
        here.policy(text).run_as("", &["--force=A"]).expect(status);
        assert_eq!(here.host.work().join("ran").exists(), status == 0);
    }
    std::fs::remove_file(here.etc("policy.toml")).expect("there");
    here.run_as("", &["--force=A"]).expect(0);
}

#[test]
fn root_through_sudo_or_doas_is_guarded_and_a_foreign_real_user_refused() {
    let here = guarded!();
    let asked = |before: &str, options: &[&str]| here.run_as(before, options);
    asked("env SUDO_UID=1000", &[]).expect(20).says("error[untrusted_signer]");
    asked("env DOAS_USER=bob", &[]).expect(20);
    asked("env SUDO_UID=1000", &["--allow-unsigned"]).expect(20);
    asked("env SUDO_UID=0 DOAS_USER=root", &[]).expect(0);
    let foreign = here.inside(&format!("setpriv --ruid={NOBODY}"), "opal-vm", &["verify", "--plan", "prod.plan"]);
    foreign.expect(78).says("error[set_user_id]");
    here.trust(&[("ops", "own")]);
    asked("env SUDO_UID=1000", &[]).expect(0);
}

#[test]
fn every_way_from_another_account_guards_a_run() {
    let here = guarded!();
    let user = format!("setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups");
    for (account, own) in [("", "0"), (user.as_str(), "65534")] {
        // The contract comes by standard input, which nobody's rights decide about.
        let check = |variable: &str, value: &str| {
            let words = ["policy", "check", "--plan", "-", "--allow-unsigned", "--json"];
            let before = format!("env {variable}={value} XDG_CONFIG_HOME= HOME= {account} sh -c 'exec \"$@\" <plan' sh");
            let ended = here.inside(&format!("sh -c 'chmod 755 .. . && cp prod.plan plan && exec \"$@\"' sh {before}"), "opal-vm", &words);
            let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
            document["guarded"].to_string()
        };
        for (variable, value) in
            [("SUDO_UID", "1"), ("PKEXEC_UID", "1"), ("SUDO_UID", "garbage"), ("PKEXEC_UID", ""), ("DOAS_USER", "daemon")]
        {
            assert!(check(variable, value).contains("this account was reached through"), "{variable}={value} {account}");
        }
        for (variable, value) in [("SUDO_UID", "0"), ("PKEXEC_UID", "0"), ("SUDO_UID", own), ("PKEXEC_UID", own), ("DOAS_USER", "root")] {
            assert_eq!(check(variable, value), "[]", "{variable}={value} {account}");
        }
    }
}

#[test]
fn an_ordinary_user_is_guarded_by_a_policy_and_has_places_of_their_own() {
    let here = guarded!();
    here.host.write("once.opl", here.host.named("go: echo SITE again @env.A\n"));
    here.host.opalc(&["once.opl", "go", "--once", "--resolve", "-o", "once.plan"]).expect(0);
    for (path, _) in here.host.files() {
        if !path.starts_with(here.host.path().join("etc")) {
            for place in path.ancestors().take_while(|place| place.starts_with(here.host.path())) {
                chown(place, Some(NOBODY), Some(NOBODY)).expect("root may");
            }
        }
    }
    for name in ["state", "run", "home"] {
        chown(here.host.path().join(name), Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    let user = format!("setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups");
    here.run_as(&user, &[]).expect(0);
    assert!(here.host.path().join("run/opal").is_dir() && !here.host.path().join("locks/opal").exists());
    here.policy("").run_as(&user, &[]).expect(20);
    let once = || here.inside(&user, "opal-vm", &["run", "--plan", "once.plan", "--source", "once.opl"]);
    here.trust(&[("ops", "own")]);
    once().expect(0);
    once().expect(22);
    assert!(here.host.path().join("state/opal/ledger").is_dir() && !here.host.path().join("lib/opal").exists());
    // What the user can write decides nothing.
    chown(here.etc("policy.toml"), Some(NOBODY), Some(NOBODY)).expect("root may");
    here.run_as(&user, &[]).expect(78).says("error[unsafe_owner]");
}

#[test]
fn direct_runs_obey_the_policy_too() {
    let here = guarded!();
    here.host.write("commands.opl", "go: echo SITE > ran\nslow: @retry(2) { echo x > ran }\n");
    let direct = |target: &str| {
        let _ = std::fs::remove_file(here.host.work().join("ran"));
        here.inside("", "opal", &[target])
    };
    direct("go").expect(0);
    here.policy("trust.require_signature = true");
    direct("go").expect(24).says("require_signature").says("effects: none");
    here.policy("trust.require_signature = true\ntrust.direct = true\ndecorators.deny = [\"retry\"]");
    direct("go").expect(0);
    direct("slow").expect(24).says("`decorators.deny`");
    for demand in ["trust.threshold = 2", "trust.vouches = 1", "plan.require_expiry = true", "plan.max_age = \"0s\""] {
        here.policy(demand);
        let key = demand.split(' ').next().expect("a key");
        direct("go").expect(24).says(&format!("`{key}`")).says("effects: none");
        here.policy(&format!("{demand}\ntrust.direct = true"));
        direct("go").expect(0);
    }
    here.policy("plan.require_source = true");
    direct("go").expect(0);
    here.policy("garbage");
    direct("go").expect(78);
}

#[test]
fn a_run_goes_on_as_it_was_judged_when_policy_and_signers_are_replaced() {
    let here = guarded!();
    here.trust(&[("ops", "own")]).policy("");
    let script = "go: {\n    echo 'decorators.deny = [\"shell\"]' > /etc/opal/policy.toml\n    : > /etc/opal/allowed_signers\n    echo SITE > ran\n}\n";
    here.contract(script, &["go"]);
    let ended = here.run_as("", &[]);
    ended.expect(0).says("3 of 3 steps");
    here.run_as("", &[]).expect(20);
    here.trust(&[("ops", "own")]).run_as("", &[]).expect(24);
}

#[test]
fn runs_race_with_policies_and_signers_that_are_replaced() {
    let here = guarded!();
    here.trust(&[("ops", "own")]).policy("");
    let signers = [std::fs::read_to_string(here.etc("allowed_signers")).expect("there"), String::new()];
    let policies = ["", "decorators.deny = [\"shell\"]", "garbage"];
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut seen = std::collections::BTreeSet::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let replace = |name: &str, text: &str| {
                std::fs::write(here.etc("swap"), text).expect("written");
                std::fs::rename(here.etc("swap"), here.etc(name)).expect("renamed");
            };
            for round in (0_usize..).take_while(|_| !stop.load(std::sync::atomic::Ordering::Relaxed)) {
                replace("policy.toml", policies[round % 3]);
                replace("allowed_signers", &signers[round / 3 % 2]);
                std::thread::sleep(std::time::Duration::from_millis(3));
            }
        });
        for _ in 0..60 {
            let ended = here.run_as("", &["--record", "none"]);
            assert!([0, 20, 24, 78].contains(&ended.status), "{ended:?}");
            assert_eq!(here.host.work().join("ran").exists(), ended.status == 0, "{ended:?}");
            seen.insert(ended.status);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(seen.len() > 1, "{seen:?}");
}

#[test]
fn a_policy_check_explains_every_key_in_one_document() {
    let here = guarded!();
    here.policy("plan.types = [\"matrix\"]\nrun.timeout = \"1h\"\nplan.max_age = \"0s\"").trust(&[("ops", "own")]);
    let check = |options: &[&str]| here.inside("", "opal-vm", &[&["policy", "check", "--plan", "prod.plan", "--json"], options].concat());
    let ended = check(&[]);
    ended.expect(24).says("error[policy_refused]").says("help:");
    let document: Value = serde_json::from_str(&ended.stdout).expect("one document");
    assert_eq!(
        (&document["schema"], &document["exit"], &document["verdict"]),
        (&"opal/policy-check/v1".into(), &24.into(), &"refused".into())
    );
    assert_eq!((&document["policy"], &document["guarded"][0]), (&"/etc/opal/policy.toml".into(), &"this host has a policy".into()));
    let decisions = document["decisions"].as_array().expect("decisions");
    let verdict = |about: &str| decisions.iter().find(|row| row["about"] == about).map(|row| row["verdict"].clone()).expect("a decision");
    assert_eq!(decisions.len(), opal_trust::policy::Key::ALL.len() + 3);
    for (about, expected) in
        [("trust", "allows"), ("expiry", "allows"), ("plan.types", "refuses"), ("plan.max_age", "refuses"), ("run.timeout", "applies")]
    {
        assert_eq!(verdict(about), expected, "{about}");
    }
    // A draft is judged in the place of the policy that is in force, where that one lets drafts be shown.
    here.policy("run.reveal = true");
    here.host.write("draft.toml", "plan.types = [\"atomic\"]");
    check(&["--policy", "draft.toml"]).expect(0);
    here.host.write("draft.toml", "plan.type = 1");
    check(&["--policy", "draft.toml"]).expect(78).says("draft.toml");
    check(&["--policy", "none.toml"]).expect(66);
}

#[test]
fn a_policy_counts_vouches_of_people_who_did_not_sign() {
    let Some(host) = Guarded::new() else { return };
    for name in ["alice", "bob", "carol"] {
        host.host.opalc(&["keygen", "-o", name]).expect(0);
        host.host.opalc(&["vouch", "prod.plan", "--key", name, "-o", &format!("{name}.vouch")]).expect(0);
    }
    host.host.opalc(&["sign", "prod.plan", "--key", "alice"]).expect(0);
    host.host.opalc(&["vouch", "prod.plan", "--plan-hash", "--key", "carol", "-o", "plan.vouch"]).expect(0);
    host.policy("[trust]\nvouches = 1\n").trust(&[("alice", "alice"), ("bob", "bob"), ("carol namespaces=\"opal-plan\"", "carol")]);
    let verify = |vouches: &[&str]| {
        let mut words = vec!["verify", "--plan", "prod.plan"];
        vouches.iter().for_each(|vouch| words.extend(["--vouch", vouch]));
        host.inside("", "opal-vm", &words)
    };
    verify(&[]).expect(20).says("error[vouches_unmet]").says("opalc vouch");
    verify(&["alice.vouch"]).expect(20).says("error[vouches_unmet]");
    verify(&["carol.vouch"]).expect(20).says("error[vouches_unmet]").says("opal-vouch");
    verify(&["plan.vouch"]).expect(20).says("error[vouches_unmet]");
    let counted = verify(&["bob.vouch", "plan.vouch"]);
    counted.expect(0);
    assert!(counted.stdout.contains("trusted as `bob`"), "{}", counted.stdout);
    // No flag stands in for vouches, and vouches stand in for no signature.
    host.inside("", "opal-vm", &["verify", "--plan", "prod.plan", "--expect", &host.hash()]).expect(20).says("error[vouches_unmet]");
    host.policy("[trust]\nvouches = 1\nthreshold = 2\n");
    verify(&["bob.vouch"]).expect(20).says("error[threshold_unmet]");
    host.policy("[trust]\nvouches = 1\n").put("revoked", &host.public("bob"));
    verify(&["bob.vouch"]).expect(20).says("error[key_revoked]");
}

#[test]
fn root_signs_a_receipt_with_the_key_of_the_host() {
    let Some(host) = Guarded::new() else { return };
    std::fs::create_dir(host.host.path().join("etc/ssh")).expect("a directory");
    let key = host.host.path().join("etc/ssh/ssh_host_ed25519_key");
    host.host.opalc(&["keygen", "-o", &key.display().to_string()]).expect(0);
    let public = std::fs::read_to_string(key.with_extension("pub")).expect("a public key");
    host.host.write("host.pub", &public);
    host.contract("go: echo SITE @env.A\n", &["go", "--recipient", "host.pub"]);
    host.trust(&[("me", "own")]);
    std::fs::remove_file(host.host.path().join("config/opal/identity")).expect("an identity");
    host.inside("", "opal-vm", &["run", "--plan", "prod.plan", "--receipt", "run.receipt"]).expect(0);
    let shown = host.host.opalc(&["show", "run.receipt", "--json"]);
    let document: Value = serde_json::from_str(&shown.expect(0).stdout).expect("JSON");
    assert!(public.starts_with(document["signer"]["key"].as_str().expect("a key")));
}

/// What each option of a run is given. `None` is one that no single run of a contract can have.
fn given(option: &str, hash: &str) -> Option<Vec<String>> {
    let word = |value: &str| Some(vec![format!("--{option}={value}")]);
    match option {
        "plan" | "resume" | "rerun-unknown" => None,
        "json" | "allow-unsigned" | "quiet" | "confirm" | "yes" => Some(vec![format!("--{option}")]),
        "color" => word("never"),
        "max-size" => word("10M"),
        "expect" => word(hash),
        "source" => word("deploy.opl"),
        "identity" => word("own"),
        "vouch" => word("prod.vouch"),
        "env-file" => word("values.env"),
        "record" => word("none"),
        "receipt" => word("receipt.json"),
        "force" => word("env.A"),
        "from" => word("1"),
        other => panic!("say here what `--{other}` is given, and that it loosens no policy"),
    }
}

#[test]
fn no_option_of_a_run_loosens_what_a_policy_says() {
    let here = guarded!();
    here.trust(&[("ops", "own")]);
    let hash = here.hash();
    let command = opal_vm::cli::command();
    let run = command.find_subcommand("run").expect("the command");
    let options: Vec<String> = run.get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned)).collect();
    assert!(options.len() > 10, "{options:?}");
    here.policy("").run(&[], 0);
    for (policy, status) in [
        ("trust.threshold = 2", 20),
        ("trust.vouches = 1", 20),
        ("trust.require_signature = true\n[[signer]]\nprincipal = \"ops\"\ntargets = [\"other\"]", 20),
        ("plan.max_age = \"0s\"", 24),
        ("plan.types = [\"campaign\"]", 24),
        ("decorators.deny = [\"env\"]", 24),
        ("run.shell = \"/opt/bash\"", 24),
    ] {
        here.policy(policy).run(&[], status);
        for option in options.iter().filter_map(|option| given(option, &hash)) {
            let words: Vec<&str> = option.iter().map(String::as_str).collect();
            let ended = here.run_as("", &words);
            assert!(ended.status != 0 && !here.host.work().join("ran").exists(), "{policy} with {words:?}: {ended:?}");
        }
    }
}
