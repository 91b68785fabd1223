//! What is measured from a small process of its own: this program, started again in a hidden mode.
//!
//! The cost of starting a process depends on the size of the one that starts it, and the largest child of a process is all that the kernel
//! tells about the memory of children.

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::error::Error;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::time::{Duration, Instant};

const SPAWN: &str = "--spawn-child";
const PEAK: &str = "--peak-of-child";

/// Does what the words ask for, where they name a hidden mode.
pub(crate) fn maybe_run(words: &[String]) -> bool {
    let [mode, rest @ ..] = words else { return false };
    if mode != SPAWN && mode != PEAK {
        return false;
    }
    let answered = silenced().and_then(|mut answer| {
        let measured = if mode == SPAWN { spawn_loop(rest) } else { peak(rest) };
        let text = measured.map_or_else(|error| error.to_string(), |number| number.to_string());
        Ok(writeln!(answer, "{text}")?)
    });
    if let Err(error) = answered {
        eprintln!("{error}");
    }
    true
}

/// Gives this process and its children the null device for their streams, so that starting a child is nothing but that. The answer goes to
/// what standard output was.
fn silenced() -> Result<File, Box<dyn Error>> {
    let answer = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(answer)
}

/// Nanoseconds that it takes to start a program and wait for its end, so often.
fn spawn_loop(words: &[String]) -> Result<u128, Box<dyn Error>> {
    let [count, program, arguments @ ..] = words else { return Err("a count and a program are needed".into()) };
    let count: u32 = count.parse()?;
    let start = Instant::now();
    for _ in 0..count {
        let ended = Command::new(program).args(arguments).status()?;
        // The time to a refusal would say nothing.
        if !ended.success() {
            return Err(format!("`{program} {}` ended with {ended}", arguments.join(" ")).into());
        }
    }
    Ok(start.elapsed().as_nanos())
}

/// Bytes that a program had in memory at most.
fn peak(words: &[String]) -> Result<u128, Box<dyn Error>> {
    let [program, arguments @ ..] = words else { return Err("a program is needed".into()) };
    let ended = Command::new(program).args(arguments).status()?;
    if !ended.success() {
        return Err(format!("`{program}` ended with {ended}").into());
    }
    let kilobytes = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
    Ok(u128::try_from(kilobytes)? * 1024)
}

/// Runs a hidden mode on the command and gives the number that it says.
fn ask(mode: &[&str], command: &Command) -> Result<u64, Box<dyn Error>> {
    let mut child = Command::new(std::env::current_exe()?);
    child.args(mode).arg(command.get_program()).args(command.get_args());
    // Environment and directory are those of the command.
    let env: Vec<(OsString, OsString)> =
        command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    child.env_clear().envs(env);
    if let Some(directory) = command.get_current_dir() {
        child.current_dir(directory);
    }
    let answer = String::from_utf8(child.output()?.stdout)?;
    answer.trim().parse().map_err(|_| answer.trim().into())
}

/// Time to start a command and wait for its end, on average of `count` in a row.
pub(crate) fn spawn_time(count: u32, command: &Command) -> Result<Duration, Box<dyn Error>> {
    Ok(Duration::from_nanos(ask(&[SPAWN, &count.to_string()], command)?) / count)
}

/// The least of several rounds for each command; the commands take turns.
pub(crate) fn spawn_times<const N: usize>(rounds: u32, count: u32, commands: [&Command; N]) -> Result<[Duration; N], Box<dyn Error>> {
    let mut least = [Duration::MAX; N];
    for _ in 0..rounds {
        for (command, least) in commands.iter().zip(&mut least) {
            *least = spawn_time(count, command)?.min(*least);
        }
    }
    Ok(least)
}

/// Bytes that a command had in memory at most.
pub(crate) fn peak_memory(command: &Command) -> Result<u64, Box<dyn Error>> {
    ask(&[PEAK], command)
}
