//! What counts as drift: tables of changes to a host between planning and verifying, each with its exact verdict.
//!
//! A row is a change, and what `opal-vm verify --json` says of it: nothing for the same work, else the codes and keys in order, or `!EXIT CODE`
//! for a refusal. A change is words separated by ` ; `:
//!
//! - `A=x` sets a variable, `-A` unsets one;
//! - `file NAME TEXT` writes a file, `rm NAME` removes it, `dir NAME` puts a directory in its place, `mode NAME OCTAL` sets permissions,
//!   `fifo NAME` puts a pipe there, `link NAME TO` a symbolic link, `large NAME` a file above 16 MiB;
//! - `edit OLD => NEW` changes the source;
//! - `with OPTION` adds an option to `verify`, where `HASH` stands for the contract hash.

use opal_tests::Host;
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

/// One contract, and changes to its host.
struct Scenario {
    source: &'static str,
    /// Environment and files that it is made with, as changes.
    before: &'static str,
    options: &'static [&'static str],
    rows: &'static [(&'static str, &'static str)],
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(" ; ").map(str::trim_start).filter(|word| !word.is_empty())
}

/// Makes one change; returns the options that it adds.
fn change(host: &mut Host, word: &str, hash: &str) -> Vec<String> {
    let (verb, rest) = word.split_once(' ').unwrap_or((word, ""));
    let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let path = host.work().join(name);
    match verb {
        "file" => {
            host.write(name, text.replace("\\n", "\n"));
        }
        "rm" => std::fs::remove_file(path).expect("it was there"),
        "dir" => {
            std::fs::remove_file(&path).expect("it was there");
            std::fs::create_dir(path).expect("a directory");
        }
        "mode" => {
            let mode = u32::from_str_radix(text, 8).expect("octal");
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its mode");
        }
        "fifo" => {
            std::fs::remove_file(&path).expect("it was there");
            let made = std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo runs");
            assert!(made.success());
        }
        "link" => {
            let _ = std::fs::remove_file(&path);
            symlink(text, path).expect("a link");
        }
        "large" => std::fs::File::create(path).and_then(|file| file.set_len((16 << 20) + 1)).expect("a file"),
        "edit" => {
            let (old, new) = rest.split_once(" => ").expect("an edit");
            let source = host.read("deploy.opl");
            assert!(source.contains(old), "no `{old}` to edit");
            host.write("deploy.opl", source.replace(old, &new.replace("\\n", "\n")));
        }
        "with" => return rest.split(' ').map(|option| option.replace("HASH", hash)).collect(),
        _ => match (word.strip_prefix('-'), word.split_once('=')) {
            (Some(name), _) => {
                host.unset(name);
            }
            (None, Some((name, value))) => {
                host.set(name, value);
            }
            (None, None) => panic!("no change: `{word}`"),
        },
    }
    Vec::new()
}

/// Makes the work directory hold these files and nothing else.
fn restore(work: &Path, files: &BTreeMap<String, (Vec<u8>, u32)>) {
    for entry in std::fs::read_dir(work).expect("the directory").flatten() {
        let path = entry.path();
        if entry.file_type().expect("its type").is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
            .expect("gone");
    }
    for (name, (bytes, mode)) in files {
        let path = work.join(name);
        std::fs::write(&path, bytes).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).expect("its mode");
    }
}

fn verdict(ended: &opal_tests::Ended) -> String {
    if ended.status == 0 {
        return String::new();
    }
    let report: Value = serde_json::from_str(&ended.stdout).unwrap_or(Value::Null);
    assert_eq!(report["effects"], "none", "{ended:?}");
    let Some(drift) = report["drift"].as_array().filter(|_| ended.status == 3) else {
        return format!("!{} {}", ended.status, report["error"]["code"].as_str().unwrap_or_default());
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |drift: &Value| format!("{} {}", text(&drift["code"]), text(&drift["key"])).trim_end().to_owned();
    drift.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Judges every row, and then says all that are wrong.
fn judge(scenario: &Scenario) {
    let mut host = Host::new();
    for word in words(scenario.before) {
        change(&mut host, word, "");
    }
    host.contract(scenario.source, scenario.options);
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(host.work()).expect("the directory").flatten() {
        let name = entry.file_name().into_string().expect("a name");
        let mode = entry.metadata().expect("its mode").permissions().mode();
        files.insert(name, (std::fs::read(entry.path()).expect("a file"), mode));
    }
    let inspected: Value = serde_json::from_str(&host.vm(&["inspect", "--plan", "prod.plan", "--json"]).stdout).expect("JSON");
    let hash = inspected["contract_hash"].as_str().expect("a hash");
    let mut wrong = String::new();
    for (changes, expected) in scenario.rows {
        let touched: Vec<&str> =
            words(changes).filter_map(|word| word.strip_prefix('-').or(word.split_once('=').map(|(name, _)| name))).collect();
        let mut options = vec!["verify".to_owned(), "--plan".to_owned(), "prod.plan".to_owned(), "--json".to_owned()];
        for word in words(changes) {
            options.extend(change(&mut host, word, hash));
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let ended = host.vm(&options);
        let found = verdict(&ended);
        if found != *expected {
            wrong.push_str(&format!("\n`{changes}`\n  expected: {expected}\n     found: {found}\n{}", ended.stderr));
        }
        restore(&host.work(), &files);
        for name in touched {
            host.unset(name);
        }
        for word in words(scenario.before).filter(|word| word.contains('=') && !word.starts_with("file ")) {
            change(&mut host, word, "");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

const VALUES: Scenario = Scenario {
    source: "var N = @env.COUNT(default=3)\nvar UNNEEDED = @env.UNNEEDED\ngo: {\n    echo @env.PLAIN @env.SHOWN(public=true) @var.N\n    \
             echo @env.WAIT(default=90s) @env.RATE(default=0.5) @env.FLAG(default=false) @env.WORD(default=\"w\")\n    echo @{env.PLAIN}.tail $UNREAD\n}\n\
             other: echo @var.UNNEEDED\n",
    before: "PLAIN=secret-one ; SHOWN=visible ; UNNEEDED=u",
    options: &["go"],
    rows: &[
        ("", ""),
        ("UNRELATED=1", ""),
        ("UNREAD=1", ""),
        ("UNNEEDED=v", ""),
        ("-UNNEEDED", ""),
        ("LC_ALL=C", ""),
        ("TZ=Asia/Tokyo", ""),
        ("PLAIN=secret-one", ""),
        ("SHOWN=visible", ""),
        ("PLAIN=secret-two", "env_changed env.PLAIN"),
        ("PLAIN=", "env_changed env.PLAIN"),
        ("-PLAIN", "env_changed env.PLAIN"),
        ("PLAIN=secret-one ", "env_changed env.PLAIN"),
        ("PLAIN= secret-one", "env_changed env.PLAIN"),
        ("PLAIN=Secret-one", "env_changed env.PLAIN"),
        ("PLAIN=secret-one\n", "env_changed env.PLAIN"),
        ("PLAIN=$(id)", "env_changed env.PLAIN"),
        ("SHOWN=Visible", "env_changed env.SHOWN(public=true), structure_changed"),
        ("SHOWN=", "env_changed env.SHOWN(public=true), structure_changed"),
        ("-SHOWN", "env_changed env.SHOWN(public=true)"),
        ("PLAIN=a ; SHOWN=b", "env_changed env.PLAIN, env_changed env.SHOWN(public=true), structure_changed"),
        ("PLAIN=visible ; SHOWN=secret-one", "env_changed env.PLAIN, env_changed env.SHOWN(public=true), structure_changed"),
        ("COUNT=3", ""),
        ("COUNT=03", ""),
        ("COUNT=+3", ""),
        ("COUNT=4", "env_changed env.COUNT(default=3)"),
        ("COUNT=-3", "env_changed env.COUNT(default=3)"),
        ("COUNT=", "env_changed env.COUNT(default=3)"),
        ("COUNT=three", "env_changed env.COUNT(default=3)"),
        ("COUNT=3.0", "env_changed env.COUNT(default=3)"),
        ("COUNT=99999999999999999999", "env_changed env.COUNT(default=3)"),
        ("WAIT=90s", ""),
        ("WAIT=1m30s", ""),
        ("WAIT=91s", "env_changed env.WAIT(default=1m30s)"),
        ("WAIT=90", "env_changed env.WAIT(default=1m30s)"),
        ("RATE=0.5", ""),
        ("RATE=0.50", ""),
        ("RATE=5e-1", ""),
        ("RATE=0.25", "env_changed env.RATE(default=0.5)"),
        ("RATE=half", "env_changed env.RATE(default=0.5)"),
        ("FLAG=false", ""),
        ("FLAG=true", "env_changed env.FLAG(default=false)"),
        ("FLAG=no", "env_changed env.FLAG(default=false)"),
        ("WORD=w", ""),
        ("WORD=", "env_changed env.WORD(default=\"w\")"),
        ("WORD=W", "env_changed env.WORD(default=\"w\")"),
        ("COUNT=4 ; WORD=x", "env_changed env.COUNT(default=3), env_changed env.WORD(default=\"w\")"),
    ],
};

const SET_TO_THE_DEFAULT: Scenario = Scenario {
    source: "go: echo @env.COUNT(default=3) @env.EMPTY @env.WORD(default=\"w\")\n",
    before: "COUNT=03 ; EMPTY= ; WORD=other",
    options: &[],
    rows: &[
        ("", ""),
        ("-COUNT", ""),
        ("COUNT=3", ""),
        ("-EMPTY", "env_changed env.EMPTY"),
        ("EMPTY=0", "env_changed env.EMPTY"),
        ("-WORD", "env_changed env.WORD(default=\"w\")"),
        ("WORD=w", "env_changed env.WORD(default=\"w\")"),
    ],
};

const STRUCTURE: Scenario = Scenario {
    source: "go: {\n    if @env.STAGE == \"production\" { echo one } else { echo two }\n    for i in 1...@env.ROUNDS(default=2, public=true) { echo @var.i }\n    \
             when @env.REGION { \"eu\" | \"us\" -> echo west ; r\"^ap-\" -> echo east ; else -> echo none }\n    \
             if @env.SAME == \"a\" { echo same } else { echo same }\n    if @env.LIMIT(default=5) > 3 { echo above }\n}\n",
    before: "STAGE=production ; REGION=eu ; SAME=a",
    options: &[],
    rows: &[
        ("", ""),
        ("STAGE=staging", "env_changed env.STAGE, structure_changed"),
        ("STAGE=", "env_changed env.STAGE, structure_changed"),
        ("-STAGE", "env_changed env.STAGE"),
        ("ROUNDS=2", ""),
        ("ROUNDS=02", ""),
        ("ROUNDS=3", "env_changed env.ROUNDS(default=2, public=true), structure_changed"),
        ("ROUNDS=1", "env_changed env.ROUNDS(default=2, public=true), structure_changed"),
        ("ROUNDS=0", "env_changed env.ROUNDS(default=2, public=true), structure_changed"),
        ("ROUNDS=x", "env_changed env.ROUNDS(default=2, public=true)"),
        ("REGION=us", "env_changed env.REGION"),
        ("REGION=ap-south", "env_changed env.REGION, structure_changed"),
        ("REGION=mars", "env_changed env.REGION, structure_changed"),
        ("SAME=b", "env_changed env.SAME, shown_differs"),
        ("LIMIT=4", "env_changed env.LIMIT(default=5)"),
        ("LIMIT=3", "env_changed env.LIMIT(default=5), structure_changed"),
        ("STAGE=s ; ROUNDS=3", "env_changed env.STAGE, env_changed env.ROUNDS(default=2, public=true), structure_changed"),
    ],
};

const FILES: Scenario = Scenario {
    source: "go: {\n    echo @file.read(\"conf.txt\")\n    echo @file.sha256(\"big.bin\") @file.read(\"shown.txt\", public=true)\n}\nother: echo @file.read(\"never.txt\")\n",
    before: "file conf.txt one ; file big.bin data ; file shown.txt text ; file never.txt n",
    options: &["go"],
    rows: &[
        ("", ""),
        ("file conf.txt one", ""),
        ("file other.txt new", ""),
        ("rm never.txt", ""),
        ("mode conf.txt 600", ""),
        ("mode conf.txt 755", ""),
        ("file copy.txt one ; link conf.txt copy.txt", ""),
        ("file copy.txt two ; link conf.txt copy.txt", "infra_mutated file.read(\"conf.txt\")"),
        ("file conf.txt two", "infra_mutated file.read(\"conf.txt\")"),
        ("file conf.txt", "infra_mutated file.read(\"conf.txt\")"),
        ("file conf.txt one\\n", "infra_mutated file.read(\"conf.txt\")"),
        ("file conf.txt one\0", "infra_mutated file.read(\"conf.txt\")"),
        ("rm conf.txt", "infra_missing file.read(\"conf.txt\")"),
        ("link conf.txt gone.txt", "infra_missing file.read(\"conf.txt\")"),
        ("link conf.txt conf.txt", "infra_mutated file.read(\"conf.txt\")"),
        ("dir conf.txt", "infra_mutated file.read(\"conf.txt\")"),
        ("fifo conf.txt", "infra_mutated file.read(\"conf.txt\")"),
        ("large conf.txt", "infra_mutated file.read(\"conf.txt\")"),
        ("link conf.txt /proc/self/status", "infra_mutated file.read(\"conf.txt\")"),
        ("file big.bin Data", "infra_mutated file.sha256(\"big.bin\")"),
        ("rm big.bin", "infra_missing file.sha256(\"big.bin\")"),
        ("dir big.bin", "infra_mutated file.sha256(\"big.bin\")"),
        ("file shown.txt Text", "infra_mutated file.read(\"shown.txt\", public=true), structure_changed"),
        ("rm shown.txt", "infra_missing file.read(\"shown.txt\", public=true)"),
        ("file conf.txt two ; file big.bin x", "infra_mutated file.read(\"conf.txt\"), infra_mutated file.sha256(\"big.bin\")"),
    ],
};

const COMPUTED: Scenario = Scenario {
    source: "var SUM = int(@env.A) + int(@env.B)\ngo: {\n    echo @var.SUM @random.password(length=12)\n    echo @env.NAME-suffix\n    @workdir(@env.DIR) { echo x }\n}\n",
    before: "A=1 ; B=2 ; NAME=n ; DIR=/tmp ; PROMISED=p",
    options: &["--pass-env", "PROMISED"],
    rows: &[
        ("", ""),
        ("A=01", "env_changed env.A"),
        ("A=2 ; B=1", "env_changed env.A, env_changed env.B"),
        ("B=3", "env_changed env.B"),
        ("B=x", "env_changed env.B"),
        ("NAME=m", "env_changed env.NAME"),
        ("DIR=/", "env_changed env.DIR"),
        ("PROMISED=q", "env_changed pass_env.PROMISED"),
        ("PROMISED=", "env_changed pass_env.PROMISED"),
        ("-PROMISED", "env_changed pass_env.PROMISED"),
        ("UNPROMISED=x", ""),
        ("PATH=/nonexistent", ""),
    ],
};

const FAILING: Scenario = Scenario {
    source: "var LIST = [\"a\", \"b\"]\ngo: {\n    echo @var.LIST[@env.AT(default=1)]\n    var PART = 10 / @env.BY(default=2)\n    echo @var.PART\n}\n",
    before: "UNUSED=1",
    options: &[],
    rows: &[
        ("", ""),
        ("AT=0", "env_changed env.AT(default=1), structure_changed"),
        ("BY=5", "env_changed env.BY(default=2)"),
        ("BY=-2", "env_changed env.BY(default=2)"),
        ("AT=2", "env_changed env.AT(default=1), structure_changed"),
        ("BY=0", "env_changed env.BY(default=2), structure_changed"),
        ("AT=0 ; BY=0", "env_changed env.AT(default=1), env_changed env.BY(default=2), structure_changed"),
    ],
};

const SIGNED_SOURCE: Scenario = Scenario {
    source: "# a comment\ngo: echo @env.A\n",
    before: "A=1",
    options: &[],
    rows: &[
        ("", ""),
        ("mode deploy.opl 600", ""),
        ("edit # a comment => # another", "source_changed deploy.opl"),
        ("edit echo => printf", "source_changed deploy.opl"),
        ("edit go: => go:  ", "source_changed deploy.opl"),
        ("edit # => \\n#", "source_changed deploy.opl"),
        ("file deploy.opl", "source_changed deploy.opl"),
        ("A=2 ; edit # a comment => # another", "env_changed env.A, source_changed deploy.opl"),
        ("rm deploy.opl", ""),
        ("rm deploy.opl ; A=2", "env_changed env.A"),
        ("rm deploy.opl ; with --expect HASH", ""),
        ("rm deploy.opl ; with --allow-unsigned", ""),
        ("dir deploy.opl", "!66 source_unreadable"),
        ("fifo deploy.opl", "!66 source_unreadable"),
        ("file copy.opl other ; with --source copy.opl", "source_changed deploy.opl"),
        ("with --source none.opl", "!66 source_unreadable"),
        ("edit # => #  ; with --expect HASH", "source_changed deploy.opl"),
        ("with --identity none", "!66 identity_unreadable"),
    ],
};

const UNSIGNED_SOURCE: Scenario = Scenario {
    source: "go: if @env.A == \"1\" { echo one } else { echo two }\n",
    before: "A=1",
    options: &["--unsigned"],
    rows: &[
        ("", "!20 unsigned"),
        ("with --allow-unsigned", ""),
        ("with --expect HASH", ""),
        ("rm deploy.opl ; with --allow-unsigned", "source_missing deploy.opl"),
        ("rm deploy.opl ; with --expect HASH", ""),
        ("rm deploy.opl ; A=2 ; with --allow-unsigned", "env_changed env.A, source_missing deploy.opl, structure_changed"),
        ("edit one => 1 ; with --allow-unsigned", "source_changed deploy.opl"),
        ("A=2 ; edit one => 1 ; with --allow-unsigned", "env_changed env.A, source_changed deploy.opl, structure_changed"),
        ("A=2", "!20 unsigned"),
    ],
};

#[test]
fn files_of_the_kernel_are_not_read() {
    let host = Host::new();
    symlink("/proc/self/environ", host.work().join("innocent")).expect("a link");
    for path in ["/proc/self/environ", "/proc/self/../self/status", "/sys/kernel/uevent_seqnum", "innocent", "../../../../proc/version"] {
        for decorator in ["read", "sha256"] {
            host.write("deploy.opl", host.named(&format!("echo SITE @file.{decorator}(\"{path}\")\n")));
            let ended = host.opalc(&["deploy.opl", "--resolve", "-o", "prod.plan"]);
            assert!(
                ended.status == 65 && (path.starts_with("..") || ended.stderr.contains("below /proc and /sys")),
                "{path}: {}",
                ended.stderr
            );
        }
    }
}

#[test]
fn a_value_whose_name_looks_secret_is_public_only_where_the_planner_says_so() {
    let mut host = Host::new();
    for name in ["API_TOKEN", "MY_SECRET", "DB_PASSWORD", "SSH_KEY", "CREDENTIALS", "token"] {
        host.set(name, "shown-value");
        host.write("deploy.opl", host.named(&format!("echo SITE @env.{name}(public=true)\n")));
        let ended = host.opalc(&["deploy.opl", "--resolve", "-o", "prod.plan"]);
        ended.expect(65).says(&format!("`{name}`")).says("looks like a secret").says(&format!("--public {name}"));
        assert!(!host.work().join("prod.plan").exists() && !ended.stderr.contains("shown-value"));
        host.opalc(&["deploy.opl", "--resolve", "--public", "OTHER", "-o", "prod.plan"]).expect(65);
        host.opalc(&["deploy.opl", "--resolve", "--public", name, "-o", "prod.plan"]).expect(0);
        assert!(host.vm(&["inspect", "--plan", "prod.plan"]).stdout.contains("shown-value"));
        host.vm(&["verify", "--plan", "prod.plan"]).expect(0);
        // For changes that nobody has reviewed, nothing is.
        host.opalc(&["deploy.opl", "--resolve", "--no-public", "-o", "prod.plan"]).expect(0);
        assert!(!host.vm(&["inspect", "--plan", "prod.plan"]).stdout.contains("shown-value"));
        std::fs::remove_file(host.work().join("prod.plan")).expect("there");
    }
}

#[test]
fn a_shell_that_went_away_is_missing_here() {
    let mut host = Host::new();
    let bin = host.path().join("bin");
    std::fs::create_dir(&bin).expect("a directory");
    let found = std::env::var("PATH").expect("a path").split(':').map(|place| Path::new(place).join("bash")).find(|path| path.exists());
    std::fs::copy(found.expect("bash is here"), bin.join("bash")).expect("a copy");
    host.set("PATH", &format!("{}:/usr/bin:/bin", bin.display()));
    host.contract("echo SITE\n", &[]);
    let judge = || verdict(&host.vm(&["verify", "--plan", "prod.plan", "--json"]));
    assert_eq!(judge(), "");
    std::fs::set_permissions(bin.join("bash"), std::fs::Permissions::from_mode(0o644)).expect("its mode");
    assert_eq!(judge(), "!69 shell_missing", "not executable");
    std::fs::remove_file(bin.join("bash")).expect("it was there");
    assert_eq!(judge(), "!69 shell_missing");
    std::fs::create_dir(bin.join("bash")).expect("a directory");
    assert_eq!(judge(), "!69 shell_missing", "a directory");
}

macro_rules! scenarios {
    ($($name:ident: $scenario:ident,)*) => {
        $(#[test] fn $name() { judge(&$scenario); })*

        #[test]
        fn there_are_at_least_a_hundred_rows() {
            let rows: usize = [$($scenario.rows.len()),*].iter().sum();
            assert!(rows >= 100, "{rows}");
        }
    };
}

scenarios! {
    values_that_move_and_that_do_not: VALUES,
    a_value_equal_to_its_default_is_the_same_value: SET_TO_THE_DEFAULT,
    structure_that_moves_follows_its_inputs: STRUCTURE,
    files_that_change_and_go: FILES,
    computed_and_promised_values_move_with_their_inputs: COMPUTED,
    values_that_planning_fails_on_are_named: FAILING,
    the_source_of_a_signed_contract: SIGNED_SOURCE,
    the_source_of_an_unsigned_contract: UNSIGNED_SOURCE,
}

#[test]
fn steps_before_a_change_of_structure_are_shown_as_they_would_be_now() {
    let mut host = Host::new();
    host.set("STAGE", "blue");
    host.contract("go: {\n  deploy @env.STAGE\n  if @env.STAGE == \"green\" { echo more }\n  echo @env.STAGE\n}\n", &["go"]);
    host.set("STAGE", "green");
    let report: Value = serde_json::from_str(&host.vm(&["verify", "--plan", "prod.plan", "--json"]).expect(3).stdout).expect("JSON");
    let steps = report["drift"][0]["steps"].as_array().expect("steps");
    assert!(steps[0]["actual"].as_str().is_some_and(|actual| actual.starts_with("deploy opal:secret:")), "{report:#}");
    assert_ne!(steps[0]["actual"], steps[0]["expected"]);
    assert_eq!(steps[1]["actual"], Value::Null, "what stands elsewhere now is compared with nothing");
    assert_eq!(report["drift"][1]["steps"][0]["actual"], "@if(@env.STAGE == \"green\")");
}

#[test]
fn a_changed_source_is_reported_with_what_stands_behind_the_program_and_how_to_go_on() {
    let host = Host::new();
    for (options, trust, says) in [
        (&[][..], &[][..], "still as it was signed"),
        (&["--unsigned"], &["--allow-unsigned"], "the program inside the contract is signed by nobody"),
    ] {
        host.contract("echo SITE\n", options);
        host.write("old.opl", host.read("deploy.opl"));
        host.write("deploy.opl", host.named("echo SITE # more\n"));
        let ended = host.vm(&[&["verify", "--plan", "prod.plan"], trust].concat());
        ended.expect(3).says("error[source_changed]").says(says).says("`--source FILE`");
        host.vm(&[&["verify", "--plan", "prod.plan", "--source", "old.opl"], trust].concat()).expect(0);
    }
}

/// What `opalc diff` says of the contract that a change of environment, arguments or source gives.
fn difference(change: impl FnOnce(&mut Host), arguments: &[&str]) -> (i32, Value, String) {
    let source = "fun go(n: Int = 2) = {\n    for i in 1...@var.n { echo @var.i }\n    deploy @env.TOKEN @env.STAGE(public=true)\n    echo last\n}\n";
    let mut host = Host::new();
    host.set("TOKEN", "very-secret-words").set("STAGE", "blue");
    host.contract(source, &["go"]);
    std::fs::rename(host.work().join("prod.plan"), host.work().join("old.plan")).expect("a name");
    change(&mut host);
    let mut words = vec!["deploy.opl", "go"];
    words.extend(arguments);
    words.extend(["--resolve", "-o", "new.plan"]);
    host.opalc(&words).expect(0);
    let text = host.opalc(&["diff", "old.plan", "new.plan"]);
    let ended = host.opalc(&["diff", "old.plan", "new.plan", "--json"]);
    assert_eq!(text.status, ended.status);
    assert!(!text.stdout.contains("very-secret-words") && !ended.stdout.contains("very-secret-words"));
    (ended.status, serde_json::from_str(&ended.stdout).expect("JSON"), text.stdout)
}

fn codes(report: &Value) -> Vec<&str> {
    report["drift"].as_array().expect("an array").iter().filter_map(|drift| drift["code"].as_str()).collect()
}

#[test]
fn two_contracts_for_the_same_work_differ_in_terms_at_most() {
    let (status, report, text) = difference(|_| {}, &["--once"]);
    assert_eq!((status, &report["verdict"]), (0, &Value::from("same")), "{text}");
    assert!(codes(&report).is_empty(), "{text}");
    assert!(text.starts_with("same work\n") && text.contains("once: was `false`, is now `true`"), "{text}");
    assert!(text.contains("cannot be compared") && report["incomparable"][0] == "env.TOKEN", "{text}");
}

#[test]
fn secrets_of_two_contracts_cannot_be_compared_and_public_values_can() {
    let (status, report, text) = difference(
        |host| {
            host.set("TOKEN", "another");
        },
        &[],
    );
    assert_eq!((status, codes(&report)), (0, vec![]), "{text}");
    let (status, report, text) = difference(
        |host| {
            host.set("STAGE", "green");
        },
        &["--hash-algo", "blake3"],
    );
    assert_eq!((status, codes(&report)), (3, vec!["env_changed", "structure_changed"]), "{text}");
    assert!(text.contains("was `blue`, is now `green`") && text.contains("  actual: deploy opal:secret:env.TOKEN green"), "{text}");
}

#[test]
fn steps_that_were_added_removed_and_changed_are_told_apart() {
    let (status, report, text) = difference(|_| {}, &["--n=3"]);
    assert_eq!((status, codes(&report)), (3, vec!["structure_changed"]), "{text}");
    assert_eq!(report["drift"][0]["steps"].as_array().expect("steps").len(), 1, "{text}");
    assert!(
        text.contains("arguments: was `n=2`, is now `n=3`") && text.contains("expected: (no such step)\n      actual: echo 3\n"),
        "{text}"
    );
    let (_, _, text) = difference(|_| {}, &["--n=1"]);
    assert!(text.contains("expected: echo 2\n      actual: (no such step)\n"), "{text}");
    let edit = |host: &mut Host| {
        host.write("deploy.opl", host.read("deploy.opl").replace("echo last", "echo end"));
    };
    let (status, _, text) = difference(edit, &[]);
    assert_eq!(status, 3);
    assert!(text.contains("expected: echo last\n      actual: echo end\n") && text.contains("source hash: was"), "{text}");
}

#[test]
fn a_file_that_is_no_contract_cannot_be_compared() {
    let host = Host::new();
    host.contract("echo SITE\n", &[]);
    host.write("bad.plan", "not a contract");
    host.opalc(&["diff", "prod.plan", "bad.plan"]).expect(65).says("bad.plan");
    host.opalc(&["diff", "prod.plan", "none.plan"]).expect(66);
    host.opalc(&["diff", "prod.plan"]).expect(64);
    host.opalc(&["diff", "prod.plan", "prod.plan"]).expect(0);
}

#[test]
fn a_program_that_differs_is_said_in_one_document() {
    let host = Host::new();
    host.contract("echo SITE\n", &[]);
    host.write("deploy.opl", "echo other\n");
    let ended = host.opalc(&["verify", "prod.plan", "--source", "deploy.opl", "--json"]);
    let report: Value = serde_json::from_str(&ended.expect(3).stdout).expect("one document");
    assert_eq!(report["program_same"], false);
}

#[test]
fn a_value_is_revealed_on_a_terminal_only() {
    use std::io::Read as _;
    let mut host = Host::new();
    host.set("TOKEN", "first-secret-words");
    host.contract("deploy SITE @env.TOKEN\n", &[]);
    host.set("TOKEN", "other-secret-words");
    let words = |key| ["verify", "--plan", "prod.plan", "--reveal", key];
    let ended = host.vm(&words("env.TOKEN"));
    ended.expect(64).says("error[no_terminal]").says("effects: none");
    assert!(!ended.stdout.contains("secret-words") && !ended.stderr.contains("secret-words"));
    for (key, status, shown) in
        [("env.TOKEN", 3, "env.TOKEN = other-secret-words"), ("TOKEN", 3, "env.TOKEN = other-secret-words"), ("env.OTHER", 64, "")]
    {
        let terminal = nix::pty::openpty(None, None).expect("a terminal");
        let mut child =
            host.command("opal-vm", words(key)).stdout(terminal.slave).stderr(std::process::Stdio::null()).spawn().expect("starts");
        assert_eq!(child.wait().expect("it ends").code(), Some(status));
        let mut text = Vec::new();
        // The end of a terminal reads as an error.
        let _ = std::fs::File::from(terminal.master).read_to_end(&mut text);
        assert_eq!(String::from_utf8_lossy(&text).trim_end(), shown);
    }
}

/// For each value decorator: how a source writes it, what moves it, and what takes away what it reads.
const EACH: &[(&str, &str, Option<&str>, Option<&str>)] = &[
    ("env", "@env.MOVES", Some("MOVES=two"), Some("-MOVES")),
    ("file.read", "@file.read(\"moves\")", Some("file moves two"), Some("rm moves")),
    ("file.sha256", "@file.sha256(\"moves\")", Some("file moves two"), Some("rm moves")),
    ("random.password", "@random.password(length=int(@env.LENGTH))", Some("LENGTH=13"), None),
    // There is one kind of key, so nothing but another seed moves it.
    ("crypto.generate_key", "@crypto.generate_key()", None, None),
    ("pass_env", "", Some("MOVES=two"), Some("-MOVES")),
];

#[test]
fn each_value_decorator_is_compared_as_its_row_says() {
    for row in opal_core::decorators::VALUE_DECORATORS {
        let (name, written, moves, goes) =
            EACH.iter().find(|(name, ..)| *name == row.name).unwrap_or_else(|| panic!("say here what moves `@{}`", row.name));
        let mut host = Host::new();
        host.set("MOVES", "one").set("LENGTH", "12").write("moves", "one");
        let promised: &[&str] = if *name == "pass_env" { &["--pass-env", "MOVES"] } else { &[] };
        host.contract(&format!("go: echo {written} end\n"), &[&["go"], promised].concat());
        let verdict = |host: &Host| verdict(&host.vm(&["verify", "--plan", "prod.plan", "--json"]));
        assert_eq!(verdict(&host), "", "{name}");
        // What is not of the value is not compared.
        std::fs::set_permissions(host.work().join("moves"), std::fs::Permissions::from_mode(0o400)).expect("its mode");
        assert_eq!(verdict(&host), "", "{name}");
        for (change_to, code) in [(*moves, row.drift.moved), (*goes, row.drift.missing)] {
            let Some(change_to) = change_to else { continue };
            let _ = std::fs::remove_file(host.work().join("moves"));
            host.write("moves", "one");
            change(&mut host, change_to, "");
            let found = verdict(&host);
            let codes: Vec<&str> = found.split(", ").filter_map(|one| one.split(' ').next()).collect();
            assert!(codes.contains(&code.name()), "{name} after `{change_to}`: {found}, not {}", code.name());
        }
    }
}
