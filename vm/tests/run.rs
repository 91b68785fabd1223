//! The executor over hand-made step trees, with real processes.

mod support;

use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::Signal;
use opal_core::agreed::Runnable;
use opal_core::decorators::params;
use opal_core::plan::Scalar;
use opal_exec::recorder::{NoRecord, Recorder};
use opal_exec::run::{FailureCause, Outcome, RunError};
use opal_format::kind::{NodeKind, Position};
use support::plan::{Arg, Part, Tree, block, let_, plan_of, sh, shell, with};
use support::{Marker, Ran, Setup, direct, run, run_with};

use Position::{Assignment, DoubleQuoted, HereDocument, Word};

fn ok(tree: Vec<Tree>) -> String {
    let ran = run(tree);
    assert!(matches!(ran.report.outcome, Outcome::Succeeded), "{ran:?}");
    ran.stdout
}

fn fails(tree: Vec<Tree>) -> Ran {
    let ran = run(tree);
    assert!(matches!(ran.report.outcome, Outcome::Failed(_)), "{ran:?}");
    assert_eq!(ran.report.exit(), 1);
    ran
}

fn first_cause(ran: &Ran) -> &opal_exec::run::StepFailure {
    match ran.report.outcome {
        Outcome::Failed(cause) => &ran.report.failures[cause],
        _ => panic!("{ran:?}"),
    }
}

fn try_(body: Vec<Tree>, catch: Option<Vec<Tree>>, finally: Option<Vec<Tree>>) -> Tree {
    let mut inside = body;
    inside.extend(catch.map(|catch| block(NodeKind::Catch, catch)));
    inside.extend(finally.map(|finally| block(NodeKind::Finally, finally)));
    block(NodeKind::Try, inside)
}

fn retry(attempts: i64, inside: Vec<Tree>) -> Tree {
    with(NodeKind::Retry, vec![(params::RETRY_ATTEMPTS, Arg::Int(attempts))], inside)
}

fn timeout(ms: i64, inside: Vec<Tree>) -> Tree {
    with(NodeKind::Timeout, vec![(params::TIMEOUT_DURATION, Arg::Duration(ms * 1_000_000))], inside)
}

fn workdir(path: &str, inside: Vec<Tree>) -> Tree {
    with(NodeKind::Workdir, vec![(params::WORKDIR_PATH, Arg::Text(path.to_owned()))], inside)
}

fn parallel(at_once: i64, tolerate: i64, inside: Vec<Tree>) -> Tree {
    let args = vec![(params::PARALLEL_MAX_CONCURRENCY, Arg::Int(at_once)), (params::PARALLEL_TOLERATE, Arg::Int(tolerate))];
    with(NodeKind::Parallel, args, inside)
}

#[test]
fn steps_run_in_order_up_to_the_first_failure() {
    assert_eq!(ok(vec![sh("echo a"), sh("echo b; echo c"), sh("echo d")]), "a\nb\nc\nd\n");
    let ran = fails(vec![sh("echo a"), sh("echo oops >&2; exit 7"), sh("echo never")]);
    assert_eq!(ran.stdout, "a\n");
    let cause = first_cause(&ran);
    assert_eq!(
        (cause.path.as_str(), cause.stderr.as_slice(), cause.cause.to_string().as_str()),
        ("2", b"oops\n".as_slice(), "exit status 7")
    );
    assert_eq!((ran.report.steps_done, ran.report.steps_total, ran.report.effects), (2, 3, true));
    assert_eq!(ran.report.effects_text(), "stopped after 2 of 3 steps");
}

#[test]
fn a_pipe_inside_a_shell_step_fails_with_any_of_its_parts() {
    fails(vec![sh("false | true")]);
}

#[test]
fn a_step_that_cannot_be_started_or_is_killed_fails() {
    assert_eq!(first_cause(&fails(vec![sh("/nowhere/at/all")])).cause.to_string(), "exit status 127");
    assert_eq!(first_cause(&fails(vec![sh("kill -9 $$")])).cause.to_string(), "ended by signal 9 (SIGKILL)");
}

#[test]
fn retry_runs_its_block_until_it_succeeds_or_attempts_are_used_up() {
    let dir = tempfile::tempdir().unwrap();
    let count = format!("echo x >> {0}/n; test $(wc -l < {0}/n) -ge 3", dir.path().display());
    let ran = run(vec![retry(5, vec![sh("echo try"), sh(&count)]), sh("echo after")]);
    assert!(matches!(ran.report.outcome, Outcome::Succeeded));
    assert_eq!(ran.stdout, "try\ntry\ntry\nafter\n");
    assert_eq!(ran.report.failures.iter().filter(|failure| failure.handled).count(), 2);
    assert_eq!(fails(vec![retry(2, vec![sh("echo try; false")])]).stdout, "try\ntry\n");
}

#[test]
fn a_failure_is_caught_and_finally_always_runs() {
    let caught =
        |body: Vec<Tree>, catch: &str, finally: &str| run(vec![try_(body, Some(vec![sh(catch)]), Some(vec![sh(finally)])), sh("echo end")]);
    let ran = caught(vec![sh("echo body")], "echo catch", "echo finally");
    assert_eq!((ran.stdout.as_str(), ran.report.exit()), ("body\nfinally\nend\n", 0));
    let ran = caught(vec![sh("exit 3"), sh("echo never")], "echo catch", "echo finally");
    assert_eq!((ran.stdout.as_str(), ran.report.exit()), ("catch\nfinally\nend\n", 0));
    assert!(ran.report.failures[0].handled);
    let ran = caught(vec![sh("exit 3")], "exit 4", "exit 5");
    assert_eq!((ran.stdout.as_str(), first_cause(&ran).cause.to_string().as_str()), ("", "exit status 3"));
    assert_eq!(ran.report.failures.len(), 3);
    let ran = caught(vec![sh("true")], "echo catch", "exit 5");
    assert_eq!(first_cause(&ran).cause.to_string(), "exit status 5");
}

#[test]
fn nested_cleanup_runs_from_the_inside_out() {
    let inner = try_(vec![sh("exit 1")], None, Some(vec![sh("echo inner")]));
    assert_eq!(fails(vec![try_(vec![inner], None, Some(vec![sh("echo outer")]))]).stdout, "inner\nouter\n");
}

#[test]
fn a_timeout_skips_catch_and_lets_finally_take_its_time() {
    let body = try_(vec![sh("sleep 60")], Some(vec![sh("echo catch")]), Some(vec![sh("sleep 0.3; echo finally")]));
    let ran = fails(vec![timeout(100, vec![body, sh("echo never")])]);
    assert_eq!(ran.stdout, "finally\n");
    assert!(matches!(first_cause(&ran).cause, FailureCause::Timeout(limit) if limit == Duration::from_millis(100)));
    let ran = run(vec![try_(vec![timeout(100, vec![sh("sleep 60")])], Some(vec![sh("echo caught outside")]), None)]);
    assert_eq!((ran.stdout.as_str(), ran.report.exit()), ("caught outside\n", 0));
}

#[test]
fn the_inner_of_two_timeouts_can_be_retried_the_outer_ends_it_all() {
    let ran = fails(vec![timeout(400, vec![retry(1000, vec![sh("echo again"), timeout(50, vec![sh("sleep 60")])])])]);
    assert!(ran.stdout.lines().count() > 1, "{ran:?}");
    assert!(matches!(first_cause(&ran).cause, FailureCause::Timeout(limit) if limit == Duration::from_millis(400)));
}

#[test]
fn a_run_as_a_whole_can_time_out() {
    let ran = run_with(plan_of(vec![sh("sleep 60")], &[]), |options| options.timeout = Some(Duration::from_millis(100)), &mut NoRecord);
    assert_eq!((first_cause(&ran).node, ran.report.exit()), (None, 1));
}

#[test]
fn a_workdir_moves_its_block_and_a_missing_one_fails_the_step() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().canonicalize().unwrap();
    std::fs::create_dir_all(place.join("a/b")).unwrap();
    let path = place.to_str().unwrap();
    let inside = vec![sh("pwd"), sh("echo $PWD"), workdir("a/b", vec![sh("pwd"), workdir("../..", vec![sh("pwd")])]), sh("pwd")];
    assert_eq!(ok(vec![workdir(path, inside)]), format!("{path}\n{path}\n{path}/a/b\n{path}\n{path}\n"));
    let ran = fails(vec![workdir(path, vec![workdir("missing", vec![sh("echo never")])])]);
    assert_eq!((ran.stdout.as_str(), first_cause(&ran).path.as_str()), ("", "1.1"));
    assert_eq!(first_cause(&ran).cause.to_string(), "cannot enter `missing`: no such file or directory");
}

#[test]
fn operators_decide_by_how_their_operands_end() {
    let op = |kind, operands: &[&str]| block(kind, operands.iter().map(|operand| sh(operand)).collect());
    assert_eq!(ok(vec![op(NodeKind::And, &["echo a", "echo b"])]), "a\nb\n");
    assert_eq!(fails(vec![op(NodeKind::And, &["false", "echo b"])]).stdout, "");
    assert_eq!(ok(vec![op(NodeKind::Or, &["echo a; false", "echo b"])]), "a\nb\n");
    assert_eq!(ok(vec![op(NodeKind::Or, &["echo a", "echo b"])]), "a\n");
    assert_eq!(fails(vec![op(NodeKind::Or, &["exit 3", "exit 4"])]).report.failures.len(), 2);
    assert_eq!(ok(vec![op(NodeKind::Seq, &["false", "echo b"])]), "b\n");
    fails(vec![op(NodeKind::Seq, &["echo a", "false"])]);
}

#[test]
fn a_pipe_of_operands_streams_and_fails_with_the_last_that_failed() {
    let pipe = |operands: Vec<Tree>| block(NodeKind::Pipe, operands);
    let group = block(NodeKind::Group, vec![sh("echo one"), sh("echo two; echo note >&2")]);
    let ran = run(vec![pipe(vec![group, sh("tr a-z A-Z"), sh("sort -r")])]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("TWO\nONE\n", "note\n"));
    // More than a pipe holds, and a reader that does not want it all.
    assert_eq!(ok(vec![pipe(vec![sh("head -c 3000000 /dev/zero"), sh("wc -c")])]), "3000000\n");
    let ran = fails(vec![pipe(vec![sh("exit 3"), sh("cat; exit 4"), sh("cat")])]);
    assert_eq!(first_cause(&ran).cause.to_string(), "exit status 4");
    assert_eq!(fails(vec![pipe(vec![sh("yes"), sh("head -1")])]).stdout, "y\n");
}

fn operation(kind: NodeKind, argument: Arg) -> Tree {
    with(kind, vec![(params::OPERATION, argument)], Vec::new())
}

fn text(argument: &str) -> Arg {
    Arg::Text(argument.to_owned())
}

fn transform(step: Tree, operations: Vec<Tree>) -> Tree {
    block(NodeKind::Transform, std::iter::once(step).chain(operations).collect())
}

#[test]
fn a_pipeline_puts_what_its_step_writes_through_its_operations() {
    let pick = operation(NodeKind::JsonPick, text("$.n"));
    let step = sh("echo note >&2; echo '{\"n\": 3}'");
    let ran = run(vec![transform(step, vec![pick.clone(), operation(NodeKind::AssertNum, text(">= 3"))])]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str(), ran.report.exit()), ("3\n", "note\n", 0));
    let failing = transform(sh("echo '{}'"), vec![pick, block(NodeKind::LinesCount, Vec::new())]);
    let ran = fails(vec![failing, sh("echo never")]);
    assert_eq!((ran.stdout.as_str(), first_cause(&ran).path.as_str()), ("", "1.2"));
    assert_eq!(first_cause(&ran).cause.to_string(), "expected a value at $.n, got `{}`");
    assert_eq!(first_cause(&ran).command, "|> json.pick(\"$.n\")");
    let ran = fails(vec![transform(sh("echo 2"), vec![operation(NodeKind::AssertNum, text(">= 3"))])]);
    assert_eq!(first_cause(&ran).cause.to_string(), "expected a number >= 3, got `2`");
    let ran = fails(vec![transform(sh("true"), vec![operation(NodeKind::AssertRe, text("."))])]);
    assert_eq!(first_cause(&ran).cause.to_string(), "expected a match of \".\", got nothing");
}

#[test]
fn a_pipeline_takes_all_that_a_block_writes_and_stands_in_pipes() {
    let count = || block(NodeKind::LinesCount, Vec::new());
    let inner = transform(sh("seq 4"), vec![operation(NodeKind::LinesTail, Arg::Int(3))]);
    let group = block(NodeKind::Group, vec![sh("seq 2"), inner, block(NodeKind::Pipe, vec![sh("seq 9"), sh("head -5")])]);
    assert_eq!(ok(vec![transform(group.clone(), vec![count()])]), "10\n");
    assert_eq!(ok(vec![block(NodeKind::Pipe, vec![transform(group, vec![count()]), sh("sed s/1/x/")])]), "x0\n");
    let echo = transform(sh("cat"), vec![operation(NodeKind::LinesHead, Arg::Int(1))]);
    assert_eq!(ok(vec![block(NodeKind::Pipe, vec![sh("seq 3"), echo])]), "1\n");
    // A reader that does not want it all.
    let much = transform(sh("seq 200000"), vec![operation(NodeKind::LinesGrep, text("1"))]);
    assert_eq!(fails(vec![block(NodeKind::Pipe, vec![much.clone(), sh("head -1")])]).stdout, "1\n");
    // A reader that does not read is no reason to miss a deadline.
    let stuck = block(NodeKind::Pipe, vec![timeout(200, vec![much]), sh("sleep 1")]);
    assert!(first_cause(&fails(vec![stuck])).cause.to_string().starts_with("not done after"));
}

#[test]
fn failures_in_and_of_a_pipeline_are_handled_as_those_of_any_step() {
    let equal = |wanted: &str| vec![operation(NodeKind::AssertEq, text(wanted))];
    let dir = tempfile::tempdir().unwrap();
    let counts = format!("cd {}; touch x$(ls | wc -l); ls | wc -l", dir.path().display());
    let ran = run(vec![retry(5, vec![transform(sh(&counts), equal("3"))])]);
    assert_eq!((ran.stdout.as_str(), ran.report.exit(), ran.report.failures.len()), ("3\n", 0, 2));
    let ran = run(vec![try_(vec![transform(sh("echo a"), equal("b"))], Some(vec![sh("echo caught")]), Some(vec![sh("echo last")]))]);
    assert_eq!((ran.stdout.as_str(), ran.report.exit()), ("caught\nlast\n", 0));
    let ran = fails(vec![transform(sh("echo said; exit 4"), equal("said"))]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", "said\n"));
    assert_eq!((first_cause(&ran).path.as_str(), first_cause(&ran).cause.to_string().as_str()), ("1.1", "exit status 4"));
    let ran = fails(vec![timeout(200, vec![transform(sh("echo early; sleep 60"), equal("early"))])]);
    assert!(matches!(first_cause(&ran).cause, FailureCause::Timeout(_)));
}

#[test]
fn a_pipeline_takes_sixteen_mebibytes_and_no_more() {
    let count = || vec![block(NodeKind::LinesCount, Vec::new())];
    assert_eq!(ok(vec![transform(sh("head -c 16777216 /dev/zero | tr '\\0' '\\n'"), count())]), "16777216\n");
    for script in ["head -c 16777217 /dev/zero", "yes", "yes || true"] {
        let ran = fails(vec![transform(sh(script), count())]);
        assert!(matches!(first_cause(&ran).cause, FailureCause::OutputTooLong(16_777_216)), "{script}: {ran:?}");
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn what_an_assertion_says_shows_no_secret() {
    let secret = || Scalar::String(b"hunter2hunter2".to_vec().into());
    let echo = |before: &str| shell(vec![Part::Text("echo "), Part::Text(before), Part::Slot(0, Word)]);
    let plan = |step: Tree| plan_of(vec![transform(step, vec![operation(NodeKind::AssertEq, Arg::Slot(0))])], &[(secret(), false)]);
    let ran = run_with(plan(echo("")), |_| {}, &mut NoRecord);
    assert_eq!((ran.stdout.as_str(), ran.report.exit()), ("opal:secret:ID0\n", 0));
    let filler = "x".repeat(195);
    for before in ["not-", &filler] {
        let ran = run_with(plan(echo(before)), |_| {}, &mut NoRecord);
        let said = format!("{:?}{:?}", ran, ran.report.done());
        assert!(!said.contains("hunt"), "{said}");
        let cause = first_cause(&ran).cause.to_string();
        assert!(cause.starts_with("expected \"opal:secret:ID0\", got `"), "{cause}");
    }
}

#[test]
fn parallel_output_comes_in_plan_order_whatever_ends_first() {
    let branches = (0..6).map(|n| sh(&format!("sleep 0.{}; echo {n}; echo e{n} >&2", 6 - n))).collect();
    let ran = run(vec![parallel(6, 0, branches), sh("echo end")]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("0\n1\n2\n3\n4\n5\nend\n", "e0\ne1\ne2\ne3\ne4\ne5\n"));
}

#[test]
fn nested_parallel_and_loops_have_a_branch_for_each_iteration() {
    let each = block(NodeKind::For, vec![sh("sleep 0.2; echo 1"), sh("echo 2")]);
    let inner = parallel(2, 0, vec![sh("sleep 0.1; echo 3"), sh("echo 4")]);
    assert_eq!(ok(vec![parallel(8, 0, vec![each, inner, block(NodeKind::If, vec![sh("echo 5"), sh("echo 6")])])]), "1\n2\n3\n4\n5\n6\n");
}

#[test]
fn at_most_so_many_branches_run_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!("cd {}; touch $$; ls | wc -l; sleep 0.05; rm $$", dir.path().display());
    let counts = ok(vec![parallel(2, 0, (0..8).map(|_| sh(&script)).collect())]);
    let counts: Vec<u32> = counts.lines().map(|line| line.trim().parse().unwrap()).collect();
    assert_eq!((counts.len(), counts.iter().max()), (8, Some(&2)));
}

#[test]
fn after_a_failure_running_branches_finish_and_none_starts() {
    let ran = fails(vec![parallel(2, 0, vec![sh("sleep 0.3; echo slow"), sh("exit 3"), sh("echo never"), sh("echo never")])]);
    assert_eq!(ran.stdout, "slow\n");
    let ran = run(vec![parallel(1, 1, vec![sh("exit 3"), sh("echo goes on")])]);
    assert_eq!((ran.stdout.as_str(), ran.report.exit()), ("goes on\n", 0));
    let ran = fails(vec![parallel(1, 1, vec![sh("exit 3"), sh("exit 4"), sh("echo never")])]);
    assert_eq!((ran.stdout.as_str(), first_cause(&ran).cause.to_string().as_str()), ("", "exit status 3"));
}

#[test]
fn big_output_of_a_branch_is_kept_whole() {
    let branches = vec![sh("sleep 0.1"), sh("head -c 5000000 /dev/zero | tr '\\0' x")];
    assert_eq!(ok(vec![parallel(2, 0, branches)]).len(), 5_000_000);
}

#[test]
fn a_binding_is_read_by_later_steps_and_never_shown() {
    let tree = vec![
        let_("TAG", "TAG=$(echo 'v1  secret'; echo)"),
        shell(vec![
            Part::Text("printf '<%s>' "),
            Part::Binding(0, Word),
            Part::Text("; echo \"["),
            Part::Binding(0, DoubleQuoted),
            Part::Text("]\""),
        ]),
        shell(vec![Part::Text("test "), Part::Binding(0, Word), Part::Text(" = 'v1  secret'; env | grep -c OPAL_; true")]),
    ];
    assert_eq!(ok(tree), "<@let.TAG>[@let.TAG]\n0\n");
    let ran = fails(vec![let_("X", "X=$(exit 9)"), sh("echo never")]);
    assert_eq!((ran.stdout.as_str(), first_cause(&ran).cause.to_string().as_str()), ("", "exit status 9"));
    let ran = fails(vec![let_("X", "X=$(head -c 200000 /dev/zero | tr '\\0' x)")]);
    assert!(matches!(first_cause(&ran).cause, FailureCause::BindingTooLong(_)));
}

#[test]
fn what_a_binding_held_in_an_earlier_attempt_is_still_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let (count, kept) = (dir.path().join("count"), dir.path().join("kept"));
    let token = format!("T=$(echo x >> {0}; echo token-$(wc -l < {0}))", count.display());
    let (keep, enough) = (format!(" >> {}", kept.display()), format!("test $(wc -l < {}) -ge 3", count.display()));
    let inside = vec![let_("T", &token), shell(vec![Part::Text("echo "), Part::Binding(1, Word), Part::Text(&keep)]), sh(&enough)];
    assert_eq!(ok(vec![retry(5, inside), sh(&format!("cat {}", kept.display()))]), "@let.T\n@let.T\n@let.T\n");
}

#[test]
fn values_arrive_byte_for_byte_in_every_position() {
    let nasty: Vec<&[u8]> = vec![
        b"plain",
        b"",
        b" a  b ",
        b"$(touch /tmp/owned)",
        b"`id`",
        b"'\"\\",
        b"*",
        b"~",
        b"{a,b}",
        b"-n",
        b"a\nb\n",
        b"!x",
        b"#",
        b"x[$(id)]",
        b"\xff\xfe\x01",
    ];
    for value in nasty {
        for public in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let out = |n: u32| dir.path().join(n.to_string());
            let write = |n: u32| format!(" > {}", out(n).display());
            let (w1, w2, w3, w4) = (write(1), write(2), write(3), write(4));
            let slot = |position| Part::Slot(0, position);
            let tree = vec![
                shell(vec![Part::Text("printf '%s:%s:' a"), slot(Word), Part::Text("b "), slot(Word), Part::Text(&w1)]),
                shell(vec![Part::Text("printf %s \"<"), slot(DoubleQuoted), Part::Text(">\""), Part::Text(&w2)]),
                shell(vec![Part::Text("cat"), Part::Text(&w3), Part::Text(" <<END\n<"), slot(HereDocument), Part::Text(">\nEND")]),
                shell(vec![Part::Text("X="), slot(Assignment), Part::Text("; printf %s \"$X\""), Part::Text(&w4)]),
            ];
            let slots = [(Scalar::String(value.to_vec().into()), public)];
            let ran = run_with(plan_of(tree, &slots), |_| {}, &mut NoRecord);
            assert_eq!(ran.report.exit(), 0, "{ran:?}");
            let read = |n| std::fs::read(out(n)).unwrap();
            let joined = |parts: &[&[u8]]| parts.concat();
            assert_eq!(read(1), joined(&[b"a", value, b"b:", value, b":"]));
            assert_eq!(read(2), joined(&[b"<", value, b">"]));
            assert_eq!(read(3), joined(&[b"<", value, b">\n"]));
            assert_eq!(read(4), value);
        }
    }
}

#[test]
fn secrets_are_scrubbed_from_output_and_in_no_argument_list() {
    let secret = "hunter2-very-secret";
    let tree = vec![
        shell(vec![Part::Text("printf '%s' "), Part::Slot(0, Word), Part::Text(" | tee /dev/stderr | base64")]),
        shell(vec![Part::Text("tr '\\0' ' ' < /proc/$$/cmdline | grep -c 'hunter[2]'; : "), Part::Slot(0, Word)]),
        shell(vec![Part::Text("X="), Part::Slot(0, Word), Part::Text("; env | grep -c 'hunter[2]'")]),
    ];
    let ran = run_with(plan_of(tree, &[(Scalar::String(secret.as_bytes().to_vec().into()), false)]), |_| {}, &mut NoRecord);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("opal:secret:ID0\n0\n0\n", "opal:secret:ID0"));
    let cause = first_cause(&ran);
    assert!(!format!("{:?}{:?}", ran.report, ran.report.done()).contains("hunter2"), "{:?}", ran.report);
    assert!(cause.command.contains("opal:secret:ID0"), "{}", cause.command);
}

#[test]
fn a_plain_command_sees_what_it_would_see_under_bash() {
    let env_program = ["/usr/bin/env", "/bin/env"].into_iter().find(|path| std::path::Path::new(path).exists()).unwrap();
    for level in [None, Some("5"), Some("999"), Some("x"), Some("-3")] {
        let setup = |options: &mut Setup| {
            options.environment.retain(|entry| !entry.to_bytes().starts_with(b"SHLVL="));
            options.environment.extend(level.map(|level| std::ffi::CString::new(format!("SHLVL={level}")).unwrap()));
        };
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        // The first is executed directly; the second, for the glob character in it, by bash, which then replaces itself.
        let direct = run_with(plan_of(vec![sh(env_program)], &[]), setup, &mut NoRecord);
        let shell = run_with(plan_of(vec![sh(&env_program.replace("/env", "/[e]nv"))], &[]), setup, &mut NoRecord);
        assert_eq!(sorted(&direct.stdout), sorted(&shell.stdout), "{level:?}");
    }
}

#[test]
fn what_the_kernel_does_not_start_is_the_shells_to_judge() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tool");
    std::fs::write(&file, "#!/nowhere/interpreter\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let ran = fails(vec![sh(file.to_str().unwrap())]);
    assert!(matches!(first_cause(&ran).cause.to_string().as_str(), "exit status 126" | "exit status 127"));
    assert!(ran.stderr.starts_with("bash: ") && ran.stderr.contains("tool"), "{}", ran.stderr);
}

#[test]
fn what_a_step_leaves_running_is_ended_and_named() {
    let marker = Marker::new();
    let ran = run(vec![sh(&format!("export {}; setsid sleep 600 & echo up", marker.0)), sh("echo next")]);
    assert_eq!((ran.stdout.as_str(), ran.report.exit()), ("up\nnext\n", 0));
    assert!(ran.stderr.contains("step 1 left sleep (pid ") && ran.stderr.contains("@detach keeps it"), "{}", ran.stderr);
    assert_eq!(marker.carriers(), [0; 0]);
}

/// Succeeds once so many processes carry the marker; one that was just started does so only when it has become its program.
fn alive(marker: &Marker, n: u32) -> String {
    let count = format!("$(grep -lsz {} /proc/[0-9]*/environ | wc -l)", marker.0);
    format!("for i in {{1..500}}; do test {count} -eq {n} && exit 0; sleep 0.02; done; exit 1")
}

#[test]
fn detached_processes_live_until_their_block_ends() {
    let marker = Marker::new();
    let alive = |n: u32| sh(&alive(&marker, n));
    let server = block(NodeKind::Detach, vec![sh(&format!("{} sleep 600 & echo started", marker.0))]);
    let tree = vec![block(NodeKind::Group, vec![server, alive(1), sh("echo used")]), alive(0)];
    let ran = run(tree);
    assert_eq!((ran.stdout.as_str(), ran.report.exit()), ("started\nused\n", 0), "{ran:?}");
    assert_eq!(marker.carriers(), [0; 0]);
}

#[test]
fn what_no_digest_of_the_work_covers_changes_no_run() {
    let marker = Marker::new();
    let alive = |n: u32| sh(&alive(&marker, n));
    let server = block(NodeKind::Detach, vec![sh(&format!("{} sleep 600 & echo started", marker.0))]);
    // Its text is that of the value, and not what it is replaced by.
    let slot = shell(vec![Part::Text("printf '%s\\n' "), Part::Slot(0, Word), Part::Text(" | tr a-z b-za")]);
    let tree = vec![
        sh("echo a"),
        block(NodeKind::Parallel, vec![sh("sleep 0.2; echo b"), sh("echo c"), block(NodeKind::Group, vec![sh("echo d"), sh("echo e")])]),
        block(NodeKind::Or, vec![sh("false"), sh("echo f"), sh("echo never")]),
        block(NodeKind::Or, vec![block(NodeKind::And, vec![sh("true"), sh("false"), sh("echo never")]), sh("echo g")]),
        block(NodeKind::Seq, vec![sh("false"), sh("echo h")]),
        block(NodeKind::Pipe, vec![sh("echo i"), sh("tr i j")]),
        try_(vec![sh("echo k"), sh("false"), sh("echo never")], Some(vec![sh("echo l")]), Some(vec![sh("echo m"), sh("echo n")])),
        block(NodeKind::Group, vec![server, alive(1), slot]),
        alive(0),
        sh("exit 3"),
        sh("echo never"),
    ];
    let secret = (Scalar::String(zeroize::Zeroizing::new(b"a-long-secret".to_vec())), false);
    let hash = |plan: &opal_core::plan::Plan| {
        let algorithm = opal_format::hash::HashAlgorithm::Sha256;
        let setting = opal_format::terms::Setting { target: "t", arguments: &[], shell: "/bin/bash", umask: 0o022, directory: "" };
        opal_format::plan_hash::plan_hash(algorithm, &setting, plan.steps.view(), plan.slots.view()).unwrap()
    };
    let plain = plan_of(tree.clone(), std::slice::from_ref(&secret));
    let name = hash(&plain);
    let said = |ran: &Ran| {
        let text = ran.stdout.replace(|character: char| !character.is_ascii_alphabetic() && character != '\n', "");
        (text, ran.report.exit(), ran.report.failures.len())
    };
    let ran = run_with(plain, |_| {}, &mut NoRecord);
    let expected = said(&ran);
    assert_eq!(expected.1, 1, "{ran:?}");
    for (each, all) in [(true, false), (false, true), (true, true)] {
        let plan = plan_of(support::plan::under_control_flow(&tree, each, all), std::slice::from_ref(&secret));
        assert_eq!(hash(&plan), name, "control flow is not part of the work");
        assert_eq!(said(&run_with(plan, |_| {}, &mut NoRecord)), expected, "each {each}, all {all}");
    }
    let mut claims = plan_of(tree, &[secret]);
    let header = opal_format::record::TextRef::new(0, 4);
    let span = opal_format::record::Span::new(7, 9, 3, 5);
    claims.steps.origins.text.extend_from_slice(b"lies");
    claims.steps.origins.nodes.iter_mut().for_each(|node| (node.header, node.span) = (header, span));
    claims.steps.origins.templates.iter_mut().for_each(|template| template.span = span);
    let text = &mut claims.slots.text;
    let display = opal_format::record::TextRef::new(u32::try_from(text.len()).unwrap(), 8);
    text.extend_from_slice(b"22222222");
    claims.slots.slots.iter_mut().for_each(|slot| {
        (slot.display, slot.span, slot.commitment) = (display, span, [9; 32]);
        (slot.decorator, slot.flags) = (7.into(), (slot.flags.to_native() | opal_format::slots::SLOT_SHAPES).into());
    });
    assert_eq!(hash(&claims), name, "headers, spans, ids and uses are not part of the work");
    assert_eq!(said(&run_with(claims, |_| {}, &mut NoRecord)), expected);
}

#[test]
fn a_sleep_waits_and_a_timeout_cuts_it_short() {
    let sleep = |ms: i64| with(NodeKind::Sleep, vec![(params::SLEEP_DURATION, Arg::Duration(ms * 1_000_000))], vec![]);
    assert_eq!(ok(vec![sleep(10), sleep(-5), sh("echo up")]), "up\n");
    fails(vec![timeout(50, vec![sleep(600_000)])]);
}

#[test]
fn output_that_nobody_reads_stops_the_run_after_cleanup() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cleaned");
    let tree = vec![try_(
        vec![sh("yes"), sh("echo never")],
        Some(vec![sh("false")]),
        Some(vec![sh(&format!("echo x; touch {}", file.display()))]),
    )];
    let ran = run_with(plan_of(tree, &[]), |options| options.close_stdout = true, &mut NoRecord);
    assert!(matches!(ran.report.outcome, Outcome::OutputLost(_)), "{ran:?}");
    assert_eq!(ran.report.exit(), 74);
    assert!(file.exists());
}

#[test]
fn blocks_that_cannot_be_run_are_refused_before_anything_runs() {
    let setup = Setup::new();
    let nested = |depth| (0..depth).fold(sh("echo b"), |inner, _| block(NodeKind::IsolatedFilesystem, vec![inner]));
    let plan = plan_of(vec![sh("echo a"), nested(13)], &[]);
    let refused = opal_exec::run::run(Runnable::Direct(&direct(plan)), &setup.options(), &mut NoRecord);
    assert!(matches!(refused, Err(RunError::Unenforceable { kind: "@isolated.filesystem", .. })), "{refused:?}");
    let plan = plan_of(vec![sh("echo a"), block(NodeKind::Tty, vec![sh("echo b")])], &[]);
    let refused = opal_exec::run::run(Runnable::Direct(&direct(plan)), &setup.options(), &mut NoRecord);
    assert!(matches!(refused, Err(RunError::NoTerminal { path }) if path == "2"));
}

/// Keeps events; refuses to make them durable from the `full_at`th time on.
#[derive(Default)]
struct Events {
    seen: Mutex<Vec<String>>,
    full_at: Option<usize>,
    synced: usize,
}

impl Recorder for Events {
    fn is_recording(&self) -> bool {
        true
    }

    fn note(&mut self, event: &opal_exec::clean::Clean) {
        self.seen.lock().unwrap().push(event.as_str().to_owned());
    }

    fn sync(&mut self) -> std::io::Result<()> {
        self.synced += 1;
        if self.full_at.is_some_and(|full| self.synced >= full) { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn seal(&self, _: u32, _: &[u8]) -> Option<String> {
        None
    }
}

#[test]
fn events_name_each_step_and_hold_no_secret() {
    let tree = vec![shell(vec![Part::Text("echo "), Part::Slot(0, Word), Part::Text(" >&2; exit 3")])];
    let mut events = Events::default();
    run_with(plan_of(tree, &[(Scalar::String(b"hunter2".to_vec().into()), false)]), |_| {}, &mut events);
    let seen = events.seen.into_inner().unwrap();
    let kinds: Vec<String> =
        seen.iter().map(|event| serde_json::from_str::<serde_json::Value>(event).unwrap()["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["run_starts", "step_starts", "step_done", "run_done"]);
    assert!(!seen.concat().contains("hunter2"), "{seen:?}");
}

#[test]
fn a_record_that_cannot_be_written_stops_the_run_after_cleanup() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cleaned");
    let tree =
        vec![try_(vec![sh("echo one"), sh("echo never")], None, Some(vec![sh("echo never"), sh(&format!("touch {}", file.display()))]))];
    let ran = run_with(plan_of(tree, &[]), |_| {}, &mut Events { full_at: Some(2), ..Events::default() });
    assert!(matches!(ran.report.outcome, Outcome::RecordLost(_)), "{ran:?}");
    assert_eq!((ran.report.exit(), ran.stdout.starts_with("one\n"), file.exists()), (74, true, true));
}

#[test]
fn events_and_output_can_be_one_stream() {
    let ran = run_with(plan_of(vec![sh("echo out; echo err >&2")], &[]), |options| options.json = true, &mut NoRecord);
    let events: Vec<serde_json::Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let outputs: Vec<(&str, &str)> = events
        .iter()
        .filter(|event| event["event"] == "output")
        .map(|event| (event["stream"].as_str().unwrap(), event["text"].as_str().unwrap()))
        .collect();
    assert_eq!((outputs.len(), ran.stderr.as_str()), (2, ""));
    assert!(outputs.contains(&("stdout", "out\n")) && outputs.contains(&("stderr", "err\n")));
}

/// Not a test of its own: the VM of the tests below, which end it by signals.
#[test]
fn play_the_vm() {
    let Ok(script) = std::env::var(support::PLAY) else { return };
    let body = vec![sh(&script), sh("echo never")];
    let inner = try_(body, Some(vec![sh("echo catch")]), Some(vec![sh("echo inner")]));
    let tree = vec![parallel(2, 0, vec![try_(vec![inner], None, Some(vec![sh("echo outer")])), sh("sleep 0.1")])];
    support::play(plan_of(tree, &[]));
}

#[test]
fn a_first_signal_runs_pending_cleanup_and_ends_the_vm_by_it() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let marker = Marker::new();
        let vm = support::Vm::start("sleep 600 & setsid sleep 600", &marker);
        marker.await_count(3);
        vm.send(signal);
        let (ended, said) = vm.ended();
        assert_eq!(ended, Some(signal), "{said}");
        let own: Vec<&str> = said.lines().filter(|line| ["catch", "inner", "outer", "never", "Cleaning up…"].contains(line)).collect();
        assert_eq!(own.iter().filter(|line| **line != "Cleaning up…").collect::<Vec<_>>(), [&"inner", &"outer"], "{said}");
        assert!(own.contains(&"Cleaning up…"), "{said}");
        assert_eq!(marker.carriers(), [0; 0]);
    }
}

#[test]
fn a_second_interrupt_kills_everything_and_says_what_was_skipped() {
    let marker = Marker::new();
    let vm = support::Vm::start("trap '' INT TERM; while :; do sleep 600; done", &marker);
    marker.await_count(2);
    vm.send(Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(100));
    vm.send(Signal::SIGINT);
    let (ended, said) = vm.ended();
    assert_eq!(ended, Some(Signal::SIGINT));
    assert!(!said.contains("inner") && !said.contains("outer"), "{said}");
    assert!(said.contains("skipped [\"1.1.1\", \"1.1\"]"), "{said}");
    assert_eq!(marker.carriers(), [0; 0]);
}

#[test]
fn a_killed_vm_leaves_nothing() {
    let marker = Marker::new();
    let vm = support::Vm::start("trap '' TERM; setsid sleep 600 & sleep 600", &marker);
    marker.await_count(3);
    vm.send(Signal::SIGKILL);
    assert_eq!(vm.ended().0, Some(Signal::SIGKILL));
    marker.assert_gone("after SIGKILL");
}
