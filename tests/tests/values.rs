//! Values are data: whatever bytes a value holds and wherever it stands, a program receives exactly these bytes, and nothing is executed.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;

use opal_tests::{Ended, Host};
use proptest::strategy::Strategy as _;
use proptest::test_runner::{Config, TestRunner};

/// A host with programs that note what they receive in a file per case.
struct Bench {
    host: Host,
    env: Vec<(String, OsString)>,
    expected: Vec<(String, Vec<u8>)>,
}

impl Bench {
    fn new() -> Self {
        let mut host = Host::new();
        for (name, text) in [
            ("dump", "#!/bin/sh\ntag=$1; shift\nfor word in \"$@\"; do printf '%s\\0' \"$word\"; done >> \"$OUT/$tag\"\n"),
            ("dump-in", "#!/bin/sh\nexec cat >> \"$OUT/$1\"\n"),
            ("dump-env", "#!/bin/sh\nprintf '%s' \"$Y\" >> \"$OUT/$1\"\n"),
        ] {
            let path = host.write(&format!("bin/{name}"), text);
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        std::fs::create_dir(host.work().join("out")).expect("a directory");
        let work = host.work();
        host.set("PATH", &format!("{}:{}", work.join("bin").display(), std::env::var("PATH").expect("a PATH")));
        host.set("OUT", work.join("out").to_str().expect("text")).set("CANARY", work.join("canary").to_str().expect("text"));
        Self { host, env: Vec::new(), expected: Vec::new() }
    }

    fn variable(&mut self, name: &str, value: &[u8]) {
        self.env.push((name.to_owned(), OsString::from_vec(value.to_vec())));
    }

    fn expect(&mut self, tag: &str, bytes: Vec<u8>) {
        self.expected.push((tag.to_owned(), bytes));
    }

    fn run_program(&self, program: &str, arguments: &[&str]) -> Ended {
        Ended::from(self.host.command(program, arguments).envs(self.env.iter().cloned()).output().expect("it starts"))
    }

    /// Plans and runs the source, then compares what was received.
    fn check(self, source: &str) -> Self {
        self.host.write("deploy.opl", self.host.named(&format!("{source}true SITE\n")));
        self.run_program("opalc", &["deploy.opl", "--resolve", "-o", "prod.plan"]).expect(0);
        let ended = self.run_program("opal-vm", &["run", "--plan", "prod.plan", "--record", "none"]);
        let mut wrong = String::new();
        for (tag, expected) in &self.expected {
            let found = std::fs::read(self.host.work().join("out").join(tag)).ok();
            if found.as_ref() != Some(expected) && wrong.len() < 4000 {
                let shown = found.map(|bytes| bytes.escape_ascii().to_string());
                let _ = writeln!(
                    wrong,
                    "{tag}: expected {:.300}\n  found {:.300}",
                    expected.escape_ascii().to_string(),
                    shown.unwrap_or("nothing".into())
                );
            }
        }
        assert!(wrong.is_empty(), "{wrong}\n{}", ended.stderr);
        ended.expect(0);
        let mut tags: Vec<&str> = self.expected.iter().map(|(tag, _)| tag.as_str()).collect();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(std::fs::read_dir(self.host.work().join("out")).expect("a directory").count(), tags.len(), "nothing else was received");
        assert!(!self.host.files().iter().any(|(path, _)| path.to_string_lossy().contains("canary")), "a value was executed");
        self
    }
}

/// Words as `dump` notes them.
fn words(words: &[&[u8]]) -> Vec<u8> {
    words.iter().flat_map(|word| [*word, b"\0"].concat()).collect()
}

/// Whether a value can name a file, and a program: bash takes a command that starts with `%` for a job, and has `.` and `[` itself.
fn is_file_name(value: &[u8]) -> bool {
    let is_taken = [&b"."[..], b"..", b"["].contains(&value) || value.starts_with(b"%");
    !value.is_empty() && value.len() < 200 && !value.contains(&b'/') && !is_taken
}

/// One step with a value in every position, and what is received there. `reference` stands for the value in shell text.
fn positions(bench: &mut Bench, tag: &str, reference: &str, value: &[u8], times: usize) -> String {
    let mut script = String::new();
    let mut case = |name: &str, line: &str, expected: Vec<u8>| {
        let tag = format!("{tag}.{name}");
        let _ = writeln!(script, "{}", line.replace("TAG", &tag).replace("REF", reference));
        bench.expect(&tag, expected.repeat(times));
    };
    let around = |before: &[u8], after: &[u8]| [before, value, after].concat();
    let line = around(b"", b"\n");
    case(
        "words",
        "SH=zz; dump TAG REF aREFb REF/c --d=REF REFREF \"REF\" \"a REF b\" 'c'\"REF\" $SHREF \"$SHREF\" \"$SHREFREF\" ~REF {a,REF} {1..REF} {REF..3} \"{REF}\"",
        words(&[
            value,
            &around(b"a", b"b"),
            &around(b"", b"/c"),
            &around(b"--d=", b""),
            &[value, value].concat(),
            value,
            &around(b"a ", b" b"),
            &around(b"c", b""),
            &around(b"zz", b""),
            &around(b"zz", b""),
            &[b"zz", value, value].concat(),
            &around(b"~", b""),
            b"a",
            value,
            &around(b"{1..", b"}"),
            &around(b"{", b"..3}"),
            &around(b"{", b"}"),
        ]),
    );
    case("digit", "dump TAG REF>/dev/null", words(&[value]));
    case("prefix", "Y=aREF\"REF\"b dump-env TAG", [b"a", value, value, b"b"].concat());
    case("variable", "Z=REF; Z+=REF; export Y=REF; A=(REF \"REF\" xREF); dump TAG \"$Z\" \"$Y\" \"${A[@]}\"", {
        words(&[&[value, value].concat(), value, value, value, &around(b"x", b"")])
    });
    case("nested", "dump TAG \"$(printf '%s.' \"$(printf '%s.' \"REF\")\")\" \"$(printf '%s.' REF)\"", {
        words(&[&around(b"", b".."), &around(b"", b".")])
    });
    case("process", "dump-in TAG < <(printf %s REF)", value.to_vec());
    case("pipe", "{ true | dump TAG REF && ! false || dump TAG REF; }", words(&[value]));
    case("case", "case REF in REF) dump TAG yes;; *) dump TAG no;; esac", words(&[b"yes"]));
    case("pattern", "case zzqq in REF|xREF) dump TAG yes;; *) dump TAG no;; esac", words(&[b"no"]));
    case(
        "test",
        "[[ REF == REF && REF != zzqq && zzqq != REF ]] && [ REF = REF ] && [ \"xREF\" != x ] || [ REF = '' ] && dump TAG yes",
        words(&[b"yes"]),
    );
    case("loop", "( f() { dump TAG \"$@\"; }; for i in REF \"REF\"; do f \"$i\" REF; done )", words(&[value, value, value, value]));
    if is_file_name(value) {
        case(
            "file",
            "( mkdir dTAG; cd dTAG; shopt -s dotglob\nprintf '#!/bin/sh\\nprintf \"%%s\\\\0\" \"$@\" >> \"$OUT/$0\"\\n' | sed 's/$0/TAG/' > REF\ndump TAG *; chmod +x ./REF; ./REF a\nPATH=$PWD:$PATH; REF b; \"REF\" c; rm -r ../dTAG )",
            words(&[value, b"a", b"b", b"c"]),
        );
    }
    // Here-documents make a step of their own: they change how values travel in the whole of it.
    let plain = std::mem::take(&mut script);
    let mut case = |name: &str, line: &str, expected: Vec<u8>| {
        let tag = format!("{tag}.{name}");
        let _ = writeln!(script, "{}", line.replace("TAG", &tag).replace("REF", reference));
        bench.expect(&tag, expected.repeat(times));
    };
    case("document", "dump-in TAG <<EOF\nREF\nEOF", line.clone());
    case("line", "SH=zz; dump-in TAG <<EOF\na REF $SHREF\nREF\nEOF", [b"a ", value, b" zz", value, b"\n", value, b"\n"].concat());
    case("tabs", "dump-in TAG <<-EOF\n\tREF\n\tEOF", line.clone());
    case("body", "dump-in TAG <<EOF\n$(printf '%s.' REF \\\nREF\n)REF\nEOF", [value, b".", value, b".", value, b"\n"].concat());
    case("string", "dump-in TAG <<< REF; dump-in TAG <<< \"aREF\"", [value, b"\n", b"a", value, b"\n"].concat());
    case("beside", "dump TAG REF \"REF\"", words(&[value, value]));
    format!("(\n{plain})\n(\n{script})\n")
}

/// Strings that mean something to a shell.
fn hostile() -> Vec<Vec<u8>> {
    let texts = [
        "",
        "plain",
        " ",
        "  two  words  ",
        "\n",
        "\nleading",
        "trailing\n",
        "two\n\nlines\n\n",
        "\t\t",
        "\r\n",
        "*",
        "?",
        "[a-z]",
        "/*",
        "~",
        "~root",
        "~/x",
        "{a,b}",
        "{1..3}",
        "1..",
        "!",
        "!!",
        "#",
        "# x",
        "$HOME",
        "${HOME}",
        "$(touch \"$CANARY\")",
        "`touch \"$CANARY\"`",
        "$((1+1))",
        "; touch \"$CANARY\"",
        "& touch \"$CANARY\" &",
        "| touch \"$CANARY\"",
        "\ntouch \"$CANARY\"\n",
        "' ; touch \"$CANARY\" '",
        "\"; touch \"$CANARY\"; \"",
        "'",
        "''",
        "\"",
        "\\",
        "\\\\",
        "a\\",
        "\\n",
        "'\\''",
        "x[$(touch \"$CANARY\")]",
        "a[$(touch \"$CANARY\")]=1",
        "[$(touch \"$CANARY\")]=1",
        "([$(touch \"$CANARY\")]=1)",
        "-n",
        "-e",
        "--",
        "-v",
        "-eq",
        "=",
        "==",
        "!=",
        "-a",
        "(",
        ")",
        "((",
        "]]",
        "[[",
        "esac",
        "in",
        "if",
        "done",
        "}",
        "{",
        "EOF",
        "\tEOF",
        "EOF\n",
        "a\nEOF\ntouch \"$CANARY\"\n",
        "EOF\n$(touch \"$CANARY\")",
        "E",
        "3",
        "-3",
        "2>",
        "> f",
        "<",
        "&1",
        "IFS=x",
        "A=1",
        "%s%d",
        "@var.x",
        "@{env.HOME}",
        "\u{1b}[31m",
        "größe \u{202e} 日本",
        "\u{a0}",
        "() { :; }",
        "bc",
        "_x",
        "9",
        "::",
        "$",
        "\u{1}",
        "\u{7f}",
        "\u{1}\u{1}a\u{7f}",
    ];
    let mut values: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    values.push((1..=255).collect());
    values.push((1..=255).rev().flat_map(|byte| [byte, b'a']).collect());
    values.push(b"\xff\xfe\x80 \xc3(".to_vec());
    values
}

/// How a value comes into the program.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Secret,
    Public,
    Literal,
    Loop,
    Computed,
    Mixed,
    Binding,
}

fn literal(value: &str) -> String {
    let mut text = String::from("\"");
    for character in value.chars() {
        if character.is_ascii_alphanumeric() {
            text.push(character);
        } else {
            let _ = write!(text, "\\u{{{:x}}}", u32::from(character));
        }
    }
    text + "\""
}

/// A program with one value in all its positions; `None` where such a value cannot be written so.
fn program(bench: &mut Bench, number: usize, kind: Kind, value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value);
    let tag = format!("{number}");
    let half = (0..=value.len() / 2).rev().find(|at| text.is_err() || text.is_ok_and(|text| text.is_char_boundary(*at))).unwrap_or(0);
    let (first, second) = value.split_at(half);
    let mut step = |reference: &str, times| positions(bench, &tag, reference, value, times);
    let name = format!("v{number}");
    let reference = format!("@{{var.{name}}}");
    let source = match kind {
        Kind::Secret => format!("var {name} = @env.A{number}\n{}", step(&reference, 1)),
        Kind::Public => format!("var {name} = @env.A{number}(public=true)\n{}", step(&reference, 1)),
        Kind::Literal => format!("var {name} = {}\n{}", literal(text.ok()?), step(&reference, 1)),
        Kind::Loop => format!("for {name} in [{}, @env.A{number}] {{\n{}}}\n", literal(text.ok()?), step(&reference, 2)),
        Kind::Computed => format!("var {name} = @env.B{number} + @env.C{number}(public=true)\n{}", step(&reference, 1)),
        Kind::Mixed => {
            let first = literal(text.ok()?.get(..half)?);
            format!("var {name} = {first} + @env.C{number}\n{}", step(&reference, 1))
        }
        Kind::Binding => format!("if true {{\n{name}=@env.A{number}\n{}}}\n", step(&reference, 1)),
    };
    for (letter, part) in [("A", value), ("B", first), ("C", second)] {
        bench.variable(&format!("{letter}{number}"), part);
    }
    Some(source)
}

fn every_value_in_every_position(kind: Kind, values: impl IntoIterator<Item = Vec<u8>>) {
    let mut bench = Bench::new();
    let mut source = String::new();
    for (number, value) in values.into_iter().enumerate() {
        source.extend(program(&mut bench, number, kind, &value));
    }
    bench.check(&source);
}

#[test]
fn secrets_are_data() {
    every_value_in_every_position(Kind::Secret, hostile());
}

#[test]
fn public_values_are_data() {
    every_value_in_every_position(Kind::Public, hostile().into_iter().step_by(2));
}

#[test]
fn literals_are_data() {
    every_value_in_every_position(Kind::Literal, hostile());
}

#[test]
fn loop_variables_are_data() {
    every_value_in_every_position(Kind::Loop, hostile().into_iter().step_by(4));
}

#[test]
fn computed_strings_are_data() {
    every_value_in_every_position(Kind::Computed, hostile().into_iter().skip(1).step_by(4));
    every_value_in_every_position(Kind::Mixed, hostile().into_iter().skip(2).step_by(4));
}

#[test]
fn runtime_bindings_are_data() {
    every_value_in_every_position(Kind::Binding, hostile().into_iter().skip(3).step_by(3));
}

#[test]
fn random_strings_are_data() {
    let piece = proptest::sample::select(vec![
        "a",
        "\n",
        " ",
        "$",
        "(",
        ")",
        "`",
        "\"",
        "'",
        "\\",
        "{",
        "}",
        ",",
        ".",
        "*",
        "[",
        "]",
        "EOF",
        "touch \"$CANARY\"",
        "$(",
        ";",
        "|",
        "&",
        "<",
        ">",
        "!",
        "~",
        "#",
        "=",
        "-",
        "\t",
        "\r",
        "\u{1}",
        "\u{7f}",
        "é",
        "@",
        "%",
        "3",
    ]);
    let value = proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes());
    let mut runner = TestRunner::new(Config { cases: 3, max_shrink_iters: 0, failure_persistence: None, ..Config::default() });
    let kinds = [Kind::Secret, Kind::Public, Kind::Literal, Kind::Mixed];
    let cases = proptest::collection::vec((value, proptest::sample::select(kinds.to_vec())), 16);
    let checked = runner.run(&cases, |cases| {
        let mut bench = Bench::new();
        let mut source = String::new();
        for (number, (value, kind)) in cases.iter().enumerate() {
            source.extend(program(&mut bench, number, *kind, value));
        }
        bench.check(&source);
        Ok(())
    });
    assert!(checked.is_ok(), "{checked:?}");
}

#[test]
fn every_single_byte_is_data() {
    let mut bench = Bench::new();
    let (mut source, mut refs, mut lines) = (String::new(), String::new(), String::new());
    let mut received = Vec::new();
    let mut body = Vec::new();
    for byte in 1..=255u8 {
        let (name, public) = (format!("b{byte}"), if byte % 2 == 0 { "(public=true)" } else { "" });
        bench.variable(&format!("B{byte}"), &[byte]);
        let _ = writeln!(source, "var {name} = @env.B{byte}{public}");
        let _ = write!(refs, " @var.{name} \"x@{{var.{name}}}\"");
        let _ = writeln!(lines, "@{{var.{name}}}x");
        received.extend(words(&[&[byte], &[b'x', byte]]));
        body.extend([byte, b'x', b'\n']);
    }
    bench.expect("words", received);
    bench.expect("body", body);
    bench.check(&format!("{source}dump words{refs}\ndump-in body <<EOF\n{lines}EOF\n"));
}

#[test]
fn the_longest_values_are_data_and_longer_ones_are_refused() {
    let mut bench = Bench::new();
    let value: Vec<u8> = (0..127 * 1024).map(|at: usize| if at.is_multiple_of(61) { b'\n' } else { b"x$'\"*"[at % 5] }).collect();
    bench.variable("LONG", &value);
    for tag in ["word", "quotes"] {
        bench.expect(tag, words(&[&value]));
    }
    bench.expect("body", [&value[..], b"\n"].concat());
    let bench = bench.check("var v = @env.LONG\ndump word @var.v\ndump quotes \"@var.v\"\ndump-in body <<EOF\n@var.v\nEOF\n");
    bench.host.write("deploy.opl", "var w = @env.LONG + @env.LONG\ndump word @{var.w}.quoted\n");
    bench.run_program("opalc", &["deploy.opl", "--resolve", "-o", "prod.plan"]).expect(65).says("env.LONG");
}

#[test]
fn arrays_are_one_word_per_element() {
    let mut bench = Bench::new();
    let s: &[u8] = b"two  words\n*";
    bench.variable("S", s);
    bench.expect("alone", words(&[s, b"", b"$(touch \"$CANARY\")", s, b"", b"$(touch \"$CANARY\")"]));
    bench.expect("quotes", words(&[&[s, b"  $(touch \"$CANARY\")"].concat()]));
    bench.expect("body", [s, b"  $(touch \"$CANARY\")\n"].concat());
    bench.expect("loop", words(&[s, b"", b"$(touch \"$CANARY\")"]));
    bench.expect("one", words(&[&[b"a", s, b"b"].concat(), b"2", b"4", b"6"]));
    bench.expect("call", words(&[s, s]));
    bench.expect("operand", words(&[s, b"$(touch \"$CANARY\")"]));
    bench.check(
        r#"
var list = [@env.S, "", "\$(touch \"\$CANARY\")"]
var numbers = [2, 4, 6]
fun show(v) { dump call @var.v }
if true {
    dump alone @var.list @var.list.*
    dump quotes "@var.list"
    dump-in body <<EOF
@var.list
EOF
    true; for i in @var.list; do dump loop "$i"; done
    dump one a@{var.list.0}b @var.numbers
    @cmd.show(@var.list.0) && dump operand @var.list[0] || false
    @retry(2) { dump operand @var.list.2 } || false
    @cmd.show(v=@var.list[0])
}
"#,
    );
}

#[test]
fn a_quoted_value_comes_through_a_second_shell() {
    let mut bench = Bench::new();
    let script = bench.host.write("bin/ssh", "#!/bin/sh\nshift\nexec sh -c \"$*\"\n");
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let mut source = String::new();
    for (number, value) in hostile().iter().enumerate().step_by(3) {
        bench.variable(&format!("Q{number}"), value);
        let public = if number % 2 == 0 { "(public=true)" } else { "" };
        let _ = writeln!(source, "var q{number} = @env.Q{number}{public}");
        let quoted = format!("@{{var.q{number}}}.quoted");
        let _ =
            writeln!(source, "sh -c \"dump {number} {quoted}\" && bash -c \"dump {number} x\"{quoted} && ssh host dump {number} {quoted}");
        let argument = format!("@{{var.q{number}}}");
        let _ = writeln!(source, "sh -c 'dump {number} \"$1\"' _ {argument}");
        bench.expect(&number.to_string(), words(&[value, &[b"x", &value[..]].concat(), value, value]));
    }
    bench.check(&source);
}

#[test]
fn where_bash_evaluates_text_only_an_int_may_stand() {
    let lines = [
        "echo $((1 + REF))",
        "echo $[REF]",
        "((REF)) || true",
        "( a[REF]=1 )",
        "X=abc; echo ${X:REF} \"${X:REF:1}\"",
        "let y=REF || true",
        "declare y=REF",
        "( f() { local y=REF; typeset z=REF; }; f )",
        "[[ REF -eq 1 ]] || true",
        "[[ 1 -lt REF ]] || true",
        "[[ -v REF ]] || true",
        "test -v REF || true",
        "[ -v REF ] || true",
        "printf -v REF x || true",
        "read REF <<< x || true",
        "X=REF; echo $((X))",
        "X=REF; echo ${!X} || true",
        "X=REF; echo ${X@P}",
        "RANDOM=REF true",
        "true; for RANDOM in REF; do true; done",
        "readonly -a y=REF",
        "[ REF REF ] || true",
        "printf REF x",
        "( f() { echo $(($1)); }; f REF )",
        "true & wait -n -p REF || true",
    ];
    let mut bench = Bench::new();
    bench.variable("INT", b"2");
    bench.variable("TEXT", b"x[$(touch \"$CANARY\")]");
    for line in lines {
        bench.host.write("deploy.opl", line.replace("REF", "@env.TEXT(public=true)"));
        let refused = bench.run_program("opalc", &["deploy.opl"]);
        // Where it stands itself, or where a variable carries it.
        let codes = ["error[wrong_type]", "error[value_evaluated_later]"];
        assert!(codes.iter().any(|code| refused.expect(65).stderr.contains(code)), "{line}: {}", refused.stderr);
    }
    let ints: Vec<String> = lines.iter().map(|line| line.replace("REF", "@{var.n}")).collect();
    bench.host.write("deploy.opl", format!("var n = int(@env.INT)\n{}\n", ints.join("\n")));
    bench.run_program("opalc", &["deploy.opl", "--resolve", "-o", "prod.plan"]).expect(0);
    bench.run_program("opal-vm", &["run", "--plan", "prod.plan"]).expect(0);
    // A negative number stays one.
    bench.host.write("deploy.opl", "var n = 0 - 2\nX=abc; echo ${X:@var.n} $((5-@var.n)) $((3 + @var.n))\n");
    bench.run_program("opalc", &["deploy.opl", "--resolve", "-o", "prod.plan"]).expect(0);
    assert_eq!(bench.run_program("opal-vm", &["run", "--plan", "prod.plan"]).stdout, "bc 7 1\n");
}

#[test]
fn no_value_opens_a_network_connection() {
    let mut bench = Bench::new();
    bench.variable("DEVICE", b"/dev/tcp/127.0.0.1/9");
    bench.variable("D", b"/dev/");
    bench.variable("T", b"tcp/127.0.0.1/9");
    for line in ["cat < @env.DEVICE", "echo > \"@env.DEVICE\"", "cat < @env.D@env.T", "echo > \"/d\"@{var.rest}", "echo >| @env.DEVICE"] {
        bench.host.write("deploy.opl", format!("var rest = \"ev/tcp/127.0.0.1/9\"\n{line}\n"));
        bench.run_program("opalc", &["deploy.opl", "--resolve", "-o", "prod.plan"]).expect(65).says("network_redirect");
    }
    bench.host.write("deploy.opl", "run: {\n device=@env.DEVICE\n echo > @var.device\n}\n");
    bench.run_program("opalc", &["deploy.opl", "--resolve", "-o", "prod.plan"]).expect(0);
    bench.run_program("opal-vm", &["run", "--plan", "prod.plan"]).expect(1).says("a runtime binding is a `/dev/tcp`");
}

#[test]
fn secrets_show_in_no_argument_list_no_environment_and_no_output() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let secret = "s3cr3t/+ \"v@lue\" & 'more'";
    let bench = Bench::new();
    bench.host.write("secret.txt", secret);
    let source = r#"# a secret
var s = @file.read("secret.txt")
run: {
    true @var.s; env > env.txt; tr '\0' '\n' < /proc/self/environ >> env.txt; ( env; bash -c env ) >> env.txt
    echo "@var.s" && printf '%s\n' @var.s >&2
    printf %s @var.s | dd bs=1 status=none; echo
    printf %s @var.s | base64 -w0; echo; printf %s @var.s | od -An -v -tx1 | tr -d ' \n'; echo
    cat <<EOF
line @var.s
EOF
    cat <<< "@var.s" > kept.txt; sleep 0.2
    bound=@var.s
    printf '<%s>\n' "@var.bound"
    X=@var.s sh -c 'printf "%s\n" "$X"; sleep 0.2'
    cat forms.txt
}
"#;
    bench.host.write("forms.txt", "s3cr3t%2F%2B%20%22v%40lue%22%20%26%20%27more%27\ns3cr3t/+ \\\"v@lue\\\" & 'more'\n");
    bench.host.write("deploy.opl", source);
    bench.run_program("opalc", &["deploy.opl", "--resolve", "-o", "prod.plan"]).expect(0);
    let done = AtomicBool::new(false);
    let (ended, seen) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut seen = Vec::new();
            while !done.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
                    let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    if line.windows(6).any(|window| window == b"v@lue\"") {
                        seen.push(line.escape_ascii().to_string());
                    }
                }
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            seen
        });
        let ended = bench.run_program("opal-vm", &["run", "--plan", "prod.plan"]);
        done.store(true, Ordering::Relaxed);
        (ended, watch.join().expect("the watch ends"))
    });
    ended.expect(0);
    assert!(seen.is_empty(), "{seen:?}");
    assert_eq!(bench.host.read("kept.txt"), format!("{secret}\n"));
    let env = bench.host.read("env.txt");
    assert!(env.contains("HOME=") && !env.contains("s3cr3t") && !env.contains("OPAL_VALUE"), "{env}");
    for output in [&ended.stdout, &ended.stderr] {
        for form in ["s3cr3t", "v@lue", "czNjcjN0", "73336372"] {
            assert!(!output.contains(form), "`{form}` in\n{output}");
        }
    }
    assert_eq!(ended.stdout.matches("opal:secret:").count(), 9, "{}", ended.stdout);
}

#[test]
fn second_interpreters_and_argument_lists_are_warned_about() {
    let bench = Bench::new();
    for (line, code, help) in [
        ("sh -c \"echo @var.s\"", "value_in_second_interpreter", "sh -c '… \"$1\"' _ @var.s"),
        ("ssh host \"ls @var.s\"", "value_in_second_interpreter", "@{var.s}.quoted"),
        ("awk \"{print @var.s}\" f", "value_in_second_interpreter", "awk -v x=@var.s"),
        ("curl -u @var.s http://host/", "secret_argument", "NAME=@var.s curl"),
    ] {
        bench.host.write("deploy.opl", format!("var s = @env.API_TOKEN\n{line}\n"));
        let mut check = bench.host.command("opalc", ["check", "deploy.opl"]);
        let ended = Ended::from(check.env("API_TOKEN", "x").output().expect("it starts"));
        ended.expect(0).says(&format!("warning[{code}]")).says(help);
    }
}
