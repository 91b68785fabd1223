//! Files that are replaced while they are used: what was checked is what runs, or nothing does.

use opal_format::read_file::read_path;
use opal_tests::Host;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Replaces files again and again, each by one of its contents in turn, until it is dropped: whole, by renaming, and torn, in place.
struct Swapper {
    stop: std::sync::Arc<AtomicBool>,
    rounds: std::sync::Arc<AtomicU32>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Swapper {
    fn start(files: Vec<(std::path::PathBuf, Vec<Vec<u8>>)>, in_place: bool) -> Self {
        let (stop, rounds) = (std::sync::Arc::new(AtomicBool::new(false)), std::sync::Arc::new(AtomicU32::new(0)));
        let (stopped, counted) = (stop.clone(), rounds.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let round = counted.fetch_add(1, Ordering::Relaxed);
                for (path, contents) in &files {
                    let bytes = &contents[round as usize % contents.len()];
                    if in_place {
                        std::fs::write(path, bytes).expect("written");
                    } else {
                        let other = path.with_extension("swap");
                        std::fs::write(&other, bytes).expect("written");
                        std::fs::rename(&other, path).expect("renamed");
                    }
                }
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        });
        Self { stop, rounds, thread: Some(thread) }
    }

    fn rounds(&self) -> u32 {
        self.rounds.load(Ordering::Relaxed)
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the swapper ends");
        }
    }
}

/// A host with `a.plan` and `b.plan` of sources `a.opl` and `b.opl`, both for a file called `deploy.opl`.
fn host() -> Host {
    let host = Host::new();
    for name in ["a", "b"] {
        // The first step takes its time, so that files are replaced between the steps too.
        let source = format!("go: {{\n    echo {name}1 SITE >> out; sleep 0.01\n    echo {name}2 >> out\n}}\n");
        host.contract(&source, &[]);
        std::fs::rename(host.work().join("prod.plan"), host.work().join(format!("{name}.plan"))).expect("a name");
        std::fs::rename(host.work().join("deploy.opl"), host.work().join(format!("{name}.opl"))).expect("a name");
    }
    host
}

fn bytes(host: &Host, name: &str) -> Vec<u8> {
    std::fs::read(host.work().join(name)).expect("a file")
}

/// What a run that was agreed to leaves, or a refusal that leaves nothing.
fn judge(host: &Host, status: i32, stderr: &str) -> Option<char> {
    let out = host.read("out");
    let _ = std::fs::remove_file(host.work().join("out"));
    let words: Vec<&str> = out.split_whitespace().filter(|word| word.len() == 2).collect();
    match status {
        0 => {
            assert!(words == ["a1", "a2"] || words == ["b1", "b2"], "{words:?}");
            words[0].chars().next()
        }
        3 | 20 | 65 | 66 => {
            assert!(words.is_empty() && stderr.contains("effects: none"), "{status} {words:?} {stderr}");
            None
        }
        other => panic!("{other}: {stderr}"),
    }
}

#[test]
fn a_run_goes_on_as_agreed_when_its_steps_replace_plan_and_source() {
    let host = Host::new();
    host.contract("go: echo SITE other > out\n", &[]);
    std::fs::rename(host.work().join("prod.plan"), host.work().join("other.plan")).expect("a name");
    std::fs::rename(host.work().join("deploy.opl"), host.work().join("other.opl")).expect("a name");
    let source = "go: {\n    cp other.plan prod.plan\n    cp other.opl deploy.opl\n    echo SITE agreed > out\n}\n";
    host.contract(source, &[]);
    host.vm(&["run", "--plan", "prod.plan"]).expect(0).says("3 of 3 steps");
    assert!(host.read("out").contains("agreed"));
    host.vm(&["run", "--plan", "prod.plan"]).expect(0);
    assert!(host.read("out").contains("other"), "the next run is of what is there then");
}

#[test]
fn a_file_that_is_replaced_while_it_is_read_is_one_contract_or_none() {
    let host = host();
    let (a, b) = (bytes(&host, "a.plan"), bytes(&host, "b.plan"));
    let hash = |path: &Path| -> Option<String> {
        let plan = read_path(path, 1 << 20).ok()?.authenticate().ok()?;
        let contract = plan.decode().ok()?;
        contract.check_plan_hash().ok()?;
        Some(contract.contract_hash.to_string())
    };
    let known = ["a.plan", "b.plan"].map(|name| hash(&host.work().join(name)).expect("whole"));
    let path = host.write("prod.plan", &a);
    for in_place in [false, true] {
        let torn = [&a[..a.len() / 2], &b[b.len() / 2..]].concat();
        let contents = if in_place { vec![a.clone(), b.clone(), torn, Vec::new()] } else { vec![a.clone(), b.clone()] };
        let swapper = Swapper::start(vec![(path.clone(), contents)], in_place);
        let mut seen = [0, 0];
        while swapper.rounds() < 3000 {
            match hash(&path) {
                Some(found) => seen[known.iter().position(|known| *known == found).expect("one of the two")] += 1,
                None => assert!(in_place, "a rename never shows a part"),
            }
        }
        drop(swapper);
        assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    }
}

#[test]
fn runs_race_with_replaced_plans_and_sources_and_never_mix() {
    let host = host();
    let pair = |suffix: &str| vec![bytes(&host, &format!("a.{suffix}")), bytes(&host, &format!("b.{suffix}"))];
    for in_place in [false, true] {
        let mut plans = pair("plan");
        if in_place {
            plans.push([&plans[0][..700], &plans[1][700..]].concat());
        }
        let files = vec![(host.work().join("prod.plan"), plans), (host.work().join("deploy.opl"), pair("opl"))];
        for (path, contents) in &files {
            std::fs::write(path, &contents[0]).expect("written");
        }
        let swapper = Swapper::start(files, in_place);
        let (mut ran, mut verified) = (0, 0);
        for round in 0..150 {
            let ended = host.vm(&["verify", "--plan", "prod.plan"]);
            assert!([0, 3, 20, 65, 66].contains(&ended.status), "{ended:?}");
            assert_eq!(host.read("out"), "");
            verified += i32::from(ended.status == 0);
            if round % 2 == 0 {
                let ended = host.vm(&["run", "--plan", "prod.plan", "--record", "none"]);
                ran += i32::from(judge(&host, ended.status, &ended.stderr).is_some());
            }
        }
        assert!(swapper.rounds() > 100, "{}", swapper.rounds());
        drop(swapper);
        assert!(ran + verified > 0, "every attempt was refused");
    }
}
