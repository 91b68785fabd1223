//! Confinement of steps: `@isolated.*`, and the sandbox of a policy. What rules deny is tried for real, and what they do not deny too.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use opal_exec::confine;
use opal_tests::{Ended, Host, binaries, root};
use serde_json::Value;

const PYTHON: &str = "/usr/bin/python3";

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether this host enforces everything; says so where not.
fn enforces() -> bool {
    let missing = confine::probe().missing(true);
    if let Some(missing) = &missing {
        eprintln!("skipped: {missing}");
    }
    missing.is_none()
}

/// What lies outside a confined step: a process, servers, files.
struct Outside {
    process: Child,
    _servers: (UnixListener, UnixListener, UnixDatagram, UnixDatagram, std::net::TcpListener),
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn outside(work: &Path) -> Outside {
    use std::os::linux::net::SocketAddrExt as _;
    let file = |name: &str, text: &str| std::fs::write(work.join(name), text).expect("a file");
    for directory in ["in", "out", "away", "away/empty"] {
        std::fs::create_dir_all(work.join(directory)).expect("a directory");
    }
    for name in ["in/text", "in/spare", "out/own", "away/secret", "away/victim", "away/spare"] {
        file(name, "text\n");
    }
    file("away/program", "#!/bin/sh\nexit 0\n");
    std::fs::set_permissions(work.join("away/program"), Permissions::from_mode(0o755)).expect("its mode");
    std::fs::copy(root().join("tests/probes/confinement.py"), work.join("in/confinement.py")).expect("the probes");
    if is_root() {
        for (name, mode) in [("out/of-others", 0o600), ("out/set-user-id", 0o4755)] {
            std::fs::copy("/usr/bin/id", work.join(name)).expect("a copy");
            chown(work.join(name), Some(65534), None).expect("its owner");
            std::fs::set_permissions(work.join(name), Permissions::from_mode(mode)).expect("its mode");
        }
    }
    let secret = std::fs::File::open(work.join("away/secret")).expect("the secret");
    let process = Command::new("sleep").arg("300").current_dir(work.join("away")).stdin(secret).spawn().expect("sleep");
    let named = |name: &str| SocketAddr::from_abstract_name(format!("{name}-{}", process.id())).expect("a name");
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    file("in/port", &tcp.local_addr().expect("its address").port().to_string());
    let servers = (
        UnixListener::bind(work.join("away/server")).expect("a socket"),
        UnixListener::bind_addr(&named("opal-test")).expect("a socket"),
        UnixDatagram::bind(work.join("away/datagrams")).expect("a socket"),
        UnixDatagram::bind_addr(&named("opal-test-datagrams")).expect("a socket"),
        tcp,
    );
    Outside { process, _servers: servers }
}

const PROBES: &str = r#"
fun control(root, process) { /usr/bin/python3 in/confinement.py control @var.root @var.process }
fun network(root, process) {
  @isolated.network() { /usr/bin/python3 in/confinement.py network @var.root @var.process }
}
fun files(root, process) {
  @isolated.filesystem(read=["in"], write=["out"]) { /usr/bin/python3 in/confinement.py files @var.root @var.process }
}
fun attributes(root, process) {
  @isolated.filesystem(read=["in"]) { /usr/bin/python3 in/confinement.py attributes @var.root @var.process }
}
fun privileges(root, process) {
  @isolated.privileges() { /usr/bin/python3 in/confinement.py privileges @var.root @var.process }
}
"#;

/// What came of each probe of a set.
fn probe(set: &str) -> BTreeMap<String, String> {
    let host = Host::new();
    let outside = outside(&host.work());
    host.write("probes.opl", PROBES);
    let (root, process) = (host.work().display().to_string(), outside.process.id().to_string());
    let ended = host.run("opal", &["probes.opl", set, &root, &process, "--record", "none"]);
    ended.expect(0);
    let split = |line: &str| line.split_once('\t').map(|(name, said)| (name.to_owned(), said.to_owned()));
    ended.stdout.lines().filter_map(split).collect()
}

#[test]
#[cfg(target_arch = "x86_64")]
fn what_the_rules_deny_is_denied() {
    if !Path::new(PYTHON).exists() {
        eprintln!("skipped: no {PYTHON}");
        return;
    }
    if !enforces() {
        return;
    }
    let control = probe("control");
    let scopes = confine::probe().landlock >= 6;
    let (mut proven, mut unproven) = (0, Vec::new());
    for set in ["network", "files", "attributes", "privileges"] {
        let confined = probe(set);
        let tried = control.keys().filter(|name| name.starts_with(&format!("{set}: "))).count();
        assert_eq!((confined.len(), tried > 0), (tried, true), "{set}: {confined:?}");
        for (name, said) in confined {
            let without = control.get(&name).expect("tried without rules too");
            // What is not there, here, is not there for anybody.
            let absent = without == "failed ENOENT" && said == *without;
            let unscoped = !scopes && (name.contains("signal") || name.contains("stop") || name.contains("abstract"));
            assert!(said.starts_with("denied") || absent || unscoped, "{name}: {said}; without rules: {without}");
            if without.starts_with("denied") || absent { unproven.push(name) } else { proven += 1 }
        }
    }
    println!("{proven} denials by rules; denied or absent without rules too: {unproven:?}");
    assert!(proven >= if is_root() { 100 } else { 60 }, "{proven}, {unproven:?}");
}

/// Ordinary work, which no rule may get in the way of.
const ORDINARY: &str = r#"
fun work() {
  @isolated.network() { @isolated.privileges() { @isolated.filesystem(read=["in"], write=["out"]) {
    cat in/text > out/copy
    echo one > out/a && echo two >> out/a
    test "$(wc -l < out/a)" = 2
    cat in/text | sort | uniq -c | tr a-z A-Z | tee out/upper
    cp in/text out/b && mv out/b out/c && rm out/c
    mkdir -p out/deep/er && mv out/copy out/deep/er/ && ln out/deep/er/copy out/hard && ln -s deep/er/copy out/soft && cat out/soft
    cp -a out/deep out/again && rm -r out/again
    touch out/t && chmod 600 out/t && chmod u+x out/t
    truncate -s 10 out/t && dd if=/dev/zero of=out/t bs=1 count=3 2> /dev/null
    mkfifo out/fifo && (echo through > out/fifo &) && grep through out/fifo
    cat <<-END > out/here
		here $HOME
	END
    cat <<< "a string"
    diff <(echo same) <(echo same)
    echo "$(date +%Y)" "$((1 + 2))" "${HOME:-}" > /dev/null
    printf '%s\n' out/* | head -n 1
    (for f in out/*; do echo "$f"; done) > /dev/null
    find in out -type f -exec cat {} + > /dev/null
    grep -r text in | sed s/text/other/ | awk '{ print $1 }' | cut -c 1-3
    tar -C in -czf out/in.tar.gz . && mkdir out/x && tar -C out/x -xzf out/in.tar.gz && test -s out/x/text
    gzip -k out/upper && gunzip -c out/upper.gz | cmp - out/upper
    sha256sum in/text | (cut -d ' ' -f 1; true) | base64 -w 0
    sleep 0.01 & wait
    (sleep 5 & kill $! ; wait) 2> /dev/null; true
    timeout 5 true
    xargs -n 1 -P 2 echo < in/text
    printf '#!/bin/sh\necho run "$@"\n' > out/script && chmod +x out/script && out/script a b
    /usr/bin/env -i PATH=/usr/bin:/bin sh -c 'ls / > /dev/null 2>&1; true'
    bash -c 'trap "echo bye" EXIT; set -euo pipefail; x=(1 2 3); echo "${#x[@]}"'
    id > /dev/null && ls -l in && stat in/text > /dev/null && pwd
    head -c 16 /dev/urandom | od -An -tx1 > /dev/null
    cd out && pwd && ls > /dev/null
    (if command -v git > /dev/null; then cd out; git init -q g && cd g && echo x > f && git add f && git -c user.name=a -c user.email=b commit -qm m && git mv f g && git status > /dev/null && git gc -q && git log --oneline; fi)
    (if [ -x /usr/bin/python3 ]; then /usr/bin/python3 -c 'import json, os, subprocess, threading; t = threading.Thread(target=print); t.start(); t.join(); open("out/p", "w").write(json.dumps(os.listdir("in"))); subprocess.check_call(["true"])'; fi)
    (if [ -x /usr/bin/python3 ]; then /usr/bin/python3 -c 'import socket; a, b = socket.socketpair(); a.send(b"x"); assert b.recv(1) == b"x"'; fi)
    (if [ -x /usr/bin/perl ]; then /usr/bin/perl -e 'print "x" x 3, "\n"; system("true") == 0 or die'; fi)
    make --version > /dev/null 2>&1 || true
    VALUE=$(cat in/text)
    echo "@var.VALUE" | grep text
    cat in/text |> lines.grep("text") |> assert.eq("text")
    @timeout(30s) { @retry(2) { test -e out/first || { touch out/first; false; } } }
    @parallel { cat in/text; cat out/a }
    @workdir("out") { cat a }
    @cmd.left() | cat
    try { false } catch { echo caught } finally { echo after > out/after }
  } } }
}
fun left() { cat in/text }
"#;

#[test]
fn ordinary_work_is_not_denied() {
    if !enforces() {
        return;
    }
    let mut host = Host::new();
    host.write("in/text", "text\n");
    host.write("out/.keep", "");
    let home = host.work().join("out").display().to_string();
    host.set("HOME", &home);
    host.write("work.opl", ORDINARY);
    let ended = host.run("opal", &["work.opl", "work", "--record", "none"]);
    ended.expect(0);
    assert!(ended.stdout.contains("run a b") && host.read("out/after") == "after\n", "{}", ended.stdout);
}

fn fails(host: &Host, source: &str) -> Ended {
    host.write("commands.opl", source);
    let ended = host.run("opal", &["main", "--record", "none"]);
    ended.expect(1);
    ended
}

#[test]
fn nested_blocks_allow_what_each_of_them_allows() {
    if !enforces() {
        return;
    }
    let host = Host::new();
    for name in ["a/x", "b/x", "c/x"] {
        host.write(name, "text\n");
    }
    let source = "fun main() {\n  @isolated.filesystem(read=[\"a\", \"b\"], write=[\"c\"]) {\n    @isolated.filesystem(read=[\"b\", \"c\"], write=[\"a\"]) {\n      cat b/x c/x a/x\n      LINE\n    }\n    cat a/x b/x\n    touch c/y\n  }\n  cat a/x && touch a/y\n}\n";
    host.write("commands.opl", source.replace("LINE", "true"));
    host.run("opal", &["main", "--record", "none"]).expect(0);
    for denied in ["touch a/new", "touch c/new", "touch b/new", "touch new"] {
        fails(&host, &source.replace("LINE", denied)).says("step_failed").says(denied);
    }
    // The stricter list holds in whichever order they stand.
    let strict = "fun main() { @isolated.filesystem() { @isolated.filesystem(read=[\".\"], write=[\".\"]) { cat a/x } } }";
    fails(&host, strict).says("cat a/x");
    let strict = "fun main() { @isolated.filesystem(read=[\".\"], write=[\".\"]) { @isolated.filesystem() { cat a/x } } }";
    fails(&host, strict).says("cat a/x");
}

#[test]
fn a_failure_names_the_rules_that_the_step_ran_under() {
    if !enforces() {
        return;
    }
    let host = Host::new();
    host.write("secret", "text\n");
    let source = "fun main() {\n  @isolated.network() {\n    @isolated.filesystem() {\n      cat secret\n    }\n  }\n}\n";
    let ended = fails(&host, source);
    ended.says("ran under: @isolated.network (commands.opl:2:3), @isolated.filesystem (commands.opl:3:5)").says("this reads like a denial");
    let ended = fails(&host, "fun main() { cat missing }");
    assert!(!ended.stderr.contains("ran under") && !ended.stderr.contains("denial"), "{}", ended.stderr);

    host.write("commands.opl", source);
    let events = host.run("opal", &["main", "--record", "none", "--json"]);
    let done: Value = events.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).next_back().expect("an event");
    let failure = done.pointer("/failures/0").expect("a failure");
    assert_eq!(failure.pointer("/confined_by/1/rule"), Some(&Value::from("@isolated.filesystem")), "{done}");
    assert_eq!(failure.get("denial_likely"), Some(&Value::from(true)), "{done}");
}

#[test]
fn listed_places_are_looked_up_when_the_block_begins() {
    if !enforces() {
        return;
    }
    let host = Host::new();
    host.write("sub/in/text", "text\n");
    host.write("away/secret", "text\n");
    // Relative to the directory of the block; computed; a file alone.
    host.write(
        "commands.opl",
        "var place = \"in\"\nfun main() { @workdir(\"sub\") { @isolated.filesystem(read=[place + \"/text\"]) { cat in/text } } }\n",
    );
    host.run("opal", &["main", "--record", "none"]).expect(0);
    let ended = fails(&host, "fun main() { echo before\n @isolated.filesystem(read=[\"sub\", \"nowhere\"]) { echo inside } }");
    ended.says("cannot allow `nowhere`: no such file or directory").says("commands.opl:2");
    assert_eq!(ended.stdout, "before\n");
    // A step that puts something else in the place of a listed directory gains nothing.
    let swap = "fun main() { @isolated.filesystem(read=[\"sub/in\"], write=[\"sub\"]) {\n  rm -r sub/in && ln -s ../away sub/in\n  cat sub/in/secret\n} }";
    fails(&host, swap).says("not started, since it cannot be confined").says("another file has taken its name");
    // Nor is it told by which name, where that is a secret.
    let mut host = Host::new();
    host.write("sub/in-hunter2/text", "text\n");
    host.set("PLACE", "in-hunter2");
    let secret = swap
        .replace("\"sub/in\"", "\"sub/\" + @env.PLACE")
        .replace("rm -r sub/in && ln -s ../away sub/in", "rm -r sub/in*; ln -s / sub/@env.PLACE")
        .replace("cat sub/in/secret", "true");
    let ended = fails(&host, &secret);
    ended.says("another file has taken its name");
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    host.write("away/secret", "text\n");
    let swap = swap.replace("read=[\"sub/in\"], ", "");
    host.write("sub/in2/x", "");
    fails(&host, &swap.replace("rm -r sub/in && ", "").replace("sub/in", "sub/link")).says("Permission denied");
}

#[test]
fn secrets_reach_confined_steps_and_nobody_else() {
    if !enforces() {
        return;
    }
    let mut host = Host::new();
    host.set("TOKEN_VALUE", "hunter2-hunter2");
    host.write("commands.opl", "fun main() { @isolated.network() { @isolated.filesystem() {\n  test \"@env.TOKEN_VALUE\" = \"$(printf hunter2-%s hunter2)\" && echo \"@env.TOKEN_VALUE\"\n  tr '\\0' '\\n' < /proc/self/cmdline\n  ls /proc/self/fd\n} } }");
    let ended = host.run("opal", &["main", "--record", "none"]);
    ended.expect(0);
    assert!(ended.stdout.contains("opal:secret:") && !ended.stdout.contains("hunter2-hunter2"), "{}", ended.stdout);
    assert!(!ended.stdout.lines().any(|line| line == "4"), "no descriptor of ours: {}", ended.stdout);
}

#[test]
fn everything_of_a_confined_step_is_ended_with_it() {
    if !enforces() {
        return;
    }
    let host = Host::new();
    let marker = host.named("marker-SITE");
    host.write("commands.opl", format!("fun main() {{ @isolated.privileges() {{ @isolated.network() {{\n  MARK={marker} setsid bash -c 'trap \"\" TERM; sleep 300 & wait' > /dev/null 2>&1 & sleep 0.1\n}} }} }}"));
    host.run("opal", &["main", "--record", "none"]).expect(0).says("left");
    assert_eq!(opal_tests::processes_marked(&marker), Vec::<i32>::new());
}

#[test]
fn exit_statuses_and_signals_of_confined_steps_are_their_own() {
    if !enforces() {
        return;
    }
    let host = Host::new();
    for (command, says) in [("exit 7", "exit status 7"), ("kill -KILL $$", "signal 9"), ("exit 125", "exit status 125")] {
        fails(&host, &format!("fun main() {{ @isolated.network() {{\n  {command}\n}} }}")).says(says);
    }
    // A reader that goes away ends a writer, as everywhere.
    host.write("commands.opl", "fun main() { @isolated.network() {\n  set +o pipefail; yes | head -n 1\n} }");
    host.run("opal", &["main", "--record", "none"]).expect(0);
}

/// Runs a command of ours on a kernel without some system calls.
fn without(calls: &[i64], mut command: Command) -> Ended {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let arch = std::env::consts::ARCH.try_into().expect("a known architecture");
    let answer = SeccompAction::Errno(nix::libc::ENOSYS.unsigned_abs());
    let filter: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, answer, arch).expect("a filter").try_into().expect("a program");
    // A filter is inherited by what this thread starts, and by nothing else.
    let thread = std::thread::spawn(move || {
        seccompiler::apply_filter(&filter).expect("the filter holds");
        Ended::from(command.output().expect("it starts"))
    });
    thread.join().expect("it ends")
}

#[test]
fn what_cannot_be_enforced_is_refused_before_anything_runs() {
    let host = Host::new();
    let landlock = [nix::libc::SYS_landlock_create_ruleset];
    let filters = [nix::libc::SYS_seccomp];
    for (name, arguments) in [("network", ""), ("filesystem", "read=[\".\"]"), ("privileges", "")] {
        let source = host.named(&format!("echo before-SITE > ran\n@isolated.{name}({arguments}) {{ echo inside > ran }}\n"));
        host.contract(&source, &[]);
        for (calls, why) in [(&landlock, "Landlock"), (&filters, "seccomp")] {
            for words in
                [&["opal-vm", "run", "--plan", "prod.plan"][..], &["opal-vm", "verify", "--plan", "prod.plan"], &["opal", "./deploy.opl"]]
            {
                let ended = without(calls, host.command(words[0], &words[1..]));
                ended.expect(69).says("error[unenforceable]: step 2 is a `@isolated.").says(why).says("effects: none");
                assert_eq!(host.read("ran"), "", "{words:?}");
            }
            let ended = without(calls, host.command("opal-vm", ["inspect", "--plan", "prod.plan", "--json"]));
            let inspected: Value = serde_json::from_str(&ended.expect(0).stdout).expect("JSON");
            assert_eq!(inspected.pointer("/host/enforces/network"), Some(&Value::from(false)), "{inspected}");
            without(calls, host.command("opal-vm", ["inspect", "--plan", "prod.plan"])).expect(0);
        }
    }
    // Without rules nothing is missing.
    host.write("plain.opl", "echo plain\n");
    without(&landlock, host.command("opal", ["./plain.opl", "--record", "none"])).expect(0);
}

#[test]
fn a_step_that_cannot_be_confined_after_all_is_not_started() {
    if !enforces() {
        return;
    }
    let host = Host::new();
    host.write("commands.opl", "fun main() { @isolated.network() { echo inside > ran } }");
    for call in [nix::libc::SYS_landlock_restrict_self, nix::libc::SYS_capset, nix::libc::SYS_landlock_add_rule] {
        let ended = without(&[call], host.command("opal", ["main", "--record", "none"]));
        ended.expect(1).says("cannot be confined");
        assert_eq!(host.read("ran"), "");
    }
}

/// Runs commands where `/etc/opal/policy.toml` holds this text; `None` where this process may not make such a place.
fn under_policy(host: &Host, policy: &str, words: &str) -> Option<Command> {
    if !is_root() || !Command::new("unshare").args(["-m", "true"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: it takes root and a mount namespace");
        return None;
    }
    let etc: PathBuf = host.path().join("etc");
    if !etc.exists() {
        assert!(Command::new("cp").args(["-a", "/etc"]).arg(&etc).status().expect("cp").success());
        std::fs::create_dir_all(etc.join("opal")).expect("a directory");
        std::fs::set_permissions(etc.join("opal"), Permissions::from_mode(0o755)).expect("its mode");
    }
    std::fs::write(etc.join("opal/policy.toml"), policy).expect("the policy");
    std::fs::set_permissions(etc.join("opal/policy.toml"), Permissions::from_mode(0o644)).expect("its mode");
    let script = format!("mount --bind {} /etc && PATH={}:$PATH && exec {words}", etc.display(), binaries().display());
    let mut command = host.command("opal", [""; 0]);
    let environment: Vec<_> = command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    command = Command::new("unshare");
    command.args(["-m", "bash", "-c", &script]).env_clear().envs(environment).current_dir(host.work()).stdin(Stdio::null());
    Some(command)
}

#[test]
fn a_policy_confines_every_step() {
    if !enforces() {
        return;
    }
    let host = Host::new();
    for name in ["in/text", "out/text", "away/text"] {
        host.write(name, "text\n");
    }
    let work = host.work().display().to_string();
    let run = |policy: &str, source: &str| {
        host.write("commands.opl", format!("fun main() {{\n  {source}\n}}\n"));
        let command = under_policy(&host, &policy.replace("WORK", &work), "opal main --record none");
        command.map(|mut command| Ended::from(command.output().expect("it starts")))
    };
    let lists = "[sandbox]\nlevel = \"required\"\nread = [\"WORK/in\", \"/no/such/place\"]\nwrite = [\"WORK/out\"]\nnetwork = false\n";
    let connect = "exec 3<>/dev/tcp/127.0.0.1/9";
    for (policy, source, status, says) in [
        (lists, "cat in/text && touch out/new", 0, ""),
        (lists, "cat away/text", 1, "ran under: policy sandbox.level, policy sandbox.read, policy sandbox.write, policy sandbox.network"),
        (lists, "touch away/new", 1, "denied"),
        (lists, "touch in/new", 1, "denied"),
        (lists, connect, 1, "not permitted"),
        // What a block adds only ever narrows.
        (lists, "@isolated.filesystem(read=[\".\"], write=[\".\"]) { cat away/text }", 1, "@isolated.filesystem (commands.opl:2:3)"),
        (lists, "@isolated.filesystem(read=[\"in\"]) { cat in/text\n touch out/other }", 1, "touch out/other"),
        ("[sandbox]\nlevel = \"required\"\nread = [\"WORK/in\"]\n", "touch away/x", 0, ""),
        ("[sandbox]\nlevel = \"required\"\nread = [\"WORK/in\"]\n", "cat away/text", 1, "denied"),
        ("[sandbox]\nlevel = \"required\"\nwrite = []\n", "cat away/text", 0, ""),
        ("[sandbox]\nlevel = \"best-effort\"\nwrite = []\n", "touch away/y", 1, "denied"),
        ("[sandbox]\nlevel = \"none\"\nwrite = []\nread = []\nnetwork = false\n", "cat away/text > out/z", 0, ""),
        (
            "[sandbox]\nlevel = \"required\"\n",
            "grep -q 'NoNewPrivs:.1' /proc/self/status && cat away/text > away/w && mv away/w out/w",
            0,
            "",
        ),
    ] {
        let Some(ended) = run(policy, source) else { return };
        ended.expect(status).says(says);
    }
}

#[test]
fn a_policy_that_cannot_be_enforced_stops_every_run_unless_it_settles_for_less() {
    let host = Host::new();
    host.write("commands.opl", "fun main() { echo plain }\nfun block() { @isolated.network() { echo inside } }\n");
    let landlock = [nix::libc::SYS_landlock_create_ruleset];
    let none = [nix::libc::SYS_landlock_create_ruleset, nix::libc::SYS_seccomp];
    for (level, target, calls, status, says) in [
        ("required", "main", &landlock[..], 24, "the steps would run unconfined (this kernel has no Landlock"),
        ("best-effort", "main", &landlock, 0, "warning: not enforced: policy sandbox.level: this kernel has no Landlock"),
        ("best-effort", "block", &landlock, 0, "warning: not enforced: @isolated.network: this kernel has no Landlock"),
        ("best-effort", "block", &none, 0, "warning: not enforced"),
        ("none", "main", &none, 0, ""),
        ("none", "block", &none, 69, "unenforceable"),
    ] {
        let policy = format!("[sandbox]\nlevel = \"{level}\"\n");
        let Some(command) = under_policy(&host, &policy, &format!("opal {target} --record none")) else { return };
        without(calls, command).expect(status).says(says);
    }
    // What is left is enforced all the same: sockets are the filter's.
    host.write("commands.opl", "fun main() { @isolated.network() {\n  exec 3<>/dev/tcp/127.0.0.1/9\n} }\n");
    let Some(command) = under_policy(&host, "[sandbox]\nlevel = \"best-effort\"\n", "opal main --record none") else { return };
    without(&landlock, command).expect(1).says("not permitted");
}

#[test]
fn a_policy_can_demand_that_the_planner_is_held() {
    let host = Host::new();
    host.contract("echo SITE >> ran\n", &[]);
    let filters = [nix::libc::SYS_seccomp];
    let mut ran = 0;
    for (level, calls, status, says) in [
        ("planner = \"required\"", &[][..], 0, ""),
        (
            "planner = \"best-effort\"",
            &filters,
            0,
            "warning: not enforced: the process that plans is not confined: this kernel has no system call filters",
        ),
        ("", &filters, 0, "warning: not enforced: the process that plans"),
        ("planner = \"required\"", &filters, 24, "sandbox.planner"),
    ] {
        let policy = format!("[trust]\nrequire_signature = false\n[sandbox]\n{level}\n");
        for command in ["verify", "run --record none"] {
            let words = format!("opal-vm {command} --plan prod.plan --allow-unsigned");
            let Some(command) = under_policy(&host, &policy, &words) else { return };
            let ended = without(calls, command);
            ended.expect(status).says(says);
            assert!(!says.is_empty() || !ended.stderr.contains("not enforced"), "{ended:?}");
            ran += usize::from(status == 0 && words.contains(" run "));
            assert_eq!(host.read("ran").lines().count(), ran);
        }
    }
}

#[test]
fn a_contract_keeps_its_blocks_and_their_lists() {
    let host = Host::new();
    let source = "var out = \"SITE-out\"\n@isolated.filesystem(read=[\"in\", \"lib\"], write=[out]) { true }\n";
    host.contract(source, &[]);
    let show = host.opalc(&["show", "prod.plan"]);
    show.expect(0);
    assert!(show.stdout.contains("@isolated.filesystem(read=[\"in\", \"lib\"], write=[\""), "{}", show.stdout);
    let inspected = host.vm(&["inspect", "--plan", "prod.plan", "--json"]);
    let inspected: Value = serde_json::from_str(&inspected.expect(0).stdout).expect("JSON");
    assert_eq!(inspected.pointer("/steps/0/args/write/0").and_then(Value::as_str), Some(&*host.named("SITE-out")), "{inspected}");
    let hash = |source: &str| {
        host.contract(source, &[]);
        let inspected = host.vm(&["inspect", "--plan", "prod.plan", "--json"]).stdout;
        serde_json::from_str::<Value>(&inspected).expect("JSON").get("plan_hash").cloned()
    };
    let first = hash(source);
    assert_eq!(first, hash(&format!("# a comment\n{source}")));
    for other in ["read=[\"in\", \"lib\"]", "read=[\"in\"], write=[out]", "read=[\"in\", \"lib\", out]", "write=[\"in\", \"lib\", out]"] {
        let (start, end) = (source.find('(').expect("there"), source.find(')').expect("there"));
        assert_ne!(first, hash(&format!("{}({other}{}", &source[..start], &source[end..])), "{other}");
    }
}

#[test]
fn no_list_lets_a_step_read_the_key_of_its_user() {
    if !enforces() {
        return;
    }
    let host = Host::new();
    // Makes the identity.
    host.contract("true SITE\n", &[]);
    let key = host.path().join("config/opal/identity");
    assert!(key.exists());
    let keys = host.path().join("config");
    std::os::unix::fs::symlink(&keys, host.work().join("link")).expect("a link");
    let listed = [
        "/".to_owned(),
        key.display().to_string(),
        keys.display().to_string(),
        format!("{}/opal", keys.display()),
        "link/opal".to_owned(),
        "..".to_owned(),
        "../config/./opal/".to_owned(),
    ];
    for place in &listed {
        for list in ["read", "write"] {
            host.write(
                "commands.opl",
                format!("main: {{\n    touch ran\n    @isolated.filesystem({list}=[\"in\", \"{place}\"]) {{ true }}\n}}\n"),
            );
            let direct = host.run("opal", &["main"]);
            direct.expect(24).says("error[key_listed]: step 2 ").says("identity").says("effects: none");
        }
    }
    host.write("commands.opl", "main: { @workdir(\"..\") { @isolated.filesystem(read=[\"config\"]) { touch ran } } }\n");
    host.run("opal", &["main"]).expect(24).says("error[key_listed]");
    // Under a contract too, by `verify` as well; and for a key that the command line names.
    host.contract("touch ran SITE\n@isolated.filesystem(read=[\"link\"]) { true }\n", &[]);
    for words in [&["verify", "--plan", "prod.plan"][..], &["run", "--plan", "prod.plan"]] {
        host.vm(words).expect(24).says("error[key_listed]").says("effects: none");
    }
    std::fs::create_dir(host.work().join("other")).expect("a directory");
    std::fs::copy(&key, host.work().join("other/key")).expect("a copy");
    std::fs::set_permissions(host.work().join("other/key"), Permissions::from_mode(0o600)).expect("its mode");
    host.contract("touch ran SITE\n@isolated.filesystem(read=[\"other\"]) { true }\n", &[]);
    host.vm(&["run", "--plan", "prod.plan", "--identity", "other/key"]).expect(24).says("error[key_listed]").says("other/key");
    assert!(!host.work().join("ran").exists());
    // What a step moves there meanwhile is judged when the block begins.
    host.write(
        "commands.opl",
        "main: {\n    mkdir place\n    rmdir place; ln -s ../config place\n    @isolated.filesystem(read=[\"place\"]) { touch ran }\n}\n",
    );
    host.run("opal", &["main"]).expect(1).says("its list holds").says("identity");
    assert!(!host.work().join("ran").exists());
    // Places beside it are none of it.
    host.write("commands.opl", "main: { @isolated.filesystem(read=[\"../config/elsewhere\", \".\"]) { true } }\n");
    std::fs::create_dir(keys.join("elsewhere")).expect("a directory");
    host.run("opal", &["main"]).expect(0);
}

#[test]
fn a_policy_hides_keys_from_every_step() {
    if !enforces() {
        return;
    }
    let host = Host::new();
    host.contract("true SITE\n", &[]);
    let key = host.path().join("config/opal/identity");
    let look = format!(
        "grep -q PRIVATE {0} && echo seen; umount {0} && grep -q PRIVATE {0} && echo uncovered; nsenter -t 1 -m true && echo entered; grep -q PRIVATE /proc/$PPID/root{0} && echo around; echo looked\n",
        key.display()
    );
    host.write("script.opl", &look);
    let said = |policy: &str, words: &str| Some(Ended::from(under_policy(&host, policy, words)?.output().expect("it starts")));
    let Some(plain) = said("", "opal ./script.opl --record none") else { return };
    assert!(plain.stdout.contains("seen"), "{plain:?}");
    host.contract(&look, &[]);
    for level in ["", "[sandbox]\nlevel = \"best-effort\"\n", "[sandbox]\nlevel = \"required\"\nread = [\"/\"]\n"] {
        let policy = format!("trust.own_identity = true\n{}hide_identity = true\n", if level.is_empty() { "[sandbox]\n" } else { level });
        for words in ["opal ./script.opl --record none", "opal-vm run --plan prod.plan --record none"] {
            let ended = said(&policy, words).expect("root");
            ended.expect(0);
            assert_eq!(ended.stdout, "looked\n", "{words} {policy}: {}", ended.stderr);
        }
        let shown = said(&policy, "opal-vm inspect --plan prod.plan").expect("root");
        assert!(!shown.expect(0).stdout.contains("private key of this user"), "{}", shown.stdout);
    }
    // The file itself is what it was, for everybody else.
    assert!(std::fs::read_to_string(&key).expect("readable").contains("PRIVATE"));
    let shown = host.vm(&["inspect", "--plan", "prod.plan"]);
    assert!(
        shown.expect(0).stdout.contains(&format!("steps can read `{}`, a private key of this user", key.display())),
        "{}",
        shown.stdout
    );
    // Who may not mount runs nothing.
    let words = "setpriv --bounding-set -sys_admin --inh-caps -sys_admin opal ./script.opl --record none";
    let ended = said("[sandbox]\nhide_identity = true\n", words).expect("root");
    ended.expect(24).says("sandbox.hide_identity").says("effects: none");
}
