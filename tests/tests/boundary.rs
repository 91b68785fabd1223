//! What somebody can make a guarded run do who may start it and no more than that: nothing but what its contract says.
//!
//! Hosts of their own take root. Where that is missing these tests say so and pass.

use opal_tests::guarded::{Guarded, NOBODY};
use opal_tests::{Ended, Host};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

/// Root, called by an ordinary user through sudo.
const SUDO: &str = "env SUDO_UID=65534 SUDO_GID=65534";

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its mode");
}

/// A host whose work directory everybody can look into, and which trusts its contract.
fn open_host() -> Option<Guarded> {
    let here = Guarded::new()?;
    mode(here.host.path(), 0o755);
    mode(&here.host.work(), 0o755);
    here.trust(&[("ops", "own")]);
    Some(here)
}

macro_rules! open_host {
    () => {
        match open_host() {
            Some(host) => host,
            None => return,
        }
    };
}

fn vm(here: &Guarded, before: &str, words: &[&str]) -> Ended {
    here.inside(before, "opal-vm", words)
}

#[test]
fn results_of_a_guarded_run_go_where_the_policy_says_and_nowhere_else() {
    let here = open_host!();
    here.host.write("commands.opl", "go: echo SITE\n");
    let work = here.host.work();
    let victim = here.host.write("victim", "as it was");
    mode(&victim, 0o600);
    std::fs::create_dir(work.join("empty")).expect("a directory");
    mode(&work.join("empty"), 0o755);
    let [full, empty] = ["victim", "empty"].map(|name| work.join(name).display().to_string());
    let commands = |name: &str| -> [Vec<String>; 4] {
        [
            format!("opal-vm resolve --plan prod.plan -o {name}"),
            format!("opal-vm run --plan prod.plan --receipt {name}"),
            format!("opal-vm run --plan prod.plan --record {name}"),
            format!("opal go --record {name}"),
        ]
        .map(|line| line.split(' ').map(str::to_owned).collect())
    };
    let ended = |before: &str, words: &[String]| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        here.inside(before, words[0], &words[1..])
    };
    // Nothing says where, or the place is not a name alone: by whatever makes the run a guarded one.
    for (policy, before) in [(None, SUDO), (Some(""), ""), (Some("run.output = \"/var/lib/results\""), SUDO)] {
        match policy {
            Some(text) => _ = here.policy(text),
            None => _ = std::fs::remove_file(here.etc("policy.toml")),
        }
        for name in [&full, &empty, "victim", "empty", "./new", "../new", "empty/new", "..", ".", "/etc/new", "new/"] {
            if policy.is_some_and(|text| text.contains("output")) && !name.contains(['/', '.']) {
                continue;
            }
            for words in commands(name) {
                ended(before, &words).expect(24).says("error[output_not_allowed]").says("effects: none").says("help:");
            }
        }
    }
    assert_eq!((here.host.read("victim"), std::fs::metadata(&victim).expect("there").mode() & 0o777), ("as it was".to_owned(), 0o600));
    assert_eq!(std::fs::metadata(work.join("empty")).expect("there").mode() & 0o777, 0o755);
    assert!(std::fs::read_dir(work.join("empty")).expect("there").next().is_none());
    // There a name alone is made anew, for its owner alone.
    here.policy("run.output = \"/var/lib/results\"");
    let results = here.host.path().join("lib/results");
    for words in commands("x") {
        ended(SUDO, &words).expect(24).says("is not there");
    }
    std::fs::create_dir(&results).expect("a directory");
    mode(&results, 0o775);
    for words in commands("x") {
        ended(SUDO, &words).expect(78).says("error[unsafe_mode]");
    }
    mode(&results, 0o755);
    for (name, words) in
        ["new.plan", "receipt", "record", "direct"].into_iter().zip(["new.plan", "receipt", "record", "direct"].map(commands))
    {
        let at = ["new.plan", "receipt", "record", "direct"].iter().position(|other| *other == name).expect("listed");
        ended(SUDO, &words[at]).expect(0);
        let wanted = if at < 2 { 0o600 } else { 0o700 };
        assert_eq!(std::fs::metadata(results.join(name)).expect("made").mode() & 0o777, wanted, "{name}");
        // Nothing takes the place of another, and that is seen before anything runs.
        ended(SUDO, &words[at]).expect(74).says("effects: none");
    }
    // Standard output, the usual record and none are everybody's to choose.
    vm(&here, SUDO, &["resolve", "--plan", "prod.plan", "-o", "-"]).expect(0);
    vm(&here, SUDO, &["run", "--plan", "prod.plan", "--record", "none"]).expect(0);
    here.policy("").run(&[], 0);
}

#[test]
fn a_place_for_a_record_is_made_or_is_empty_and_private_already() {
    let host = Host::new();
    host.contract("go: echo SITE\n", &["go"]);
    let place = host.work().join("place");
    std::fs::create_dir(&place).expect("a directory");
    let run = || host.vm(&["run", "--plan", "prod.plan", "--record", "place"]);
    for wrong in [0o755, 0o750, 0o701, 0o777] {
        mode(&place, wrong);
        run().expect(74).says("error[record_unusable]").says("effects: none");
        assert_eq!(std::fs::metadata(&place).expect("there").mode() & 0o7777, wrong);
    }
    mode(&place, 0o700);
    host.write("place/file", "");
    run().expect(74).says("is not empty");
    std::fs::remove_file(place.join("file")).expect("there");
    run().expect(0);
    run().expect(74).says("holds the record of another run");
}

#[test]
fn files_that_the_caller_of_a_guarded_run_names_are_opened_with_their_own_rights() {
    let here = open_host!();
    // So that recipients may be named.
    here.policy("run.reveal = true");
    let work = here.host.work();
    let secret = here.host.write("secret", "-----BEGIN nothing that anybody may see");
    mode(&secret, 0o600);
    std::fs::create_dir(work.join("closed")).expect("a directory");
    here.host.write("closed/there", "ssh-ed25519 AAAA");
    mode(&work.join("closed"), 0o700);
    symlink("secret", work.join("linked")).expect("a link");
    nix::unistd::mkfifo(&work.join("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o644)).expect("a FIFO");
    let options: [(&str, &[&str]); 6] = [
        ("--plan", &["verify"]),
        ("--plan", &["inspect"]),
        ("--source", &["verify", "--plan", "prod.plan"]),
        ("--identity", &["verify", "--plan", "prod.plan"]),
        ("--vouch", &["verify", "--plan", "prod.plan"]),
        ("--recipient", &["resolve", "--plan", "prod.plan", "-o", "-"]),
    ];
    // A descriptor of root's that is left open is no way around.
    let before = format!("{SUDO} sh -c 'exec 7<secret 8<closed; exec \"$@\"' sh");
    let said = |words: &[&str], option: &str, name: &str| {
        let ended = vm(&here, &before, &[words, &[option, name]].concat());
        (ended.status, ended.stdout.replace(name, "NAME"), ended.stderr.replace(name, "NAME"))
    };
    for (option, words) in options {
        let nothing = said(words, option, "closed/none");
        assert!(nothing.0 == 66 && nothing.2.contains("ermission denied"), "{nothing:?}");
        for name in ["closed/there", "secret", "linked"] {
            assert_eq!(said(words, option, name), nothing, "{option} {name}");
        }
        let gone = said(words, option, "/proc/self/fd/9");
        for name in ["/proc/self/fd/7", "/proc/self/fd/8/there"] {
            assert_eq!(said(words, option, name), gone, "{option} {name}");
        }
        let fifo = said(words, option, "fifo");
        assert!(fifo.0 == 66 || fifo.0 == 78, "{fifo:?}");
    }
    // What the caller can read is read, and so is what root has put where nobody else can.
    here.host.write("mine", std::fs::read(work.join("prod.plan")).expect("there"));
    chown(work.join("mine"), Some(NOBODY), Some(NOBODY)).expect("root may");
    mode(&work.join("mine"), 0o600);
    vm(&here, SUDO, &["verify", "--plan", "mine"]).expect(0);
    std::fs::copy(work.join("prod.plan"), work.join("closed/prod.plan")).expect("copied");
    vm(&here, SUDO, &["verify", "--plan", "closed/prod.plan", "--source", "deploy.opl"]).expect(0);
    // Whoever is not known brings nothing along but that.
    vm(&here, "env SUDO_UID=", &["verify", "--plan", "mine"]).expect(66);
    vm(&here, "env SUDO_UID=", &["verify", "--plan", "closed/prod.plan"]).expect(0);
}

#[test]
fn values_and_drafts_are_shown_by_a_guarded_run_only_where_the_policy_says_so() {
    let here = open_host!();
    here.host.write("draft.toml", "plan.types = [\"atomic\"]");
    let draft = ["policy", "check", "--plan", "prod.plan", "--policy", "draft.toml"];
    let reveal = ["verify", "--plan", "prod.plan", "--reveal", "env.A"];
    let refused = |before: &str| {
        vm(&here, before, &draft).expect(24).says("`run.reveal`").says("effects: none");
        vm(&here, before, &reveal).expect(24).says("`run.reveal`");
    };
    refused(SUDO);
    here.policy("");
    refused("");
    here.policy("run.reveal = true");
    vm(&here, SUDO, &draft).expect(0);
    // On a terminal only, which this is none.
    vm(&here, SUDO, &reveal).expect(64).says("error[no_terminal]");
    // A draft is a file that the caller names.
    let secret = here.host.write("secret", "garbage that nobody may see");
    mode(&secret, 0o600);
    let ended = vm(&here, SUDO, &["policy", "check", "--plan", "prod.plan", "--policy", "secret"]);
    ended.expect(66);
    assert!(!ended.stderr.contains("line 1"), "{}", ended.stderr);
}

#[test]
fn no_result_is_written_through_a_link_of_somebody_else_s() {
    let mut host = Host::new();
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: links of somebody else's take root");
        return;
    }
    host.set("A", "one");
    host.contract("go: echo SITE @env.A\n", &["go"]);
    host.opalc(&["keygen", "-o", "key"]).expect(0);
    let shared = host.work().join("shared");
    std::fs::create_dir(&shared).expect("a directory");
    let commands: [(&str, &[&str]); 8] = [
        ("opalc", &["deploy.opl", "go", "--resolve", "-o"]),
        ("opalc", &["show", "prod.plan", "-o"]),
        ("opalc", &["vouch", "prod.plan", "--key", "key", "-o"]),
        ("opalc", &["keygen", "-o"]),
        ("opal", &["plan", "deploy.opl", "go", "-o"]),
        ("opal-vm", &["resolve", "--plan", "prod.plan", "-o"]),
        ("opal-vm", &["run", "--plan", "prod.plan", "--receipt"]),
        ("opal", &["run", "--plan", "prod.plan", "--receipt"]),
    ];
    for directory in [0o1777, 0o777] {
        mode(&shared, directory);
        for (program, words) in commands {
            let run = |name: &str| host.run(program, &[words, &[&format!("shared/{name}")]].concat());
            for (link, target) in [("file", "victim"), ("new", "absent"), ("way", "elsewhere")] {
                let _ = std::fs::remove_file(shared.join(link));
                symlink(host.work().join(target), shared.join(link)).expect("a link");
                nix::unistd::fchownat(
                    nix::fcntl::AT_FDCWD,
                    &shared.join(link),
                    Some(NOBODY.into()),
                    None,
                    nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
                )
                .expect("root may");
            }
            host.write("victim", "as it was");
            std::fs::create_dir_all(host.work().join("elsewhere")).expect("a directory");
            for name in ["file", "new", "way/x"] {
                let ended = run(name);
                assert!(ended.status != 0 && ended.stderr.contains("error["), "{program} {words:?} {name}: {ended:?}");
            }
            assert_eq!(host.read("victim"), "as it was", "{program} {words:?}");
            assert!(
                !host.work().join("absent").exists() && std::fs::read_dir(host.work().join("elsewhere")).expect("there").next().is_none()
            );
            run("free").expect(0);
            let names: Vec<_> = std::fs::read_dir(&shared).expect("there").flatten().map(|entry| entry.file_name()).collect();
            assert!(names.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{names:?}");
            std::fs::remove_file(shared.join("free")).expect("written");
            let _ = std::fs::remove_file(shared.join("free.pub"));
        }
    }
    // One's own link stays a link, and what it leads to is replaced.
    symlink(host.work().join("victim"), host.work().join("mine")).expect("a link");
    host.opalc(&["show", "prod.plan", "-o", "mine"]).expect(0);
    assert!(host.work().join("mine").is_symlink() && host.read("victim") != "as it was");
}

#[test]
fn a_guarded_run_starts_where_nobody_else_can_put_anything() {
    let here = open_host!();
    let work = here.host.work();
    let commands: [&[&str]; 3] =
        [&["run", "--plan", "prod.plan"], &["verify", "--plan", "prod.plan"], &["resolve", "--plan", "prod.plan", "-o", "-"]];
    let everywhere = |status: i32| {
        for words in commands {
            let ended = vm(&here, SUDO, words);
            ended.expect(status);
            if status == 78 {
                ended.says("error[unsafe_directory]").says("effects: none").says("help:");
            }
        }
    };
    everywhere(0);
    for (wrong, owner) in [(0o775, 0), (0o777, 0), (0o1777, 0), (0o755, NOBODY)] {
        mode(&work, wrong);
        chown(&work, Some(owner), None).expect("root may");
        everywhere(78);
        here.inside(SUDO, "opal", &["./deploy.opl", "go"]).expect(78).says("error[unsafe_directory]");
    }
    chown(&work, Some(0), None).expect("root may");
    mode(&work, 0o755);
    // One above it counts like it; a sticky one of root's does not matter there.
    std::fs::create_dir_all(work.join("outer/inner")).expect("directories");
    mode(&work.join("outer/inner"), 0o755);
    let inner = format!("{SUDO} sh -c 'cd outer/inner && exec \"$@\"' sh");
    for (above, status) in [(0o755, 0), (0o777, 78), (0o775, 78), (0o1777, 0)] {
        mode(&work.join("outer"), above);
        vm(&here, &inner, &["verify", "--plan", "../../prod.plan", "--source", "../../deploy.opl"]).expect(status);
    }
    // The policy says where, whatever directory it is started in.
    let start = here.host.path().join("lib/start");
    std::fs::create_dir(&start).expect("a directory");
    mode(&start, 0o755);
    here.policy("run.directory = \"/var/lib/start\"");
    mode(&work, 0o777);
    let plan = work.join("prod.plan").display().to_string();
    std::fs::remove_file(work.join("ran")).expect("made above");
    here.inside(SUDO, "opal-vm", &["run", "--plan", &plan, "--source", "deploy.opl"]).expect(0);
    assert!(start.join("ran").exists() && !work.join("ran").exists());
    mode(&start, 0o777);
    vm(&here, SUDO, &["verify", "--plan", "prod.plan"]).expect(78).says("/var/lib/start");
    here.policy("run.directory = \"/var/lib/none\"");
    vm(&here, SUDO, &["verify", "--plan", "prod.plan"]).expect(69).says("error[directory_missing]");
}

#[test]
fn a_user_s_guarded_run_starts_in_a_place_of_their_own() {
    let here = open_host!();
    let user = format!("setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups");
    for name in ["work", "state", "run", "home", "config", "config/opal", "config/opal/identity"] {
        chown(here.host.path().join(name), Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    here.policy("");
    vm(&here, &user, &["run", "--plan", "prod.plan"]).expect(0);
    chown(here.host.work(), Some(1), None).expect("root may");
    vm(&here, &user, &["run", "--plan", "prod.plan"]).expect(78).says("error[unsafe_directory]");
}

/// Variables by which other code can be made to run, of every kind.
const CODE: &[&str] = &[
    "ZDOTDIR",
    "BASH_LOADABLES_PATH",
    "EXECIGNORE",
    "GLIBC_TUNABLES",
    "LOCPATH",
    "BASH_ENV",
    "LD_PRELOAD",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PERL5OPT",
    "RUBYOPT",
    "NODE_OPTIONS",
    "JAVA_TOOL_OPTIONS",
    "GIT_SSH_COMMAND",
    "GIT_CONFIG_COUNT",
    "MAKEFLAGS",
    "LESSOPEN",
    "EDITOR",
    "NLSPATH",
    "HOSTALIASES",
    "TERMINFO",
    "TAR_OPTIONS",
    "OPENSSL_CONF",
    "KUBECONFIG",
    "TMPDIR",
];

#[test]
fn what_names_code_reaches_no_step_of_a_guarded_run() {
    let mut here = open_host!();
    for name in CODE {
        here.host.set(name, "CHOSEN");
    }
    here.contract("go: { echo SITE; env > ran }\n", &["go"]);
    let variables = |before: &str| {
        here.run_as(before, &["--record", "none"]).expect(0);
        here.host.read("ran")
    };
    for policy in ["", "env.pass = [\"*\"]", "env.mode = \"inherit\""] {
        here.policy(policy);
        let seen = variables(SUDO);
        assert!(!seen.contains("CHOSEN"), "{policy}: {seen}");
        assert!(seen.contains("PATH="));
    }
    std::fs::remove_file(here.etc("policy.toml")).expect("there");
    assert!(!variables(SUDO).contains("CHOSEN"));
    // Whoever runs it for themselves keeps what they have set, but for the hooks of loader and shell.
    let seen = variables("");
    assert!(seen.contains("PYTHONPATH=CHOSEN") && !seen.contains("LD_PRELOAD") && !seen.contains("BASH_ENV"), "{seen}");
}

#[test]
fn a_clean_environment_is_the_account_s_and_names_no_file_of_the_caller_s() {
    let mut here = open_host!();
    for (name, value) in
        [("TZ", ":/tmp/zone"), ("LC_ALL", "../../tmp"), ("LANG", "C"), ("TERM", "/tmp/term"), ("USER", "me"), ("SHELL", "/tmp/sh")]
    {
        here.host.set(name, value);
    }
    here.contract("go: { echo SITE; env > ran }\n", &["go"]);
    here.run_as(SUDO, &["--record", "none"]).expect(0);
    let seen = here.host.read("ran");
    let lines: Vec<&str> = seen.lines().collect();
    for line in ["HOME=/root", "USER=root", "LOGNAME=root", "LANG=C", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] {
        assert!(lines.contains(&line), "no {line} in {seen}");
    }
    for name in ["TZ=", "LC_ALL=", "TERM=", "TMPDIR=", "SHELL=/tmp"] {
        assert!(!lines.iter().any(|line| line.starts_with(name)), "{name} in {seen}");
    }
}

#[test]
fn a_contract_that_the_policy_makes_single_use_has_at_most_one_effect_wherever_a_user_moves_their_places() {
    let mut here = open_host!();
    here.contract("go: echo SITE >> effects\n", &["go", "--once"]);
    let user = format!("setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups");
    for name in ["work", "state", "run", "home", "config", "config/opal", "config/opal/identity"] {
        chown(here.host.path().join(name), Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    here.policy("plan.single_use = true");
    for place in ["a", "b", "c"] {
        for name in [place.to_owned(), format!("{place}run")] {
            std::fs::create_dir(here.host.path().join(&name)).expect("a directory");
            chown(here.host.path().join(&name), Some(NOBODY), Some(NOBODY)).expect("root may");
            mode(&here.host.path().join(&name), 0o700);
        }
        let at = here.host.path().join(place).display().to_string();
        here.host.set("XDG_STATE_HOME", &at).set("XDG_RUNTIME_DIR", &format!("{at}run"));
        vm(&here, &user, &["run", "--plan", "prod.plan"]).expect(24).says("`plan.single_use`").says("effects: none");
    }
    assert_eq!(here.host.read("effects"), "");
    // Without such a policy it is once for this user, and said so.
    here.policy("");
    vm(&here, &user, &["run", "--plan", "prod.plan"]).expect(0);
    vm(&here, &user, &["run", "--plan", "prod.plan"]).expect(22).says("once for this user");
    assert_eq!(here.host.read("effects").lines().count(), 1);
}

#[test]
fn the_caller_of_a_guarded_run_moves_no_record_of_root_s() {
    let mut here = open_host!();
    here.contract("go: echo SITE\n", &["go"]);
    let elsewhere = here.host.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a directory");
    mode(&elsewhere, 0o700);
    for name in ["XDG_STATE_HOME", "HOME"] {
        here.host.set(name, elsewhere.to_str().expect("text"));
    }
    here.run_as(SUDO, &[]).expect(0).says("record: /var/lib/opal/runs/");
    assert_eq!(std::fs::read_dir(&elsewhere).expect("there").count(), 0);
    assert_eq!(std::fs::read_dir(here.host.path().join("lib/opal/runs")).expect("there").filter_map(Result::ok).count(), 1);
    let latest = vm(&here, SUDO, &["run", "--plan", "prod.plan", "--resume", "latest"]);
    latest.expect(64).says("error[run_finished]");
}

#[test]
fn a_guarded_run_seals_what_the_host_holds_to_no_key_of_its_caller_s() {
    let here = open_host!();
    here.contract("go: echo SITE\n", &["go"]);
    let key = here.public("own");
    let words = ["resolve", "--plan", "prod.plan", "-o", "-", "--recipient", &key];
    vm(&here, SUDO, &words).expect(24).says("`run.reveal`").says("effects: none");
    vm(&here, SUDO, &words[..5]).expect(0);
    here.policy("run.reveal = true");
    vm(&here, SUDO, &words).expect(0);
}

#[test]
fn a_guarded_run_starts_in_no_directory_of_descriptors() {
    let here = open_host!();
    here.contract("go: echo SITE >> effects\n", &["go"]);
    std::fs::copy(here.host.work().join("prod.plan"), here.host.path().join("lib/prod.plan")).expect("copied");
    for place in ["/proc/self/fd", "/proc/self", "/proc"] {
        let before = format!("{SUDO} sh -c 'cd {place} && exec \"$@\"' sh");
        here.inside(&before, "opal-vm", &["run", "--plan", "/var/lib/prod.plan"]).expect(78).says("error[unsafe_directory]");
    }
    assert_eq!(here.host.read("effects"), "");
}
