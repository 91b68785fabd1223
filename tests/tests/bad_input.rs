//! Files that are not what they should be: each is refused with its exit status, one code and help, and nothing runs.

use opal_tests::Host;
use std::os::unix::fs::symlink;

/// A host with a contract whose step leaves a file `ran`.
fn host() -> Host {
    let host = Host::new();
    host.contract("run: touch ran SITE\n", &[]);
    host
}

/// What a plan file holds, after a change.
fn changed(host: &Host, change: impl Fn(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(host.work().join("prod.plan")).expect("the contract");
    change(&mut bytes);
    host.write("bad.plan", bytes);
}

/// Every command refuses `file` with this status and code, says what to do, and runs nothing.
#[track_caller]
fn refused(host: &Host, file: &str, status: i32, code: &str) {
    for command in ["inspect", "verify", "run"] {
        let ended = host.vm(&[command, "--plan", file]);
        ended.expect(status).says(&format!("error[{code}]")).says("help: ").says("effects: none");
        assert_eq!(ended.stdout, "", "nothing on standard output");
    }
    assert!(!host.work().join("ran").exists(), "nothing was run");
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let host = host();
    refused(&host, "nowhere.plan", 66, "plan_not_found");
    refused(&host, ".", 66, "plan_not_regular");
    refused(&host, "/dev/zero", 66, "plan_not_regular");
    refused(&host, "/dev/null", 66, "plan_not_regular");
    let made = std::process::Command::new("mkfifo").arg(host.work().join("fifo")).status().expect("mkfifo");
    assert!(made.success());
    refused(&host, "fifo", 66, "plan_not_regular");
}

#[test]
fn what_is_no_whole_plan_is_refused() {
    let host = host();
    host.write("bad.plan", "");
    refused(&host, "bad.plan", 65, "plan_truncated");
    refused(&host, "deploy.opl", 65, "plan_bad_magic");
    changed(&host, |bytes| bytes.truncate(bytes.len() / 2));
    refused(&host, "bad.plan", 65, "plan_no_trailer");
    changed(&host, |bytes| bytes.push(b'\n'));
    refused(&host, "bad.plan", 65, "plan_no_trailer");
    changed(&host, |bytes| bytes.resize(65 << 20, 0));
    refused(&host, "bad.plan", 65, "plan_too_large");
    host.vm(&["run", "--plan", "prod.plan", "--max-size", "100"]).expect(65).says("error[plan_too_large]").says("above the limit of 100");
}

#[test]
fn a_link_to_a_contract_is_the_contract() {
    let host = host();
    symlink("prod.plan", host.work().join("link.plan")).expect("a link");
    host.vm(&["run", "--plan", "link.plan"]).expect(0);
    assert!(host.work().join("ran").exists());
}

#[test]
fn a_wrong_command_line_is_a_usage_error_with_help() {
    let host = host();
    for arguments in [&[][..], &["run"], &["run", "--plan", "prod.plan", "--nope"], &["run", "--plan", "prod.plan", "--expect", "xyz"]] {
        host.vm(arguments).expect(64).says("error[usage]: ").says("help: ").says("effects: none");
    }
    assert!(!host.work().join("ran").exists());
}

/// Who waits to write to a FIFO goes on as soon as somebody opens it to read, and what they write is lost with that reader.
#[test]
fn a_name_of_a_fifo_lets_no_process_go_on_that_waits_at_it() {
    let mut host = host();
    host.set("FILE", "text");
    host.write("text", "words");
    host.write("reads.opl", "echo @file.read(@env.FILE)\n");
    host.write("commands.opl", "go: true\n");
    host.opalc(&["reads.opl", "--resolve", "-o", "reads.plan"]).expect(0);
    let fifo = host.work().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    let mut writer = std::process::Command::new("bash").args(["-c", "echo message > \"$0\""]).arg(&fifo).spawn().expect("bash starts");
    host.set("FILE", "fifo");
    let commands: [(&str, &[&str]); 12] = [
        ("opal-vm", &["inspect", "--plan", "fifo"]),
        ("opal-vm", &["run", "--plan", "fifo"]),
        ("opal-vm", &["verify", "--plan", "prod.plan", "--source", "fifo"]),
        ("opal-vm", &["verify", "--plan", "prod.plan", "--identity", "fifo"]),
        ("opal-vm", &["verify", "--plan", "prod.plan", "--vouch", "fifo"]),
        ("opal-vm", &["run", "--plan", "reads.plan"]),
        ("opalc", &["fifo", "--resolve", "-o", "new.plan"]),
        ("opalc", &["reads.opl", "--resolve", "-o", "new.plan"]),
        ("opalc", &["show", "fifo"]),
        ("opalc", &["check", "fifo"]),
        ("opal", &["./fifo"]),
        ("opal", &["--env-file", "fifo", "go"]),
    ];
    for (program, arguments) in commands {
        let ended = host.run(program, arguments);
        assert_ne!(ended.status, 0, "{program} {arguments:?}: {}", ended.stdout);
        assert!(writer.try_wait().expect("a status").is_none(), "{program} {arguments:?} let it go on");
    }
    assert_eq!(std::fs::read_to_string(&fifo).expect("it is read"), "message\n");
    assert!(writer.wait().expect("it ends").success());
}
