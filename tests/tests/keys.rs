//! Who signs: private keys with and without a passphrase, and keys that an agent holds. With the real `ssh-keygen`, `ssh-agent` and `script`.

use opal_tests::{Ended, Host};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};

/// Whether a program is here; says so where it is not.
fn have(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program} >/dev/null")]).status().is_ok_and(|status| status.success());
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

fn keygen(host: &Host, arguments: &[&str]) {
    let made = Command::new("ssh-keygen").args(arguments).current_dir(host.work()).stdout(Stdio::null()).status();
    assert!(made.expect("ssh-keygen starts").success());
}

/// An agent of this test's own.
struct Agent(Child);

impl Agent {
    fn start(host: &mut Host) -> Self {
        let socket = host.path().join("agent");
        let mut agent =
            Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::piped()).spawn().expect("ssh-agent starts");
        // It says where it listens once it does.
        let mut line = String::new();
        BufReader::new(agent.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        host.set("SSH_AUTH_SOCK", &socket.display().to_string());
        Self(agent)
    }

    fn add(&self, host: &Host, key: &str) {
        let added = Command::new("ssh-add")
            .args(["-q", key])
            .current_dir(host.work())
            .env("SSH_AUTH_SOCK", host.path().join("agent"))
            .stdin(Stdio::null())
            .status();
        assert!(added.expect("ssh-add starts").success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn contract(host: &Host) {
    host.contract("run: echo SITE\n", &["run", "--unsigned"]);
}

/// The fingerprints of those who signed `prod.plan`.
fn signers(host: &Host) -> Vec<String> {
    let shown = host.opalc(&["show", "prod.plan", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&shown.expect(0).stdout).expect("JSON");
    let mut keys: Vec<String> =
        document["signers"].as_array().expect("signers").iter().map(|key| key.as_str().expect("a key").to_owned()).collect();
    keys.sort();
    keys
}

fn public(host: &Host, name: &str) -> String {
    host.read(name).split(' ').take(2).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// Runs `opalc` on a terminal of its own and types `keys` when it asks.
fn on_a_terminal(host: &Host, arguments: &[&str], keys: &str) -> Ended {
    let quoted: Vec<String> = arguments.iter().map(|word| format!("'{word}'")).collect();
    let line = format!("{} {}", opal_tests::binaries().join("opalc").display(), quoted.join(" "));
    let mut command = host.command("opalc", [""]);
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).current_dir(host.work()).env_clear();
    for (name, value) in command.stdin(Stdio::null()).get_envs() {
        script.env(name, value.unwrap_or_default());
    }
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("script starts");
    let mut input = child.stdin.take().expect("a pipe");
    let mut output = child.stdout.take().expect("a pipe");
    let mut seen = Vec::new();
    let mut typed = keys.split_inclusive('\n');
    let mut answered = 0;
    let mut byte = [0];
    while output.read(&mut byte).expect("output") == 1 {
        seen.push(byte[0]);
        // Each question is answered once it is there: what was typed before it is thrown away.
        let asked = String::from_utf8_lossy(&seen).matches("Passphrase of").count();
        if asked > answered && seen.ends_with(b": ") {
            answered = asked;
            if let Some(line) = typed.next() {
                input.write_all(line.as_bytes()).expect("typed");
            }
        }
    }
    let status = child.wait().expect("ends").code().unwrap_or(-1);
    let text = String::from_utf8_lossy(&seen).into_owned();
    Ended { status, stdout: String::new(), stderr: text }
}

#[test]
fn an_agent_signs_for_the_public_key_that_is_named_as_a_file_or_as_text() {
    if !have("ssh-agent") || !have("ssh-keygen") {
        return;
    }
    let mut host = Host::new();
    let agent = Agent::start(&mut host);
    for name in ["first", "second"] {
        keygen(&host, &["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name]);
        agent.add(&host, name);
        std::fs::remove_file(host.work().join(name)).expect("the private half is in the agent only");
    }
    contract(&host);
    host.opalc(&["sign", "prod.plan", "--key", "first.pub"]).expect(0).says("(first)");
    assert_eq!(signers(&host), [public(&host, "first.pub")]);
    let text = host.read("second.pub");
    host.opalc(&["sign", "prod.plan", "--key", text.trim()]).expect(0);
    let mut both = [public(&host, "first.pub"), public(&host, "second.pub")];
    both.sort();
    assert_eq!(signers(&host), both);
    // The same where a contract is made.
    host.opalc(&["deploy.opl", "run", "--resolve", "-o", "prod.plan", "--key", "second.pub"]).expect(0);
    assert_eq!(signers(&host), [public(&host, "second.pub")]);
}

#[test]
fn an_agent_that_cannot_sign_is_a_refusal_of_its_own() {
    if !have("ssh-agent") || !have("ssh-keygen") {
        return;
    }
    let mut host = Host::new();
    contract(&host);
    let before = std::fs::read(host.work().join("prod.plan")).expect("a plan");
    keygen(&host, &["-q", "-t", "ed25519", "-N", "", "-f", "mine"]);
    let sign = |host: &Host| host.opalc(&["sign", "prod.plan", "--key", "mine.pub"]);
    sign(&host).expect(69).says("error[no_agent]").says("help:");
    let agent = Agent::start(&mut host);
    sign(&host).expect(69).says("error[key_not_in_agent]").says("holds none");
    keygen(&host, &["-q", "-t", "ed25519", "-N", "", "-f", "other"]);
    agent.add(&host, "other");
    sign(&host).expect(69).says("error[key_not_in_agent]").says("1 other");
    drop(agent);
    sign(&host).expect(69).says("error[no_agent]");
    // Nothing that was refused has touched the file.
    assert_eq!(std::fs::read(host.work().join("prod.plan")).expect("a plan"), before);
}

#[test]
fn what_an_agent_says_is_believed_in_nothing() {
    let mut host = Host::new();
    contract(&host);
    let socket = host.path().join("agent");
    let listener = UnixListener::bind(&socket).expect("a socket");
    host.set("SSH_AUTH_SOCK", &socket.display().to_string());
    host.opalc(&["keygen", "-o", "mine"]).expect(0);
    let key: opal_format::identity::PublicKey = host.read("mine.pub").parse().expect("a key");
    let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).expect("short").to_be_bytes(), bytes].concat();
    let blob = [string(b"ssh-ed25519"), string(key.as_bytes())].concat();
    let list = [vec![12, 0, 0, 0, 1], string(&blob), string(b"comment")].concat();
    let signature = [vec![14], string(&[string(b"ssh-ed25519"), string(&[7; 64])].concat())].concat();
    let cases: [(&[&[u8]], &str); 7] = [
        (&[&string(&list), &string(&signature)], "agent_bad_signature"),
        (&[&string(&list), &string(&[5])], "agent_refused"),
        (&[&string(&list), &string(&[14, 0, 0, 0, 9])], "no_agent"),
        (&[&string(&[12, 255, 255, 255, 255])], "no_agent"),
        (&[&[255, 255, 255, 255, 12]], "no_agent"),
        (&[&[0, 0, 0, 0]], "no_agent"),
        (&[b""], "no_agent"),
    ];
    for (answers, code) in cases {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for answer in answers {
                    let (mut stream, _) = listener.accept().expect("a request");
                    let mut length = [0; 4];
                    stream.read_exact(&mut length).expect("a length");
                    let mut request = vec![0; u32::from_be_bytes(length) as usize];
                    stream.read_exact(&mut request).expect("a request");
                    let _ = stream.write_all(answer);
                }
            });
            host.opalc(&["sign", "prod.plan", "--key", "mine.pub"]).expect(69).says(&format!("error[{code}]"));
        });
    }
    assert!(signers(&host).is_empty());
}

#[test]
fn a_security_key_signs_through_the_agent_when_it_is_touched() {
    use base64ct::{Base64, Encoding as _};
    use ed25519_dalek::{Signer as _, SigningKey};
    use opal_format::hash::HashAlgorithm;

    let mut host = Host::new();
    contract(&host);
    let socket = host.path().join("agent");
    let listener = UnixListener::bind(&socket).expect("a socket");
    host.set("SSH_AUTH_SOCK", &socket.display().to_string());
    let device = SigningKey::from_bytes(&[9; 32]);
    let name = b"sk-ssh-ed25519@openssh.com";
    let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).expect("short").to_be_bytes(), bytes].concat();
    let blob = [string(name), string(device.verifying_key().as_bytes()), string(b"ssh:")].concat();
    host.write("device.pub", format!("sk-ssh-ed25519@openssh.com {} token\n", Base64::encode_string(&blob)));
    let list = [vec![12, 0, 0, 0, 1], string(&blob), string(b"token")].concat();
    let sha256 = |bytes: &[u8]| HashAlgorithm::Sha256.plain(bytes).bytes;
    let take = |mut stream: &std::os::unix::net::UnixStream| {
        let mut length = [0; 4];
        stream.read_exact(&mut length).expect("a length");
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut request).expect("a request");
        request
    };
    for flags in [0_u8, 1] {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().expect("a request");
                let _ = take(&stream);
                stream.write_all(&string(&list)).expect("answered");
                let (mut stream, _) = listener.accept().expect("a request");
                let request = take(&stream);
                // kind, key, data, flags
                let data = request.get(1 + 4 + blob.len() + 4..request.len() - 4).expect("data");
                let signed = [&sha256(b"ssh:")[..], &[flags], &7_u32.to_be_bytes(), &sha256(data)].concat();
                let signature = device.sign(&signed).to_bytes();
                let answer = [string(name), string(&signature), vec![flags], 7_u32.to_be_bytes().to_vec()].concat();
                stream.write_all(&string(&[vec![14], string(&answer)].concat())).expect("answered");
            });
            let signed = host.opalc(&["sign", "prod.plan", "--key", "device.pub"]);
            if flags == 0 {
                signed.expect(69).says("error[agent_bad_signature]").says("nobody touched");
            } else {
                signed.expect(0).says("(token)");
            }
        });
    }
    let key = host.read("device.pub").split(' ').take(2).collect::<Vec<_>>().join(" ");
    assert_eq!(signers(&host), std::slice::from_ref(&key));
    host.vm(&["run", "--plan", "prod.plan"]).expect(20).says("error[untrusted_signer]").says(&key);
    host.write("../config/opal/allowed_signers", format!("ops {key}\n"));
    host.vm(&["run", "--plan", "prod.plan"]).expect(0);
}

#[test]
fn a_key_of_another_type_is_refused_by_name() {
    if !have("ssh-keygen") {
        return;
    }
    let host = Host::new();
    contract(&host);
    keygen(&host, &["-q", "-t", "ecdsa", "-N", "", "-f", "ecdsa"]);
    keygen(&host, &["-q", "-t", "ecdsa", "-N", "secret", "-f", "locked"]);
    for key in ["ecdsa", "ecdsa.pub", "locked"] {
        let refused = host.opalc(&["sign", "prod.plan", "--key", key]);
        assert!(matches!(refused.status, 65 | 78), "{}", refused.stderr);
        refused.says("ecdsa-sha2-nistp256").says("only ssh-ed25519 is");
    }
}

#[test]
fn a_passphrase_is_asked_for_on_the_terminal_only() {
    if !have("ssh-keygen") || !have("script") {
        return;
    }
    let host = Host::new();
    contract(&host);
    keygen(&host, &["-q", "-t", "ed25519", "-N", "correct horse", "-f", "locked"]);
    keygen(&host, &["-q", "-t", "ed25519", "-Z", "chacha20-poly1305@openssh.com", "-N", "correct horse", "-f", "other"]);
    let before = std::fs::read(host.work().join("prod.plan")).expect("a plan");
    let refused = host.opalc(&["sign", "prod.plan", "--key", "locked"]);
    refused.expect(78).says("error[encrypted_identity]").says("ssh-add locked").says("--key locked.pub");

    let wrong = on_a_terminal(&host, &["sign", "prod.plan", "--key", "locked"], "wrong\nwrong again\nand again\n");
    wrong.expect(78).says("error[wrong_passphrase]");
    assert!(!wrong.stderr.contains("wrong again"), "nothing that is typed is shown");
    on_a_terminal(&host, &["sign", "prod.plan", "--key", "locked"], "\u{3}").expect(130).says("error[cancelled]");
    assert_eq!(std::fs::read(host.work().join("prod.plan")).expect("a plan"), before);

    // A mistake that is taken back is none.
    let right = on_a_terminal(&host, &["sign", "prod.plan", "--key", "locked"], "oops\u{15}correct horses\u{7f}\n");
    right.expect(0);
    assert!(!right.stderr.contains("horse"), "{}", right.stderr);
    on_a_terminal(&host, &["sign", "prod.plan", "--key", "other"], "wrong\ncorrect horse\n").expect(0).says("not its passphrase");
    let mut both = [public(&host, "locked.pub"), public(&host, "other.pub")];
    both.sort();
    assert_eq!(signers(&host), both);
    // The same where a contract is made; and the key is asked for before anything is planned.
    on_a_terminal(&host, &["deploy.opl", "run", "--resolve", "-o", "prod.plan", "--key", "locked"], "correct horse\n").expect(0);
    assert_eq!(signers(&host), [public(&host, "locked.pub")]);
}

#[test]
fn only_the_reviewed_contract_is_signed() {
    let host = Host::new();
    contract(&host);
    let path = host.work().join("prod.plan");
    let shown = host.opalc(&["show", "prod.plan", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let hash = |name: &str| document[name].as_str().expect("a hash").to_owned();
    let (contract_hash, plan_hash) = (hash("contract_hash"), hash("plan_hash"));
    let before = std::fs::read(&path).expect("a plan");
    let sign = |digest: &str| host.opalc(&["sign", "prod.plan", "--digest", digest]);
    let other = format!("sha256:{}", "0".repeat(64));
    sign(&other).expect(20).says("error[unexpected_contract]").says(&contract_hash);
    sign(&plan_hash).expect(20).says("this is the plan hash");
    sign(&contract_hash.replace("sha256", "blake3")).expect(20);
    for malformed in ["", "sha256:", "abc", "md5:0"] {
        sign(malformed).expect(64).says("error[usage]");
    }
    assert_eq!(std::fs::read(&path).expect("a plan"), before);
    sign(&contract_hash).expect(0);
    sign(contract_hash.trim_start_matches("sha256:")).expect(0);
    assert_eq!(signers(&host).len(), 1);
}
