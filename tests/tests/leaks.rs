//! Ten thousand short steps, one after the other and side by side: nothing accumulates in the VM, its helper or its watchers.

use opal_tests::{Host, proc, static_program};
use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

/// What was seen of one process.
#[derive(Debug, Default)]
struct Seen {
    resident_kb: Vec<u64>,
    descriptors: Vec<usize>,
}

/// Kilobytes by which memory may grow and still count as flat: the report notes each step that is done.
const FLAT: u64 = 1 << 10;

/// Runs a script that starts `./tiny` again and again, and watches the VM, its helper and its watchers meanwhile.
fn watch(script: &str) {
    let mut host = Host::new();
    let tiny = host.work().join("tiny");
    static_program::write(&tiny).expect("a file");
    host.set("TMPDIR", host.work().to_str().expect("text"));
    host.write("script.opl", script);
    let mut run = host
        .command("opal", ["--quiet", "--record", "none", "./script.opl"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut seen: HashMap<u32, Seen> = HashMap::new();
    let mut zombies: Vec<u32> = Vec::new();
    while run.try_wait().expect("a status").is_none() {
        let helper = proc::children(run.id());
        let watchers: Vec<u32> = helper.iter().flat_map(|helper| proc::children(*helper)).collect();
        let mut dead = Vec::new();
        for pid in watchers.into_iter().chain(helper).chain([run.id()]) {
            let (memory, descriptors) = (proc::resident_kb(pid), proc::descriptors(pid));
            let seen = seen.entry(pid).or_default();
            if memory > 0 {
                seen.resident_kb.push(memory);
            }
            seen.descriptors.extend(descriptors.filter(|count| *count > 0));
            dead.extend(proc::children(pid).into_iter().filter(|child| proc::is_zombie(*child)));
        }
        // A step that has just ended is one for a moment.
        let lasting = dead.iter().filter(|pid| zombies.contains(pid)).count();
        assert!(lasting < 2, "{lasting} zombies");
        zombies = dead;
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = run.wait_with_output().expect("a status");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let long: Vec<_> = seen.iter().filter(|(_, seen)| seen.resident_kb.len() >= 20).collect();
    assert!(long.len() >= 2, "the VM and its helper were seen often enough: {seen:?}");
    for (pid, seen) in long {
        // The first fifth is for what is set up once.
        let settled = &seen.resident_kb[seen.resident_kb.len() / 5..];
        let (first, most) = (settled[0], settled.iter().max().copied().unwrap_or_default());
        assert!(most <= first + FLAT, "process {pid} grew from {first} to {most} KB");
        let later = &seen.descriptors[seen.descriptors.len() / 5..];
        if let (Some(least), Some(most)) = (later.iter().min(), later.iter().max()) {
            // Lanes come and go; a leak is one for each of a thousand.
            assert!(most - least <= 32, "process {pid} has had {least} to {most} descriptors open");
        }
    }
}

#[test]
fn ten_thousand_steps_in_a_row_leave_nothing_behind() {
    watch("for i in 1...10000 {\n    ./tiny\n}\n");
}

#[test]
fn ten_thousand_steps_in_parallel_lanes_leave_nothing_behind() {
    watch(
        "@parallel(max_concurrency=4) {\n    for lane in 1...4 {\n        for i in 1...2500 {\n            ./tiny\n        }\n    }\n}\n",
    );
}

#[test]
fn a_thousand_blocks_that_make_lanes_of_their_own_leave_nothing_behind() {
    watch(
        "for i in 1...1000 {\n    @parallel(max_concurrency=2) {\n        ./tiny\n        ./tiny\n    }\n    @retry(1) { ./tiny } | ./tiny\n}\n",
    );
}
