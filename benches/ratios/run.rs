//! What a run costs beyond the steps themselves.

use crate::child::spawn_times;
use crate::{Row, Rows};
use opal_tests::{Host, static_program};
use std::error::Error;
use std::process::Command;
use std::time::Duration;

pub(crate) fn rows() -> Rows {
    let host = Host::new();
    let tiny = host.work().join("tiny");
    static_program::write(&tiny)?;
    let mut rows = Vec::new();
    for (name, program, steps, budget) in
        [("/bin/true", "/bin/true", 500, 1.2), ("a program without libc", tiny.to_str().unwrap_or_default(), 2000, 2.0)]
    {
        contract(&host, &format!("for i in 1...{steps} {{\n    {program}\n}}\n"))?;
        let bare = host.command("opal-vm", [""; 0]);
        let mut bare_command = Command::new(program);
        copy_surroundings(&bare, &mut bare_command);
        let unrecorded = host.command("opal-vm", ["run", "--plan", "prod.plan", "--record", "none"]);
        let recorded = host.command("opal-vm", ["run", "--plan", "prod.plan"]);
        check(&host, &["run", "--plan", "prod.plan", "--record", "none"])?;
        check(&host, &["run", "--plan", "prod.plan"])?;
        let mut least = [Duration::MAX; 3];
        for _ in 0..5 {
            let [bare] = spawn_times(1, steps, [&bare_command])?;
            let [unrecorded, recorded] = spawn_times(1, 1, [&unrecorded, &recorded])?;
            for (least, time) in least.iter_mut().zip([bare, unrecorded / steps, recorded / steps]) {
                *least = time.min(*least);
            }
        }
        let [bare, unrecorded, recorded] = least;
        rows.push(Row::times(format!("run, each of {steps} steps of {name}, no record"), unrecorded, "fork+exec+wait", bare, budget));
        rows.push(Row::times("  with a synced record", recorded, "fork+exec+wait", bare, None));
    }
    contract(&host, "/bin/true\n")?;
    let mut bash = Command::new("bash");
    bash.args(["-c", "/bin/true"]);
    let run = host.command("opal-vm", ["run", "--plan", "prod.plan", "--record", "none"]);
    copy_surroundings(&run, &mut bash);
    check(&host, &["run", "--plan", "prod.plan", "--record", "none"])?;
    let [run, bash] = spawn_times(30, 1, [&run, &bash])?;
    rows.push(Row::times("contract-verified run of one step, whole process", run, "bash -c /bin/true", bash, 1.0));
    Ok(rows)
}

/// The environment and directory of one command for another.
pub(crate) fn copy_surroundings(from: &Command, to: &mut Command) {
    to.env_clear().envs(from.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = from.get_current_dir() {
        to.current_dir(directory);
    }
}

fn contract(host: &Host, source: &str) -> Result<(), Box<dyn Error>> {
    host.write("deploy.opl", source);
    let made = host.opalc(&["deploy.opl", "--resolve", "-o", "prod.plan"]);
    if made.status == 0 { Ok(()) } else { Err(made.stderr.into()) }
}

/// Measuring something that fails would say nothing.
fn check(host: &Host, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let ended = host.vm(arguments);
    if ended.status == 0 { Ok(()) } else { Err(format!("`opal-vm {}`: {}", arguments.join(" "), ended.stderr).into()) }
}
