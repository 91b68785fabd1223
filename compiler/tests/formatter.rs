//! The layout of sources: what it looks like, and that it changes nothing else.

use opal_core::plan::{FileFailure, Mode, Options, Reality, plan};
use opal_core::program::table::limits;
use opal_core::program::verify::verify;
use opal_format::hash::HashAlgorithm;
use opal_format::plan_hash::plan_hash;
use opal_format::seed::Seed;
use opalc::ast::{File, Item};
use opalc::formatter::{FormatError, format, without_places};
use opalc::lower::{Entry, compile};
use opalc::source::Source;
use opalc::syntax::parse;
use std::path::{Path, PathBuf};

fn source(text: &str) -> Source {
    Source::new("test.opl", text)
}

fn formatted(text: &str) -> String {
    format(&source(text)).unwrap_or_else(|error| panic!("{text}\n{error:?}"))
}

fn comments(text: &str, file: &File) -> Vec<String> {
    file.comments.iter().map(|comment| text[comment.span.range()].trim_end().to_owned()).collect()
}

/// Checks the promises on one source; `false` if it does not parse.
fn keeps_its_promises(text: &str) -> bool {
    let before = parse(&source(text));
    if before.has_errors() {
        assert!(matches!(format(&source(text)), Err(FormatError::Source(_))));
        return false;
    }
    let out = formatted(text);
    let after = parse(&source(&out));
    assert!(!after.has_errors(), "{text}\n{out}\n{:#?}", after.diagnostics);
    assert_eq!(comments(text, &before.file), comments(&out, &after.file), "{text}\n{out}");
    assert_eq!(without_places(before.file), without_places(after.file), "{text}\n{out}");
    assert_eq!(formatted(&out), out, "{text}");
    true
}

#[track_caller]
fn becomes(text: &str, expected: &str) {
    assert!(keeps_its_promises(text));
    assert_eq!(formatted(text), expected);
}

#[track_caller]
fn stays(text: &str) {
    becomes(text, text);
}

#[test]
fn blocks_are_indented_by_four_spaces_with_one_statement_a_line() {
    becomes(
        "deploy:   {\n\techo a\n if x==1{ @cmd.b; y = 2 }\n\n\n\n  else { sleep( 1s ) ; a++ }\n\n}\n\n\n\nb:{ }\n\n",
        "deploy: {\n    echo a\n    if x == 1 {\n        @cmd.b\n        y = 2\n    } else {\n        sleep(1s)\n        a++\n    }\n}\n\nb: {}\n",
    );
    becomes("next:\n  // why\n{\n a\n}\n", "next: {\n    // why\n    a\n}\n");
    becomes("\n\n  # only this  \n\n\n", "# only this\n");
    becomes("", "");
}

#[test]
fn short_blocks_stay_on_their_line() {
    stays("@retry(attempts=3, delay=2s) { npm test }\n");
    stays("if a { b } else if c { d } else { e }\n");
    stays("try { a } catch { b } finally { c }\n");
    stays("@retry(3) { a } && b | @cmd.c; @shell(\"d\") || sleep(1s)\n");
    becomes(
        "if a { b } else {\n c }\nfor x in xs { if y { z } }\n",
        "if a {\n    b\n} else {\n    c\n}\nfor x in xs {\n    if y { z }\n}\n",
    );
}

#[test]
fn each_definition_keeps_its_form() {
    stays("fun a = b\nfun c(d) = e\nfun f {\n    g\n}\nfun h() {\n    i\n}\nj: k\nl-m: {\n    n\n}\n");
    becomes("fun  a( b:Int=3,c = 1 ,)=echo\n", "fun a(b: Int = 3, c = 1,) = echo\n");
    becomes("fun a(\nb,   // one\n\n  c\n) = {\nd\n}\n", "fun a(\n    b,  // one\n\n    c\n) {\n    d\n}\n");
}

#[test]
fn expressions_are_spaced_evenly_and_keep_their_numbers_parentheses_and_line_breaks() {
    becomes("var a = 007+1.50-x.y[ b+1 ].[0].* *2\n", "var a = 007 + 1.50 - x.y[b + 1].[0].* * 2\n");
    becomes("var a = ! b&&! ( c )||- 1<- -2\n", "var a = !b && !(c) || -1 < - -2\n");
    becomes("var a = {\"x\":1 , y : [ ],z:{ }}\n", "var a = {\"x\": 1, y: [], z: {}}\n");
    becomes("var a = int ( @env.X( default = 3 ) )\n", "var a = int(@env.X(default=3))\n");
    becomes("var a = [ {\n\"k\" : 1,\n\n\n// last\n} ]\n", "var a = [{\n    \"k\": 1,\n\n    // last\n}]\n");
    becomes("var a = 1 +\n 2\nb   +=  3\n", "var a = 1 +\n    2\nb += 3\n");
    becomes("for a in x..y , b in [1,2]{ c }\n", "for a in x...y, b in [1, 2] { c }\n");
    becomes("var a = 1 + \\\n2\n", "var a = 1 + \\\n    2\n");
    becomes("var (a = 1; b=2)\nvar()\n", "var (\n    a = 1\n    b = 2\n)\nvar ()\n");
    becomes(
        "when x{ \"a\"|\"b\"->c; { 1 ,2 } -> { d }\n r\"e\\\"\"  ->   {\nf\n}\n1 .. 5->g\nelse->h }\n",
        "when x {\n    \"a\" | \"b\" -> c\n    {1, 2} -> { d }\n    r\"e\\\"\" -> {\n        f\n    }\n    1...5 -> g\n    else -> h\n}\n",
    );
    becomes("a|>lines.head( 1 )|>assert.eq( \"x\")\n", "a |> lines.head(1) |> assert.eq(\"x\")\n");
}

#[test]
fn shell_text_keeps_every_byte() {
    stays(
        "deploy: {\n    printf '%s\\n'   \"it's\" \\\n second  # why\n    cat <<-EOF  &&  b\n\t  body @var.x  \n\tEOF\n    x=$(\n  a\n)\n}\n",
    );
    becomes("a: {\n   echo   a\\ \n\t\tb   &&c   \n}\n", "a: {\n    echo   a\\ \n    b   &&c\n}\n");
    stays("echo \\@var.x @types/node git@host \"a  b\" 'c  d'\n");
    // The last byte of a source may escape nothing.
    stays("echo a \\");
    becomes("echo a", "echo a\n");
}

#[test]
fn operators_between_opal_constructs_keep_their_line_breaks() {
    becomes("@cmd.a&&@cmd.b   |   c;d;@cmd.e\n", "@cmd.a && @cmd.b | c; d; @cmd.e\n");
    becomes("@cmd.a &&  # why\n\n// and\n  @cmd.b\n", "@cmd.a &&  # why\n\n    // and\n    @cmd.b\n");
    becomes("@cmd.a \\\n || b\n", "@cmd.a \\\n    || b\n");
    becomes("a \\\n  && touch \\  && @cmd.b\n", "a \\\n  && touch \\  && @cmd.b\n");
    stays("a & b && @cmd.c\n");
}

#[test]
fn comments_stay_where_they_are_said() {
    stays(
        "#!/usr/bin/env opal\n// first\n\n# second\nif a {  // opens\n    b  # behind\n    // last\n}\n// between\nelse {\n    // only\n}\n",
    );
    becomes("a = 1      # one\nbc = 2     # two\nd = 3 # three\n", "a = 1   # one\nbc = 2  # two\nd = 3  # three\n");
    becomes("try { a }\n# why\n\ncatch { b } # end", "try {\n    a\n}\n# why\ncatch {\n    b\n}  # end\n");
}

#[test]
fn line_ends_become_line_feeds_and_a_carriage_return_elsewhere_stays() {
    becomes("a: {\r\n  cat <<E\r\nx\r\nE\r\n  b \\\r\n c # d\r\n}\r\n", "a: {\n    cat <<E\nx\nE\n    b \\\n c  # d\n}\n");
    stays("echo 'a\r\r\nb' c\n");
    becomes("\u{feff}a\r\n", "\u{feff}a\n");
}

#[test]
fn older_spellings_become_dotted_ones() {
    becomes(
        "echo @var(A) \"@var(A)\" @var(A)_b @var(A).txt @var(A[0])x\n",
        "echo @var.A \"@var.A\" @var.A()_b @var.A().txt @var.A[0]()x\n",
    );
    becomes("echo @var(A.0):@var( A.* ) @var(A[@var(B)])\n", "echo @var.A.0:@var.A.* @var.A[@var.B]\n");
    becomes("var a = @env( \"X\" , default = 1 )+@env(\"Y\")\n", "var a = @env.X(default=1) + @env.Y\n");
    becomes("run @env(\"X\",  default=\"y\")z \"@env('X')\"\n", "run @env.X(default=\"y\")z \"@env.X\"\n");
    becomes("var a = @var(S).length + @{var(N)}\n", "var a = @var.S.length + @{var.N}\n");
    becomes(
        "run @aws.secret(\"key\")/ @aws.secret(\"a-key\") @aws.secret(\"length\", region=\"x\")\n",
        "run @aws.secret.key/ @aws.secret[\"a-key\"] @aws.secret[\"length\"](region=\"x\")\n",
    );
    becomes("d: @cmd(a) && @cmd(b-c,x = 1 , y=[@var(Z)])\n", "d: @cmd.a && @cmd.b-c(x=1, y=[@var.Z])\n");
    becomes("@shell(\"echo @var(A)b \\\"@env(\"X\", default=\"q\")\\\"\")\n", "@shell(\"echo @var.A()b \\\"@env.X(default=\"q\")\\\"\")\n");
    // A comment inside is worth more than the spelling.
    stays("var a = @env(\n    \"X\",  # why\n    default=1\n)\n");
}

#[test]
fn a_source_that_does_not_parse_is_refused_with_all_its_messages() {
    let Err(FormatError::Source(diagnostics)) = format(&source("a: {\n  b 'c\n}\nvar = 3\n")) else { panic!("accepted") };
    assert!(diagnostics.len() > 1, "{diagnostics:#?}");
}

// Whole files.

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn sources_below(name: &str) -> Vec<String> {
    let mut open = vec![directory(name)];
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "opl") {
                found.push(std::fs::read_to_string(&path).expect("UTF-8"));
            }
        }
    }
    found.sort();
    found
}

/// The examples in the language's specification.
fn specified() -> Vec<String> {
    let text = std::fs::read_to_string(directory("../spec/language.md")).expect("the spec");
    let blocks = text.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.split_once('\n')).map(|(_, block)| block.to_owned()).collect()
}

/// Ways to write the same source less well.
fn disfigured(text: &str) -> [String; 4] {
    let squeezed = text.lines().map(str::trim_start).collect::<Vec<_>>().join("\n");
    [text.to_owned(), text.replace('\n', "\r\n"), text.replace("    ", "\t").replace("\n\n", "\n\n\n\n"), squeezed]
}

#[test]
fn the_promises_hold_for_the_corpus_the_examples_and_the_spec() {
    let mut kept = 0;
    for text in sources_below("tests/corpus").into_iter().chain(sources_below("../examples")).chain(specified()) {
        for text in disfigured(&text) {
            kept += usize::from(keeps_its_promises(&text));
        }
    }
    assert!(kept > 30, "{kept}");
}

#[test]
fn the_examples_are_laid_out() {
    for text in sources_below("../examples") {
        assert_eq!(formatted(&text), text);
    }
}

struct World;

impl Reality for World {
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        (!name.contains("REPLICAS")).then(|| b"value".to_vec())
    }

    fn read_file(&self, path: &[u8]) -> Result<Vec<u8>, FileFailure> {
        Ok(path.to_vec())
    }
}

/// The plan hash of every target that plans without arguments.
fn plan_hashes(text: &str) -> Vec<(String, String)> {
    let source = source(text);
    let parsed = parse(&source);
    let names = parsed.file.items.iter().filter_map(|item| match item {
        Item::Definition(definition) => Some(Some(definition.name.name.clone())),
        Item::Statement(_) => None,
    });
    let mut hashes = Vec::new();
    for target in names.chain([None]) {
        let Ok(compiled) = compile(&source, &parsed.file, &Entry { target, arguments: Vec::new() }) else { continue };
        let verified = verify(compiled.program.view()).expect("a valid program");
        let seed = Seed::from_bytes([7; 32]);
        let options = Options {
            mode: Mode::Resolve,
            seed: &seed,
            arguments: &compiled.values,
            pass_env: &[],
            regen: opal_format::regen::Regen::None,
            public_names: Some(&[]),
            no_public: false,
            fuel: limits::FUEL,
        };
        let Ok(plan) = plan(&verified, &World, &options) else { continue };
        let (target, arguments) = (&compiled.target, &compiled.arguments);
        let setting = opal_format::terms::Setting { target, arguments, shell: "/bin/bash", umask: 0o022, directory: "" };
        let hash = plan_hash(HashAlgorithm::Sha256, &setting, plan.steps.view(), plan.slots.view());
        hashes.push((compiled.target.clone(), hash.expect("tables that fit").to_string()));
    }
    hashes
}

#[test]
fn the_plan_hash_stays() {
    let older = "var P = @env(\"PORT\", default=3000)\nvar S=[ \"a\",\"b\" ]\nrun: { docker run -p @var(P):@var(S.0) \"@var(S)_x\"\n\n\n cat <<E\n @var(P)\nE\n @cmd(stop) && if_x\n}\nstop: { if 1==1{ echo   a }\n for x in S{ @retry( 3,delay = 1s ){ b @var(x)\n } } }\n";
    let mut planned = 0;
    let texts =
        sources_below("tests/corpus/accept").into_iter().chain(sources_below("../examples")).chain(specified()).chain([older.to_owned()]);
    for text in texts {
        for text in disfigured(&text) {
            if parse(&source(&text)).has_errors() {
                continue;
            }
            let hashes = plan_hashes(&text);
            assert_eq!(plan_hashes(&formatted(&text)), hashes, "{text}");
            planned += hashes.len();
        }
    }
    assert!(!plan_hashes(older).is_empty());
    assert!(planned > 40, "{planned}");
}

mod generated {
    use super::keeps_its_promises;
    use proptest::prelude::*;

    fn pick(of: &'static [&'static str]) -> BoxedStrategy<String> {
        prop::sample::select(of).prop_map(str::to_owned).boxed()
    }

    /// White space that a line may hold anywhere between two tokens.
    fn gap() -> impl Strategy<Value = String> {
        pick(&["", " ", " ", "  ", "\t", " \\\n "])
    }

    /// White space inside brackets.
    fn wide() -> impl Strategy<Value = String> {
        pick(&["", "", " ", "\n", " \n\n\n  ", " # c\n", "\r\n// d \n\t"])
    }

    fn expression() -> impl Strategy<Value = String> {
        let leaf = pick(&[
            "1",
            "007",
            "2.50",
            "1h30m",
            "true",
            "a",
            "a.b[0].*",
            "@var.a",
            "@var.l[a + 1].length",
            "@env.X(default=1)",
            "\"t @var.a \\\" @env.Y(default=\"z\")\"",
            "'s @var'",
            "@{var.b}.quoted",
            "@var(OLD)",
            "@env(\"OLD\", default = [1 ,2])",
            "@aws.secret(\"k-v\")",
            "-9223372036854775808",
            "[]",
            "{}",
        ]);
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                (inner.clone(), gap(), pick(&["+", "-", "*", "/", "%", "==", "<", "&&", "||", "-  -", "+\n"]), gap(), inner.clone())
                    .prop_map(|(a, before, op, after, b)| format!("{a}{before}{op}{after}{b}")),
                (pick(&["-", "!", "- ", "!\t"]), inner.clone()).prop_map(|(op, a)| format!("{op}({a})")),
                (wide(), inner.clone(), wide(), wide(), inner.clone(), wide())
                    .prop_map(|(w1, a, w2, w3, b, w4)| format!("[{w1}{a}{w2},{w3}{b}{w4}]")),
                (wide(), inner.clone(), wide()).prop_map(|(w1, a, w2)| format!("{{{w1}\"k\" :{a}{w2},}}")),
                (pick(&["int", "int ", "", "@file.read", "x[0", "@random.password"]), inner.clone(), wide()).prop_map(|(name, a, w)| {
                    match name.as_str() {
                        "x[0" => format!("x[{a}]"),
                        "@random.password" => format!("{name}(length = {a}{w})"),
                        _ => format!("{name}({a}{w})"),
                    }
                }),
            ]
        })
    }

    fn statement() -> impl Strategy<Value = String> {
        let line = pick(&[
            "echo   @var.a  'x  y' \"@var(OLD)_z\"",
            "a &&\n   b |  c",
            "cat <<EOF | tr\n  @var.a\n\tb\nEOF",
            "x \\\n   y",
            "T=$(date)",
            "@cmd.a",
            "@cmd(a-b, x = 1)",
            "@shell( \"a @var(OLD)b\" )",
            "a++",
            "a|b |> lines.head( 2 )|> assert.eq(\"x\")",
            "( a; b ) & c",
            "{ a;  b; }",
            "echo a\\ ",
            "echo \\@var.x @var(OLD).txt # c",
            "@detach",
            "a; b ; @cmd.c",
            "sleep( 1s )",
        ]);
        let leaf = prop_oneof![
            3 => line,
            1 => expression().prop_map(|value| format!("x = {value}")),
            1 => (gap(), expression()).prop_map(|(w, value)| format!("var x ={w}{value}")),
            1 => (wide(), expression(), expression()).prop_map(|(w, one, two)| format!("var ({w}a = {one} ; b={two}\n)")),
            1 => (wide(), expression(), gap()).prop_map(|(w, value, after)| format!("f({w}{value},n = 1){after}&& {w} @cmd.g | h")),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let lines = prop::collection::vec((inner.clone(), pick(&["\n", "\n\n\n", " # e\n", "\t// f\r\n", "\n  # g\n"])), 0..4);
            let many = lines.prop_map(|lines| format!("{{\n{}}}", lines.concat_pairs()));
            let block = prop_oneof![many, inner.prop_map(|only| format!("{{ {only} }}")), pick(&["{}", "{ }", "{ # h\n}"])].boxed();
            let between = pick(&["", " ", "\n", "\n// i\n", "\n\n# j\n\n"]);
            prop_oneof![
                (expression(), block.clone(), between.clone(), block.clone())
                    .prop_map(|(test, a, gap, b)| format!("if {test} {a} {gap}else {b}")),
                (expression(), block.clone()).prop_map(|(each, body)| format!("for  e in {each} ,f in 1 .. 3{body}")),
                (block.clone(), between.clone(), block.clone(), block.clone())
                    .prop_map(|(a, gap, b, c)| format!("try {a}{gap}catch{b} finally {c}")),
                (expression(), block.clone(), block.clone())
                    .prop_map(|(value, a, b)| format!("when {value}{{ 1|2->{a}\n r\"x\"  -> {b}\n\n -1 .. 5 -> y; else->z\n}}")),
                (expression(), gap(), block.clone()).prop_map(|(count, w, body)| format!("@retry({count} ,delay=1s){w}{body} && @cmd.x")),
                block.prop_map(|body| format!("@parallel{body}")),
            ]
        })
    }

    trait Pairs {
        fn concat_pairs(&self) -> String;
    }

    impl Pairs for Vec<(String, String)> {
        fn concat_pairs(&self) -> String {
            self.iter().flat_map(|(one, two)| [one.as_str(), two.as_str()]).collect()
        }
    }

    fn item() -> impl Strategy<Value = String> {
        let head = pick(&["a-b: ", "a:", "a:\n# k\n", "fun a ", "fun a( b,c : Int=1 ) ", "fun a() =", "fun a(\nb, # l\n\n)= "]);
        prop_oneof![
            statement(),
            (head, statement(), statement()).prop_map(|(head, one, two)| format!("{head}{{{one}\n{two}\n}}")),
            statement().prop_map(|one| format!("a: {one}"))
        ]
    }

    /// Pieces of the language in any order.
    fn pieces() -> impl Strategy<Value = String> {
        const PIECES: &[&str] = &[
            "a",
            "b: ",
            "{",
            "}",
            "{ ",
            " }",
            "(",
            ")",
            "[0]",
            "if ",
            "else ",
            "for x in ",
            "when x {",
            " -> ",
            "try ",
            "catch ",
            "@cmd.a",
            "@var.a",
            "@var(A)",
            "@{var.a}",
            "@env(\"X\")",
            "@retry(3) ",
            " = ",
            "+= 1",
            "++",
            " && ",
            " || ",
            "|",
            ";",
            " |> lines.count()",
            "\"",
            "'",
            "`",
            "$(",
            "\\",
            "\\\n",
            "\n",
            "\n",
            "\r\n",
            "\r",
            " ",
            "\t",
            " # c\n",
            " // d\n",
            "<<E\nx\nE\n",
            "&",
            "1",
            "...",
            ".",
            "é",
            "var x = ",
            "fun f = ",
            "echo",
            "[",
            "]",
            ",",
            "-",
            "!",
            "_b",
            ".length",
        ];
        prop::collection::vec(prop::sample::select(PIECES), 0..14).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn the_promises_hold_for_generated_sources(items in prop::collection::vec((item(), pick(&["\n", "\n\n\n", " # m\n", "\r\n"])), 1..4)) {
            keeps_its_promises(&items.concat_pairs());
        }

        #[test]
        fn the_promises_hold_for_pieces_in_any_order(text in pieces()) {
            keeps_its_promises(&text);
        }
    }
}
