//! A mistake is reported once, where it is, and hides none of the others.

use opalc::check::check_parsed;
use opalc::diagnostic::{Diagnostic, Severity};
use opalc::source::Source;
use opalc::syntax::parse;

/// One mistake of each kind, each in a command of its own: code, and the command.
const MISTAKES: &[(&str, &str)] = &[
    ("unclosed-string", "fun a1 { sleep(\"5s) }"),
    ("bad-duration", "fun a2 { sleep(30m1h) }"),
    ("bad-number", "fun a3 { sleep(5x) }"),
    ("unknown-variable", "fun a4 { echo @var.servcie }"),
    ("unknown-command", "fun a5 { a44() }"),
    ("unknown-decorator", "fun a6 { @retyr(3) { x } }"),
    ("unknown-namespace", "fun a7 { echo @file.raed(\"x\") }"),
    ("unknown-argument", "fun a8 { @retry(atempts=3) { x } }"),
    ("missing-argument", "fun a9 { @timeout { x } }"),
    ("unknown-type", "fun a10(n: Integer) { echo @var.n }"),
    ("wrong-type", "fun a11(n: Int = \"x\") { echo @var.n }"),
    ("shell-keyword", "fun a12 {\n    if [ -f x ]; then y; fi\n}"),
    ("missing-arrow", "fun a13 { when \"x\" { \"a\" echo } }"),
    ("bad-pattern", "fun a14 { when \"x\" { y -> echo } }"),
    ("missing-block", "fun a15 {\n    for n in [1]\n}"),
    ("try-without-handler", "fun a16 { try { x } }"),
    ("misplaced-clause", "fun a17 {\n    catch { x }\n}"),
    ("positional-after-named", "fun a18 { @retry(delay=2s, 5) { x } }"),
    ("value-in-expansion", "fun a19(n) { echo ${x:-@var.n} }"),
    ("value-in-eval", "fun a20(n) { eval @var.n }"),
    ("shell-variable", "fun a21(n) { echo $n @var.n }"),
    ("backward-range", "fun a22 { for n in 3...1 { echo @var.n } }"),
    ("unknown-key", "fun a23 { var m = {\"a\": 1}; echo @var.m.b }"),
    ("index-out-of-range", "fun a24 { var l = [1]; echo @var.l[3] }"),
    ("duplicate-key", "fun a25 { var m = {\"a\": 1, \"a\": 2}; echo @var.m.a }"),
    ("duplicate-variable", "fun a26 {\n    var m = 1\n    var m = 2\n    echo @var.m\n}"),
    ("nested-definition", "fun a27 {\n    fun inner { x }\n}"),
    ("binding-in-expression", "fun a28 {\n    T=$(x)\n    if @var.T == \"a\" { y }\n}"),
    ("unclosed-bracket", "fun a29 { var l = [1, 2\n}"),
    ("unexpected-token", "fun a30 {\n    var l = 1 2\n}"),
    ("unclosed-here-document", "fun a31 {\n    cat <<EOF\n}"),
];

fn errors(text: &str) -> Vec<Diagnostic> {
    let source = Source::new("ops.opl", text);
    check_parsed(&source, &parse(&source)).into_iter().filter(|one| one.severity == Severity::Error).collect()
}

#[test]
fn each_mistake_alone_is_one_error() {
    for (code, command) in MISTAKES {
        let found: Vec<&str> = errors(&format!("{command}\n")).iter().map(|error| error.code.name()).collect();
        assert_eq!(found, [*code], "{command}");
    }
}

#[test]
fn an_error_in_one_command_hides_none_in_the_next() {
    let mut text = String::from("var service = \"web\"\nfun first { echo @var.service }\n");
    for (_, command) in MISTAKES {
        text.push_str(command);
        text.push('\n');
    }
    let found: Vec<&str> = errors(&text).iter().map(|error| error.code.name()).collect();
    let expected: Vec<&str> = MISTAKES.iter().map(|(code, _)| *code).collect();
    assert_eq!(found, expected);
}

#[test]
fn errors_on_neighbouring_lines_are_all_reported() {
    let text = "fun run(n) {\n    sleep(30m1h)\n    echo @var.m\n    @retyr(3) { x }\n    echo ${x:-@var.n}\n    biuld()\n    var t = \"open\n    echo @var.t @var.u\n}\n";
    let found: Vec<&str> = errors(text).iter().map(|error| error.code.name()).collect();
    let expected = [
        "bad-duration",
        "unknown-variable",
        "unknown-decorator",
        "value-in-expansion",
        "unknown-command",
        "unclosed-string",
        "unknown-variable",
    ];
    assert_eq!(found, expected);
}
