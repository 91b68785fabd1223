//! Sources: the parser decides about any bytes; what compiles passes the verifier and is planned without a bug showing.

use super::{Choices, program};
use opalc::lower::{Entry, Failure, commands, compile};
use opalc::source::Source;
use opalc::syntax::parse;

/// The parser decides about any bytes, and names places inside the file. What it reads without an error goes on to the planner.
pub fn source_text(data: &[u8]) {
    let source = Source::new("fuzz.opl", data);
    let parsed = parse(&source);
    for diagnostic in &parsed.diagnostics {
        let (start, end) = (diagnostic.span.start as usize, diagnostic.span.end as usize);
        assert!(start <= end && end <= data.len(), "a message about {start}..{end} of {} bytes: {}", data.len(), diagnostic.message);
        assert!(!diagnostic.message.is_empty());
    }
    if parsed.has_errors() {
        return;
    }
    let targets = commands(&source, &parsed.file);
    let named = targets.iter().map(|command| Some(command.name.clone()));
    for target in std::iter::once(None).chain(named) {
        match compile(&source, &parsed.file, &Entry { target, arguments: Vec::new() }) {
            Ok(compiled) => program::runs_safely(compiled.program.view(), &compiled.values),
            Err(Failure::Internal(error)) => panic!("the verifier refuses what was lowered: {error}\n{}", source.text()),
            Err(Failure::Source(_) | Failure::Usage(_)) => {}
        }
    }
}

/// The same for a source put together from pieces of the language.
pub fn source_pieces(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut text = String::from(PRELUDE);
    let mut open = 0;
    while !choices.is_empty() {
        let pieces = if choices.below(32) == 0 { ODD } else { PIECES };
        let piece = pieces[choices.below(pieces.len())];
        if piece == "}" {
            if open == 0 {
                continue;
            }
            open -= 1;
        }
        open += usize::from(piece.ends_with('{'));
        text.push_str(piece);
        text.push('\n');
    }
    for _ in 0..open {
        text.push_str("\n}");
    }
    source_text(text.as_bytes());
}

/// What the pieces refer to.
const PRELUDE: &str = r#"var x = 1
var s = "a"
var list = ["a", "b"]
var map = {"k": 1, "l": "v"}
var home = @env.HOME
var port = @env.PORT(default=3000)
var secret = @env.TOKEN(default="t")
var d = 30s
fun build = echo build
fun test(env = "prod", n = 2) {
    echo @var.env @var.n @var.x @var.secret
}
"#;

/// Lines and parts of lines. Those that end in `{` open a block, `}` closes one.
const PIECES: &[&str] = &[
    "x = x + 1",
    "x += 2",
    "x++",
    "s = \"@var.s@var.x\"",
    "list = [@var.s]",
    "echo hi",
    "echo @var.x \"@var.s\" '@var.s'",
    "echo @{var.x}y @var.list @var.list.* @var.list[0] @var.map.k",
    "echo @var.list.length @var.list.0",
    "echo $((@var.x + 1))",
    "X=@var.s cmd > @var.s",
    "cat <<EOF\n@var.s $HOME\nEOF",
    "cat <<'EOF'\n@var.s\nEOF",
    "@cmd.build()",
    "test(\"x\", n=3)",
    "NAME=$(date)\necho @var.NAME",
    "when s {\n\"a\" -> echo a\nr\"^b\" -> { echo b }\nelse -> x++\n}",
    "when x {\n1...3 -> echo few\nelse -> echo many\n}",
    "if x > 1 {\n echo a\n} else {\n echo b\n}",
    "try {\n false\n} catch {\n echo @var.x\n} finally {\n echo f\n}",
    "echo @var.home @var.port \"@var.secret\"",
    "x = @var.list.length * 2 - 1",
    "var y = [@var.home, @var.secret]\necho @var.y",
    "echo a \\\n  b",
    "@cmd.build && @cmd.test || echo no",
    "@retry(3) { false } || echo b",
    "a | b && c; d",
    "echo @file.read(\"/etc/motd\")",
    "echo @env.HOME",
    "for i in 1...3 {",
    "for a in list, b in [1, 2] {",
    "for e in @var.list {",
    "if x > 1 {",
    "if @env.HOME == \"x\" && !(x < 2) {",
    "while x < 3 {",
    "try {",
    "@retry(attempts=2, delay=1s) {",
    "@timeout(5m) {",
    "@parallel(max_concurrency=2) {",
    "@workdir(\"/tmp\") {",
    "@isolated.filesystem(read=[\"/a\", \"/b\"]) {",
    "@detach {",
    "@shell(\"echo @var.x\")",
    "sleep(1s)",
    "# comment",
    "// comment",
    "cmd # @var.x",
    "}",
    "}",
    "}",
    "}",
    "}",
    "}",
];

/// What may end up wrong, or swallow what follows.
const ODD: &[&str] = &[
    "echo a \\",
    "echo @var.NAME",
    "NAME=$(date)",
    "1...3 -> x++",
    "else -> echo c",
    "r\"^a\" -> { echo b }",
    "\"a\" -> echo a",
    "when s {",
    "} finally {",
    "} catch {",
    "} else {",
    "clean: rm -f x",
    "fun deploy(env = \"prod\", n = 2) {",
    "fun test {",
    "fun build = echo build",
    "var d = 30s",
    "var secret = @env.TOKEN(default=\"t\")",
    "var port = @env.PORT(default=3000)",
    "var home = @env.HOME",
    "var map = {\"k\": 1, \"l\": \"v\"}",
    "var list = [\"a\", \"b\"]",
    "var s = \"a\"",
    "var x = 1",
    "(",
    ")",
    "\"",
    "'",
    "`",
    "$(",
    "\\@",
    "@evn.X",
    "@var.",
    "@{",
];
