//! Vouches and receipts: made, counted, shown, verified without opal, and rendered for other tools.

use base64ct::{Base64, Encoding as _};
use ed25519_dalek::{Signature, VerifyingKey};
use opal_format::attestation::{Attestation, NAMESPACE_RECEIPT, NAMESPACE_VOUCH, write};
use opal_format::identity::{Identity, PublicKey};
use opal_format::signature::SshSignature;
use opal_tests::Host;
use serde_json::Value;
use std::io::Write as _;
use std::process::{Command, Stdio};

const SECRET: &str = "correct-horse-battery-staple";

fn host() -> Host {
    let mut host = Host::new();
    host.set("TOKEN", SECRET);
    host
}

/// Makes a contract and the keys `alice` and `bob`.
fn vouching() -> Host {
    let host = host();
    host.contract("run: echo SITE @env.TOKEN\n", &["run"]);
    for name in ["alice", "bob"] {
        host.opalc(&["keygen", "-o", name]).expect(0);
    }
    host
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What `ssh-keygen -Y verify` says of an attestation; `None` where it is not installed.
fn ssh_keygen_verifies(host: &Host, file: &str, namespace: &str, key: &str) -> Option<bool> {
    let bytes = std::fs::read(host.work().join(file)).expect("a file");
    let end = bytes.windows(27).position(|window| window == b"-----END SSH SIGNATURE-----").expect("an end") + 28;
    host.write("signers", format!("someone {key}\n"));
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "verify", "-n", namespace, "-I", "someone", "-f", "signers", "-s", file])
        .current_dir(host.work())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|_| println!("skipped: ssh-keygen is not installed"))
        .ok()?;
    child.stdin.take().expect("a pipe").write_all(&bytes[end..]).expect("written");
    Some(child.wait().expect("ends").success())
}

#[test]
fn a_vouch_is_made_shown_and_verified_with_and_without_opal() {
    let host = vouching();
    host.opalc(&["vouch", "prod.plan", "--key", "alice", "-o", "alice.vouch"]).expect(0).says("vouched by");
    let shown = host.opalc(&["show", "prod.plan", "--json"]).expect(0).stdout.clone();
    let (contract, plan) = (json(&shown)["contract_hash"].clone(), json(&shown)["plan_hash"].clone());
    let document = json(&host.opalc(&["show", "alice.vouch", "--json"]).expect(0).stdout);
    let alice: PublicKey = host.read("alice.pub").parse().expect("a key");
    assert_eq!((&document["for"], &document["digest"]), (&"contract".into(), &contract));
    assert_eq!(document["signer"]["fingerprint"], alice.fingerprint());
    assert!(host.opalc(&["show", "alice.vouch"]).expect(0).stdout.contains(&alice.fingerprint()));
    if let Some(verified) = ssh_keygen_verifies(&host, "alice.vouch", NAMESPACE_VOUCH, &alice.to_string()) {
        assert!(verified);
        assert_eq!(ssh_keygen_verifies(&host, "alice.vouch", "opal-plan", &alice.to_string()), Some(false));
    }
    let verified = host.vm(&["verify", "--plan", "prod.plan", "--vouch", "alice.vouch", "--json"]);
    let vouches = json(&verified.expect(0).stdout)["vouches"].clone();
    assert_eq!((&vouches[0]["for"], &vouches[0]["counts_for"]), (&"contract".into(), &Value::Null));
    for (program, words) in [("opal-vm", vec!["inspect", "--plan", "prod.plan"]), ("opalc", vec!["show", "prod.plan"])] {
        let listed = host.run(program, &[&words[..], &["--vouch", "alice.vouch"]].concat());
        assert!(listed.expect(0).stdout.contains("vouched by:"), "{}", listed.stdout);
        assert!(listed.stdout.contains(&alice.fingerprint()));
    }

    host.opalc(&["vouch", "prod.plan", "--key", "bob", "--plan-hash", "-o", "bob.vouch"]).expect(0);
    let document = json(&host.opalc(&["show", "bob.vouch", "--json"]).expect(0).stdout);
    assert_eq!((&document["for"], &document["digest"]), (&"plan".into(), &plan));
    host.vm(&["run", "--plan", "prod.plan", "--vouch", "bob.vouch"]).expect(0).says("for the plan, which counts for nothing");
    // A contract that somebody else made of the same work: the plan's vouch holds, the contract's does not.
    host.opalc(&["deploy.opl", "run", "--resolve", "-o", "other.plan"]).expect(0);
    host.vm(&["verify", "--plan", "other.plan", "--vouch", "bob.vouch"]).expect(0);
    let refused = host.vm(&["verify", "--plan", "other.plan", "--vouch", "bob.vouch", "--vouch", "alice.vouch"]);
    refused.expect(20).says("error[vouch_mismatch]").says("alice.vouch");
    // A vouch signs nothing.
    host.opalc(&["deploy.opl", "run", "--resolve", "--unsigned", "-o", "bare.plan"]).expect(0);
    host.opalc(&["vouch", "bare.plan", "-o", "bare.vouch"]).expect(0);
    host.vm(&["run", "--plan", "bare.plan", "--vouch", "bare.vouch"]).expect(20).says("error[unsigned]");
    host.opalc(&["vouch", "prod.plan", "--digest", &format!("sha256:{}", "0".repeat(64))]).expect(20).says("error[unexpected_contract]");
}

#[test]
fn what_is_no_vouch_is_refused_wherever_it_is_given() {
    let host = vouching();
    host.opalc(&["vouch", "prod.plan", "--key", "alice", "-o", "good"]).expect(0);
    let good = host.read("good");
    let alice = Identity::from_openssh(host.read("alice").as_bytes()).expect("a key");
    let statement = good.lines().last().map(|line| format!("{line}\n")).expect("a line");
    let as_plan = SshSignature::sign(&alice.signing, "opal-plan", statement.as_bytes()).expect("signs");
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("empty", Vec::new(), "signature_malformed"),
        ("text", b"contract sha256:00\n".to_vec(), "signature_malformed"),
        ("namespace", write(&as_plan, statement.as_bytes()), "signature_namespace"),
        ("cut", good.as_bytes()[..good.len() / 2].to_vec(), "signature_malformed"),
        ("large", vec![b'-'; 100_000], "vouch_unreadable"),
    ];
    for (name, bytes, code) in cases {
        host.write(name, bytes);
        for command in ["inspect", "verify", "run"] {
            let refused = host.vm(&[command, "--plan", "prod.plan", "--vouch", "good", "--vouch", name]);
            assert!(matches!(refused.status, 20 | 66), "{name} {}", refused.stderr);
            refused.says(&format!("error[{code}]"));
        }
    }
    host.vm(&["verify", "--plan", "prod.plan", "--vouch", "missing"]).expect(66).says("error[vouch_unreadable]");
    let many: Vec<&str> = ["--vouch", "good"].repeat(17);
    host.vm(&[&["verify", "--plan", "prod.plan"], &many[..]].concat()).expect(64);
    // What follows the armour is for people: the VM looks at the signature alone.
    host.write("bare", good.split_inclusive('\n').take_while(|line| !line.starts_with("contract")).collect::<String>());
    host.vm(&["verify", "--plan", "prod.plan", "--vouch", "bare"]).expect(0);
}

const STEPS: &str = r#"run: {
    echo SITE
    try {
        sh -c 'exit 7'
    } catch {
        echo "@env.TOKEN"
    }
    echo done
}
"#;

#[test]
fn a_receipt_says_what_ran_how_it_went_and_who_says_so() {
    let host = host();
    host.contract(STEPS, &["run"]);
    host.vm(&["run", "--plan", "prod.plan", "--receipt", "run.receipt"]).expect(0).says("receipt: run.receipt");
    assert!(!host.read("run.receipt").contains(SECRET), "nothing secret is in a receipt");
    let shown = json(&host.opalc(&["show", "run.receipt", "--json"]).expect(0).stdout);
    let records = shown["records"].as_array().expect("records");
    let contract = json(&host.opalc(&["show", "prod.plan", "--json"]).stdout)["contract_hash"].clone();
    assert_eq!(records[0]["contract_hash"], contract);
    assert_eq!(records[0]["schema"], "opal/receipt/v1");
    let end = records.last().expect("an end");
    assert_eq!((&end["record"], &end["outcome"], &end["exit"]), (&"end".into(), &"succeeded".into(), &0.into()));
    assert_eq!((&end["failures"][0]["handled"], end["failures"].as_array().map(Vec::len)), (&true.into(), Some(1)));
    let exits: Vec<&Value> = records.iter().filter(|record| record["record"] == "step_done").map(|record| &record["exit"]).collect();
    assert_eq!(exits, [0, 7, 0, 0]);
    // The identity that opened the contract signs.
    let own = std::fs::read_to_string(host.path().join("config/opal/identity.pub")).expect("an identity");
    let own: PublicKey = own.parse().expect("a key");
    assert_eq!(shown["signer"]["fingerprint"], own.fingerprint());
    assert_eq!(records[0]["identity"], own.to_string());
    if let Some(verified) = ssh_keygen_verifies(&host, "run.receipt", NAMESPACE_RECEIPT, &own.to_string()) {
        assert!(verified);
    }
    let text = host.opalc(&["show", "run.receipt"]).expect(0).stdout.clone();
    for expected in [own.fingerprint().as_str(), "succeeded", "exit 7", "(handled)", "4 of "] {
        assert!(text.contains(expected), "no `{expected}` in {text}");
    }
    // A receipt is evidence: nothing takes its place, and nothing is run in vain.
    let before = std::fs::read(host.work().join("run.receipt")).expect("a receipt");
    host.vm(&["run", "--plan", "prod.plan", "--receipt", "run.receipt"]).expect(74).says("error[receipt_unusable]").says("effects: none");
    host.vm(&["run", "--plan", "prod.plan", "--receipt", "no/such/place"]).expect(74).says("error[receipt_unusable]");
    assert_eq!(std::fs::read(host.work().join("run.receipt")).expect("a receipt"), before);
    let hidden = |path: &std::path::Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let left: Vec<_> = host.files().into_iter().filter(|(path, _)| hidden(path)).map(|(path, _)| path).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(std::fs::read_dir(host.path().join("state/opal/runs")).expect("records").count(), 1, "what did not run has no record");
}

#[test]
fn a_run_that_fails_or_is_interrupted_has_a_receipt_too() {
    let host = host();
    host.contract("run: {\n    echo SITE\n    sh -c 'exit 9'\n    echo never\n}\n", &["run"]);
    host.vm(&["run", "--plan", "prod.plan", "--receipt", "failed", "--record", "none"]).expect(1);
    let records = json(&host.opalc(&["show", "failed", "--json"]).expect(0).stdout)["records"].clone();
    let end = records.as_array().and_then(|records| records.last()).expect("an end").clone();
    assert_eq!((&end["outcome"], &end["exit"], &end["steps_total"]), (&"failed".into(), &1.into(), &3.into()));
    assert_eq!(end["failures"][0]["first_cause"], true);

    host.contract("run: {\n    touch started-SITE\n    sleep 300\n}\n", &["run"]);
    let mut child =
        host.command("opal-vm", ["run", "--plan", "prod.plan", "--receipt", "stopped"]).stderr(Stdio::null()).spawn().expect("starts");
    let started = host.work().join(host.named("started-SITE"));
    while !started.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid")), nix::sys::signal::Signal::SIGTERM)
        .expect("signalled");
    assert!(!child.wait().expect("ends").success());
    let records = json(&host.opalc(&["show", "stopped", "--json"]).expect(0).stdout)["records"].clone();
    let end = records.as_array().and_then(|records| records.last()).expect("an end").clone();
    assert_eq!((&end["outcome"], &end["detail"], &end["exit"]), (&"cancelled".into(), &"SIGTERM".into(), &143.into()));

    // What went on with an earlier part, or began in the middle, says so.
    host.vm(&["run", "--plan", "prod.plan", "--from", "9", "--receipt", "no-step"]).expect(64);
    assert!(!host.work().join("no-step").exists());
    host.contract("run: {\n    echo SITE\n    test -e go\n}\n", &["run"]);
    host.vm(&["run", "--plan", "prod.plan"]).expect(1);
    host.write("go", "");
    host.vm(&["run", "--plan", "prod.plan", "--from", "2", "--receipt", "partial"]).expect(0);
    let text = host.opalc(&["show", "partial"]).expect(0).stdout.clone();
    assert!(text.contains("partial:    it began at step 2"), "{text}");

    // Where nothing was run there is nothing to say.
    host.vm(&["run", "--plan", "failed", "--receipt", "none"]).expect(65);
    assert!(!host.work().join("none").exists());
}

#[test]
fn a_receipt_that_was_cut_or_changed_is_told_apart() {
    let host = host();
    host.contract(STEPS, &["run"]);
    host.vm(&["run", "--plan", "prod.plan", "--receipt", "good"]).expect(0);
    let good = host.read("good");
    let show = |bytes: &[u8]| {
        host.write("bad", bytes);
        host.opalc(&["show", "bad"])
    };
    let lines: Vec<&str> = good.split_inclusive('\n').collect();
    // Cut anywhere: between lines, inside a line, inside the signature.
    let mut cuts: Vec<usize> = lines
        .iter()
        .scan(0, |at, line| {
            *at += line.len();
            Some(*at)
        })
        .collect();
    cuts.pop();
    cuts.extend([good.len() - 1, good.len() - 10, 60]);
    for cut in cuts.into_iter().filter(|cut| *cut > 30) {
        show(&good.as_bytes()[..cut]).expect(65).says("error[attestation_truncated]");
    }
    show(good.replace("\"exit\":7", "\"exit\":0").as_bytes()).expect(20).says("error[signature_mismatch]");
    let without: String = lines.iter().filter(|line| !line.contains("\"exit\":7")).copied().collect();
    show(without.as_bytes()).expect(20).says("error[signature_mismatch]");
    show(format!("{good}{}", lines.last().expect("a line")).as_bytes()).expect(20);
    // A vouch cannot be taken for a receipt, nor the other way round.
    let parsed = Attestation::read(good.as_bytes(), NAMESPACE_RECEIPT).expect("a receipt");
    let alice = Identity::generate("alice").expect("random");
    let as_vouch = SshSignature::sign(&alice.signing, NAMESPACE_VOUCH, parsed.statement).expect("signs");
    show(&write(&as_vouch, parsed.statement)).expect(65).says("error[attestation_malformed]");
    let as_git = SshSignature::sign(&alice.signing, "git", parsed.statement).expect("signs");
    show(&write(&as_git, parsed.statement)).expect(65).says("error[attestation_unknown]");
}

/// Verifies a DSSE envelope as its specification says and gives the statement.
fn opened(envelope: &Value, key: &PublicKey) -> Value {
    let payload = Base64::decode_vec(envelope["payload"].as_str().expect("text")).expect("base64");
    let kind = envelope["payloadType"].as_str().expect("text");
    let encoded = [format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).as_bytes(), &payload].concat();
    let signature = Base64::decode_vec(envelope["signatures"][0]["sig"].as_str().expect("text")).expect("base64");
    let signature = Signature::from_slice(&signature).expect("64 bytes");
    VerifyingKey::from_bytes(key.as_bytes()).expect("a key").verify_strict(&encoded, &signature).expect("it verifies");
    assert_eq!(envelope["signatures"][0]["keyid"], key.fingerprint());
    serde_json::from_slice(&payload).expect("JSON")
}

#[test]
fn vouches_and_receipts_become_in_toto_statements_in_signed_envelopes() {
    let host = vouching();
    host.opalc(&["vouch", "prod.plan", "--key", "alice", "-o", "vouch"]).expect(0);
    host.vm(&["run", "--plan", "prod.plan", "--receipt", "receipt"]).expect(0);
    let contract = json(&host.opalc(&["show", "prod.plan", "--json"]).stdout)["contract_hash"].as_str().expect("text").to_owned();
    let bob: PublicKey = host.read("bob.pub").parse().expect("a key");
    for (file, kind) in [("vouch", "urn:opal:vouch:v1"), ("receipt", "urn:opal:receipt:v1")] {
        let rendered = host.opalc(&["show", "--in-toto", file, "--key", "bob"]);
        let envelope = json(&rendered.expect(0).stdout);
        assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
        let statement = opened(&envelope, &bob);
        assert_eq!((&statement["_type"], &statement["predicateType"]), (&"https://in-toto.io/Statement/v1".into(), &kind.into()));
        assert_eq!(statement["subject"][0]["digest"]["sha256"], contract.trim_start_matches("sha256:"));
        // The signature of the attestation itself travels with it and can be verified.
        let sshsig = &statement["predicate"]["sshsig"];
        let namespace = if file == "vouch" { NAMESPACE_VOUCH } else { NAMESPACE_RECEIPT };
        let original = SshSignature::from_armor(sshsig["armor"].as_str().expect("text"), namespace).expect("a signature");
        assert_eq!(original.verify(sshsig["signed"].as_str().expect("text").as_bytes()), Ok(()));
        assert_eq!(original.signatory.to_string(), sshsig["key"].as_str().expect("text"));
    }
    // Without `--key` the caller's own identity signs; a contract is none of these, and a broken vouch becomes no statement.
    host.opalc(&["show", "--in-toto", "vouch"]).expect(0);
    host.opalc(&["show", "--in-toto", "prod.plan"]).expect(64);
    host.opalc(&["show", "vouch", "--key", "bob"]).expect(64);
    host.write("broken", host.read("vouch").replace("contract sha256:", "plan sha256:"));
    let refused = host.opalc(&["show", "--in-toto", "broken"]);
    refused.expect(20).says("error[signature_mismatch]");
    assert!(refused.stdout.is_empty());
}
