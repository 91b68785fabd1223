//! Validity times, judged by a clock that is handed in; and runs that are killed at any moment.

use opal_format::read_file::read_path;
use opal_tests::Host;
use opal_trust::guard::Caller;
use opal_trust::locations::HostPaths;
use opal_vm::admission::{Request, Site, admit};
use opal_vm::keys::{Keys, keep_at};
use opal_vm::planner::Planner;
use std::time::Duration;

/// The exit status with which a contract is admitted at a moment, in seconds of Unix time and nanoseconds; 0 where it is.
fn admitted(host: &Host, now: i64, nanoseconds: i32) -> (u8, String) {
    let request = Request { plan: host.work().join("prod.plan").into(), allow_unsigned: true, ..Request::default() };
    let file = read_path(request.plan.path(), 1 << 20).expect("a plan").authenticate().expect("authentic");
    let mut paths = HostPaths::from_environment();
    paths.etc = host.path().join("etc");
    (paths.home, paths.xdg_config_home) = (None, None);
    let clock = jiff::Timestamp::new(now, nanoseconds).expect("a time");
    let site = Site::with_policy(paths, &Caller::from_environment(), clock, None).expect("a site");
    let (mine, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    std::thread::scope(|scope| {
        scope.spawn(|| opal_vm::planner::plan_at(theirs.into(), 3));
        let mut planner = Planner::at(mine.into(), Duration::from_secs(60));
        let (mine, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        scope.spawn(|| keep_at(theirs.into()));
        let mut keys = Keys::at(mine.into());
        match admit(&file, &request, &site, &mut planner, &mut keys) {
            Ok(_) => (0, String::new()),
            Err(refusal) => (refusal.exit(), refusal.code.name().to_owned()),
        }
    })
}

fn times(host: &Host) -> (i64, Option<i64>) {
    let file = read_path(&host.work().join("prod.plan"), 1 << 20).expect("a plan").authenticate().expect("authentic");
    let contract = file.decode().expect("whole");
    (contract.header.timestamp, contract.terms.not_after)
}

#[test]
fn a_contract_runs_from_its_making_to_its_last_second_and_at_no_other_time() {
    let host = Host::new();
    host.contract("echo SITE\n", &["--expires", "3d"]);
    let (made, end) = times(&host);
    let end = end.expect("an end");
    let day = 86_400;
    for (second, nanosecond, verdict) in [
        (made, 0, (0, "")),
        (made + day, 0, (0, "")),
        (end, 0, (0, "")),
        (end, 1, (21, "contract_expired")),
        (end + 1, 0, (21, "contract_expired")),
        (end + 100 * 365 * day, 0, (21, "contract_expired")),
        // A clock that is a little behind is believed; one that was never set, or was set back, is not.
        (made - day, 0, (0, "")),
        (made - day - 1, 0, (21, "contract_from_the_future")),
        (0, 0, (21, "contract_from_the_future")),
        (-1, 0, (21, "contract_from_the_future")),
    ] {
        let found = admitted(&host, second, nanosecond);
        assert_eq!((found.0, found.1.as_str()), verdict, "{} s after it was made", second - made);
    }
}

#[test]
fn a_contract_without_an_end_asks_no_clock() {
    let host = Host::new();
    host.contract("echo SITE\n", &["--expires", "never"]);
    let (made, end) = times(&host);
    assert_eq!(end, None);
    for second in [-1, 0, made, made * 10] {
        assert_eq!(admitted(&host, second, 0).0, 0, "{second}");
    }
}

#[test]
fn a_run_that_is_killed_at_any_moment_is_neither_forgotten_nor_repeated() {
    const ROUNDS: u32 = 40;
    let host = || {
        let host = Host::new();
        host.contract("go: { echo SITE >> ran; sleep 0.1; echo SITE >> ran }\n", &["go", "--once"]);
        host
    };
    // How long a whole run takes here; it is killed at moments spread over that.
    let (whole, begun) = (host(), std::time::Instant::now());
    whole.vm(&["run", "--plan", "prod.plan"]).expect(0);
    let length = begun.elapsed();
    let (mut counted, mut uncounted) = (0, 0);
    for round in 0..ROUNDS {
        let host = host();
        let mut child = host
            .command("opal-vm", ["run", "--plan", "prod.plan"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(length * round / ROUNDS);
        child.kill().expect("killed");
        child.wait().expect("ends");
        let ran = !host.read("ran").is_empty();
        // The lock lasts until the last watcher has taken its step down.
        let again = loop {
            let again = host.vm(&["run", "--plan", "prod.plan"]);
            if again.status != 75 {
                break again;
            }
        };
        match again.status {
            22 => {
                again.says("error[already_run]").says("was used at").says("effects: none");
                counted += 1;
            }
            0 => {
                assert!(!ran, "a step ran, and the run was forgotten");
                assert_eq!(host.read("ran").lines().count(), 2);
                uncounted += 1;
            }
            other => panic!("{other}: {}", again.stderr),
        }
    }
    assert!(counted > 0, "{counted} {uncounted}");
}
