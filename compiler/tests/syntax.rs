//! The parser as a whole: trees, messages, and any input at all.

use opalc::{
    ast::{AndOrOperator, Expression, ExpressionKind, Item, Operand, PatternKind, PipelineSource, SegmentKind, Statement, StatementKind},
    diagnostic::{Code, render_human, render_json, render_line},
    source::{SOURCE_SIZE_MAX, Source},
    syntax::{DurationFault, Parsed, parse, parse_duration},
};
use proptest::prelude::*;

fn parsed(text: &str) -> Parsed {
    parse(&Source::new("t.opl", text))
}

fn statements(text: &str) -> Vec<Statement> {
    let parsed = parsed(text);
    assert!(!parsed.has_errors(), "{text}: {:?}", parsed.diagnostics);
    let statement = |item| match item {
        Item::Statement(statement) => Some(statement),
        Item::Definition(_) => None,
    };
    parsed.file.items.into_iter().filter_map(statement).collect()
}

fn value(text: &str) -> Expression {
    match statements(&format!("var x = {text}")).pop().map(|statement| statement.kind) {
        Some(StatementKind::Var(mut declaration)) => declaration.bindings.remove(0).value,
        other => panic!("{text}: {other:?}"),
    }
}

/// With every operator in parentheses.
fn shown(expression: &Expression) -> String {
    match &expression.kind {
        ExpressionKind::Int(value) => value.to_string(),
        ExpressionKind::Bool(value) => value.to_string(),
        ExpressionKind::Name(path) => path.name.name.clone(),
        ExpressionKind::Unary(operator, operand) => format!("({operator:?} {})", shown(operand)),
        ExpressionKind::Binary(binary) => {
            format!("({} {} {})", shown(&binary.left), binary.operator.symbol(), shown(&binary.right))
        }
        ExpressionKind::Range(bounds) => format!("({}...{})", shown(&bounds.0), shown(&bounds.1)),
        other => format!("{other:?}"),
    }
}

#[test]
fn operators_bind_by_strength_and_from_the_left() {
    let table = [
        ("1 + 2 * 3", "(1 + (2 * 3))"),
        ("1 - 2 - 3", "((1 - 2) - 3)"),
        ("a && b || c && d", "((a && b) || (c && d))"),
        ("a || b && c", "(a || (b && c))"),
        ("1 + 2 < 3 == true", "(((1 + 2) < 3) == true)"),
        ("!a && b", "((Not a) && b)"),
        ("-1 * 2", "((Negate 1) * 2)"),
        ("- -1", "(Negate (Negate 1))"),
        ("(1 + 2) * 3", "((1 + 2) * 3)"),
        ("1 + 2...3 * 4", "((1 + 2)...(3 * 4))"),
        ("a % b / c", "((a % b) / c)"),
        ("-9223372036854775808", "-9223372036854775808"),
    ];
    for (text, expected) in table {
        assert_eq!(shown(&value(text)), expected, "{text}");
    }
}

#[test]
fn paths_are_read_in_every_spelling() {
    let ExpressionKind::Reference(reference) = value("@var.A.b[0].[1].2[i].*.length").kind else { panic!() };
    let kinds: Vec<String> = reference
        .path
        .iter()
        .map(|segment| match &segment.kind {
            SegmentKind::Field(name) => format!(".{name}"),
            SegmentKind::Index(index) => format!("[{index}]"),
            SegmentKind::Computed(expression) => format!("[{}]", shown(expression)),
            SegmentKind::All => "*".to_owned(),
            SegmentKind::Length => "#".to_owned(),
        })
        .collect();
    assert_eq!(kinds, [".A", ".b", "[0]", "[1]", "[2]", "[i]", "*", "#"]);
    let ExpressionKind::Reference(reference) = value("@file.read(\"a\").length").kind else { panic!() };
    assert_eq!((reference.path.len(), reference.tail.len()), (1, 1));
}

#[test]
fn older_references_become_the_dotted_form() {
    let table = [("@var(A.0)", "A", 2), ("@env(\"A\", default=1)", "A", 1), ("@aws.secret(\"k\")", "secret", 2)];
    for (text, name, segments) in table {
        let ExpressionKind::Reference(reference) = value(text).kind else { panic!("{text}") };
        assert_eq!((reference.name(), reference.path.len(), reference.older), (Some(name), segments, true), "{text}");
    }
    let StatementKind::Call(call) = statements("@cmd(build-all)").remove(0).kind else { panic!() };
    assert_eq!((call.name.name.as_str(), call.via_cmd), ("build-all", true));
}

#[test]
fn operators_group_by_precedence_and_keep_runs_of_shell_whole() {
    let kind = statements("a | b && @cmd.x | c || d; e && sleep(1s)").remove(0).kind;
    let StatementKind::Operators(operators) = kind else { panic!("{kind:?}") };
    assert_eq!(operators.sequence.len(), 2);
    let first = &operators.sequence[0];
    let Operand::Shell(shell) = &first.first.operands[0] else { panic!() };
    assert_eq!(shell.text.constant().as_deref(), Some("a | b"));
    assert_eq!(first.rest[0].0, AndOrOperator::And);
    assert_eq!(first.rest[0].1.operands.len(), 2);
    assert_eq!((first.rest.len(), first.rest[1].0), (2, AndOrOperator::Or));
    assert_eq!(operators.sequence[1].rest.len(), 1);
}

/// `sh(…)` for shell text, `op` for an Opal operand.
fn grouped(text: &str) -> String {
    let kind = statements(text).remove(0).kind;
    let StatementKind::Operators(operators) = kind else { panic!("{text}: {kind:?}") };
    let operand = |operand: &Operand| match operand {
        Operand::Shell(shell) => format!("sh({})", shell.text.constant().unwrap_or_default()),
        _ => "op".to_owned(),
    };
    let piped = |piped: &opalc::ast::Piped| piped.operands.iter().map(operand).collect::<Vec<_>>().join(" | ");
    let chain = |chain: &opalc::ast::AndOr| {
        let rest = chain
            .rest
            .iter()
            .map(|(operator, pipe)| format!(" {} {}", if *operator == AndOrOperator::And { "&&" } else { "||" }, piped(pipe)));
        piped(&chain.first) + &rest.collect::<String>()
    };
    operators.sequence.iter().map(chain).collect::<Vec<_>>().join(" ; ")
}

#[test]
fn runs_of_shell_text_are_one_step_unless_precedence_parts_them() {
    let table = [
        ("a && b || @cmd.x", "sh(a && b) || op"),
        ("a | b | @cmd.x | c | d", "sh(a | b) | op | sh(c | d)"),
        ("@cmd.x && a && b", "op && sh(a && b)"),
        ("@cmd.x || a && b", "op || sh(a) && sh(b)"),
        ("@cmd.x || a || b && c", "op || sh(a || b) && sh(c)"),
        ("@cmd.x | a && b", "op | sh(a) && sh(b)"),
        ("a; b && @cmd.x", "sh(a) ; sh(b) && op"),
        ("a; b; @cmd.x; c; d", "sh(a; b) ; op ; sh(c; d)"),
        ("a && b; c | d; @cmd.x", "sh(a && b; c | d) ; op"),
        ("@cmd.x && a | b | c", "op && sh(a | b | c)"),
        ("a & b && @cmd.x", "sh(a &) ; sh(b) && op"),
        ("a |& b | @cmd.x", "sh(a |& b) | op"),
        ("a && // why\n b && @cmd.x", "sh(a && \n b) && op"),
        ("@shell(\"a\") && b", "sh(a) && sh(b)"),
    ];
    for (text, expected) in table {
        assert_eq!(grouped(text), expected, "{text}");
    }
}

#[test]
fn a_pipeline_binds_loosest() {
    let kind = statements("a && b |> lines.count() |> assert.num(\"> 1\")").remove(0).kind;
    let StatementKind::Pipeline(pipeline) = kind else { panic!("{kind:?}") };
    assert_eq!(pipeline.operations.len(), 2);
    let PipelineSource::Shell(shell) = pipeline.source else { panic!() };
    assert_eq!(shell.text.constant().as_deref(), Some("a && b"));
    let kind = statements("a |> f").remove(0).kind;
    assert!(matches!(kind, StatementKind::Shell(_)), "only before an operation: {kind:?}");
}

#[test]
fn arms_on_one_line_are_told_apart() {
    let kind = statements("when x { 1 -> a; b; \"c;d\" | 2 -> e; else -> f }").remove(0).kind;
    let StatementKind::When(when) = kind else { panic!("{kind:?}") };
    assert_eq!(when.arms.len(), 3);
    assert!(matches!(&when.arms[1].pattern.kind, PatternKind::AnyOf(all) if all.len() == 2));
    assert!(matches!(when.arms[2].pattern.kind, PatternKind::Else));
}

#[test]
fn lines_are_recognised_by_form_alone() {
    let table = [
        ("x = 1", "Assign"),
        ("x += 1", "Assign"),
        ("x++", "Assign"),
        ("x=1", "Binding"),
        ("x =1", "Shell"),
        ("x == 1", "Shell"),
        ("x ++", "Shell"),
        ("x++ y", "Shell"),
        ("f(1)", "Call"),
        ("f (1)", "Shell"),
        ("sleep(1s)", "Sleep"),
        ("sleep 1", "Shell"),
        ("@cmd.f", "Call"),
        ("@retry(1) { a }", "Decorator"),
        ("@detach { a }", "Decorator"),
        ("@var.x y", "Shell"),
        ("iffy x", "Shell"),
        ("if x { a }", "If"),
        ("for-each x", "Shell"),
        ("test -f x && a", "Shell"),
        ("g++ -c x", "Shell"),
        ("@types/node x", "Shell"),
        ("try { a } finally { b }", "Try"),
        ("try x", "Shell"),
        ("var-x y", "Shell"),
        ("a && f(1)", "Operators"),
        ("a && b", "Shell"),
        ("echo // x", "Shell"),
        ("http://x y", "Shell"),
        ("{ a; }", "Shell"),
    ];
    for (text, expected) in table {
        let kind = format!("{:?}", statements(text).remove(0).kind);
        assert!(kind.starts_with(expected), "{text}: {kind}");
    }
}

#[test]
fn durations_follow_their_rules() {
    assert_eq!(parse_duration("1h30m", false), Ok(5_400_000_000_000));
    assert_eq!(parse_duration("1y", false), Ok(365 * 86_400_000_000_000));
    assert_eq!(parse_duration("1s500ms", false), Ok(1_500_000_000));
    assert_eq!(parse_duration("30m1h", false), Err(DurationFault::Ascending));
    assert_eq!(parse_duration("1h2h", false), Err(DurationFault::Repeated));
    assert_eq!(parse_duration("1.5h", true), Err(DurationFault::Fraction));
    assert_eq!(parse_duration("999y", false), Err(DurationFault::TooLarge));
    assert_eq!(parse_duration("h", false), Err(DurationFault::NotADuration));
    assert_eq!(parse_duration("", false), Err(DurationFault::NotADuration));
}

#[test]
fn spans_point_at_what_was_written() {
    let text = "if x == 1 {\n    échö @var.a  # c\n}\n";
    let statement = statements(text).remove(0);
    assert_eq!(&text[statement.span.range()], text.trim_end());
    let StatementKind::If(branches) = statement.kind else { panic!() };
    assert_eq!(&text[branches.branches[0].header.range()], "if x == 1");
    let inner = &branches.branches[0].body.statements[0];
    assert_eq!(&text[inner.span.range()], "échö @var.a");
    assert_eq!(parsed(text).file.comments.len(), 1);
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_place() {
    let code = |bytes: &[u8]| {
        let parsed = parse(&Source::new("t.opl", bytes));
        parsed.diagnostics.first().map(|diagnostic| (diagnostic.code, diagnostic.span.start))
    };
    assert_eq!(code(b"a\nb\xff\n"), Some((Code::InvalidUtf8, 3)));
    assert_eq!(code(b"a\0b"), Some((Code::NulByte, 1)));
    assert_eq!(code(&vec![b'\n'; SOURCE_SIZE_MAX + 1]).map(|found| found.0), Some(Code::SourceTooLarge));
    assert_eq!(code(b"\xef\xbb\xbfecho a\r\n"), None);
}

#[test]
fn nesting_is_capped_whatever_nests() {
    let on_small_stack = |source: String| {
        let parse = move || parse(&Source::new("t.opl", source)).diagnostics.iter().map(|d| d.code).collect::<Vec<_>>();
        let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(parse).expect("a thread");
        thread.join().expect("no overflow")
    };
    let nest = |open: &str, inner: &str, close: &str, depth: usize| format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
    for (open, inner, close) in [
        ("if x {\n", "a", "\n}"),
        ("@retry(1) {", " a ", "}"),
        ("when x { 1 -> {", " a ", "} }"),
        ("{ ", "a", "; }"),
        ("var a = (", "1", ")"),
        ("(", "", ")"),
    ] {
        let found = on_small_stack(nest(open, inner, close, 100_000));
        assert!(found.len() < 10, "{open}: {found:?}");
    }
    for (open, inner, close) in [
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("{\"a\": ", "1", "}"),
        ("- ", "1", ""),
        ("!", "x", ""),
        ("int(", "1", ")"),
        ("a[", "1", "]"),
        ("1 + ", "1", ""),
        ("\"@env.X(default=", "1", ")\""),
        ("(\")\" + ", "1", ")"),
    ] {
        let fine = on_small_stack(format!("var a = {}", nest(open, inner, close, 20)));
        assert_eq!(fine, [], "{open}");
        let refused = on_small_stack(format!("var a = {}", nest(open, inner, close, 10_000)));
        assert!(refused.contains(&Code::NestingTooDeep), "{open}: {refused:?}");
    }
    let flat = format!("if x {{ a }}{}", " else if y { b }".repeat(10_000));
    assert_eq!(on_small_stack(flat), []);
    let chain = format!("@cmd.a{}", " && @cmd.b".repeat(10_000));
    assert_eq!(on_small_stack(chain), []);
    let deepest = on_small_stack(format!("var a = {}", nest("(", "1", ")", 250)));
    assert_eq!(deepest, []);
}

#[test]
fn errors_in_hostile_sources_stay_few_and_reading_ends() {
    for line in ["echo \"a\n", "echo $(\n", "cat <<E\n", "var x = \"\n", "@x(\n", "{\n", "}\n", "when x {\n", "a ;", "\\\n", "1 -> "] {
        let parsed = parsed(&line.repeat(20_000));
        assert!(parsed.diagnostics.len() <= 1000, "{line}: {}", parsed.diagnostics.len());
    }
}

#[test]
fn what_a_source_shows_cannot_draw_on_the_terminal() {
    let source = Source::new("e\u{202e}vil\x1b.opl", "var a = \u{202e}\x1b[31m\u{200b} \t+ \"\n");
    let parsed = parse(&source);
    assert!(parsed.has_errors());
    let human = render_human(&source, &parsed.diagnostics, false);
    let json = render_json(&source, &parsed.diagnostics);
    let lines: String = parsed.diagnostics.iter().map(|d| render_line(&source, d)).collect();
    for text in [human, json, lines] {
        assert!(!text.contains(['\u{202e}', '\x1b', '\u{200b}']), "{text}");
    }
}

#[test]
fn messages_say_one_cause_where_and_what_to_do() {
    let source = Source::new(
        "deploy.opl",
        "@retry(3, delay=2s, 5) { a }\nif [ -f x ]; then a; fi\nvar t = 1.5h\nfun my-x { a }\necho ${x:-@var.y}\n\
         when x { \"a\" echo }\nvar s = \"open\n",
    );
    let parsed = parse(&source);
    insta::assert_snapshot!(render_human(&source, &parsed.diagnostics, false));
}

fn tokens() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "fun ",
        "var ",
        "if ",
        "else ",
        "for ",
        "in ",
        "when ",
        "while ",
        "try ",
        "catch ",
        "finally ",
        "x",
        "y-z",
        ": ",
        "= ",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "\n",
        "\n",
        " ",
        "->",
        "|",
        "&&",
        "|>",
        "lines.count()",
        ";",
        ",",
        "\"",
        "'",
        "r\"",
        "1",
        "1h",
        "1.5",
        "...",
        "..",
        "@var.x",
        "@var(",
        "@env(\"X\"",
        "@retry(3)",
        "@cmd.a",
        "@shell(\"",
        "@{",
        "\\",
        "#",
        "//",
        "++",
        "+= ",
        "true",
        "é",
        "\u{202e}",
        "\r\n",
        "<<E",
        "$(",
        "`",
        "@aws.secret(",
        "-",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let source = Source::new("t.opl", bytes);
        let parsed = parse(&source);
        let _ = render_human(&source, &parsed.diagnostics, true);
    }

    #[test]
    fn no_tokens_make_it_panic_and_every_span_is_inside(text in tokens()) {
        let source = Source::new("t.opl", text.as_str());
        let parsed = parse(&source);
        let _ = render_human(&source, &parsed.diagnostics, false);
        let _ = render_json(&source, &parsed.diagnostics);
        for diagnostic in &parsed.diagnostics {
            prop_assert!(diagnostic.span.start as usize <= text.len(), "{:?}", diagnostic);
        }
        for comment in &parsed.file.comments {
            prop_assert!(text.get(comment.span.range()).is_some_and(|c| c.starts_with('#') || c.starts_with("//")));
        }
    }
}
