//! A mistake is reported once, where it is, and hides none of the others.

use opalc::check::check_parsed;
use opalc::diagnostic::{Diagnostic, Severity};
use opalc::source::Source;
use opalc::syntax::parse;

/// One mistake of each kind, each in a command of its own: code, and the command.
const MISTAKES: &[(&str, &str)] = &[
    ("unclosed_string", "fun a1 { sleep(\"5s) }"),
    ("bad_duration", "fun a2 { sleep(30m1h) }"),
    ("bad_number", "fun a3 { sleep(5x) }"),
    ("unknown_variable", "fun a4 { echo @var.servcie }"),
    ("unknown_command", "fun a5 { a44() }"),
    ("unknown_decorator", "fun a6 { @retyr(3) { x } }"),
    ("unknown_namespace", "fun a7 { echo @file.raed(\"x\") }"),
    ("unknown_argument", "fun a8 { @retry(atempts=3) { x } }"),
    ("missing_argument", "fun a9 { @timeout { x } }"),
    ("unknown_type", "fun a10(n: Integer) { echo @var.n }"),
    ("wrong_type", "fun a11(n: Int = \"x\") { echo @var.n }"),
    ("shell_keyword", "fun a12 {\n    if [ -f x ]; then y; fi\n}"),
    ("missing_arrow", "fun a13 { when \"x\" { \"a\" echo } }"),
    ("bad_pattern", "fun a14 { when \"x\" { y -> echo } }"),
    ("missing_block", "fun a15 {\n    for n in [1]\n}"),
    ("try_without_handler", "fun a16 { try { x } }"),
    ("misplaced_clause", "fun a17 {\n    catch { x }\n}"),
    ("positional_after_named", "fun a18 { @retry(delay=2s, 5) { x } }"),
    ("value_in_expansion", "fun a19(n) { echo ${x:-@var.n} }"),
    ("value_in_eval", "fun a20(n) { eval @var.n }"),
    ("shell_variable", "fun a21(n) { echo $n @var.n }"),
    ("backward_range", "fun a22 { for n in 3...1 { echo @var.n } }"),
    ("unknown_key", "fun a23 { var m = {\"a\": 1}; echo @var.m.b }"),
    ("index_out_of_range", "fun a24 { var l = [1]; echo @var.l[3] }"),
    ("duplicate_key", "fun a25 { var m = {\"a\": 1, \"a\": 2}; echo @var.m.a }"),
    ("duplicate_variable", "fun a26 {\n    var m = 1\n    var m = 2\n    echo @var.m\n}"),
    ("nested_definition", "fun a27 {\n    fun inner { x }\n}"),
    ("binding_in_expression", "fun a28 {\n    T=$(x)\n    if @var.T == \"a\" { y }\n}"),
    ("unclosed_bracket", "fun a29 { var l = [1, 2\n}"),
    ("unexpected_token", "fun a30 {\n    var l = 1 2\n}"),
    ("unclosed_here_document", "fun a31 {\n    cat <<EOF\n}"),
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
        "bad_duration",
        "unknown_variable",
        "unknown_decorator",
        "value_in_expansion",
        "unknown_command",
        "unclosed_string",
        "unknown_variable",
    ];
    assert_eq!(found, expected);
}
