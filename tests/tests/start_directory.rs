//! Where the work of a contract starts: in the directory that was agreed, wherever it is run, or where it is started.
//!
//! Hosts of their own take root. Where that is missing these tests say so and pass.

use opal_tests::guarded::{Guarded, NOBODY};
use opal_tests::{Ended, Host};
use serde_json::Value;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

/// Reads `x` beside it while planning, and leaves a file where it starts.
const SOURCE: &str = "go: { echo SITE @file.read(\"x\", public=true); pwd > ran }\n";

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its mode");
}

/// A directory on this host beside the one that commands start in, with an `x` of its own.
fn app(host: &Host) -> PathBuf {
    let app = host.path().join("app");
    std::fs::create_dir(&app).expect("a directory");
    mode(&app, 0o755);
    std::fs::write(app.join("x"), "of-the-app").expect("a file");
    host.write("x", "of-the-work");
    app
}

/// A host with a contract that is agreed to start in its `app`.
fn agreed() -> (Host, String) {
    let host = Host::new();
    let app = app(&host).display().to_string();
    host.contract(SOURCE, &["go", "--directory", &app]);
    (host, app)
}

/// Another directory than commands start in.
fn below(host: &Host) -> PathBuf {
    let below = host.work().join("below");
    std::fs::create_dir_all(&below).expect("a directory");
    below
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.expect(0).stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
}

#[test]
fn a_contract_starts_where_it_was_agreed_wherever_it_is_run() {
    let (host, app) = agreed();
    let (plan, source) = (host.work().join("prod.plan").display().to_string(), "../deploy.opl");
    let elsewhere = |words: &[&str]| {
        let mut command = host.command("opal-vm", words);
        Ended::from(command.current_dir(below(&host)).output().expect("it starts"))
    };
    let verified = elsewhere(&["verify", "--plan", &plan, "--source", source]);
    assert!(verified.expect(0).stdout.contains(&format!("in {app} (as agreed)")), "{}", verified.stdout);
    assert_eq!(json(&elsewhere(&["verify", "--plan", &plan, "--source", source, "--json"]))["directory"], app.as_str());
    // What the command line names is relative to the caller all the same.
    let ran =
        elsewhere(&["run", "--plan", "../prod.plan", "--source", source, "--identity", "../../config/opal/identity", "--record", "kept"]);
    assert!(ran.expect(0).stdout.contains("of-the-app"), "{}", ran.stdout);
    assert_eq!(std::fs::read_to_string(format!("{app}/ran")).expect("made there"), format!("{app}\n"));
    assert!(!host.work().join("below/ran").exists() && !host.work().join("ran").exists());
    let record = host.work().join("below/kept/events.jsonl");
    assert!(std::fs::read_to_string(record).expect("a record").contains(&app), "the record says where");
    for shown in [host.vm(&["inspect", "--plan", "prod.plan"]), host.opalc(&["show", "prod.plan"])] {
        assert!(shown.stdout.lines().any(|line| line.starts_with("starts in:") && line.contains(&app)), "{}", shown.stdout);
    }
    assert_eq!(json(&host.vm(&["inspect", "--plan", "prod.plan", "--json"]))["terms"]["directory"], app.as_str());
    // A new contract for the same host starts there too.
    host.vm(&["resolve", "--plan", "prod.plan", "-o", "new.plan"]).expect(0);
    assert_eq!(json(&host.opalc(&["show", "new.plan", "--json"]))["terms"]["directory"], app.as_str());
    assert!(host.work().join("new.plan").exists() && !Path::new(&app).join("new.plan").exists());
}

#[test]
fn the_directory_is_part_of_the_work_and_its_files_are_what_is_compared() {
    let (host, app) = agreed();
    let hash = |options: &[&str]| host.opalc(&[&["deploy.opl", "go", "--hash"], options].concat()).expect(0).stdout.trim().to_owned();
    let named = hash(&["--directory", &app]);
    assert_eq!(json(&host.opalc(&["show", "prod.plan", "--json"]))["header"]["plan_hash"], named.as_str());
    std::fs::write(host.work().join("x"), "of-the-app").expect("a file");
    assert_ne!(hash(&[]), named, "the same steps elsewhere are other work");
    host.vm(&["verify", "--plan", "prod.plan"]).expect(0);
    std::fs::write(format!("{app}/x"), "moved").expect("a file");
    let drift = host.vm(&["run", "--plan", "prod.plan"]);
    drift.expect(3).says("of-the-app").says("effects: none");
    // The command that makes it anew is the same wherever it is pasted.
    let pasted = drift.stderr.lines().find_map(|line| line.split_once("reviewed: ")).expect("a command").1;
    let bash = format!("cd / && PATH={}:$PATH {}", opal_tests::binaries().display(), pasted.replace("-o prod.plan", "-o \"$NEW\""));
    let mut command = std::process::Command::new("bash");
    command
        .args(["-c", &bash])
        .env_clear()
        .envs(host.command("opalc", [""; 0]).get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ended::from(command.env("NEW", host.work().join("prod.plan")).output().expect("bash starts")).expect(0);
    host.vm(&["run", "--plan", "prod.plan"]).expect(0);
    host.opalc(&["deploy.opl", "go", "--resolve", "-o", "other.plan"]).expect(0);
    let diff = host.opalc(&["diff", "prod.plan", "other.plan"]);
    assert!(diff.expect(3).stdout.contains("where it is started"), "{}", diff.stdout);
}

#[test]
fn a_directory_is_written_in_one_way() {
    let (host, app) = agreed();
    let make = |directory: &str| host.opalc(&["deploy.opl", "go", "--directory", directory, "--resolve", "-o", "other.plan"]);
    for odd in ["../app", "app", ".", &format!("{app}/"), &format!("{app}/."), &format!("/{app}"), &format!("{app}/../app")] {
        let refused = make(odd);
        refused.expect(64).says("error[usage]: `--directory ");
        // What is offered in its place is taken.
        let offered = refused.stderr.lines().find_map(|line| line.trim().strip_prefix("help: `--directory ")).expect("an offer");
        assert!(Path::new(offered).is_absolute(), "{offered}");
        let offered = offered.trim_end_matches('`');
        host.opalc(&["deploy.opl", "go", "--hash", "--directory", offered]).expect(if Path::new(offered).join("x").exists() {
            0
        } else {
            65
        });
    }
    for odd in [String::new(), format!("{app}\n"), format!("/{}", "x".repeat(4096))] {
        make(&odd).expect(64).says("error[usage]").says("help:");
    }
    assert!(!host.work().join("other.plan").exists());
    // A direct run starts where it is started.
    host.write("commands.opl", SOURCE);
    host.run("opal", &["go", "--directory", &app]).expect(64).says("cd DIR");
    host.run("opal", &["plan", "go", "--directory", &app, "-o", "other.plan"]).expect(0);
    assert_eq!(json(&host.opalc(&["show", "other.plan", "--json"]))["terms"]["directory"], app.as_str());
}

#[test]
fn a_directory_that_is_not_here_is_refused_by_name() {
    let (host, app) = agreed();
    std::fs::remove_dir_all(&app).expect("there");
    for words in
        [&["run", "--plan", "prod.plan"][..], &["verify", "--plan", "prod.plan"], &["resolve", "--plan", "prod.plan", "-o", "new.plan"]]
    {
        host.vm(words).expect(69).says("error[directory_missing]").says(&format!("mkdir -p {app}")).says("effects: none");
        std::fs::write(&app, "a file").expect("written");
        host.vm(words).expect(69).says("error[directory_unusable]").says(&format!("namei -l {app}")).says("effects: none");
        std::fs::remove_file(&app).expect("there");
    }
}

#[test]
fn a_run_goes_on_where_it_was_agreed() {
    let host = Host::new();
    let app = app(&host).display().to_string();
    host.contract("go: {\n    echo SITE >> done\n    test -e go-on\n    pwd >> done\n}\n", &["go", "--directory", &app]);
    host.vm(&["run", "--plan", "prod.plan"]).expect(1);
    std::fs::write(format!("{app}/go-on"), "").expect("a file");
    let mut command = host.command("opal-vm", ["run", "--plan", "../prod.plan", "--resume", "latest"]);
    Ended::from(command.current_dir(below(&host)).output().expect("it starts")).expect(0);
    let done = std::fs::read_to_string(format!("{app}/done")).expect("made there");
    assert!(done.lines().count() == 2 && done.ends_with(&format!("{app}\n")), "{done}");
}

#[test]
fn a_guarded_run_starts_in_the_agreed_directory_if_nobody_else_can_put_anything_there() {
    let Some(here) = Guarded::new() else { return };
    let app_path = app(&here.host);
    let app = app_path.display().to_string();
    mode(here.host.path(), 0o755);
    mode(&here.host.work(), 0o755);
    here.trust(&[("ops", "own")]);
    here.contract("go: pwd > ran\n", &["go", "--directory", &app]);
    let sudo = "env SUDO_UID=65534 SUDO_GID=65534";
    let commands: [&[&str]; 3] =
        [&["run", "--plan", "prod.plan"], &["verify", "--plan", "prod.plan"], &["resolve", "--plan", "prod.plan", "-o", "-"]];
    let everywhere = |status: i32, says: &str| {
        for words in commands {
            here.inside(sudo, "opal-vm", words).expect(status).says(if status == 0 { "" } else { says });
        }
        let ran = app_path.join("ran");
        assert_eq!(ran.exists(), status == 0);
        let _ = std::fs::remove_file(ran);
    };
    // Where it is started is nobody's to choose any more: that directory may be anybody's.
    mode(&here.host.work(), 0o777);
    everywhere(0, "");
    for (wrong, owner) in [(0o775, 0), (0o777, 0), (0o1777, 0), (0o755, NOBODY)] {
        mode(&app_path, wrong);
        chown(&app_path, Some(owner), None).expect("root may");
        everywhere(78, "error[unsafe_directory]");
    }
    chown(&app_path, Some(0), None).expect("root may");
    mode(&app_path, 0o755);
    // A policy that fixes a directory takes work for that one, and work for none.
    for (fixed, status) in [(app.clone(), 0), (format!("{app}/"), 0), ("/var/lib".to_owned(), 24)] {
        here.policy(&format!("run.directory = \"{fixed}\""));
        everywhere(status, "`run.directory`");
        let check = here.inside(sudo, "opal-vm", &["policy", "check", "--plan", "prod.plan"]);
        let verdict = if status == 0 { "allows    run.directory" } else { "refuses   run.directory" };
        assert!(check.expect(status).stdout.contains(verdict), "{}", check.stdout);
    }
    here.policy(&format!("run.directory = \"{app}\""));
    std::fs::rename(&app_path, here.host.path().join("away")).expect("moved");
    everywhere(69, "error[directory_missing]");
    here.contract("go: pwd > ran\n", &["go"]);
    everywhere(69, "have the owner of this host make it");
    std::fs::rename(here.host.path().join("away"), &app_path).expect("moved back");
    let verified = here.inside(sudo, "opal-vm", commands[1]);
    assert!(verified.expect(0).stdout.contains(&format!("in {app} (as the policy says)")), "{}", verified.stdout);
    everywhere(0, "");
}
