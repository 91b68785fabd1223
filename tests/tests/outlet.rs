//! A secret leaves by no way: whoever prints it, whichever stream, branch, name, report or file it is in, and however late it became known.

use opal_tests::{Ended, Host};

const SECRET: &str = "hunter2-secret";

/// A host with a secret in the environment, in `S`, and one in a file that only a step reads.
fn host() -> Host {
    let mut host = Host::new();
    host.set("S", SECRET);
    host.write("token", SECRET);
    host
}

fn run(host: &Host, script: &str, options: &[&str]) -> Ended {
    host.write("script.opl", script);
    let words: Vec<&str> = options.iter().copied().chain(["./script.opl"]).collect();
    host.run("opal", &words)
}

/// Every way of looking at a run shows nothing of it.
fn shows_nothing(host: &Host, script: &str, placeholder: &str) {
    for options in [&[][..], &["--json"]] {
        let ended = run(host, script, options);
        let all = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!all.contains(SECRET), "{options:?}: {all}");
        assert!(all.contains(placeholder), "{options:?}: {all}");
        for (path, bytes) in host.files() {
            let is_ours = path.to_string_lossy().contains("/state/");
            assert!(!is_ours || !String::from_utf8_lossy(&bytes).contains(SECRET), "{} shows it", path.display());
        }
        for file in ["printed", "bound"] {
            let _ = std::fs::remove_file(host.work().join(file));
        }
    }
}

#[test]
fn the_name_of_a_process_that_is_left_running_shows_no_secret() {
    shows_nothing(&host(), "cp \"$(command -v sleep)\" @env.S; ./@env.S 60 > /dev/null 2>&1 &\n", "left opal:secret:");
}

#[test]
fn what_a_branch_printed_before_another_bound_it_waits_and_is_replaced() {
    let script = "@parallel(max_concurrency=2) {\n    @retry(1) {\n        until [ -e printed ]; do sleep 0.02; done\n        T=$(cat token)\n        : @var.T\n    }\n    @retry(1) {\n        cat token; echo; cat token >&2; touch printed\n    }\n}\n";
    shows_nothing(&host(), script, "@let.T");
}

#[test]
fn what_a_detached_process_prints_after_it_is_bound_is_replaced() {
    let script = "@detach {\n    (until [ -e bound ]; do sleep 0.02; done; cat token; echo; touch printed) &\n}\nT=$(cat token)\n: @var.T; touch bound\nuntil [ -e printed ]; do sleep 0.02; done\n";
    shows_nothing(&host(), script, "@let.T");
}

#[test]
fn the_last_lines_of_a_branch_that_failed_are_judged_when_they_are_shown() {
    let script = "@parallel(max_concurrency=2) {\n    @retry(1) {\n        until [ -e printed ]; do sleep 0.02; done\n        sleep 0.2\n        T=$(cat token)\n        : @var.T\n    }\n    @retry(1) {\n        cat token >&2; echo >&2; touch printed; exit 7\n    }\n}\n";
    shows_nothing(&host(), script, "@let.T");
}

#[test]
fn a_secret_that_two_steps_put_together_on_one_line_is_replaced() {
    let halves = ["printf hunter", "printf 2-secret"];
    for (first, second) in [("", ""), ("", " >&2"), (" >&2", ""), (" >&2", " >&2")] {
        let host = host();
        host.write("script.opl", format!(": @env.S\n{}{first}\n{}{second}\n", halves[0], halves[1]));
        let opal = opal_tests::binaries().join("opal");
        let mut shell = host.command("opal", ["-q", "./script.opl"]);
        let mut command = std::process::Command::new("bash");
        command.args(["-c", "exec \"$0\" -q ./script.opl 2>&1"]).arg(opal).current_dir(host.work()).env_clear();
        command.envs(shell.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let both = String::from_utf8(command.output().expect("it runs").stdout).expect("text");
        assert!(!both.contains(SECRET) && both.starts_with("hunteropal:secret:"), "{first:?} {second:?}: {both}");
        if first == second {
            let apart = shell.output().expect("it runs");
            let text = String::from_utf8([apart.stdout, apart.stderr].concat()).expect("text");
            assert!(!text.contains(SECRET) && text.contains("opal:secret:"), "{first:?} {second:?}: {text}");
        }
    }
}

#[test]
fn a_refusal_names_no_text_that_was_made_of_a_secret() {
    let host = host();
    let script = "var NAME = \"/x/@env.S-password\"\necho @file.read(@var.NAME, public=true)\n";
    host.write("script.opl", script);
    let ended = host.run("opal", &["./script.opl"]);
    let refused = host.run("opalc", &["plan", "script.opl"]);
    for text in [ended.stdout, ended.stderr, refused.stdout, refused.stderr] {
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn what_tools_print_of_a_secret_in_their_layouts_is_replaced() {
    const TOOLS: [&str; 27] = [
        "xxd",
        "xxd -p",
        "xxd -u",
        "xxd -g1",
        "xxd -g4 -c 24",
        "xxd -i",
        "xxd -p -c 7",
        "od -An -tx1",
        "od -tx1",
        "od -Ax -tx1z",
        "hexdump -C",
        "base64",
        "base64 -w 9",
        "base64 -w 57",
        "base64 -w 60",
        "base64 -w 1",
        "python3 -c 'import sys;print(\"\".join(\"\\\\x%02x\"%b+(\"\\\\\\n\" if n%8==7 else \"\") for n,b in enumerate(sys.stdin.buffer.read())))'",
        "base32",
        "base32 -w 11",
        "openssl base64",
        "basenc --base64url -w 20",
        "basenc --base16 -w 21",
        "python3 -c 'import sys,json;print(json.dumps(json.dumps(json.dumps(sys.stdin.read()))))'",
        "python3 -c 'import sys;print(sys.stdin.buffer.read().hex(\":\"))'",
        "python3 -c 'import csv,sys;csv.writer(sys.stdout).writerow([sys.stdin.read()])'",
        "python3 -c 'import sys;print(\"INSERT (\\x27\"+sys.stdin.read().replace(\"\\x27\",\"\\x27\\x27\")+\"\\x27)\")'",
        "jq -Rr '[.]|@csv'",
    ];
    for secret in ["it's \"quoted\" and \\ of-some-length, which is more than one row of a dump", "hunter2-secret"] {
        let mut host = host();
        host.set("S", secret);
        for tool in TOOLS {
            let program = tool.split(' ').next().unwrap_or_default();
            if std::process::Command::new(program).arg("--version").output().is_err() {
                println!("skipped: {program} is not installed");
                continue;
            }
            for before in ["", "x", "xy", "four and twelve"] {
                let plain = std::process::Command::new("bash")
                    .args(["-c", &format!("printf '%s%s' \"$B\" \"$S\" | {tool}")])
                    .envs([("B", before), ("S", secret)])
                    .output()
                    .expect("it runs");
                let secrets = std::sync::Arc::new(opal_exec::scrub::Secrets::default());
                secrets.add([(secret.as_bytes(), "<S>")]);
                let out = String::from_utf8_lossy(&secrets.scrub(&plain.stdout)).into_owned();
                let plain = String::from_utf8_lossy(&plain.stdout).into_owned();
                assert!(out.contains("<S>"), "{tool} of {before:?}: {out}");
                // What is left is what stands before it, and what it shares with that.
                assert!(out.len() + secret.len() / 2 <= plain.len() || before.len() > 2, "{tool} of {before:?}: {plain} became {out}");
            }
        }
        let all: String = TOOLS.iter().map(|tool| format!("(printf '%s' @env.S | {tool}) 2> /dev/null || true\n")).collect();
        let ended = run(&host, &all, &["-q"]);
        let shown = ended.stdout;
        assert!(shown.matches("opal:secret:").count() >= 10, "{shown}");
        for row in ["6875 6e74", "68 75 6e", "aHVudGVy", "NB2W45DF", "6974 2773", "69 74 27", "aXQncy"] {
            assert!(!shown.contains(row), "{row} in {shown}");
        }
    }
}

#[test]
fn no_code_of_the_vm_writes_to_the_streams_beside_the_outlet() {
    // Where the streams are opened, which is among what one reads for the promise, or put out of the way.
    const MAY: [&str; 2] = ["vm/src/cli/ends.rs", "vm/exec/src/supervise/watcher.rs"];
    // What gives out a value that was asked for, and a contract.
    const UNSCRUBBED: [&str; 3] = [MAY[0], "vm/src/cli/verify.rs", "vm/src/cli/resolve.rs"];
    let audit = std::fs::read_to_string(opal_tests::root().join("docs/audit.md")).expect("text");
    let promise = audit.split("## ").find(|promise| promise.starts_with("no secret leaves unscrubbed")).expect("the promise");
    assert!(promise.contains(MAY[0]));
    let mut open = vec![opal_tests::root().join("vm"), opal_tests::root().join("compiler/src/cli/opal")];
    let mut read = 0;
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(opal_tests::root()).expect("in the tree").to_string_lossy().into_owned();
            if path.is_dir() {
                open.push(path);
            } else if name.ends_with(".rs") && name.contains("/src/") && !name.ends_with("tests.rs") {
                read += 1;
                let text = std::fs::read_to_string(&path).expect("text");
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
                    let prints = ["print!(", "println!(", "dbg!("].iter().any(|word| line.contains(word));
                    let opens = ["io::stdout()", "io::stderr()", "stdout_file("].iter().any(|word| line.contains(word))
                        && !line.contains("is_terminal()");
                    assert!(!prints && (!opens || MAY.contains(&name.as_str())), "{name}: {line}");
                    assert!(
                        !line.contains("unscrubbed(")
                            || name.contains("/view/")
                            || name.contains("/core/")
                            || UNSCRUBBED.contains(&name.as_str()),
                        "{name}: {line}"
                    );
                }
            }
        }
    }
    assert!(read > 50, "{read}");
}

/// A public value that holds a secret, in a step and in a path.
const PUBLIC: &str = "go: {\n    : SITE @env.S\n    @workdir(@env.DIR(public=true)) { echo @env.URL(public=true) }\n    test -e there\n}\n";

fn public_host() -> Host {
    let mut host = Host::new();
    host.set("S", SECRET).set("URL", &format!("http://u:{SECRET}@h/")).set("DIR", &format!("in-{SECRET}"));
    host
}

/// Nothing of ours holds the secret, and what was said does not.
fn hidden(host: &Host, ended: &Ended) {
    let all = format!("{}{}", ended.stdout, ended.stderr);
    assert!(!all.contains(SECRET), "{all}");
    for (path, bytes) in host.files() {
        let theirs = path.ends_with("prod.plan") || path.ends_with("deploy.opl");
        assert!(theirs || !String::from_utf8_lossy(&bytes).contains(SECRET), "{} shows it", path.display());
    }
}

#[test]
fn no_document_of_a_run_shows_a_secret_that_stands_in_a_public_value_or_in_the_directory() {
    let host = public_host();
    let base = host.work().join(format!("at-{SECRET}"));
    std::fs::create_dir_all(base.join(format!("in-{SECRET}"))).expect("a directory");
    host.write("commands.opl", host.named(PUBLIC));
    let here = |program: &str, words: &[&str]| {
        let mut command = host.command(program, words);
        Ended::from(command.current_dir(&base).output().expect("it runs"))
    };
    let rec = host.work().join("rec").display().to_string();
    for options in [&[][..], &["--json"]] {
        let direct = here("opal", &[&["go", "--record", rec.as_str()], options].concat());
        hidden(&host, direct.expect(1));
        assert!(host.work().join("rec/plan.json").exists());
        std::fs::remove_dir_all(host.work().join("rec")).expect("a record");
    }
    host.contract(PUBLIC, &["go"]);
    let first = here("opal-vm", &["run", "--plan", "../prod.plan", "--source", "../deploy.opl", "--receipt", "../receipt"]);
    hidden(&host, first.expect(1));
    assert!(host.work().join("receipt").exists());
    // It goes on in that very directory alone, whatever of its name was recorded.
    let resume = ["run", "--plan", "prod.plan", "--resume", "latest"];
    std::fs::create_dir_all(host.work().join(format!("in-{SECRET}"))).expect("a directory");
    hidden(&host, host.vm(&resume).expect(64).says("error[other_directory]"));
    host.write(&format!("at-{SECRET}/there"), "");
    let again = ["run", "--plan", "../prod.plan", "--source", "../deploy.opl", "--resume", "latest"];
    hidden(&host, here("opal-vm", &again).expect(0));
}

#[test]
fn what_differs_is_said_without_the_secrets_of_this_host() {
    let mut host = public_host();
    std::fs::create_dir(host.work().join(format!("in-{SECRET}"))).expect("a directory");
    host.contract(PUBLIC, &["go"]);
    let commands: [&[&str]; 6] = [
        &["verify", "--plan", "prod.plan"],
        &["verify", "--plan", "prod.plan", "--json"],
        &["run", "--plan", "prod.plan"],
        &["run", "--plan", "prod.plan", "--json"],
        &["run", "--plan", "prod.plan", "--force=URL"],
        &["resolve", "--plan", "prod.plan", "-o", "prod.plan.new", "--json"],
    ];
    host.set("URL", &format!("http://other:{SECRET}@h/"));
    for words in commands {
        let ended = host.vm(words);
        assert!(format!("{}{}", ended.stdout, ended.stderr).contains("opal:secret:"), "{words:?}: {ended:?}");
        let _ = std::fs::remove_file(host.work().join("prod.plan.new"));
        hidden(&host, &ended);
    }
    // Nor where the program stops before there is a plan: what was read until then is known.
    let mut host = Host::new();
    host.set("S", SECRET);
    host.write(SECRET, "one");
    host.contract("var NAME = \"./@env.S\"\n: @env.S\necho SITE @file.read(@var.NAME)\n", &[]);
    std::fs::remove_file(host.work().join(SECRET)).expect("a file");
    for words in [&["verify", "--plan", "prod.plan"][..], &["verify", "--plan", "prod.plan", "--json"], &["run", "--plan", "prod.plan"]] {
        hidden(&host, host.vm(words).expect(3));
    }
}

#[test]
fn a_value_that_is_no_text_is_replaced_in_the_last_lines_of_a_failure() {
    let host = host();
    host.write("token", b"\xff\xfehunter2-\xf0secret\xff");
    let script = "@parallel(max_concurrency=2) {\n    @retry(1) {\n        until [ -e printed ]; do sleep 0.02; done\n        sleep 0.2\n        T=$(cat token)\n        : @var.T\n    }\n    @retry(1) {\n        cat token >&2; echo >&2; touch printed; exit 7\n    }\n}\n";
    host.write("script.opl", script);
    let ended = host.run("opal", &["./script.opl", "--record", "rec"]);
    let summary = host.read("rec/summary.json");
    assert!(summary.contains("@let.T"), "{summary}");
    assert!(
        !summary.contains("hunter2") && !ended.stderr.split("error[").nth(1).expect("a failure").contains("hunter2"),
        "{}",
        ended.stderr
    );
}

#[test]
fn colour_does_not_hide_a_secret_from_the_scrubber() {
    let mut host = Host::new();
    host.set("S", "help: a program could");
    host.write("script.opl", ": @env.S\nno-such-program\n");
    for color in ["always", "never"] {
        let ended = host.run("opal", &["--color", color, "./script.opl"]);
        ended.expect(1).says("opal:secret:");
        assert!(!ended.stderr.contains(": a program could"), "{color}: {}", ended.stderr);
    }
}

#[test]
fn a_secret_that_is_escaped_through_and_through_is_replaced() {
    const TOOLS: [&str; 10] = [
        "bash -c 'S=$(cat); set -x; [[ x == \"$S\" ]]' 2>&1",
        "bash -c 'S=$(cat); set -x; [[ x =~ \"$S\" ]]' 2>&1",
        "bash -c 'printf %q \"$(cat)\"'",
        "python3 -c 'import sys,json;print(json.dumps(sys.stdin.read()))'",
        "python3 -c 'import sys;print(\"\".join(\"\\\\u%04x\"%ord(c) for c in sys.stdin.read()))'",
        "python3 -c 'import sys;print(\"\".join(\"\\\\u%04X\"%ord(c) for c in sys.stdin.read()))'",
        "python3 -c 'import sys;print(\"\".join(\"%%%02X\"%b for b in sys.stdin.buffer.read()))'",
        "python3 -c 'import sys;print(\"\".join(\"&#%d;\"%ord(c) for c in sys.stdin.read()))'",
        "python3 -c 'import sys;print(\"\".join(\"&#x%x;\"%ord(c) for c in sys.stdin.read()))'",
        "python3 -c 'import sys;print(sys.stdin.read().replace(\"\\\\\",\"\\\\\\\\\").replace(\"\\x27\",\"\\\\\\x27\"))'",
    ];
    for secret in ["pa#ss~word'\"\\é!", "de\u{7f}lete-me", "hunter2-secret"] {
        let mut host = host();
        host.set("S", secret).set("LC_ALL", "C.UTF-8");
        // Bash has that character for itself.
        for tool in TOOLS.into_iter().filter(|tool| !secret.contains('\u{7f}') || !tool.starts_with("bash")) {
            let script = format!("(printf '%s' @env.S | {tool}) || true\n");
            let plain = std::process::Command::new("bash")
                .args(["-c", &format!("printf '%s' \"$S\" | {tool}")])
                .envs([("S", secret), ("LC_ALL", "C.UTF-8")])
                .output()
                .expect("it runs");
            let plain = String::from_utf8_lossy(&plain.stdout).into_owned();
            let ended = run(&host, &script, &["-q"]);
            // What there is of it in its last word is gone; a trace has other words too.
            let word = plain.trim_end().trim_end_matches(" ]]").rsplit(' ').next().unwrap_or_default();
            assert!(word.len() >= secret.len(), "{tool}: {plain}");
            assert!(ended.stdout.contains("opal:secret:") && !ended.stdout.contains(word), "{tool}: {plain} became {}", ended.stdout);
        }
    }
}
