//! The list of what is revoked, as a policy wants it: signed by whom it names, the latest edition, and not too old.
//!
//! Hosts of their own take root. Where that is missing these tests say so and pass.

use jiff::{SignedDuration, Timestamp};
use opal_format::identity::Identity;
use opal_tests::guarded::Guarded;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

/// A host whose policy wants a list that `sec` has signed, with a key that `ssh-keygen` signs with.
fn host(policy: &str) -> Option<Guarded> {
    let here = Guarded::new()?;
    let author = here.host.opalc(&["keygen", "-o", "sec"]);
    author.expect(0);
    here.put("allowed_signers", &format!("ops {}\nsec namespaces=\"opal-revoked\" {}\n", here.public("own"), here.public("sec")));
    here.policy(policy);
    Some(here)
}

/// Puts a list there with a signature that `ssh-keygen` makes with this key of the work directory.
fn put(here: &Guarded, list: &str, key: &str, namespace: &str) {
    here.host.write("revoked", list);
    let _ = std::fs::remove_file(here.host.work().join("revoked.sig"));
    let mut sign = Command::new("ssh-keygen");
    sign.args(["-Y", "sign", "-n", namespace, "-f", key, "revoked"]).current_dir(here.host.work());
    assert!(sign.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("ssh-keygen").success());
    here.put("revoked", list).put("revoked.sig", &here.host.read("revoked.sig"));
}

fn signed(here: &Guarded, list: &str) {
    put(here, list, "sec", "opal-revoked");
}

/// Every command that judges a contract ends like this, and only a run that may run does.
#[track_caller]
fn everywhere(here: &Guarded, status: i32, code: &str) {
    for words in [&["verify", "--plan", "prod.plan"][..], &["resolve", "--plan", "prod.plan", "-o", "-"]] {
        let ended = here.inside("", "opal-vm", words);
        ended.expect(status);
        if status != 0 {
            ended.says(&format!("error[{code}]"));
        }
    }
    let ran = here.run(&[], status);
    if status != 0 {
        ran.says(&format!("error[{code}]"));
    }
}

#[test]
fn an_older_list_of_what_is_revoked_is_refused_wherever_it_comes_from() {
    let Some(here) = host("trust.revoked_by = \"sec\"") else { return };
    signed(&here, "serial 6\n");
    // Who only looks remembers nothing.
    here.inside("", "opal-vm", &["verify", "--plan", "prod.plan"]).expect(0);
    signed(&here, "serial 5\n");
    everywhere(&here, 0, "");
    let revoked = format!("serial 7\n{} a bad rollout\n", here.hash());
    signed(&here, &revoked);
    here.run(&[], 20).says("error[contract_revoked]");
    // A run that was refused has seen nothing; one that was judged has.
    signed(&here, "serial 7\n# nothing is revoked\n");
    everywhere(&here, 0, "");
    for older in ["serial 5\n", "serial 6\n"] {
        signed(&here, older);
        everywhere(&here, 78, "revoked_older");
    }
    signed(&here, &revoked);
    everywhere(&here, 78, "revoked_serial_reused");
    signed(&here, &format!("serial 8\n{}\n", here.hash()));
    here.run(&[], 20).says("error[contract_revoked]");
    let memory = here.host.path().join("lib/opal/revoked");
    assert!(std::fs::read_to_string(&memory).expect("remembered").starts_with("7 sha256:"));
    std::fs::write(&memory, "7").expect("damaged");
    everywhere(&here, 78, "revoked_forgotten");
    // Without the policy's word the list is root's alone to say.
    here.policy("");
    here.put("revoked", "serial 1\n");
    everywhere(&here, 0, "");
}

#[test]
fn a_list_of_what_is_revoked_is_as_the_policy_wants_it_or_nothing_runs() {
    let Some(here) = host("trust.revoked_by = \"sec\"\ntrust.revoked_max_age = \"1h\"") else { return };
    let made = |ago: i64| {
        let time = Timestamp::now().checked_sub(SignedDuration::from_secs(ago)).expect("a time");
        format!("made {}", time.strftime("%Y%m%d%H%M%S"))
    };
    let list = |ago: i64| format!("serial 1\n{}\n", made(ago));
    everywhere(&here, 78, "revoked_missing");
    here.put("revoked", &list(0));
    everywhere(&here, 78, "revoked_unsigned");
    signed(&here, &list(0));
    everywhere(&here, 0, "");
    // Changed after it was signed, in any way.
    let genuine = list(0);
    signed(&here, &genuine);
    for changed in [format!("{genuine}\n"), genuine.replace("serial 1", "serial 2"), genuine.trim_end().to_owned()] {
        here.put("revoked", &changed);
        everywhere(&here, 78, "revoked_signature");
    }
    put(&here, &list(0), "sec", "opal-plan");
    everywhere(&here, 78, "revoked_signature");
    // By somebody else, also by one who may sign contracts.
    let own = here.host.path().join("config/opal/identity").display().to_string();
    put(&here, &list(0), &own, "opal-revoked");
    everywhere(&here, 78, "revoked_signer");
    signed(&here, &format!("{}\n", made(0)));
    everywhere(&here, 78, "revoked_incomplete");
    signed(&here, "serial 9\n");
    everywhere(&here, 78, "revoked_incomplete");
    signed(&here, &list(7200));
    everywhere(&here, 78, "revoked_expired");
    signed(&here, &list(-7200));
    everywhere(&here, 78, "revoked_expired");
    // A line that no list has is one that nobody takes for a comment.
    let mut strange = list(0);
    let _ = writeln!(strange, "serail 2");
    signed(&here, &strange);
    everywhere(&here, 78, "bad_trust_file");
    // A policy that names nobody asks for no signature, and may ask for an age all the same.
    here.policy("trust.revoked_max_age = \"1h\"");
    here.put("revoked", &made(0));
    everywhere(&here, 0, "");
    here.put("revoked", &format!("{}\n{}\n", made(0), Identity::generate("").expect("a key").public()));
    everywhere(&here, 0, "");
    here.put("revoked", &made(7200));
    everywhere(&here, 78, "revoked_expired");
}

#[test]
fn a_policy_may_want_every_contract_to_name_its_hosts() {
    let Some(here) = host("plan.require_host = true") else { return };
    here.put("host.pub", &here.public("sec"));
    here.run(&[], 24);
    here.contract("go: echo SITE @env.A > ran\n", &["go", "--host", "sec.pub"]);
    here.run(&[], 0);
    here.host.write("commands.opl", "go: echo SITE\n");
    here.inside("", "opal", &["go"]).expect(24).says("plan.require_host");
}
