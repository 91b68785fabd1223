//! Private keys are held by the keeper alone: whoever starts steps never has one in memory, and the keeper ends as soon as there is nothing to sign.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use opal_format::identity::Identity;
use opal_tests::{Ended, Host, proc};
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// Two lanes, each with a step that waits for the test.
const SOURCE: &str = "@parallel {\n  { touch one; until [ -e go ]; do sleep 0.02; done; echo SITE; }\n  { touch two; until [ -e go ]; do sleep 0.02; done; }\n}\n";

fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root can look into these processes");
    }
    root
}

/// What nobody but the keeper may hold: the secret of the key, what it is expanded to, and how its file has it.
fn needles(host: &Host) -> Vec<Vec<u8>> {
    let file = fs::read(host.path().join("config/opal/identity")).expect("an identity");
    let identity = Identity::from_openssh(&file).expect("a key");
    let text = String::from_utf8(file).expect("text");
    // The private half is in the last lines of the armour.
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('-')).collect();
    let last = lines.iter().rev().find(|line| line.len() >= 32).expect("a line");
    vec![identity.signing.to_bytes().to_vec(), identity.signing.to_scalar_bytes().to_vec(), last.as_bytes().to_vec()]
}

/// Whether one of these is anywhere in the memory of a process that it may write to.
fn holds(pid: u32, needles: &[Vec<u8>]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("it is alive");
    let mut memory = fs::File::open(format!("/proc/{pid}/mem")).expect("root may look");
    let mut seen = 0;
    let mut found = false;
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
        let (Some((start, end)), true) = (range.split_once('-'), rights.starts_with("rw")) else { continue };
        let number = |text: &str| u64::from_str_radix(text, 16).expect("an address");
        let (start, end) = (number(start), number(end));
        let mut bytes = vec![0; usize::try_from(end - start).expect("it fits")];
        if memory.seek(SeekFrom::Start(start)).is_err() || memory.read_exact(&mut bytes).is_err() {
            continue;
        }
        seen += bytes.len();
        found |= needles.iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle));
    }
    assert!(seen > 100 << 10, "the memory of {pid} was looked at");
    found
}

fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// A run whose steps are there and wait.
struct Run {
    child: Child,
    host: Host,
}

impl Run {
    fn start(host: Host, more: &[&str]) -> Self {
        for file in ["one", "two", "go"] {
            let _ = fs::remove_file(host.work().join(file));
        }
        let words = ["run", "--plan", "prod.plan"].iter().chain(more);
        let mut command = host.command("opal-vm", words);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let run = Self { child, host };
        until("both steps run", || ["one", "two"].iter().all(|file| run.host.work().join(file).exists()));
        run
    }

    fn helper(&self) -> u32 {
        proc::children(self.child.id()).into_iter().find(|pid| name(*pid) == "opal-helper").expect("a helper")
    }

    fn of_helper(&self, wanted: &str) -> Vec<u32> {
        proc::children(self.helper()).into_iter().filter(|pid| name(*pid) == wanted).collect()
    }

    fn end(self) -> (Ended, Host) {
        self.host.write("go", "");
        (Ended::from(self.child.wait_with_output().expect("it ends")), self.host)
    }
}

#[test]
fn the_process_that_starts_steps_never_holds_a_private_key() {
    if !is_root() {
        return;
    }
    let mut host = Host::new();
    host.contract(SOURCE, &[]);
    let needles = needles(&host);
    let copy = host.write("named", fs::read(host.path().join("config/opal/identity")).expect("an identity"));
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).expect("its mode");
    for more in [&[][..], &["--receipt", "own.receipt"], &["--receipt", "named.receipt", "--identity", "named"], &["--identity", "named"]] {
        let run = Run::start(host, more);
        let watchers = run.of_helper("opal-watcher");
        assert!(watchers.len() >= 2, "{more:?}: {watchers:?}");
        let mut others = watchers;
        others.extend([run.child.id(), run.helper()]);
        for pid in others {
            assert!(!holds(pid, &needles), "{more:?}: {} holds the key", name(pid));
        }
        if more.contains(&"--receipt") {
            let keepers = run.of_helper("opal-keeper");
            assert_eq!(keepers.len(), 1, "{more:?}");
            // What looks for the key can find it.
            assert!(keepers.iter().all(|pid| holds(*pid, &needles)), "{more:?}: the keeper does not hold the key");
            let status = fs::read_to_string(format!("/proc/{}/status", keepers[0])).expect("it is alive");
            assert!(status.contains("Seccomp:\t2"), "{status}");
            assert_eq!(proc::descriptors(keepers[0]), Some(1), "its socket, and no file");
        } else {
            until("a keeper that has nothing to sign ends", || run.of_helper("opal-keeper").is_empty());
        }
        let (ended, back) = run.end();
        ended.expect(0);
        host = back;
        if let Some(receipt) = more.iter().find(|word| word.ends_with(".receipt")) {
            host.opalc(&["show", receipt]).expect(0);
        }
    }
}

#[test]
fn a_keeper_ends_with_the_vm_and_a_run_without_its_keeper_has_no_receipt() {
    if !is_root() {
        return;
    }
    let host = Host::new();
    host.contract(SOURCE, &[]);
    let mut run = Run::start(host, &["--receipt", "first.receipt"]);
    let keeper = run.of_helper("opal-keeper")[0];
    run.child.kill().expect("it is alive");
    run.child.wait().expect("a status");
    until("the keeper ends with the VM", || name(keeper) != "opal-keeper" || proc::is_zombie(keeper));
    let (_, host) = run.end();
    assert!(!host.work().join("first.receipt").exists());

    let run = Run::start(host, &["--receipt", "second.receipt"]);
    let keeper = run.of_helper("opal-keeper")[0];
    kill(Pid::from_raw(keeper.cast_signed()), Signal::SIGKILL).expect("it is alive");
    until("it is gone", || run.of_helper("opal-keeper").is_empty());
    let (ended, host) = run.end();
    ended.expect(74).says("error[receipt_lost]: the receipt cannot be signed").says("effects: started");
    assert!(!host.work().join("second.receipt").exists());
}

#[test]
fn what_a_key_file_lacks_is_said_as_before() {
    let host = Host::new();
    host.contract("echo SITE\n", &[]);
    let own = fs::read(host.path().join("config/opal/identity")).expect("an identity");
    let make = |name: &str, bytes: &[u8], mode: u32| {
        let path = host.write(name, bytes);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
    };
    make("open", &own, 0o644);
    make("text", b"no key at all\n", 0o600);
    make("empty", b"", 0o600);
    make("long", &vec![b'x'; (64 << 10) + 1], 0o600);
    make("public", &fs::read(host.path().join("config/opal/identity.pub")).expect("its half"), 0o600);
    for (name, status, says) in [
        ("missing", 66, "error[identity_unreadable]: "),
        ("open", 78, "error[unsafe_mode]: "),
        ("text", 78, "this is not an OpenSSH private key"),
        ("empty", 78, "this is not an OpenSSH private key"),
        ("public", 78, "this is not an OpenSSH private key"),
        ("long", 78, "is larger than 65536 bytes"),
    ] {
        for command in ["run", "verify"] {
            let ended = host.vm(&[command, "--plan", "prod.plan", "--identity", name]);
            ended.expect(status).says(says).says("effects: none");
        }
    }
    let keygen = |words: &[&str]| std::process::Command::new("ssh-keygen").args(words).current_dir(host.work()).output();
    if keygen(&["-q", "-t", "ed25519", "-N", "secret", "-f", "locked"]).is_ok_and(|made| made.status.success()) {
        host.vm(&["run", "--plan", "prod.plan", "--identity", "locked"]).expect(78).says("error[encrypted_identity]: ");
        assert!(keygen(&["-q", "-t", "ecdsa", "-N", "", "-f", "other"]).expect("it ran").status.success());
        host.vm(&["run", "--plan", "prod.plan", "--identity", "other"]).expect(78).says("error[bad_identity]: ");
    }
    // One that cannot open it is named.
    host.opalc(&["keygen", "-o", "stranger"]).expect(0);
    host.vm(&["run", "--plan", "prod.plan", "--identity", "stranger"])
        .expect(69)
        .says("no key here opens this contract")
        .says("--recipient 'ssh-ed25519 ");
    host.vm(&["run", "--plan", "prod.plan", "--identity", "stranger", "--identity", "../config/opal/identity"]).expect(0);
}
