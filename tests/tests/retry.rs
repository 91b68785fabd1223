//! `@retry`: on which failures another attempt follows, and what its arguments may be.

use opal_tests::Host;
use serde_json::Value;

/// Runs a block that counts its attempts, and gives exit status and count.
fn attempts(arguments: &str, block: &str) -> (i32, usize) {
    let host = Host::new();
    host.write("main.opl", format!("@retry({arguments}) {{\n  echo x >> count\n  {block}\n}}\n"));
    let ended = host.run("opal", &["./main.opl", "--record", "none"]);
    (ended.status, host.read("count").lines().count())
}

#[test]
fn another_attempt_follows_the_stated_exit_statuses_only() {
    for (arguments, block, expected) in [
        ("3", "exit 7", (1, 3)),
        ("3, on=[7]", "exit 7", (1, 3)),
        ("3, on=[7, 75]", "exit 75", (1, 3)),
        ("3, on=[7]", "exit 8", (1, 1)),
        ("3, on=[7]", "test $(wc -l < count) = 2 || exit 7", (0, 2)),
        // The failure that ended the block counts, whatever was before it.
        ("3, on=[7]", "try { exit 7 } catch { true }\n  exit 8", (1, 1)),
        ("4, on=[7]", "test $(wc -l < count) = 2 && exit 8; exit 7", (1, 2)),
        // Killed by a signal is 128 and its number.
        ("3, on=[137]", "kill -KILL $$", (1, 3)),
        ("3, on=[9]", "kill -KILL $$", (1, 1)),
        // What has no exit status is not tried again.
        ("3, on=[1, 124, 137, 143]", "@timeout(50ms) { sleep 20 }", (1, 1)),
        ("3", "@timeout(50ms) { sleep 20 }", (1, 3)),
        ("3, on=[1]", "echo a |> assert.eq(\"b\")", (1, 1)),
        ("3, on=[1]", "@workdir(\"nowhere\") { true }", (1, 1)),
        ("3, on=[127]", "no-such-program-here", (1, 3)),
        ("3, on=[7]", "@parallel { exit 7 }", (1, 3)),
        // Chance has a say in pauses, not in attempts.
        ("3, delay=2ms, backoff=2, jitter=1", "exit 7", (1, 3)),
        ("3, delay=1ms, jitter=0.5, on=[7]", "exit 7", (1, 3)),
        ("3, jitter=0", "exit 7", (1, 3)),
    ] {
        assert_eq!(attempts(arguments, block), expected, "@retry({arguments}) {{ {block} }}");
    }
}

#[test]
fn what_the_arguments_cannot_be_is_said_before_anything_runs() {
    for (arguments, says) in [
        ("3, on=[0]", "1 to 255"),
        ("3, on=[256]", "1 to 255"),
        ("3, on=[-1]", "1 to 255"),
        ("3, on=[]", "at least one exit status"),
        ("3, on=[\"7\"]", "Array of Ints"),
        ("3, on=[7, 1.5]", "Array of Ints"),
        ("3, on=7", "Array of Ints"),
        ("3, jitter=2", "0 to 1"),
        ("3, jitter=1.1", "0 to 1"),
        ("3, jitter=-0.1", "0 to 1"),
        ("3, jitter=true", "Int or Float"),
        ("3, jitter=1s", "Int or Float"),
        ("3, in=[1]", "on"),
    ] {
        let host = Host::new();
        host.write("main.opl", format!("@retry({arguments}) {{\n  echo x >> count\n}}\n"));
        let ended = host.run("opal", &["./main.opl", "--record", "none"]);
        assert_eq!((ended.status, host.read("count")), (65, String::new()), "{arguments}: {}", ended.stderr);
        ended.says(says).says("effects: none");
    }
}

#[test]
fn all_arguments_are_part_of_the_work() {
    let host = Host::new();
    let hash = |arguments: &str| {
        host.contract(&format!("@retry({arguments}) {{ echo SITE }}\n"), &["--env", "CODE=75"]);
        let inspected = host.vm(&["inspect", "--plan", "prod.plan", "--json"]);
        let inspected: Value = serde_json::from_str(&inspected.expect(0).stdout).expect("JSON");
        inspected.get("plan_hash").expect("a hash").to_string()
    };
    let all =
        ["3", "3, on=[7]", "3, on=[7, 8]", "3, on=[8, 7]", "3, jitter=0.5", "3, jitter=1", "3, on=[int(@env.CODE)]", "3, delay=1s, on=[7]"];
    let hashes: std::collections::BTreeSet<String> = all.iter().map(|arguments| hash(arguments)).collect();
    assert_eq!(hashes.len(), all.len());
    assert_eq!(hash("3, on=[7]"), hash("attempts=3, on=[3 + 4]"));

    let tree = |arguments: &str| {
        host.write("main.opl", format!("@retry({arguments}) {{ echo x }}\n"));
        host.opalc(&["main.opl"]).expect(0).stdout.clone()
    };
    assert!(
        tree("3, jitter=0.25, on=[7, 75]").contains("@retry(attempts=3, jitter=0.25, on=[7, 75])"),
        "{}",
        tree("3, jitter=0.25, on=[7, 75]")
    );
    host.write("main.opl", "@retry(3,on=[ 7,75 ],jitter=.5){ echo x }\n");
    let formatted = host.opalc(&["fmt", "--check", "main.opl"]);
    assert!(formatted.status != 70, "{}", formatted.stderr);
    // A value that only the host knows.
    host.contract("@retry(3, on=[int(@env.CODE)]) {\n  echo x >> SITE-count\n  exit 75\n}\n", &["--env", "CODE=75"]);
    let ran = host.command("opal-vm", ["run", "--plan", "prod.plan"]).env("CODE", "75").output().expect("it starts");
    assert_eq!(
        (ran.status.code(), host.read(&host.named("SITE-count")).lines().count()),
        (Some(1), 3),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}
