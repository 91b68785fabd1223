//! What `opal` says where something is wrong or missing around it, and what it leaves alone.

use opal_tests::{Ended, Host, binaries};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

const HELLO: &str = "# Says hello.\nhello: echo hello SITE\n";

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
}

/// Runs a line of sh in the work directory as a user without privileges. `None` where that cannot be done.
fn unprivileged(host: &Host, line: &str) -> Option<Ended> {
    let opal = binaries().join("opal");
    let setpriv = |script: &str| {
        let ours = host.command("opal", [] as [&str; 0]);
        let mut command = Command::new("sh");
        // The user is changed last, so that the shell can go where the user may not.
        command.args(["-c", script]).current_dir(host.work()).env_clear().stdin(Stdio::null());
        command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("opal", &opal).env("HOME", "/nonexistent");
        command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME").env_remove("XDG_RUNTIME_DIR");
        command.env("as", "setpriv --reuid=65534 --regid=65534 --clear-groups --");
        command.output().ok().map(Ended::from)
    };
    if setpriv("$as test -x \"$opal\" && $as \"$opal\" --version")?.status != 0 {
        eprintln!("skipped: no other user can run the programs here");
        return None;
    }
    setpriv(line)
}

#[test]
fn files_and_directories_that_may_not_be_read_are_named_with_how_to_look() {
    let host = Host::new();
    mode(host.path(), 0o755);
    mode(&host.work(), 0o755);
    host.write("commands.opl", host.named(HELLO));
    mode(&host.work().join("commands.opl"), 0o600);
    let Some(ended) = unprivileged(&host, "$as $opal hello") else { return };
    ended.expect(66).says("error[file_unreadable]").says("permission denied").says("namei -l").says("effects: none");
    fs::create_dir_all(host.work().join("closed/below")).expect("directories");
    mode(&host.work().join("closed"), 0o700);
    let ended = unprivileged(&host, "cd closed/below && $as $opal hello").expect("as before");
    ended.expect(66).says("permission denied").says("help: ");
    mode(&host.work().join("commands.opl"), 0o644);
    // Root's file in root's directory may be run by others.
    let ended = unprivileged(&host, "$as $opal hello --record none -q").expect("as before");
    assert_eq!(ended.expect(0).stdout, host.named("hello SITE\n"));
    // What a stranger owns is not believed.
    let stranger = host.work().join("theirs");
    fs::create_dir(&stranger).expect("a directory");
    fs::write(stranger.join("commands.opl"), host.named(HELLO)).expect("a file");
    std::os::unix::fs::chown(stranger.join("commands.opl"), Some(65533), Some(65533)).expect("root may");
    unprivileged(&host, "cd theirs && $as $opal hello").expect("as before").expect(78).says("error[unsafe_owner]").says("help: ");
}

#[test]
fn the_search_ends_where_another_file_system_begins() {
    let device = |path: &str| fs::metadata(path).map(|data| data.dev()).ok();
    if device("/dev/shm").is_none() || device("/dev/shm") == device("/dev") || Path::new("/dev/shm/commands.opl").exists() {
        eprintln!("skipped: /dev/shm is no file system of its own here");
        return;
    }
    let host = Host::new();
    let ended = Ended::from(host.command("opal", ["hello"]).current_dir("/dev/shm").output().expect("starts"));
    ended.expect(66).says("there is no `commands.opl` in `/dev/shm`\n").says("help: write one: ");
}

#[test]
fn refusals_come_as_json_where_that_is_asked_for() {
    let host = Host::new();
    let refusal = |words: &[&str], status: i32, code: &str| {
        let ended = host.run("opal", words);
        ended.expect(status);
        let json: serde_json::Value =
            serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}: {}", ended.stdout));
        assert_eq!(
            (&json["schema"], &json["effects"], &json["exit"]),
            (&"opal/refusal/v1".into(), &"none".into(), &status.into()),
            "{words:?}"
        );
        let found = if json["error"].is_null() { &json["diagnostics"][0]["code"] } else { &json["error"]["code"] };
        assert_eq!(found, code, "{words:?}");
    };
    refusal(&["--json"], 66, "no_commands");
    host.write("commands.opl", "hello: echo hello\n");
    refusal(&["helo", "--json"], 64, "usage");
    refusal(&["hello", "--json", "--nme", "x"], 64, "usage");
    refusal(&["run", "--plan", "missing.plan", "--json"], 66, "plan_not_found");
    refusal(&["execute", "--json", "missing.plan"], 66, "plan_not_found");
    refusal(&["execute", "--json"], 64, "usage");
    host.write("commands.opl", "fun broken(\n");
    let ended = host.run("opal", &["--json"]);
    ended.expect(65);
    assert!(serde_json::from_str::<serde_json::Value>(&ended.stdout).expect("JSON")["diagnostics"].is_array());
}

#[test]
fn an_identity_is_made_only_for_a_contract_that_can_be_made() {
    let host = Host::new();
    let made = || host.path().join("config/opal/identity").exists();
    host.write("bad.opl", "go: echo @var.nothing\n");
    host.opalc(&["bad.opl", "--resolve", "-o", "x.plan"]).expect(65);
    host.write("unset.opl", "go: echo @env.NOT_SET_ANYWHERE\n");
    host.opalc(&["unset.opl", "--resolve", "-o", "x.plan"]).expect(65);
    host.write("good.opl", "go: echo good\n");
    host.opalc(&["good.opl", "go", "extra", "--resolve", "-o", "x.plan"]).expect(64);
    host.opalc(&["good.opl", "--hash"]).expect(0);
    host.write("terminal.opl", "go: @tty { cat }\n");
    host.opalc(&["terminal.opl", "--resolve", "-o", "x.plan"]).expect(65).says("error[tty_in_contract]");
    assert!(!made(), "nothing needed one yet");
    host.opalc(&["good.opl", "--resolve", "-o", "x.plan"]).expect(0).says("made your identity");
    assert!(made());
}

#[test]
fn the_same_command_runs_in_two_checkouts_at_once_but_not_twice_in_one() {
    let host = Host::new();
    let wait = "go: echo started SITE && for i in $(seq 600); do test -e ../go-on && exit; sleep 0.1; done; exit 1\n";
    for checkout in ["one", "two"] {
        host.write(&format!("{checkout}/commands.opl"), host.named(wait));
    }
    let start = |checkout: &str| {
        let mut command = host.command("opal", ["go", "-q"]);
        command.current_dir(host.work().join(checkout)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
    };
    let started = |child: &mut std::process::Child| {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().expect("a pipe")), &mut line).expect("read");
        line
    };
    let (mut one, mut two) = (start("one"), start("two"));
    assert_eq!(started(&mut one), host.named("started SITE\n"));
    assert_eq!(started(&mut two), host.named("started SITE\n"), "the other checkout is not kept waiting");
    let again = Ended::from(start("one").wait_with_output().expect("ends"));
    again.expect(75).says("error[lock_held]");
    host.write("go-on", "");
    for child in [one, two] {
        Ended::from(child.wait_with_output().expect("ends")).expect(0);
    }
}

#[test]
fn a_script_takes_its_arguments_and_flags_from_its_own_command_line() {
    let host = Host::new();
    let script = host.write(
        "greet",
        "#!/usr/bin/env opal\nfun greet(name: String, loud: Bool = false, wait: Duration = 0s) = echo @var.name @var.loud @var.wait\n",
    );
    mode(&script, 0o755);
    let run = |words: &[&str]| {
        let ours = host.command("opal", [] as [&str; 0]);
        let mut command = Command::new("./greet");
        command.args(words).current_dir(host.work()).env_clear().stdin(Stdio::null());
        command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", format!("{}:{}", binaries().display(), std::env::var("PATH").unwrap_or_default()));
        Ended::from(command.output().expect("the script starts"))
    };
    assert_eq!(run(&["bob", "-q"]).expect(0).stdout, "bob false 0s\n");
    assert_eq!(run(&["--loud", "--wait", "90s", "--name=bob", "-q"]).expect(0).stdout, "bob true 1m30s\n");
    assert_eq!(run(&["-q", "--", "--loud"]).expect(0).stdout, "--loud false 0s\n");
    run(&["bob", "--wait", "soon"]).expect(64).says("`wait`").says("Duration");
    run(&[]).expect(64).says("needs `name`").says("greet(name: String, loud: Bool = false, wait: Duration = 0s)");
    assert!(run(&["--help"]).expect(0).stdout.contains("--wait <Duration>"));
    assert_eq!(run(&["bob", "--dry-run"]).expect(0).stdout, "greet:\n└─ echo bob false 0s\n");
}

#[test]
fn a_run_warns_of_what_it_reaches_and_a_check_of_the_whole_file() {
    let host = Host::new();
    host.write(
        "commands.opl",
        host.named(
            "var UNREAD = 1\nvar TOKEN = @env.HOME(public=true)\nfun other(unread) = echo SITE\nfun called(spare) = cd /\nmain: called(1)\nplain: echo @var.TOKEN SITE\n",
        ),
    );
    let warnings = |ended: &Ended| -> Vec<String> {
        let of = |line: &str| Some(line.strip_prefix("warning[")?.split_once(']')?.0.to_owned());
        ended.stderr.lines().filter_map(of).collect()
    };
    for words in [&["plain"] as &[&str], &["plain", "--dry-run"], &["plain", "--dry-run", "--resolve", "--hash"]] {
        assert_eq!(warnings(host.run("opal", words).expect(0)), [] as [&str; 0], "{words:?}");
    }
    let mut reached = warnings(host.run("opal", &["main"]).expect(0));
    reached.sort();
    assert_eq!(reached, ["lone_cd", "unused_parameter"], "a command that is called is reached");
    assert_eq!(warnings(host.opalc(&["commands.opl", "other", "x"]).expect(0)), ["unused_parameter"]);
    let mut all = warnings(&host.opalc(&["check", "commands.opl"]));
    all.sort();
    assert_eq!(all, ["lone_cd", "unused_parameter", "unused_parameter", "unused_variable"]);
    host.write("script.opl", host.named("var x = 1\nfun other(unread) = echo SITE\necho script SITE\n"));
    assert_eq!(warnings(host.run("opal", &["script.opl"]).expect(0)), ["unused_variable"]);
    assert_eq!(warnings(host.run("opal", &["script.opl", "other", "x"]).expect(0)), ["unused_parameter"]);
}

#[test]
fn options_without_a_target_are_refused_rather_than_ignored() {
    let host = Host::new();
    host.write("commands.opl", HELLO);
    for words in
        [&["--dry-run"] as &[&str], &["--quiet"], &["--yes"], &["--format", "html"], &["--record", "none"], &["--resolve", "-o", "x"]]
    {
        let ended = host.run("opal", words);
        ended.expect(64).says("without a target").says("help: name the command");
        assert_eq!(ended.stdout, "", "{words:?}");
    }
    for words in [&["--json"] as &[&str], &["--format=json"]] {
        assert!(host.run("opal", words).expect(0).stdout.contains("opal/commands/v1"));
    }
    assert!(host.run("opal", &["--color=never"]).expect(0).stdout.contains("Says hello."));
}

#[test]
fn a_parameter_named_like_an_option_makes_no_document_of_a_refusal() {
    let host = Host::new();
    host.write("commands.opl", "fun send(json, yes = 1) = echo @var.json @var.yes\n");
    let ended = host.run("opal", &["send", "--json", "a", "b", "c"]);
    assert_eq!(ended.expect(64).stdout, "");
    assert!(host.run("opal", &["--json", "send", "a", "b", "c"]).expect(64).stdout.contains("opal/refusal/v1"));
    assert_eq!(host.run("opal", &["-q", "send", "--json", "a", "--yes=2"]).expect(0).stdout, "a 2\n");
}

#[test]
fn a_word_that_can_only_name_a_command_is_refused_by_name() {
    let host = Host::new();
    host.write("two.opl", "build: echo b\ntest: echo t\n");
    host.run("opal", &["two.opl", "biuld"]).expect(64).says("there is no command `biuld`").says("did you mean `build`?");
    host.run("opal", &["two.opl"]).expect(64).says("say which");
    host.write("commands.opl", "echo a script\n");
    let listed = host.run("opal", &[]);
    assert_eq!(listed.expect(0).says("has no commands").says("commands.opl` runs its body").stdout, "");
    host.run("opal", &["build"]).expect(64).says("help: the file has no commands");
    host.write("commands.opl", "# nothing yet\n");
    host.run("opal", &[]).expect(0).says("help: write one");
}

#[test]
fn a_program_that_cannot_be_started_is_said_with_where_to_look() {
    let host = Host::new();
    host.write("commands.opl", host.named("lost: ./lost-SITE\nbare: no-such-program SITE\nclosed: ./plain SITE\nown: exit 3\n"));
    mode(&host.write(&host.named("lost-SITE"), "#!/no/such/interpreter\n"), 0o755);
    mode(&host.write("plain", "echo\n"), 0o644);
    for (target, status) in [("lost", 127), ("bare", 127), ("closed", 126)] {
        let ended = host.run("opal", &[target]);
        ended.expect(1).says(&format!("exit status {status}")).says("help: a program could not be started").says("`head -1 FILE`");
    }
    assert!(!host.run("opal", &["own"]).expect(1).stderr.contains("could not be started"));
}
