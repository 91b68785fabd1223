//! Quick plans, targets, arguments and refusals.

use super::world::World;

const DEPLOY: &str = "\
var REPLICAS = @env.REPLICAS(default=2, public=true)

fun deploy(env: String, wait: Duration = 5m) {
    echo \"to @var.env\"
    @timeout(@var.wait) {
        kubectl scale --replicas=@var.REPLICAS deployment/app
    }
}

fun hello = echo hello
";

#[test]
fn a_quick_plan_is_a_tree() {
    let world = World::with("a.opl", DEPLOY);
    let tree = world.run_with(&[("REPLICAS", "7")], &["a.opl", "deploy", "prod"]).good();
    assert_eq!(
        tree.lines().take(4).collect::<Vec<_>>(),
        ["deploy:", "├─ echo \"to prod\"", "└─ @timeout(5m)", "   └─ kubectl scale --replicas=7 deployment/app"]
    );
    let document: serde_json::Value =
        serde_json::from_str(&world.run(&["a.opl", "hello", "--format", "json"]).good()).expect("one document");
    assert_eq!(document["schema"], "opal/plan/v1");
    assert_eq!(document["mode"], "quick");
    assert_eq!(document["steps"][0]["args"]["command"], "echo hello");
    assert_eq!(world.run(&["a.opl", "hello", "--json"]).good(), world.run(&["--format=json", "a.opl", "hello"]).good());
}

#[test]
fn a_source_comes_from_standard_input_and_a_script_needs_no_target() {
    let world = World::new();
    let tree = world.bash("printf 'echo one\necho two\n' | \"$opalc\" -").good();
    assert_eq!(tree.lines().skip(1).collect::<Vec<_>>(), ["├─ echo one", "└─ echo two"]);
}

#[test]
fn arguments_are_given_by_position_by_name_after_two_hyphens_or_as_a_call() {
    let world = World::with("a.opl", DEPLOY);
    let expected = world.run(&["a.opl", "deploy", "prod", "--wait=3m"]).good();
    assert!(expected.contains("@timeout(3m)") && expected.contains("to prod"));
    for words in [
        &["a.opl", "deploy", "--wait=3m", "prod"][..],
        &["a.opl", "deploy", "--", "--env=prod", "--wait=3m"],
        &["a.opl", "--color=never", "deploy", "prod", "3m"],
        &["a.opl", "deploy(\"prod\", wait=3m)"],
    ] {
        assert_eq!(world.run(words).good(), expected, "{words:?}");
    }
}

#[test]
fn a_wrong_command_line_is_a_usage_error_that_says_what_to_write() {
    let world = World::with("a.opl", DEPLOY);
    for (words, hint) in [
        (&[][..], "opalc FILE.opl"),
        (&["a.opl"], "deploy(env: String, wait: Duration = 5m)"),
        (&["a.opl", "deply", "prod"], "did you mean `deploy`?"),
        (&["a.opl", "deploy"], "`-- --env=…`"),
        (&["a.opl", "deploy", "prod", "soon"], "30s"),
        (&["a.opl", "deploy", "prod", "--wat=3m"], "--wait"),
        (&["a.opl", "deploy", "--env=prod"], "-- --env=VALUE"),
        (&["a.opl", "hello", "--resolv"], "did you mean `--resolve`?"),
        (&["a.opl", "hello", "--format", "pdf"], "tree, json"),
        (&["a.opl", "hello", "--once"], "add `--resolve`"),
        (&["a.opl", "hello", "-o", "x.plan"], "add `--resolve`"),
        (&["a.opl", "hello", "--resolve", "-o", "x.plan", "--expires", "soon"], "never"),
        (&["a.opl", "hello", "--resolve", "-o", "x.plan", "--expires=-1h"], "at least one second"),
        (&["a.opl", "hello", "--resolve", "-o", "a.opl"], "name another file"),
        (&["a.opl", "hello", "--pass-env", "A=1"], "--env NAME=VALUE"),
        (&["a.opl", "hello", "--pass-env", "LD_PRELOAD"], "steps never get this variable from outside"),
        (&["a.opl", "hello", "--pass-env", "BASH_ENV"], "steps never get this variable from outside"),
        (&["show"], "opalc show --help"),
    ] {
        let said = world.run(words).refused(64, "usage");
        assert!(said.contains(hint), "{words:?}: {said}");
    }
    assert_eq!(world.read("a.opl"), DEPLOY.as_bytes());
    assert_eq!(world.names(), ["a.opl"]);
}

#[test]
fn an_input_that_is_not_there_or_no_file_ends_with_66() {
    let world = World::with("a.opl", "echo hi");
    assert!(world.run(&["none.opl"]).refused(66, "file_not_found").contains("`none.opl`"));
    assert!(world.run(&["chek"]).refused(66, "file_not_found").contains("opalc check"));
    world.run(&["."]).refused(66, "file_not_regular");
    assert!(world.bash("mkfifo pipe; \"$opalc\" pipe").refused(66, "file_not_regular").contains("`-`"));
    world.run(&["a.opl", "--env-file", "none.env"]).refused(66, "file_not_found");
    world.run(&["show", "none.plan"]).refused(66, "plan_not_found");
}

#[test]
fn a_file_named_like_a_subcommand_is_given_with_its_directory() {
    let world = World::with("check", "echo hi");
    assert!(world.run(&["./check"]).good().contains("└─ echo hi"));
}

#[test]
fn a_missing_variable_is_named_with_its_place_and_not_planned_around() {
    let world = World::with("a.opl", "echo start\n\necho @env.NOT_THERE\n");
    let said = world.run(&["a.opl"]).refused(65, "env_unset");
    assert!(said.contains("a.opl:3:6") && said.contains("\n 3 │ echo @env.NOT_THERE"), "{said}");
    assert!(said.contains("help: set it (`--env NOT_THERE=…`"), "{said}");
    world.run(&["a.opl", "--env", "NOT_THERE=x"]).good();
    let promised = ["a.opl", "--env", "NOT_THERE=x", "--pass-env", "NOR_THIS"];
    assert!(world.run(&promised).refused(65, "env_unset").contains("--> --pass-env NOR_THIS"));
    world.write("prod.env", "NOT_THERE='from a file'\n");
    world.run(&["a.opl", "--env-file", "prod.env"]).good();
}

#[test]
fn what_the_command_line_states_wins_over_files_and_files_over_the_environment() {
    let world = World::with("a.opl", "echo @env.A(public=true) @env.B(public=true) @env.C(public=true)\n");
    world.write("x.env", "B=file\nC=file\n");
    let tree =
        world.run_with(&[("A", "host"), ("B", "host"), ("C", "host")], &["a.opl", "--env-file", "x.env", "--env", "C=line=1"]).good();
    assert!(tree.contains("echo host file line=1"), "{tree}");
}

#[test]
fn a_source_that_does_not_compile_ends_with_65_and_all_that_is_wrong() {
    let world = World::with("a.opl", "fun a = echo @var.NOPE\nfun b = echo @var.NADA\n");
    let said = world.run(&["a.opl", "a"]);
    assert_eq!(said.status, 65);
    assert!(said.stderr.contains("NOPE") && said.stderr.contains("NADA"), "{}", said.stderr);
    world.write("empty.opl", "");
    assert_eq!(world.run(&["empty.opl"]).status, 65);
    world.write("binary.opl", b"echo \xff\0".as_slice());
    assert_eq!(world.run(&["binary.opl"]).status, 65);
}

#[test]
fn check_looks_at_every_file() {
    let world = World::with("good.opl", "echo hi\n");
    world.write("bad.opl", "echo \"open\nfun\n");
    assert_eq!(world.run(&["check", "good.opl"]).good(), "");
    assert_eq!(world.run(&["check", "bad.opl", "good.opl"]).status, 65);
    assert_eq!(world.run(&["check", "none.opl", "bad.opl"]).status, 66);
    let done = world.run(&["check", "--json", "bad.opl"]);
    let document: serde_json::Value = serde_json::from_str(&done.out()).expect("one document");
    assert_eq!(document["schema"], "opal/diagnostics/v1");
    assert_eq!(document["diagnostics"][0]["file"], "bad.opl");
    assert_eq!(done.status, 65);
}

#[test]
fn colour_follows_the_option() {
    let world = World::with("a.opl", "echo @var.NOPE\n");
    let colored = |words: &[&str]| world.run(words).stderr.contains('\x1b');
    assert!(!colored(&["a.opl"]));
    assert!(colored(&["a.opl", "--color", "always"]));
    assert!(colored(&["--color=always", "check", "a.opl"]));
    assert!(!colored(&["--color=never", "a.opl"]));
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let world = World::with("a.opl", "for i in 1...20000 { echo \"a line that is long enough to fill the pipe @var.i\" }\n");
    let done = world.bash("\"$opalc\" a.opl | head -n 1; exit ${PIPESTATUS[0]}");
    assert_eq!((done.status, done.stderr.as_str()), (141, ""));
}

#[test]
fn an_output_that_cannot_be_written_ends_with_74() {
    let world = World::with("a.opl", "echo hi\n");
    for line in ["\"$opalc\" a.opl > /dev/full", "\"$opalc\" a.opl --resolve > /dev/full", "\"$opalc\" a.opl --resolve -o /dev/full"] {
        world.bash(line).refused(74, "cannot_write");
    }
    world.run(&["a.opl", "--resolve", "-o", "none/x.plan"]).refused(74, "cannot_write");
    world.run(&["a.opl", "--resolve", "-o", "."]).refused(74, "cannot_write");
    assert_eq!(world.names(), ["a.opl"]);
}

#[test]
fn a_refusal_is_a_document_too_where_json_was_asked_for() {
    let world = World::with("a.opl", "echo @var.NOPE\n");
    let refusal = |words: &[&str]| -> (serde_json::Value, i32) {
        let done = world.run(words);
        assert!(!done.stderr.is_empty());
        (serde_json::from_str(&done.out()).expect("one document"), done.status)
    };
    let (document, status) = refusal(&["a.opl", "--json"]);
    assert_eq!((document["schema"].as_str(), document["exit"].as_i64(), status), (Some("opal/refusal/v1"), Some(65), 65));
    assert_eq!(document["diagnostics"][0]["span"]["line"], 1);
    let (document, status) = refusal(&["none.opl", "--format", "json"]);
    assert_eq!((document["error"]["code"].as_str(), document["effects"].as_str(), status), (Some("file_not_found"), Some("none"), 66));
}

#[test]
fn many_messages_are_cut_for_people_and_complete_for_machines() {
    let world = World::with("a.opl", &"echo @var.NOPE\n".repeat(3000));
    let said = world.run(&["check", "a.opl"]).stderr;
    assert_eq!(said.matches("error[").count(), 50);
    assert!(said.contains("2950 more") && said.contains("opalc check --json a.opl"), "{said}");
    let document: serde_json::Value = serde_json::from_str(&world.run(&["check", "--json", "a.opl"]).out()).expect("one document");
    assert_eq!(document["diagnostics"].as_array().map(Vec::len), Some(3000));
}

#[test]
fn nesting_is_bounded_by_its_limit_and_not_by_the_stack() {
    let nested = |depth: usize| format!("var x = {}1{}\necho @var.x\n", "(".repeat(depth), ")".repeat(depth));
    let world = World::with("a.opl", &nested(250));
    assert!(world.bash("ulimit -s 512; \"$opalc\" a.opl").good().contains("echo 1"));
    world.write("a.opl", nested(100_000));
    assert_eq!(world.bash("ulimit -s 512; \"$opalc\" a.opl").status, 65);
}
