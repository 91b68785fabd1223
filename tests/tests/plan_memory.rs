//! What a plan names may be far more than its file holds, since nodes share texts and values: it counts against a limit, and whoever reads or shows a
//! plan below the limit does so as a stream.

use opal_tests::{Ended, Host};
use std::process::{Command, Stdio};

/// Runs a program of ours with an address space of so many MiB.
fn within(host: &Host, mebibytes: u64, program: &str, arguments: &[&str]) -> Ended {
    let ours = host.command(program, arguments);
    let mut command = Command::new("bash");
    command.args(["-c", &format!("ulimit -v {}; exec \"$@\" > output", mebibytes << 10), "bash"]).arg(ours.get_program()).args(arguments);
    command.current_dir(host.work()).env_clear().envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ended::from(command.stdin(Stdio::null()).output().expect("bash starts"))
}

/// A host with a script in which so many steps each show one public value of 100 kB.
fn host(steps: usize) -> Host {
    let host = Host::new();
    host.write("big", "x".repeat(100_000));
    host.write("deploy.opl", format!("for n in 1..{steps} {{\n    echo @file.read(\"big\", public=true)\n}}\n"));
    host
}

#[test]
fn public_values_count_as_often_as_they_are_named() {
    let host = host(3000);
    let refused = within(&host, 512, "opalc", &["deploy.opl", "--resolve", "-o", "prod.plan"]);
    refused.expect(65).says("text and public values");
    assert!(!host.work().join("prod.plan").exists());
}

#[test]
fn every_view_of_what_names_much_is_written_as_it_is_made() {
    let host = host(700);
    within(&host, 160, "opalc", &["deploy.opl", "--resolve", "-o", "prod.plan"]).expect(0);
    for words in [
        &["opal-vm", "inspect", "--plan", "prod.plan"][..],
        &["opal-vm", "inspect", "--plan", "prod.plan", "--json"],
        &["opalc", "show", "prod.plan"],
        &["opalc", "show", "prod.plan", "--json"],
        &["opalc", "show", "prod.plan", "--format", "markdown"],
        &["opalc", "show", "prod.plan", "--format", "dot"],
        &["opalc", "show", "prod.plan", "--format", "html"],
        &["opalc", "disasm", "prod.plan"],
        &["opal-vm", "verify", "--plan", "prod.plan"],
    ] {
        within(&host, 160, words[0], &words[1..]).expect(0);
    }
}
