//! What the programs hold in memory is for nobody else: they are not dumpable, and their steps are as they would be without them.

use opal_tests::Host;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A group that nobody else has, so that root sees a difference too: the kernel gives the files of a process that is not dumpable to root.
const GROUP: u32 = 54321;

fn start(mut command: Command) -> Child {
    if nix::unistd::geteuid().is_root() {
        command.gid(GROUP);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts")
}

fn owner(child: &Child) -> (u32, u32) {
    let metadata = std::fs::metadata(format!("/proc/{}/environ", child.id())).expect("it is alive");
    (metadata.uid(), metadata.gid())
}

#[test]
fn no_program_can_be_dumped_or_read_by_others_of_its_user() {
    let host = Host::new();
    // The kernel's own answer for a program that does nothing about it.
    let mut ordinary = start(Command::new("cat"));
    let caller = owner(&ordinary);
    assert_ne!(caller, (0, 0));
    for words in [&["opal-vm", "inspect", "--plan", "-"][..], &["opalc", "-"], &["opal", "run", "--plan", "-"]] {
        // Each waits for its input.
        let mut child = start(host.command(words[0], &words[1..]));
        let begun = Instant::now();
        while owner(&child) != (0, 0) {
            assert!(begun.elapsed() < Duration::from_secs(30), "{words:?} can be dumped");
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().expect("it is alive");
        child.wait().expect("a status");
    }
    assert_eq!(owner(&ordinary), caller);
    ordinary.kill().expect("it is alive");
    ordinary.wait().expect("a status");
}

#[test]
fn steps_can_be_dumped_and_keep_the_limit_of_the_caller() {
    let host = Host::new();
    host.write("steps.opl", "stat -c %u:%g /proc/self/environ\nulimit -S -c\n");
    let mut command = Command::new("bash");
    let run = "ulimit -S -c 7 2>/dev/null; stat -c %u:%g /proc/self/environ; ulimit -S -c; exec \"$@\"";
    let opal = host.command("opal", ["-q", "./steps.opl"]);
    command.args(["-c", run, "bash"]).arg(opal.get_program()).args(opal.get_args()).current_dir(host.work()).env_clear();
    command.envs(opal.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = start(command).wait_with_output().expect("it ends");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert_eq!(lines[2..], lines[..2], "{text}");
    assert_ne!(lines[0], "0:0");
}
