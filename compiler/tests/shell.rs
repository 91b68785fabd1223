//! Shell text: where commands end, where values stand, what is refused.

use std::process::{Command, Stdio};

use opalc::{
    ast::{Item, Place, Quoting, ShellPart, ShellText, StatementKind},
    diagnostic::Severity,
    source::Source,
    syntax::{Parsed, parse},
};
use proptest::prelude::*;

fn parsed(text: &str) -> Parsed {
    parse(&Source::new("t.opl", text))
}

fn errors(text: &str) -> Vec<&'static str> {
    let of_kind = |d: &&opalc::diagnostic::Diagnostic| d.severity == Severity::Error;
    parsed(text).diagnostics.iter().filter(of_kind).map(|d| d.code.name()).collect()
}

fn warnings(text: &str) -> Vec<&'static str> {
    let of_kind = |d: &&opalc::diagnostic::Diagnostic| d.severity == Severity::Warning;
    parsed(text).diagnostics.iter().filter(of_kind).map(|d| d.code.name()).collect()
}

fn kinds(text: &str) -> Vec<StatementKind> {
    let parsed = parsed(text);
    assert!(!parsed.has_errors(), "{text}: {:?}", parsed.diagnostics);
    let statement = |item| match item {
        Item::Statement(statement) => Some(statement.kind),
        Item::Definition(_) => None,
    };
    parsed.file.items.into_iter().filter_map(statement).collect()
}

/// The only shell text of a source.
fn text(source: &str) -> ShellText {
    let mut kinds = kinds(source);
    assert_eq!(kinds.len(), 1, "{source}: {kinds:?}");
    match kinds.pop() {
        Some(StatementKind::Shell(shell)) => shell.text,
        Some(StatementKind::Binding(binding)) => binding.text,
        other => panic!("{source}: {other:?}"),
    }
}

fn positions(source: &str) -> String {
    let shown = |text: &ShellText| {
        let mut shown: Vec<String> = Vec::new();
        for reference in text.references() {
            let position = reference.position;
            let place = match position.place {
                Place::Word => "word",
                Place::CommandWord => "command",
                Place::Assignment => "assign",
                Place::Redirect => "single",
                Place::HereDocument => "here",
                Place::Integer => "int",
            };
            let quoting = match position.quoting {
                Quoting::Bare => "",
                Quoting::Double => " quoted",
                Quoting::HereDocument => " in body",
            };
            shown.push(format!("{place}{quoting}{}", if position.alone { " alone" } else { "" }));
        }
        shown.join(", ")
    };
    shown(&text(source))
}

/// The text with each value replaced by `<…>`.
fn shape(text: &ShellText) -> String {
    let piece = |part: &ShellPart| match part {
        ShellPart::Text { text, .. } => text.clone(),
        ShellPart::Reference(reference) => format!("<{}>", reference.reference.name().unwrap_or("")),
    };
    text.parts.iter().map(piece).collect()
}

#[test]
fn every_position_of_a_value_is_named() {
    let table = [
        ("echo @var.x", "word alone"),
        ("echo a@{var.x}b", "word"),
        ("echo \"@var.x\"", "word quoted alone"),
        ("echo \"a @var.x\"", "word quoted"),
        ("echo @var.x@var.y", "word, word"),
        ("@var.tool run", "command alone"),
        ("\"@var.tool\" run", "command quoted alone"),
        ("bin/@var.tool run", "command"),
        ("X=@var.x cmd", "assign alone"),
        ("X=a/@var.x cmd", "assign"),
        ("X=\"@var.x\" cmd", "assign quoted alone"),
        ("export X=@var.x", "assign alone"),
        ("cmd > @var.f", "single alone"),
        ("cmd 2>>\"@var.f\"", "single quoted alone"),
        ("cmd &> @var.f", "single alone"),
        ("cat <<< @var.x", "single alone"),
        ("cat <<E\na @var.x b\nE", "here in body"),
        ("cat <<E\n$(echo @var.x)\nE", "word alone"),
        ("echo $(cat @var.x)", "word alone"),
        ("echo \"$(cat \"@var.x\")\"", "word quoted alone"),
        ("(cd @var.d; ls)", "word alone"),
        ("diff <(a @var.x) b", "word alone"),
        ("case @var.x in @var.y) a;; esac", "single alone, single alone"),
        ("[[ @var.x == a ]]", "single alone"),
        ("for_ x; a=(@var.x b)", "word alone"),
    ];
    for (source, expected) in table {
        assert_eq!(positions(source), expected, "{source}");
    }
}

#[test]
fn where_bash_evaluates_its_text_only_integers_may_stand() {
    let table = [
        "echo $((1 + @var.x))",
        "echo $((\"@var.x\"))",
        "echo $[@var.x]",
        "((x = @var.x))",
        "echo $(( $(echo @var.x) ))",
        "a[@var.x]=1",
        "echo ${a[@var.x]}",
        "echo ${x:@var.x}",
        "echo ${x:1:@var.x}",
        "echo \"${x:@var.x}\"",
        "let y=@var.x",
        "let \"y=@var.x\"",
        "command let @var.x",
        "declare y=@var.x",
        "declare \"y=@var.x\"",
        "local y=@var.x",
        "typeset -i y=@var.x",
        "read @var.x",
        "unset @var.x",
        "export @var.x",
        "printf -v @var.x a",
        "test -v @var.x",
        "[ -v @var.x ]",
        "[[ -v @var.x ]]",
        "[[ @var.x -eq 1 ]]",
        "[[ 1 -lt @var.x ]]",
        "[[ a == b && @var.x -ge 3 ]]",
        "X=@var.x; echo $((X))",
        "X=@var.x; echo ${!X}",
        "X=@var.x; [[ X -eq 1 ]]",
        "X=\"@var.x\"; let y=X",
        "for_x; a=(@var.x); echo $((a))",
        "a; for i in @var.x; do echo $((i)); done",
        "set -- @var.x; echo $(($1))",
        "read x <<< @var.x; echo $((x))",
        "PS4=@var.x cmd",
        "a[1 + @var.x]=3",
        "printf @var.x",
        "printf @var.x text",
        "printf -v@{var.x} text",
        "printf -v y %s @var.x; echo $((y))",
        "printf -v RANDOM %s @var.x",
        "wait @var.x 1",
        "wait -n -p @var.x",
        "[ -d f -o $X @var.x ]",
        "RANDOM=@var.x cmd",
        "SRANDOM=@var.x cmd",
        "OPTIND=@var.x cmd",
        "HISTCMD=@var.x; b",
        "export RANDOM=@var.x",
        "a; for RANDOM in @var.x; do b; done",
        "a; RANDOM=(@var.x)",
        "BASH_ENV=@var.x cmd",
        "readonly -a y=@var.x",
        "export -a y=\"@var.x\"",
        "( f() { echo $(($1)); }; f @var.x )",
        "( function f { let y=$1; }; f \"@var.x\" )",
    ];
    for source in table {
        let shown = positions(source);
        if source == "printf @var.x" {
            assert_eq!(shown, "word", "the format itself is data, but never several words");
            continue;
        }
        assert!(shown.starts_with("int") && !shown.contains(','), "{source}: {shown}");
    }
    assert_eq!(positions("[[ @var.a == x && @var.b -eq 1 ]]"), "single alone, int alone");
    assert_eq!(positions("printf @var.f @var.x"), "int, int alone");
    assert_eq!(positions("X=@var.x; echo $X"), "assign alone");
    assert_eq!(positions("[ @var.a @var.b ]"), "word, int");
    assert_eq!(positions("[ @var.a = @var.b ]"), "word, word");
    assert_eq!(positions("[ @var.a = b ] && X=@var.x cmd"), "word, assign alone");
    assert_eq!(positions("printf @var.f a @var.x"), "int, int alone");
    assert_eq!(positions("printf \"@var.f: %s\\n\" @var.x"), "word quoted, word alone");
    assert_eq!(positions("printf -v y %s @var.x; echo $y"), "word alone");
    assert_eq!(positions("readonly y=@var.x"), "assign alone");
    assert_eq!(positions("( f() { echo $1; }; f @var.x )"), "word alone");
}

#[test]
fn values_are_refused_where_they_cannot_be_data() {
    let table = [
        ("echo ${x:-@var.y}", "value_in_expansion"),
        ("echo \"${x#@var.y}\"", "value_in_expansion"),
        ("eval @var.x", "value_in_eval"),
        ("eval \"echo @var.x\"", "value_in_eval"),
        ("command eval @var.x", "value_in_eval"),
        ("builtin eval @var.x", "value_in_eval"),
        ("\\eval @var.x", "value_in_eval"),
        ("'eval' @var.x", "value_in_eval"),
        ("trap \"@var.x\" EXIT", "value_in_eval"),
        ("alias ll=@var.x", "value_in_eval"),
        ("compgen -W @var.x", "value_in_eval"),
        ("cat > /dev/tcp/@var.h/80", "value_in_dev_tcp"),
        ("cat > \"/dev/udp/@var.h/80\"", "value_in_dev_tcp"),
        ("cat > /dev/@var.x", "value_in_dev_tcp"),
        ("cmd 2>&@var.x", "value_as_descriptor"),
        ("cmd <&@var.x", "value_as_descriptor"),
        ("cat <<@var.x\nx\n", "value_as_delimiter"),
        ("echo `cat @var.x`", "value_in_backticks"),
        ("echo \"`cat @var.x`\"", "value_in_backticks"),
        ("a; for @var.x in a; do b; done", "value_in_shell_syntax"),
        ("echo @cmd.build", "call_in_shell_text"),
    ];
    for (source, code) in table {
        assert!(errors(source).contains(&code), "{source}: {:?}", errors(source));
    }
}

#[test]
fn text_that_only_looks_like_a_value_is_text() {
    let table = [
        "git@host",
        "me@var.com",
        "@types/node",
        "@var",
        "@",
        "a@b@c",
        "'@var.x'",
        "$'@var.x'",
        "\\@var.x",
        "\"\\@var.x\"",
        "@{u}",
        "HEAD@{1}",
        "$@",
        "\"$@\"",
        "${a[@]}",
        "${x@Q}",
        "user@env.example.com",
    ];
    for word in table {
        let text = text(&format!("echo {word}"));
        assert_eq!(text.references().count(), 0, "{word}");
        assert_eq!(shape(&text), format!("echo {}", word.replace("\\@", "@")));
    }
    assert_eq!(warnings("echo @evn.HOME"), ["near_miss_namespace"]);
    assert_eq!(warnings("echo @foo.bar @types.x"), [""; 0]);
}

#[test]
fn references_end_where_the_path_ends() {
    let table = [
        ("echo @var.service()_backup", "echo <service>_backup"),
        ("echo @var.a@var.b", "echo <a><b>"),
        ("echo @var.a.", "echo <a>."),
        ("echo @var.a-x", "echo <a>-x"),
        ("echo @var.a/b", "echo <a>/b"),
        ("echo @var.a.*", "echo <a>"),
        ("echo @var.a[0]:80", "echo <a>:80"),
        ("echo @var.a.[0].b.0", "echo <a>"),
        ("echo a@{var.x}b", "echo a<x>b"),
        ("echo $X@var.a", "echo $X<a>"),
        ("echo ${X}@var.a", "echo ${X}<a>"),
        ("echo \"v=@env.V(default=\"x y\")!\"", "echo \"v=<V>!\""),
        ("echo @env.V(default=\"@env.W(default=\"a\")\")", "echo <V>"),
    ];
    for (source, expected) in table {
        assert_eq!(shape(&text(source)), expected, "{source}");
    }
}

#[test]
fn a_command_ends_where_its_line_ends() {
    let table = [
        ("a\nb", 2),
        ("a \\\n b", 1),
        ("a |\n b", 1),
        ("a &&\n\n  b", 1),
        ("a || # why\n b", 1),
        ("a && // why\n b", 1),
        ("echo 'a\nb'", 1),
        ("echo \"a\nb\"", 1),
        ("echo $(a\nb)", 1),
        ("echo `a\nb`", 1),
        ("(a\nb)", 1),
        ("{ a\nb\n}", 1),
        ("echo { a\nb", 2),
        ("cat <<E\na\nE\nb", 2),
        ("cat <<E\na \\\nE\nb\nE\nc", 2),
        ("cat <<E\na \\\\\nE\nb", 2),
        ("cat <<EF\nE\\\nF\nb", 2),
        ("cat <<-EF\n\tE\\\nF\nb", 2),
        ("cat <<'E'\na \\\nE\nb", 2),
        ("cat <<E <<F\na\nE\nb\nF\nc", 2),
        ("cat <<-E\n\ta\n\tE\nb", 2),
        ("cat <<'E' | x\n$(\nE\nb", 2),
        ("$(cat <<E\n)\nE\n)\nb", 2),
        ("a # comment \" '\nb", 2),
        ("a // comment \" '\nb", 2),
        ("echo a#b http://x\nb", 2),
        ("a | while read l; do\n b\ndone\nc", 2),
        ("until a; do\n b\ndone", 1),
        ("case x in\na) b;;\nesac\nc", 2),
        ("echo $(case x in a) b;; esac)", 1),
        ("a=(\n1\n2\n)\nb", 2),
        ("[[ a &&\n b ]]\nc", 2),
        ("a\r\nb\r\n", 2),
    ];
    for (source, count) in table {
        assert_eq!(kinds(source).len(), count, "{source}: {:?}", kinds(source));
    }
    assert_eq!(shape(&text("a | // why\n b")), "a | \n b");
    assert_eq!(shape(&text("cat <<E\r\nx\r\nE\r\n")), "cat <<E\nx\nE");
}

#[test]
fn braces_of_blocks_and_of_the_shell_are_told_apart() {
    let table = [
        ("if true { npm test }", "npm test"),
        ("if true { echo ${X} }", "echo ${X}"),
        ("if true { echo {a,b} }", "echo {a,b}"),
        ("if true { echo '}' }", "echo '}'"),
        ("if true { find . -exec ls {} \\; }", "find . -exec ls {} \\;"),
        ("if true { { a; b; } }", "{ a; b; }"),
        ("if true { a; }", "a;"),
        ("if true {\n  a }", "a"),
        ("if true { docker ps --format {{.Names}} }", "docker ps --format {{.Names}}"),
    ];
    for (source, expected) in table {
        let kinds = kinds(source);
        let Some(StatementKind::If(branches)) = kinds.first() else { panic!("{source}") };
        let body = &branches.branches[0].body.statements;
        let StatementKind::Shell(shell) = &body[0].kind else { panic!("{source}") };
        assert_eq!((shape(&shell.text).as_str(), body.len()), (expected, 1), "{source}");
    }
}

#[test]
fn a_lone_assignment_is_a_runtime_binding() {
    for (source, name) in [("A=$(date)", "A"), ("A=x", "A"), ("A=\"x y\"", "A"), ("a_1=@var.x", "a_1"), ("A=", "A")] {
        match kinds(source).as_slice() {
            [StatementKind::Binding(binding)] => assert_eq!(binding.name.name, name),
            other => panic!("{source}: {other:?}"),
        }
    }
    for source in ["A=1 cmd", "A=1 B=2", "A=1; b", "A=1 > f", "A+=1", "A=(1)", "A[0]=1", "export A=1", "(A=1)"] {
        assert!(matches!(kinds(source).as_slice(), [StatementKind::Shell(_)]), "{source}");
    }
}

#[test]
fn variables_of_the_shell_are_recorded_with_what_the_command_sets() {
    let found = text("A=1 echo $B ${C:-$D} '$E' \"$F\" $((G + $H)) $1 $(echo $I) \\$J");
    let names: Vec<&str> = found.variables.iter().map(|variable| variable.name.as_str()).collect();
    assert_eq!(names, ["B", "C", "D", "F", "H", "I"]);
    assert_eq!(found.assigned, ["A"]);
    let found = text("a; for i in 1; do read x y; local z=1; printf -v w a; done; export q; arr[0]=1; l+=x");
    let mut assigned = found.assigned;
    assigned.sort();
    assert_eq!(assigned, ["arr", "i", "l", "q", "w", "x", "y", "z"]);
}

#[test]
fn commands_are_recorded_with_their_names() {
    let found = text("A=1 cd '/x y' && $(which ls) | \"grep\" -v @var.x > f; { echo; }");
    let shown: Vec<(Option<&str>, u32, u32)> =
        found.commands.iter().map(|command| (command.name.as_deref(), command.arguments, command.depth)).collect();
    let expected = [(Some("cd"), 1, 0), (None, 0, 0), (Some("which"), 1, 1), (Some("grep"), 2, 0), (Some("echo"), 0, 0)];
    assert_eq!(shown, expected);
    assert_eq!(found.references().next().unwrap().command, Some(3));
}

#[test]
fn a_value_in_the_program_of_another_interpreter_is_a_warning() {
    let code = "value_in_second_interpreter";
    let warned = [
        "sh -c \"echo @var.x\"",
        "bash -lc 'a '@var.x",
        "sudo bash -c \"@var.x\"",
        "ssh host \"ls @var.x\"",
        "ssh -p 22 host ls @var.x",
        "su - me -c \"@var.x\"",
        "awk \"{print @var.x}\" f",
        "psql -d db -c \"select @var.x\"",
        "docker exec c sh -c \"@var.x\"",
        "xargs -I{} sh -c \"echo {} @var.x\"",
        "python3 -c \"print(@var.x)\"",
        "env A=1 bash -c @var.x",
        "jq \".a == @var.x\"",
    ];
    for source in warned {
        assert_eq!(warnings(source), [code], "{source}");
    }
    let silent = [
        "sh -c 'echo \"$1\"' _ @var.x",
        "sh @var.x",
        "ssh @var.host ls",
        "ssh -i @var.key host ls",
        "awk -v x=@var.x '{}' f",
        "bash -c \"echo @{var.x}.quoted\"",
        "echo sh @var.x",
        "psql @var.url -f f",
        "jq --arg a @var.x '$a'",
    ];
    for source in silent {
        assert_eq!(warnings(source), [""; 0], "{source}");
    }
}

#[test]
fn a_lone_cd_is_a_warning() {
    assert_eq!(warnings("cd dir"), ["lone_cd"]);
    for source in ["cd dir && ls", "(cd dir)", "cd dir; ls", "echo cd"] {
        assert_eq!(warnings(source), [""; 0], "{source}");
    }
}

#[test]
fn an_error_in_one_command_does_not_hide_the_next() {
    let found = errors("echo ${x:-@var.y}\nfoo @cmd.x\necho \"open\nvar = \n");
    assert!(found.contains(&"value_in_expansion") && found.contains(&"call_in_shell_text"), "{found:?}");
    assert!(found.contains(&"unclosed_quote"), "{found:?}");
}

#[test]
fn the_text_of_a_shell_decorator_is_shell_text() {
    let found = text("@shell(\"echo \\\"a @var.x\\\" '@var.y' \\@var.z # no\\nb\")");
    assert_eq!(shape(&found), "echo \"a <x>\" '@var.y' @var.z # no\nb");
    let reference = found.references().next().unwrap();
    assert_eq!(reference.position.quoting, Quoting::Double);
    assert_eq!((reference.reference.span.start, reference.reference.span.end), (17, 23));
    assert_eq!(errors("@shell(\"echo ${x:-@var.y}\")"), ["value_in_expansion"]);
    for source in ["@shell(x)", "@shell()", "@shell(\"a\", 1)", "@shell(text=\"a\")", "@shell"] {
        assert_eq!(errors(source), ["shell_decorator"], "{source}");
    }
}

#[test]
fn deep_nesting_is_refused_and_nothing_overflows() {
    for (open, close) in [("$(", ")"), ("(", ")"), ("\"$(", ")\""), ("${a:-", "}"), ("$((", "))"), ("{ ", "; }")] {
        for depth in [200, 1000, 100_000] {
            let source = format!("echo {}x{}", open.repeat(depth), close.repeat(depth));
            let found = errors(&source);
            assert!(found.len() <= 2, "{open} {depth}: {found:?}");
            assert!(depth < 256 || found.contains(&"nesting_too_deep") || open == "{ " || open == "(", "{open} {depth}");
        }
    }
}

/// Whether bash can read the text.
fn bash_reads(text: &str) -> Option<bool> {
    let mut child = Command::new("bash")
        .args(["--norc", "--noprofile", "-n", "-c"])
        .arg(text)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    Some(child.wait().ok()?.success())
}

fn shellish() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "echo",
        " ",
        " ",
        "a",
        "@var.x",
        "@var.x()",
        "@{env.Y}",
        "\"",
        "'",
        "$(",
        ")",
        "(",
        "${x}",
        "${x:-",
        "}",
        "{ ",
        "; ",
        " && ",
        " || ",
        " | ",
        "\n",
        "\\\n",
        "\\",
        "`",
        "$((1+",
        "))",
        "<<E\n",
        "\nE\n",
        "# c",
        " > f",
        "case x in ",
        " esac",
        "=",
        "[[ ",
        " ]]",
        "$",
        "@",
        "\\@",
        ";;",
        "\t",
        "é",
        "\r\n",
        "[",
        "]",
        "<(",
        "if ",
        "fi",
        "do ",
        "done",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Lines that are mostly well formed.
fn plausible() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "a",
        "@var.x",
        "\"b @var.x\"",
        "'c @var.x'",
        "$(d @var.x)",
        "\"$(e \"@var.x\" f)\"",
        "${g}",
        "x@{var.x}y",
        "--h=@var.x",
        "{i,j}",
        "$((1+2))",
        "\\@var.x",
        "`k`",
        "<(l @var.x)",
        "\"${m:-n}\"",
        "\"${m:-'n}'}\"",
        "o\\ p",
        "$'q\\'r'",
        "@var.x@var.y",
    ]);
    let command = prop::collection::vec(word, 1..5).prop_map(|words| words.join(" "));
    let joint = prop::sample::select(vec![" && ", " || ", " | ", "; ", " &&\n", " |\n  ", " \\\n && "]);
    let wrapped = (command, prop::sample::select(vec!["", "(", "{", "if", "while", "case", "here", "redirect"])).prop_map(
        |(command, wrap)| match wrap {
            "(" => format!("( {command} )"),
            "{" => format!("{{ {command}; }}"),
            "if" => format!("! if true; then {command}; fi"),
            "while" => format!("! while false; do\n{command}\ndone"),
            "case" => format!("case @var.x in a|b) {command};; *) c;; esac"),
            "here" => format!("( cat <<E\n{{ @var.x $(z @var.x)\nE\n {command} )"),
            "redirect" => format!("{command} > @var.x 2>&1"),
            _ => command,
        },
    );
    prop::collection::vec((wrapped, joint), 1..4).prop_map(|commands| {
        let mut line = String::from("run ; ");
        let last = commands.len() - 1;
        for (index, (command, joint)) in commands.into_iter().enumerate() {
            line.push_str(&command);
            if index < last {
                line.push_str(joint);
            }
        }
        line
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn shellish_text_never_panics(source in shellish()) {
        let _ = parsed(&source);
        let _ = parsed(&format!("if true {{ {source} }}"));
        let _ = parsed(&format!("a: {source}"));
        let _ = parsed(&format!("@shell(\"{source}\")"));
    }

    #[test]
    fn what_bash_reads_it_still_reads_with_words_for_values(source in plausible()) {
        let original = source.replace("\\@", "@");
        prop_assume!(bash_reads(&original) == Some(true));
        let found = parsed(&source);
        prop_assert!(!found.has_errors(), "{source}\n{:?}", found.diagnostics);
        prop_assert_eq!(found.file.items.len(), 1, "{}", &source);
        let Item::Statement(statement) = &found.file.items[0] else { panic!("{source}") };
        let StatementKind::Shell(shell) = &statement.kind else { panic!("{source}: {statement:?}") };
        let mut replaced = String::new();
        for part in &shell.text.parts {
            match part {
                ShellPart::Text { text, .. } => replaced.push_str(text),
                ShellPart::Reference(_) => replaced.push_str("safe"),
            }
        }
        prop_assert_eq!(bash_reads(&replaced), Some(true), "{}\n{}", &source, &replaced);
        // Nothing is lost: with the references put back, the text is what was written.
        let mut rebuilt = String::new();
        for part in &shell.text.parts {
            match part {
                ShellPart::Text { text, .. } => rebuilt.push_str(text),
                ShellPart::Reference(r) => rebuilt.push_str(&source[r.reference.span.range()]),
            }
        }
        prop_assert_eq!(rebuilt, original);
    }
}

#[test]
fn a_value_is_followed_to_what_evaluates_it() {
    let refused = [
        "true; select o in a b; do ((REPLY)); break; done <<< @var.x",
        "true; select o in a b; do eval \"$REPLY\"; break; done <<< @var.x",
        "echo @var.x | select o in a; do echo $((REPLY+1)); done",
        "true; select o in a; do [[ $REPLY -eq 1 ]]; break; done <<< @var.x",
        "x=@var.x; source /dev/stdin <<< 'let \"$x\"'",
        "x=@var.x; . /dev/fd/0 <<< 'eval \"$x\"'",
        "x=@var.x; . /dev/stdin <<'E'\n((x))\nE",
        "x=@var.x; eval \"$(echo 'let \"$x\"')\"",
        "x=@var.x; y='((x))'; eval \"$y\"",
        "x=@var.x; eval \"((x + $#))\"",
        "x=@var.x; . <(printf '%s \"$x\"\\n' let)",
        ". <(echo 'f() { let \"$1\"; }'); f @var.x",
        "mapfile -t a < <(echo @var.x); ((a))",
        "read x < <(echo @var.x); ((x))",
        "exec 3< <(command echo @var.x); read -u 3 x; ((x))",
        "echo @var.x > >(read x; ((x)))",
        "exec > >(read x; ((x))); echo @var.x",
        "a; { echo @var.x; } | { read x; ((x)); }",
        "(echo @var.x) | { read x; ((x)); }",
        "a; for i in 1; do echo @var.x; done | { read x; ((x)); }",
        "( f() { echo @var.x; }; f | { read x; ((x)); } )",
        "PS0=@var.x bash --norc -i",
        "PS1=@var.x bash --norc -i",
        "ENV=@var.x sh -i",
        "env ENV=@var.x sh -i",
        "export ENV=@var.x; sh",
        ": @var.x; ((BASH_EXECUTION_STRING))",
        "trap '((BASH_COMMAND))' DEBUG; : @var.x",
        "x=BASH_REMATCH; [[ @var.x =~ .* ]]; ((x))",
        "set -- -a @var.x; getopts a: o; eval \"let $OPTARG\"",
        "x=@var.x bash -c 'echo $((x))'",
        "x=@var.x bash -c 'eval \"$x\"'",
        "env x=@var.x bash -c '[[ -v $x ]]'",
        "bash -c '((i = $1))' _ @var.x",
        "env bash -c '((i = $1))' _ @var.x",
        "x=@var.x bash <<'E'\n((x))\nE",
    ];
    let mut missed = Vec::new();
    for source in refused {
        assert!(errors(source).is_empty(), "{source}: {:?}", errors(source));
        if !positions(source).contains("int") {
            missed.push(source);
        }
    }
    assert_eq!(errors("history -s @var.x"), ["value_in_eval"]);
    let taken = [
        "true; select o in @var.x b; do echo \"$REPLY\"; break; done",
        "x=@var.x; source /dev/stdin <<< 'echo \"$x\"'",
        "x=@var.x; . ./lib.sh; echo \"it's (done)\"",
        "x=@var.x; eval \"$(ssh-agent -s)\"; echo \"$x done\"",
        "a; while read -r n; do echo @var.x; t=$((t + n)); done < <(tool)",
        "mapfile -t a < <(find @var.x -type f); echo $((1 + 1))",
        "a; { echo @var.x; } | tee log; echo $((1 + 1))",
        "ENV=@var.x npm start",
        "ENV=@var.x bash deploy.sh",
        "x=@var.x bash -c 'echo \"$x\"'",
        "env x=@var.x bash -c 'echo \"$x\"'; echo $((1 + 1))",
        "bash -c 'echo \"$1\"' _ @var.x",
        "trap 'echo \"failed: $BASH_COMMAND\"' ERR; cmd @var.x",
        "true; case a in a) ;; esac; [[ $X =~ \"$X\" ]]; echo @var.x",
        "([[ a ]]) && echo @var.x",
    ];
    for source in taken {
        assert!(errors(source).is_empty(), "{source}: {:?}", errors(source));
        if positions(source).contains("int") {
            missed.push(source);
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
