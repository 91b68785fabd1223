//! What a plan names may be far more than its file holds, since nodes share texts and values: it counts against a limit, and whoever reads or shows a
//! plan below the limit does so as a stream.
//!
//! The largest process of each command that reads a file holds at most four times what it reads and makes and 16 MiB, and of twice as much it holds no more
//! than in proportion. A source counts by its syntax tree, which is [`TREE`] times as large. The commands are those of the programs' own tables: a new one fails here until it says how it is called. Some shapes of plans
//! are tried always; all of them by `cargo test -p opal-tests --test plan_memory -- --ignored every_command`, larger ones with `OPAL_MEMORY_LARGE=1`,
//! those whose name holds a word with `OPAL_MEMORY_SHAPE=WORD`.

use opal_tests::{Ended, Host};
use std::path::Path;
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

/// What a command reads, and makes: the source, contracts, and the files that planning reads.
#[derive(Clone, Copy)]
struct Reads {
    source: bool,
    plans: usize,
    values: bool,
}

const PLAN: Reads = Reads { source: false, plans: 1, values: false };
const PLANNED: Reads = Reads { source: false, plans: 1, values: true };
/// It reads one contract and makes another.
const REPLANNED: Reads = Reads { source: false, plans: 2, values: true };
const SOURCE: Reads = Reads { source: true, plans: 1, values: true };
const TEXT: Reads = Reads { source: true, plans: 0, values: false };

/// The arguments of a command, the exit statuses that it may have, and what it reads.
type Call = (&'static str, &'static [i32], Reads);

/// How a command is called, for each of its views; nothing where it reads no plan and no source. The first step of every plan fails, so that nothing runs.
fn calls(command: &str) -> &'static [Call] {
    match command {
        "opalc" => &[
            ("deploy.opl go", &[0], SOURCE),
            ("deploy.opl go --json", &[0], SOURCE),
            ("deploy.opl go --hash", &[0], SOURCE),
            ("deploy.opl go --resolve --format markdown", &[0], SOURCE),
            ("deploy.opl go --resolve --format html", &[0], SOURCE),
            ("deploy.opl go --resolve -o again.plan", &[0], SOURCE),
        ],
        "opalc check" => &[("deploy.opl", &[0], TEXT), ("deploy.opl --json", &[0], TEXT)],
        "opalc fmt" => &[("--check deploy.opl", &[0, 1], TEXT)],
        "opalc show" => &[
            ("prod.plan", &[0], PLAN),
            ("prod.plan --all", &[0], PLAN),
            ("prod.plan --json", &[0], PLAN),
            ("prod.plan --format markdown", &[0], PLAN),
            ("prod.plan --format dot", &[0], PLAN),
            ("prod.plan --format html", &[0], PLAN),
        ],
        "opalc diff" => &[
            ("prod.plan other.plan", &[0, 3], Reads { plans: 2, ..PLAN }),
            ("prod.plan other.plan --json", &[0, 3], Reads { plans: 2, ..PLAN }),
            ("prod.plan other.plan --format markdown", &[0, 3], Reads { plans: 2, ..PLAN }),
        ],
        "opalc verify" => &[("prod.plan --source deploy.opl", &[0], SOURCE)],
        "opalc sign" => &[("signed.plan", &[0], PLAN)],
        "opalc vouch" => &[("prod.plan -o made.vouch", &[0], PLAN)],
        "opalc disasm" => &[("prod.plan", &[0], PLAN), ("deploy.opl go", &[0], SOURCE)],
        "opal" => &[("go", &[1], SOURCE), ("go --dry-run", &[0], SOURCE), ("go --dry-run --json", &[0], SOURCE)],
        "opal plan" => &[("go -o again.plan", &[0], SOURCE)],
        "opal run" => &[("--plan prod.plan", &[1, 3], PLANNED)],
        "opal execute" => &[("prod.plan --verify", &[0, 3], PLANNED), ("prod.plan", &[1, 3], PLANNED)],
        "opal-vm inspect" => {
            &[("--plan prod.plan", &[0], PLAN), ("--plan prod.plan --all", &[0], PLAN), ("--plan prod.plan --json", &[0], PLAN)]
        }
        "opal-vm verify" => &[("--plan prod.plan", &[0, 3], PLANNED), ("--plan prod.plan --json", &[0, 3], PLANNED)],
        "opal-vm resolve" => &[("--plan prod.plan -o new.plan", &[0], REPLANNED), ("--plan prod.plan -o new.plan --json", &[0], REPLANNED)],
        "opal-vm policy check" => &[("--plan prod.plan", &[0], PLAN), ("--plan prod.plan --json", &[0], PLAN)],
        "opal-vm run" => &[("--plan prod.plan", &[1, 3], PLANNED), ("--plan prod.plan --json", &[1, 3], PLANNED)],
        "opalc explain" | "opalc keygen" | "opalc completions" | "opalc man" | "opal completions" | "opal-vm" | "opal-vm policy" => &[],
        other => panic!("say here how `{other}` is called and what it reads"),
    }
}

/// Every command of the programs, by the words that call it.
fn commands() -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Vec<(String, clap::Command)> =
        opalc::cli::programs().into_iter().map(|program| (program.get_name().to_owned(), program)).collect();
    while let Some((words, command)) = open.pop() {
        open.extend(command.get_subcommands().map(|inner| (format!("{words} {}", last_word(inner.get_name())), inner.clone())));
        found.push(words);
    }
    assert!(found.len() > 15, "{found:?}");
    found
}

/// The name of a command may hold that of its program.
fn last_word(name: &str) -> &str {
    name.rsplit(' ').next().unwrap_or(name)
}

/// A shape of plan: the source that has so much of it, and the files that it reads.
struct Shape {
    name: &'static str,
    /// How much of it is tried always, and how much where everything is.
    sizes: [usize; 2],
    source: fn(usize) -> String,
    files: fn(usize) -> Vec<(String, Vec<u8>)>,
}

fn none(_: usize) -> Vec<(String, Vec<u8>)> {
    Vec::new()
}

fn lines(n: usize, line: impl Fn(usize) -> String) -> String {
    (0..n).map(|at| format!("    {}\n", line(at))).collect()
}

fn values(n: usize) -> Vec<(String, Vec<u8>)> {
    (0..n).map(|at| (format!("value{at}"), format!("{at} {}", "v".repeat(2_000)).into_bytes())).collect()
}

const SHAPES: &[Shape] = &[
    Shape {
        name: "much text",
        sizes: [1_000, 10_000],
        source: |n| lines(n, |at| format!("echo {at} {}", "abcdefgh ".repeat(110))),
        files: none,
    },
    Shape { name: "many steps", sizes: [8_000, 60_000], source: |n| lines(n, |at| format!("echo {at}")), files: none },
    Shape { name: "many rounds", sizes: [8_000, 100_000], source: |n| format!("    for i in 1...{n} {{ echo @var.i }}\n"), files: none },
    Shape {
        name: "many secrets",
        sizes: [1_500, 20_000],
        source: |n| format!("    for i in 1...{n} {{ : @random.password(length=20) }}\n"),
        files: none,
    },
    Shape {
        name: "many public values",
        sizes: [150, 3_000],
        source: |n| lines(n, |at| format!("echo @file.read(\"value{at}\", public=true)")),
        files: values,
    },
    Shape {
        name: "one public value that many steps name",
        sizes: [100, 1_200],
        source: |n| format!("    for i in 1...{n} {{ echo @file.read(\"value0\", public=true) }}\n"),
        files: |_| vec![("value0".to_owned(), vec![b'x'; 100_000])],
    },
    Shape {
        name: "deep blocks",
        sizes: [60, 400],
        source: |n| lines(n, |at| format!("{} echo {at} {}", "@timeout(1h) { ".repeat(60), "}".repeat(60))),
        files: none,
    },
    Shape {
        name: "long names",
        sizes: [300, 3_000],
        source: |n| lines(n, |at| format!(": @env.{}_{at}(default=1)", "N".repeat(200))),
        files: none,
    },
    Shape {
        name: "large files that are read",
        sizes: [2, 8],
        source: |n| lines(n, |at| format!("echo @file.sha256(\"value{at}\")")),
        files: |n| (0..n).map(|at| (format!("value{at}"), vec![b'0' + u8::try_from(at % 10).expect("a digit"); 2 << 20])).collect(),
    },
];

/// A host with the contract of a shape, and another of the same source.
fn shaped(shape: &Shape, n: usize) -> Host {
    let host = Host::new();
    host.write("deploy.opl", format!("go: {{\n    test -e go-on\n{}}}\n", (shape.source)(n)));
    host.write("commands.opl", host.read("deploy.opl"));
    for (name, bytes) in (shape.files)(n) {
        host.write(&name, bytes);
    }
    for plan in ["other.plan", "prod.plan"] {
        host.opalc(&["deploy.opl", "go", "--resolve", "-o", plan]).expect(0);
    }
    host
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// How much larger than its text the tree of a source may be, which is bounded by the length that a source may have.
const TREE: u64 = 25;

/// What a command reads here, in bytes.
fn reads(host: &Host, reads: Reads, shape: &Shape, n: usize) -> u64 {
    let work = host.work();
    let source = if reads.source { TREE * length(&work.join("deploy.opl")) } else { 0 };
    let plans = length(&work.join("prod.plan")) * u64::try_from(reads.plans).expect("few");
    let values: u64 = if reads.values { (shape.files)(n).iter().map(|(name, _)| length(&work.join(name))).sum() } else { 0 };
    source + plans + values
}

/// The most that a process of a command holds, in bytes, and its exit status. Another process of this test asks the kernel, which tells of all children
/// at once.
fn peak(host: &Host, program: &str, arguments: &[&str]) -> (u64, i32) {
    let ours = host.command(program, arguments);
    let mut meter = Command::new(std::env::current_exe().expect("a path"));
    meter.args(["--exact", "measure_one_command", "--ignored", "--nocapture", "--test-threads=1"]);
    meter.current_dir(host.work()).env_clear().envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let words: Vec<String> =
        [ours.get_program()].into_iter().chain(ours.get_args()).map(|word| word.to_str().expect("text").to_owned()).collect();
    meter.env("OPAL_TEST_COMMAND", words.join("\n")).stdin(Stdio::null());
    let ended = Ended::from(meter.output().expect("it starts"));
    let line = ended.stdout.lines().find_map(|line| line.split("measured: ").nth(1)).unwrap_or_else(|| panic!("no measure: {ended:?}"));
    let mut numbers = line.split(' ').map(|number| number.parse::<u64>().expect("a number"));
    let (peak, status) = (numbers.next().expect("bytes"), numbers.next().expect("a status"));
    (peak, i32::try_from(status).expect("small"))
}

#[test]
#[ignore = "a part of the other tests, which start it"]
fn measure_one_command() {
    let Ok(words) = std::env::var("OPAL_TEST_COMMAND") else { return };
    let mut words = words.split('\n');
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).env_remove("OPAL_TEST_COMMAND").stdin(Stdio::null());
    let null = || Stdio::from(std::fs::File::create("/dev/null").expect("it is there"));
    let status = command.stdout(null()).stderr(null()).status().expect("it starts");
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN).expect("a measure");
    let peak = u64::try_from(usage.max_rss()).expect("positive") * 1024;
    println!("measured: {peak} {}", status.code().unwrap_or(255));
}

const SLACK: u64 = 16 << 20;

/// What the size of pages, and memory that is given back late, may add to the growth of twice as much.
const NOISE: u64 = 3 << 20;

/// What a command that plans a contract holds for each secret: what it says then is looked through for all of them, as output of steps is.
const SECRET: u64 = 40 << 10;

/// Measures each command that `which` takes for a shape, at `n` and at twice as much, each in so `many` of its views, and says what is over.
fn judge(shape: &Shape, n: usize, many: usize, which: impl Fn(&str) -> bool) -> Vec<String> {
    let mut over = Vec::new();
    let hosts = [(n, shaped(shape, n)), (2 * n, shaped(shape, 2 * n))];
    for moved in [false, true] {
        if moved {
            // Everything that planning reads is another.
            if (shape.files)(n).is_empty() {
                continue;
            }
            for (n, host) in &hosts {
                for (name, mut bytes) in (shape.files)(*n) {
                    bytes[0] = b'M';
                    host.write(&name, bytes);
                }
            }
        }
        for command in commands().iter().filter(|command| which(command)) {
            for (arguments, statuses, what) in calls(command).iter().take(many) {
                if moved && !(what.values && what.plans > 0 && !what.source) {
                    continue;
                }
                let words: Vec<&str> = command.split(' ').chain(arguments.split(' ')).collect();
                let measured = hosts.each_ref().map(|(n, host)| {
                    std::fs::copy(host.work().join("other.plan"), host.work().join("signed.plan")).expect("a copy");
                    let _ = std::fs::remove_file(host.work().join("made.vouch"));
                    let (peak, status) = peak(host, words[0], &words[1..]);
                    assert!(statuses.contains(&status), "{}: {words:?} at {n} ends with {status}", shape.name);
                    (reads(host, *what, shape, *n), peak)
                });
                let [(small, least), (large, most)] = measured;
                let plans = what.values && what.plans > 0 && !what.source && shape.name == "many secrets";
                let secrets = if plans { SECRET * u64::try_from(n).expect("few") } else { 0 };
                let bound = 4 * large + SLACK + 2 * secrets;
                let growth = 4 * (large - small) + NOISE + secrets;
                let line = format!(
                    "{}{} at {n}: {words:?} reads {} KiB and {} KiB, holds {} KiB and {} KiB (at most {} KiB, and {} KiB more)",
                    shape.name,
                    if moved { ", moved" } else { "" },
                    small >> 10,
                    large >> 10,
                    least >> 10,
                    most >> 10,
                    bound >> 10,
                    growth >> 10
                );
                println!("{line}");
                if most > bound || most.saturating_sub(least) > growth {
                    over.push(line);
                }
            }
        }
    }
    over
}

#[test]
fn commands_hold_no_more_than_in_proportion_to_what_they_read() {
    // Every command for one shape, and two for others.
    let mut over = judge(&SHAPES[4], SHAPES[4].sizes[0], 1, |_| true);
    for shape in [&SHAPES[3], &SHAPES[5]] {
        over.extend(judge(shape, shape.sizes[0], 1, |command| matches!(command, "opal-vm verify" | "opalc show")));
    }
    assert!(over.is_empty(), "{over:#?}");
}

#[test]
#[ignore = "minutes: every command for every shape, small and large"]
fn every_command_holds_no_more_than_in_proportion_to_what_it_reads() {
    let wanted = std::env::var("OPAL_MEMORY_SHAPE").unwrap_or_default();
    let large = std::env::var_os("OPAL_MEMORY_LARGE").is_some();
    let mut over = Vec::new();
    for shape in SHAPES.iter().filter(|shape| shape.name.contains(&wanted)) {
        over.extend(judge(shape, shape.sizes[usize::from(large)], usize::MAX, |_| true));
    }
    assert!(over.is_empty(), "{over:#?}");
}
