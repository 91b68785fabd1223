//! Messages that are known to be poor, each with what is wrong about it. Whoever makes one better moves its source to `messages`.

use opalc::check::check_parsed;
use opalc::diagnostic::render_human;
use opalc::source::Source;
use opalc::syntax::parse;

const POOR: &[(&str, &str)] = &[
    ("a Map in the head of a loop is taken for its block; parentheses around it help", "for x in {\"a\": 1}.* { echo @var.x }\n"),
    ("says what an expression is, not that the condition is missing", "if { a }\n"),
    ("says what a variable looks like, not that two values stand side by side", "var x = 1 2\n"),
    ("speaks of a number where a name was meant", "var 3x = 3\n"),
    ("does not say that exponents are not read", "var x = 1e9\n"),
    ("does not know that providers will come", "run: echo @aws.secret.key\n"),
    ("help for a literal should be the literal itself", "fun f(n: Int = \"3\") = echo @var.n\n"),
];

#[test]
fn the_poor_messages_are_no_worse() {
    let mut shown = String::new();
    for (why, text) in POOR {
        let source = Source::new("ops.opl", *text);
        let drawn = render_human(&source, &check_parsed(&source, &parse(&source)), false);
        assert!(!drawn.is_empty(), "{text}");
        let drawn: String = drawn.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        shown.push_str(&format!("poor: {why}\n\n{text}\n{drawn}\n"));
    }
    insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("poor_messages", shown);
    });
}
