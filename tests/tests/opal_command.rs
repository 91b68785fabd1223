//! The `opal` command: finding and listing commands, direct runs, scripts, plans, and what it does on a terminal.

use nix::pty::openpty;
use opal_tests::{Ended, Host};
use std::fs::{self, File, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const COMMANDS: &str = "\
#!/usr/bin/env opal
# Says hello
# to somebody.
fun hello(name: String = \"world\", times: Int = 1) {
    for i in 1...@var.times { echo hello @var.name SITE }
}

// Deploys it.
fun deploy(env: String, max_conns: Int = 3, force: Bool = false) = echo deploy SITE @var.env @var.max_conns @var.force

where: pwd && touch SITE
fail: { echo SITE; exit 3 }
copy: cat | tr a-z A-Z && : SITE
run: echo own run SITE
secret: echo SITE @env.HIDDEN > out && cat out
terminal: @tty { test -t 0 && test -t 1 && test -t 2 && echo SITE \"$(stty size)\" && echo @env.HIDDEN }
";

fn host() -> Host {
    let mut host = Host::new();
    host.set("HIDDEN", "hunter2-hidden");
    host.write("commands.opl", host.named(COMMANDS));
    host
}

fn opal(host: &Host, arguments: &[&str]) -> Ended {
    host.run("opal", arguments)
}

/// Standard output of a run that succeeds, without this host's own word.
#[track_caller]
fn out(host: &Host, arguments: &[&str]) -> String {
    let ended = opal(host, arguments);
    ended.expect(0);
    ended.stdout.replace(&host.named("SITE"), "SITE")
}

#[test]
fn alone_it_lists_the_commands_with_parameters_defaults_and_comments() {
    let host = host();
    let text = out(&host, &[]);
    assert!(text.contains("  deploy(env: String, max_conns: Int = 3, force: Bool = false)"), "{text}");
    let hello = text.lines().find(|line| line.contains("hello(")).expect("hello");
    assert!(hello.contains("hello(name: String = \"world\", times: Int = 1)") && hello.ends_with("Says hello"), "{text}");
    assert!(text.contains(" to somebody.\n") && text.contains("Deploys it.") && !text.contains("usr/bin"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&out(&host, &["--json"])).expect("JSON");
    assert_eq!((&json["schema"], &json["commands"][0]["comment"]), (&"opal/commands/v1".into(), &"Says hello\nto somebody.".into()));
    let parameter = &json["commands"][1]["parameters"][1];
    assert_eq!(*parameter, serde_json::json!({"name": "max_conns", "type": "Int", "default": "3", "required": false}));
}

#[test]
fn every_parameter_is_a_flag_and_fills_by_position_too() {
    let host = host();
    for words in [
        ["deploy", "prod", "5", "--force"].as_slice(),
        &["deploy", "--env", "prod", "--max-conns", "5", "--force=true"],
        &["deploy", "--max_conns=5", "prod", "--force"],
        &["--quiet", "deploy", "--force", "--", "prod", "5"],
        &["deploy(\"prod\", max_conns=5, force=true)"],
    ] {
        assert_eq!(out(&host, words), "deploy SITE prod 5 true\n", "{words:?}");
    }
    opal(&host, &["deploy", "prod", "--max-conns", "many"]).expect(64).says("`max_conns` of `deploy` must read as an Int");
    opal(&host, &["deploy", "--env"]).expect(64).says("`--env` needs a value");
    opal(&host, &["deploy"]).expect(64).says("`deploy` needs `env`");
    opal(&host, &["deploy", "prod", "--max-con", "4"]).expect(64).says("did you mean `--max-conns`?");
    opal(&host, &["deplo", "prod"]).expect(64).says("did you mean `deploy`?").says("effects: none");
}

#[test]
fn a_command_has_help_of_its_own() {
    let host = host();
    let text = out(&host, &["deploy", "--help"]);
    for part in ["Deploys it.", "Usage: opal deploy ENV [MAX_CONNS] [FORCE] [OPTIONS]", "--max-conns <Int>", "[default: 3]", "--dry-run"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(out(&host, &["--help"]).contains("  plan "));
}

#[test]
fn a_direct_run_keeps_a_scrubbed_record_and_says_what_it_did() {
    let host = host();
    let ended = opal(&host, &["secret"]);
    ended.expect(0).says("effects: started (").says("record: ");
    assert!(ended.stdout.contains("opal:secret:") && !ended.stdout.contains("hunter2"), "{}", ended.stdout);
    let records: Vec<_> = host.files().into_iter().filter(|(path, _)| path.starts_with(host.path().join("state"))).collect();
    let summary = records.iter().find(|(path, _)| path.ends_with("summary.json")).expect("a summary");
    let summary: serde_json::Value = serde_json::from_slice(&summary.1).expect("JSON");
    assert!(summary["contract_hash"].is_null() && summary["plan_hash"].as_str().is_some_and(|hash| hash.starts_with("sha256:")));
    assert!(records.iter().all(|(_, bytes)| !bytes.windows(7).any(|window| window == b"hunter2")));

    let ended = opal(&host, &["--quiet", "hello", "--record", "none"]);
    ended.expect(0);
    assert_eq!(ended.stderr, "");
    opal(&host, &["fail"]).expect(1).says("error[step_failed]").says("commands.opl:12:").says("effects: started");
    let events = out(&host, &["where", "--json"]);
    assert!(events.lines().next().is_some_and(|line| line.contains("\"schema\":\"opal/events/v1\"")), "{events}");
}

#[test]
fn steps_of_a_direct_run_read_standard_input() {
    let host = host();
    let mut child = host.command("opal", ["copy", "-q"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("a pipe").write_all(b"typed\n").expect("written");
    assert_eq!(Ended::from(child.wait_with_output().expect("ends")).expect(0).stdout, "TYPED\n");
}

#[test]
fn commands_are_found_above_named_and_run_in_their_directory() {
    let host = host();
    let below = host.work().join("a/b");
    fs::create_dir_all(&below).expect("directories");
    let ended = Ended::from(host.command("opal", ["where"]).current_dir(&below).output().expect("starts"));
    let work = host.work().canonicalize().expect("a directory");
    ended.expect(0).says(&format!("using {}", work.join("commands.opl").display()));
    assert_eq!(ended.stdout, format!("{}\n", work.display()));
    assert!(host.work().join(host.named("SITE")).exists());
}

#[test]
fn the_search_stops_at_the_home_directory() {
    let mut host = host();
    let home = host.work().join("home");
    fs::create_dir_all(home.join("project")).expect("directories");
    host.set("HOME", &home.display().to_string());
    let ended = Ended::from(host.command("opal", ["where"]).current_dir(home.join("project")).output().expect("starts"));
    ended.expect(66).says("error[no_commands]").says("help: ").says("effects: none");
}

#[test]
fn a_command_file_that_others_can_write_is_refused() {
    let host = host();
    let (work, file) = (host.work(), host.work().join("commands.opl"));
    let mode = |path: &std::path::Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
    mode(&file, 0o666);
    opal(&host, &[]).expect(78).says("error[unsafe_mode]").says("chmod go-w");
    mode(&file, 0o644);
    mode(&work, 0o777);
    opal(&host, &["where"]).expect(78).says("error[unsafe_mode]");
    mode(&work, 0o1777);
    opal(&host, &["where"]).expect(78).says("error[unsafe_mode]");
    mode(&work, 0o700);
    fs::rename(&file, work.join("real")).expect("renamed");
    std::os::unix::fs::symlink("real", &file).expect("a link");
    opal(&host, &["where"]).expect(78).says("error[unsafe_link]");
    assert!(!work.join(host.named("SITE")).exists());
}

#[test]
fn what_cannot_be_used_is_said_with_what_to_do() {
    let mut host = host();
    host.write("commands.opl", "fun broken( = echo\n");
    opal(&host, &[]).expect(65).says("commands.opl:1:");
    opal(&host, &["broken"]).expect(65).says("effects: none");
    opal(&host, &["./missing.opl"]).expect(66).says("error[file_not_found]");
    host.write("commands.opl", COMMANDS);
    opal(&host, &["where", "--key", "K"]).expect(64).says("`--key` has no meaning for a direct run");
    host.write("commands.opl", "go: echo @env.NOT_SET_HERE\n");
    opal(&host, &["go"]).expect(65).says("error[env_unset]").says("export NOT_SET_HERE=");
    host.write("commands.opl", COMMANDS);
    host.set("PATH", "/nonexistent");
    opal(&host, &["where"]).expect(69).says("error[missing_shell]");
}

#[test]
fn a_file_can_be_a_script_or_a_command_file_with_arguments() {
    let host = host();
    host.set_script("hi", "#!/usr/bin/env opal\necho hi SITE\n");
    host.set_script("ops", "#!/usr/bin/env opal\nfun up(n: Int = 1) = echo up SITE @var.n\nfun ops(who) = echo ops SITE @var.who\n");
    let sh = |line: &str| {
        let path = format!("{}:{}", opal_tests::binaries().display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("bash");
        let state = host.path().join("state");
        shell.args(["-c", line]).current_dir(host.work()).env("PATH", path).env("XDG_STATE_HOME", state).stdin(Stdio::null());
        let ended = Ended::from(shell.output().expect("bash starts"));
        ended.expect(0);
        ended.stdout.replace(&host.named("SITE"), "SITE")
    };
    assert_eq!(sh("./hi"), "hi SITE\n");
    assert_eq!(sh("./ops bob"), "ops SITE bob\n");
    assert_eq!(sh("./ops --who up2"), "ops SITE up2\n");
    assert_eq!(sh("./ops up 4"), "up SITE 4\n");
    assert_eq!(sh("./ops -q up --n 5"), "up SITE 5\n");
    assert!(sh("./ops up --help").contains("--n <Int>"));
    opal(&host, &["./hi", "argument"]).expect(64).says("takes no arguments").says("help: ");
}

#[test]
fn a_script_can_come_from_standard_input_and_from_run() {
    let host = host();
    let piped = |words: &[&str], script: &str| {
        host.write("piped", host.named(script));
        let mut command = host.command("opal", words);
        command.stdin(File::open(host.work().join("piped")).expect("a file"));
        Ended::from(command.output().expect("starts"))
    };
    assert_eq!(piped(&["-q", "-"], "echo piped SITE; cat\n").expect(0).stdout, host.named("piped SITE\n"), "the steps find it read");
    assert_eq!(
        piped(&["-", "-q", "two", "x"], "one: echo 1 SITE\nfun two(a) = echo @var.a SITE\n").expect(0).stdout,
        host.named("x SITE\n")
    );
    assert!(piped(&["plan", "-", "--hash"], "echo piped SITE\n").expect(0).stdout.starts_with("sha256:"));
    host.write("only.opl", host.named("fun only(n: Int = 1) = echo only @var.n SITE\n"));
    // Where the command file has a `run`, that is meant.
    opal(&host, &["run", "only.opl"]).expect(64);
    fs::remove_file(host.work().join("commands.opl")).expect("removed");
    assert_eq!(out(&host, &["run", "only.opl", "--n", "2", "-q"]), "only 2 SITE\n");
    opal(&host, &["run", "missing.opl"]).expect(66).says("error[file_not_found]");
}

#[test]
fn help_for_a_command_can_be_asked_for_before_its_name() {
    let host = host();
    let text = out(&host, &["hello", "--help"]);
    assert!(text.starts_with("Says hello\nto somebody.\n"), "{text}");
    assert_eq!(out(&host, &["--help", "hello"]), text);
    assert_eq!(out(&host, &["help", "hello"]), text);
    assert!(out(&host, &["help"]).contains("opal TARGET [ARGS]"));
    opal(&host, &["helo", "--help"]).expect(64).says("did you mean `hello`?");
}

#[test]
fn a_byte_order_mark_leaves_the_first_comment_readable() {
    let host = Host::new();
    host.write("commands.opl", "\u{feff}# First.\r\nfirst: echo 1\r\n");
    assert_eq!(out(&host, &[]), "  first   First.\n");
}

trait Scripts {
    fn set_script(&self, name: &str, text: &str);
}

impl Scripts for Host {
    fn set_script(&self, name: &str, text: &str) {
        let path = self.write(name, self.named(text));
        fs::set_permissions(path, Permissions::from_mode(0o755)).expect("a mode");
    }
}

#[test]
fn a_plan_is_shown_hashed_written_and_executed() {
    let host = host();
    let tree = out(&host, &["deploy", "prod", "--dry-run"]);
    assert_eq!(tree, "deploy:\n└─ echo deploy SITE prod 3 false\n");
    let hash = out(&host, &["plan", "deploy(\"prod\")", "--hash"]);
    assert!(hash.starts_with("sha256:"), "{hash}");
    assert_eq!(hash, out(&host, &["deploy", "prod", "--dry-run", "--hash"]));
    let piped = host.command("opal", ["plan", "deploy", "prod"]).output().expect("starts");
    assert!(piped.stdout.starts_with(b"OPAL"));
    opal(&host, &["plan", "-o", "prod.plan", "deploy", "prod"]).expect(0);
    assert_eq!(out(&host, &["run", "--plan", "prod.plan"]), "deploy SITE prod 3 false\n");
    let verified = opal(&host, &["execute", "prod.plan", "--verify"]);
    verified.expect(0);
    assert!(verified.stdout.contains("contract verified"), "{}", verified.stdout);
    assert_eq!(out(&host, &["execute", "prod.plan"]), "deploy SITE prod 3 false\n");
    host.write("commands.opl", host.named(COMMANDS) + "\n# changed\n");
    opal(&host, &["execute", "prod.plan"]).expect(3).says("error[source_changed]");
    // A command of the file may have the name of one of opal's own.
    assert_eq!(out(&host, &["run"]), "own run SITE\n");
    assert_eq!(out(&host, &["--", "run"]), "own run SITE\n");
}

#[test]
fn without_a_terminal_nothing_is_asked_and_none_is_lent() {
    let host = host();
    let ended = in_a_session(&host, &["--wait"], &["opal", "terminal"]).stdin(Stdio::null()).output().expect("setsid starts");
    Ended::from(ended).expect(69).says("error[missing_terminal]");
    opal(&host, &["where", "--confirm"]).expect(64).says("error[no_terminal]").says("--yes");
    assert!(!host.work().join(host.named("SITE")).exists());
    opal(&host, &["where", "--confirm", "--yes"]).expect(0);
    assert!(host.work().join(host.named("SITE")).exists());
    opal(&host, &["plan", "terminal", "-o", "t.plan"]).expect(65).says("error[tty_in_contract]");
}

/// A program as the leader of a session, which has no terminal until it gets one.
fn in_a_session(host: &Host, options: &[&str], program: &[&str]) -> Command {
    let ours = host.command("opal", [] as [&str; 0]);
    let mut command = Command::new("setsid");
    command.args(options).args(program).current_dir(host.work()).env_clear();
    command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let path = std::env::join_paths(
        std::iter::once(opal_tests::binaries().to_owned()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    command.env("PATH", path.expect("no colon in the target directory"));
    command
}

/// Runs a program on a terminal of its own: waits for each text, then types the answer. Gives all that was shown.
fn on_a_terminal(host: &Host, program: &[&str], dialogue: &[(&str, &str)]) -> (i32, String) {
    let terminal = openpty(None, None).expect("a terminal");
    let slave = |from: &std::os::fd::OwnedFd| Stdio::from(from.try_clone().expect("a descriptor"));
    let mut command = in_a_session(host, &["--ctty", "--wait"], program);
    command.stdin(slave(&terminal.slave)).stdout(slave(&terminal.slave)).stderr(slave(&terminal.slave));
    let mut child = command.spawn().expect("setsid starts");
    drop((command, terminal.slave));
    let mut master = File::from(terminal.master);
    let mut shown = Vec::new();
    let mut dialogue = dialogue.iter();
    let mut next = dialogue.next();
    let (begun, mut chunk) = (Instant::now(), [0; 4096]);
    loop {
        if let Some((wait, answer)) = next
            && String::from_utf8_lossy(&shown).contains(wait)
        {
            master.write_all(answer.as_bytes()).expect("typed");
            next = dialogue.next();
            continue;
        }
        // The terminal ends with an error when its last user is gone.
        let Ok(read @ 1..) = master.read(&mut chunk) else { break };
        shown.extend_from_slice(&chunk[..read]);
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", String::from_utf8_lossy(&shown));
    }
    let ended = Ended::from(std::process::Output { status: child.wait().expect("ends"), stdout: shown, stderr: Vec::new() });
    (ended.status, ended.stdout.replace('\r', ""))
}

#[test]
fn on_a_terminal_the_plan_is_shown_and_the_answer_counts() {
    let host = host();
    let file = host.work().join(host.named("SITE"));
    for (answer, status) in [("n\n", 1), ("\n", 1), ("\u{4}", 1), ("\u{3}", 130)] {
        let (ended, shown) = on_a_terminal(&host, &["opal", "where", "--confirm"], &[("[y/N]", answer)]);
        assert_eq!(ended, status, "{shown}");
        assert!(shown.contains("where:\n") && shown.contains("Plan Hash: sha256:") && shown.contains("effects: none"), "{shown}");
        assert!(!file.exists());
    }
    let (ended, shown) = on_a_terminal(&host, &["opal", "where", "--confirm"], &[("[y/N]", "y\n")]);
    assert_eq!(ended, 0, "{shown}");
    assert!(file.exists());
}

#[test]
fn a_tty_block_gets_the_terminal_itself() {
    let host = host();
    let (ended, shown) = on_a_terminal(&host, &["opal", "terminal"], &[]);
    assert_eq!(ended, 0, "{shown}");
    assert!(shown.contains(&host.named("SITE 0 0")) && shown.contains("hunter2-hidden"), "{shown}");
    assert!(out(&host, &["terminal", "--dry-run"]).contains("@tty (the terminal itself, not scrubbed)"));
}

#[test]
fn a_terminal_that_was_lent_comes_back_as_it_was() {
    let host = host();
    // An interactive shell takes the foreground for a group of its own.
    let script = "go: {\n    try { @tty { bash --norc -ic 'stty -icanon -echo; kill -9 $$; : SITE' } } catch { echo killed }\n    @tty { stty -a | grep -o ' icanon' && read -p 'ready? ' ANSWER && echo \"got $ANSWER\" }\n}\n";
    host.write("commands.opl", host.named(script));
    let (ended, shown) = on_a_terminal(&host, &["opal", "go"], &[("ready?", "yes\n")]);
    assert!(ended == 0 && shown.contains("killed") && shown.contains(" icanon") && shown.contains("got yes"), "{shown}");
}

#[test]
fn on_a_terminal_steps_read_it_and_get_its_interrupt_once() {
    let host = host();
    let (ended, shown) = on_a_terminal(&host, &["opal", "copy", "-q"], &[("", "typed\n\u{4}")]);
    assert!(ended == 0 && shown.contains("TYPED"), "{shown}");
    let script = "long: {\n    try {\n        trap 'echo one interrupt; sleep 1; exit 0' INT; echo 'star''ted' SITE; while :; do sleep 0.1; done\n    } finally {\n        echo cleaned\n    }\n    echo not reached\n}\n";
    host.write("commands.opl", host.named(script));
    // The command is shown before it runs, and does not hold the word that it prints.
    let (ended, shown) = on_a_terminal(&host, &["opal", "long"], &[("started", "\u{3}")]);
    assert_eq!(ended, 130, "{shown}");
    assert_eq!(shown.lines().filter(|line| line.trim().trim_start_matches("^C") == "one interrupt").count(), 1, "{shown}");
    assert!(shown.contains("cleaned") && !shown.contains("not reached") && shown.contains("effects: started"), "{shown}");
}

#[test]
fn a_command_that_has_the_terminal_handles_its_interrupt_itself() {
    let host = host();
    let script = "go: {\n    @tty { bash -c 'trap \"echo handled; done=1\" INT; echo ready; until test \"$done\"; do sleep 0.1; done; echo left' }\n    echo next SITE\n}\nends: {\n    try { @tty { echo ready; sleep 300 } } finally { echo cleaned }\n    echo next SITE\n}\n";
    host.write("commands.opl", host.named(script));
    let (ended, shown) = on_a_terminal(&host, &["opal", "go"], &[("ready", "\u{3}")]);
    assert!(ended == 0 && shown.contains("handled") && shown.contains("left") && shown.contains("next"), "{ended}: {shown}");
    let (ended, shown) = on_a_terminal(&host, &["opal", "ends"], &[("ready", "\u{3}")]);
    assert!(ended == 130 && shown.contains("cleaned") && !shown.contains("next"), "{ended}: {shown}");
    host.write("commands.opl", "one: @tty { cat }\ngo: @parallel { @cmd.one()\n echo two }\nin: @parallel { @tty { cat }\n echo two }\n");
    opal(&host, &["in"]).expect(65).says("error[tty_in_parallel]");
    host.write("commands.opl", "one: @tty { cat }\ngo: @parallel { @cmd.one()\n echo two }\n");
    opal(&host, &["go"]).expect(65).says("error[tty_in_parallel]").says("effects: none");
}

#[test]
fn in_the_background_of_a_terminal_nothing_stops_for_reading_it() {
    let host = host();
    let line = "set -m; opal copy -q & wait $!; echo ended with $?";
    let (ended, shown) = on_a_terminal(&host, &["bash", "-c", line], &[]);
    assert!(ended == 0 && shown.contains("ended with 0"), "{shown}");
}
