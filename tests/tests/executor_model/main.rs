//! Generated plans do what a simple model says that they do: which steps run and in which order, in which directory and with which values, what is
//! on standard output, how the run ends and by which cause.
//!
//! `OPAL_MODEL_PLANS` asks for more plans, `OPAL_MODEL_SEED` for others.

mod model;
mod plan;
mod source;

use model::{Flow, World};
use opal_core::event::{Bytes, Done, Event, Outcome, Stream};
use opal_tests::Host;
use plan::{Generator, Plan};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a run came to, as its events say.
#[derive(Debug)]
struct Ran {
    log: Vec<String>,
    output: String,
    status: i32,
    outcome: Option<Outcome>,
    /// What failed first, and how.
    cause: Option<(String, String)>,
    said: String,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Directories that plans enter, a few levels of them.
fn directories(at: &Path, levels: u32) {
    for name in ["one", "two"] {
        std::fs::create_dir(at.join(name)).expect("a directory");
        if levels > 1 {
            directories(&at.join(name), levels - 1);
        }
    }
}

fn run(host: &Host, source: &str, work: u64) -> Ran {
    for entry in std::fs::read_dir(host.work()).expect("a directory").flatten() {
        if entry.path().is_file() {
            std::fs::remove_file(entry.path()).expect("a file");
        }
    }
    host.write("plan.opl", source);
    let ended = host.run("opal", &["--json", "--quiet", "--record", "none", "./plan.opl", "go", &work.to_string()]);
    let events: Vec<Event> = ended.stdout.lines().filter_map(|line| Event::read(line.as_bytes()).ok()?).collect();
    let on_stdout = events.iter().filter_map(|event| match event {
        Event::Output { stream: Stream::Stdout, bytes: Bytes::Text(text), .. } => Some(text.as_str()),
        _ => None,
    });
    let done: Option<&Done> = events.iter().find_map(|event| if let Event::RunDone(done) = event { Some(done) } else { None });
    let first = done.and_then(|done| done.failures.iter().find(|failure| failure.first_cause));
    Ran {
        log: host.read("log").lines().map(str::to_owned).collect(),
        output: on_stdout.collect(),
        status: ended.status,
        outcome: done.map(|done| done.outcome),
        cause: first.map(|failure| (failure.command.clone(), failure.cause.clone())),
        said: if done.is_none() { ended.stdout.clone() } else { ended.stderr },
    }
}

/// Bound values as they are shown.
fn scrubbed(output: &str) -> String {
    let mut parts = output.split("bound");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (value, rest) = part.split_once('z').expect("a bound value ends in z");
        let id = value.split('-').next().unwrap_or_default();
        out.push_str(&format!("@let.V{id}{rest}"));
    }
    out
}

/// Whether a run went the way of a world of the model.
fn agrees(ran: &Ran, world: &World, flow: &Flow) -> bool {
    let sorted = |log: &[String]| {
        let mut log = log.to_vec();
        if world.concurrent {
            log.sort();
        }
        log
    };
    let names = |command: &str, step: &str| {
        command.match_indices(step).any(|(at, _)| !command[at + step.len()..].starts_with(|next: char| next.is_ascii_digit()))
    };
    let ended = match flow {
        Flow::Done => ran.outcome == Some(Outcome::Succeeded) && ran.status == 0,
        Flow::TimedOut => false,
        Flow::Failed(wanted) => {
            let by = ran.cause.as_ref().is_some_and(|(command, cause)| match wanted.as_str() {
                "timeout" => cause.starts_with("not done after"),
                "workdir" => cause.starts_with("cannot enter"),
                "assert" => cause.starts_with("expected"),
                step => {
                    names(command, &format!("echo \"{step}")) && (cause.starts_with("exit status") || cause.starts_with("ended by signal"))
                }
            });
            ran.outcome == Some(Outcome::Failed) && ran.status == 1 && by
        }
    };
    ended && sorted(&ran.log) == sorted(&world.log) && ran.output == scrubbed(&world.output)
}

/// Says what a run did and what it might have done, if that differs.
fn difference(host: &Host, plan: &Plan, seed: u64) -> Option<String> {
    let ways = model::run(plan)?;
    let source = source::source(plan);
    let ran = run(host, &source, seed);
    let well = ways.iter().any(|(world, flow)| agrees(&ran, world, flow));
    (!well).then(|| format!("plan {seed}\n{source}\n{ran:#?}\n{}\n{} ways, among them {:#?}", ran.said, ways.len(), ways.first()))
}

#[test]
fn generated_plans_do_what_the_model_says() {
    let (plans, first) = (number("OPAL_MODEL_PLANS", 500), number("OPAL_MODEL_SEED", 1));
    let next = AtomicU64::new(first);
    let differences = Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                let mut host = Host::new();
                let place = host.work().canonicalize().expect("a directory");
                directories(&place, 6);
                host.set("D", place.to_str().expect("text"));
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + plans || differences.lock().expect("no panic").len() > 3 {
                        return;
                    }
                    let plan = Generator::new(seed).plan();
                    if let Some(text) = difference(&host, &plan, seed) {
                        differences.lock().expect("no panic").push(text);
                    }
                }
            });
        }
    });
    let differences = differences.into_inner().expect("no panic");
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}
