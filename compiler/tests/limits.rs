//! What is too large, too deep, endless or not text ends with one clear error, soon and in bounded memory, through the real binary.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

/// Address space that `opalc` gets, in KiB.
const MEMORY: u32 = 900_000;

/// What `opalc` did with a source.
struct Done {
    status: i32,
    stderr: String,
}

/// Gives a source to `opalc` in bounded memory. The watchdog is there for what hangs, not to measure.
fn opalc(source: &[u8], words: &[&str]) -> Done {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("test.opl"), source).unwrap();
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -v \"$0\"; exec \"$@\" 2>err", &MEMORY.to_string(), env!("CARGO_BIN_EXE_opalc"), "test.opl"]).args(words);
    command.current_dir(directory.path()).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("HOME", directory.path()).env("TOKEN", "a secret of some length");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > Duration::from_secs(300) {
            child.kill().unwrap();
            panic!("opalc hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut stderr = String::new();
    std::fs::File::open(directory.path().join("err")).unwrap().read_to_string(&mut stderr).unwrap();
    let head: String = stderr.chars().take(1000).collect();
    Done { status: status.code().unwrap_or_else(|| panic!("{status}: {head}")), stderr }
}

/// Insists that a source compiles and plans.
#[track_caller]
fn accepted(source: &[u8], words: &[&str]) {
    let done = opalc(source, words);
    assert_eq!(done.status, 0, "{}", done.stderr.chars().take(1000).collect::<String>());
}

/// Insists on a refusal that starts with this error, and gives all that it says.
#[track_caller]
fn refused(source: &[u8], words: &[&str], error: &str) -> String {
    let done = opalc(source, words);
    let head: String = done.stderr.chars().take(1000).collect();
    assert_eq!(done.status, 65, "{head}");
    assert!(head.starts_with(error), "{head}");
    done.stderr
}

/// Insists that planning ends at a limit, named with its line.
#[track_caller]
fn limited(source: &str, words: &[&str], limit: &str, line: usize) {
    let said = refused(source.as_bytes(), words, "error[limit_exceeded]: the plan exceeds its limit of ");
    assert!(said.contains(limit), "{said}");
    assert!(said.contains(&format!("test.opl:{line}:")), "{said}");
}

const FUEL: &str = "134217728 units of planning work";

fn nested(open: &str, inside: &str, close: &str, depth: usize) -> Vec<u8> {
    [open.repeat(depth), inside.to_owned(), close.repeat(depth)].concat().into_bytes()
}

#[test]
fn calls_that_double_end_at_the_limit_of_steps() {
    let mut source = "fun f0() {\n  echo x\n}\n".to_owned();
    for level in 1..64 {
        source += &format!("fun f{level}() {{\n  @cmd.f{0}()\n  @cmd.f{0}()\n}}\n", level - 1);
    }
    limited(&source, &["f63"], "1000000 steps", 2);
}

#[test]
fn strings_that_double_end_at_the_limit_of_work() {
    let doubling = |first: &str| format!("var s = {first}\nfor i in 1...64 {{\n  s = s + s\n}}\nif s == \"x\" {{ echo hi }}\n");
    limited(&doubling("\"sixteen letters.\""), &[], FUEL, 3);
    limited(&doubling("@env.TOKEN"), &[], FUEL, 3);
}

#[test]
fn a_string_that_grows_letter_by_letter_is_not_copied_each_time() {
    let source = "var s = \"\"\nfor i in 1...8000 {\n  s = s + \"0123456789\"\n}\nif s == \"x\" { echo no }\necho yes\n";
    accepted(source.as_bytes(), &[]);
}

#[test]
fn a_huge_range_ends_at_the_limit_that_its_use_meets() {
    limited("for i in 1...9000000000000000000 {\n  echo x\n}\n", &[], "1000000 steps", 2);
    limited("var all = 1...9000000000000000000\nvar text = \"@var.all\"\nif text == \"x\" { echo no }\n", &[], FUEL, 2);
    refused(
        b"var all = 1...9000000000000000000\necho @var.all\n",
        &[],
        "error[script_too_long]: this command is longer than the 128 KiB that a process can be given\n",
    );
}

#[test]
fn an_endless_while_ends_at_the_limit_of_work() {
    limited("var n = 0\nwhile true {\n  n = n + 1\n}\necho @var.n\n", &[], FUEL, 3);
}

#[test]
fn a_plan_holds_a_million_steps_and_not_one_more() {
    let steps = |count: u32| format!("for i in 1...{count} {{\n  echo x\n}}\n");
    accepted(steps(1_000_000).as_bytes(), &["--hash"]);
    limited(&steps(1_000_001), &["--hash"], "1000000 steps", 2);
}

#[test]
fn text_that_steps_share_counts_for_each_of_them() {
    let source = format!("for i in 1...100000 {{\n  echo {}\n}}\n", "x".repeat(100_000));
    limited(&source, &[], "268435456 bytes of text", 2);
}

#[test]
fn calls_nest_255_deep_and_no_deeper() {
    let chain = |calls: usize| {
        let mut source = "fun f0() {\n  echo x\n}\n".to_owned();
        for level in 1..=calls {
            source += &format!("fun f{level}() {{\n  @cmd.f{}()\n}}\n", level - 1);
        }
        source
    };
    accepted(chain(254).as_bytes(), &["f254"]);
    refused(chain(256).as_bytes(), &["f256"], "error[limit_exceeded]: calls nest deeper than 255");
}

#[test]
fn a_source_holds_16_mib_and_not_one_byte_more() {
    let mut source = b"echo hi\n".to_vec();
    let line = [&[b'#'][..], &[b'c'; 126], b"\n"].concat();
    while source.len() + line.len() <= 16 * MIB {
        source.extend_from_slice(&line);
    }
    source.resize(16 * MIB, b' ');
    accepted(&source, &[]);
    source.push(b'\n');
    refused(&source, &[], "error[source_too_large]: the source holds 16777217 bytes, more than 16777216\n");
}

#[test]
fn nesting_of_any_kind_10_000_deep_is_refused() {
    const DEPTH: usize = 10_000;
    let forms: [(&str, &str, &str); 12] = [
        ("if true {\n", "echo x\n", "}\n"),
        ("@retry(3) {\n", "echo x\n", "}\n"),
        ("when \"a\" {\n\"a\" -> ", "echo x\n", "}\n"),
        ("echo $(", "echo x", ")"),
        ("echo \"$(", "echo x", ")\""),
        ("{ ", "echo x; ", "} "),
        ("echo ${x:-", "y", "}"),
        ("var x = (", "1", ")"),
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("{\"a\": ", "1", "}"),
        ("!", "true", ""),
    ];
    for (index, (open, inside, close)) in forms.into_iter().enumerate() {
        let mut source = nested(open, inside, close, DEPTH);
        if index > 7 {
            source.splice(..0, *b"var x = ");
        }
        source.extend_from_slice(b"\necho x\n");
        let done = opalc(&source, &[]);
        let head: String = done.stderr.chars().take(300).collect();
        assert_eq!(done.status, 65, "{open}: {head}");
        assert!(head.contains("error[nesting_too_deep]") || head.contains("error[limit_exceeded]"), "{open}: {head}");
    }
}

#[test]
fn subshells_and_unclosed_blocks_of_any_number_end_without_a_crash() {
    for source in
        [nested("(", "echo x", ")\n", 10_000), b"if true {\n".repeat(100_000), b"}\n".repeat(100_000), b"echo $(\n".repeat(10_000)]
    {
        let done = opalc(&source, &[]);
        assert!(matches!(done.status, 0 | 65), "{}", done.stderr.chars().take(300).collect::<String>());
    }
}

#[test]
fn a_line_of_a_megabyte_is_read() {
    accepted([b"var x = \"", &b"a b "[..].repeat(MIB / 4)[..], b"\"\necho hi\n"].concat().as_slice(), &[]);
    let line = [b"echo ", &b"a"[..].repeat(MIB)[..], b"\n"].concat();
    refused(&line, &[], "error[script_too_long]: this command is longer than the 128 KiB that a process can be given\n");
    let line = [b"echo ", &b"@"[..].repeat(MIB)[..], b"\n"].concat();
    refused(&line, &[], "error[script_too_long]: this command is longer than the 128 KiB that a process can be given\n");
    accepted([b"# ", &b"c"[..].repeat(MIB)[..], b"\necho hi\n"].concat().as_slice(), &[]);
}

#[test]
fn what_is_not_text_is_refused_where_it_stands() {
    let said = refused(b"echo hi\necho \xff\xfe\n", &[], "error[invalid_utf8]: the source is not valid UTF-8 here\n");
    assert!(said.contains("test.opl:2:"), "{said}");
    let said = refused(b"echo hi\necho a\0b\n", &[], "error[nul_byte]: the source holds a NUL byte\n");
    assert!(said.contains("test.opl:2:"), "{said}");
}

#[test]
fn lines_may_end_as_on_windows() {
    accepted(b"var x = 1\r\nif x == 1 {\r\n  echo @var.x\r\n}\r\n", &[]);
}
