//! What is shown says which bytes were there: every character that nobody sees, or that looks like a blank and is none, is an escape in every
//! view, and no two texts are shown alike. Through the real programs.

use opal_core::show::is_unseen;
use opal_tests::Host;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use regex_syntax::hir::{Class, HirKind};
use serde_json::Value;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

/// The characters of a class of Unicode, as `regex-syntax` has them.
fn class(pattern: &str) -> Vec<char> {
    let class = regex_syntax::parse(pattern).expect("a class");
    let HirKind::Class(Class::Unicode(class)) = class.into_kind() else { panic!("{pattern} is no class") };
    class.iter().flat_map(|range| range.start()..=range.end()).collect()
}

/// What terminals, fonts and shells treat as a blank or as nothing.
const UNSEEN: &str = r"[\p{C}\p{Z}\p{White_Space}\p{Default_Ignorable_Code_Point}\x{2800}\x{FFFC}\x{1D159}--\x{20}]";

#[test]
fn the_table_is_what_unicode_says() {
    let expected = class(UNSEEN);
    assert!(expected.len() > 900_000);
    let table: Vec<char> = ('\0'..=char::MAX).filter(|character| is_unseen(*character)).collect();
    assert_eq!(table, expected);
}

/// One of everything: what is assigned, and the first and last of each run of what is not.
fn some_of_everything() -> Vec<char> {
    let mut out = class(r"[\p{Cc}\p{Cf}\p{Z}\p{White_Space}\p{Default_Ignorable_Code_Point}\x{2800}\x{FFFC}\x{1D159}]");
    let unseen = |number: u32| char::from_u32(number).is_some_and(is_unseen);
    out.extend(class(UNSEEN).into_iter().filter(|one| {
        let number = u32::from(*one);
        !unseen(number.wrapping_sub(1)) || !unseen(number + 1)
    }));
    out.retain(|one| !matches!(one, '\0' | '\n' | ' '));
    out.sort_unstable();
    out.dedup();
    out
}

#[test]
fn every_character_that_nobody_sees_is_an_escape_in_every_view() {
    let every: String = some_of_everything().into_iter().collect();
    assert!(every.chars().count() > 5000 && every.contains(['\u{a0}', '\u{2800}', '\u{3164}', '\u{e0041}', '\t', '\u{378}']));
    let mut host = Host::new();
    host.write("a.opl", "fun go {\n    echo @file.read(\"all\", public=true)\n}\n");
    host.write("all", &every);
    let plain = |text: &str| text.chars().find(|one| is_unseen(*one) && *one != '\n');
    for form in ["tree", "json", "html", "dot", "markdown"] {
        let text = host.opalc(&["a.opl", "--format", form]).expect(0).stdout.clone();
        assert_eq!(plain(&text), None, "{form}");
        assert!(form == "markdown" || text.contains("e0041") || text.contains("\\udb40\\udc41"), "{form}");
    }
    host.opalc(&["a.opl", "--resolve", "-o", "a.plan"]).expect(0);
    for words in [&["inspect", "--plan", "a.plan", "--all"][..], &["inspect", "--plan", "a.plan", "--json"]] {
        assert_eq!(plain(&host.vm(words).expect(0).stdout), None, "{words:?}");
    }
    let document: Value = serde_json::from_str(&host.vm(&["inspect", "--plan", "a.plan", "--json"]).stdout).expect("JSON");
    assert_eq!(document["values"]["file.read(\"all\", public=true)"], every.as_str());
    assert_eq!(document["steps"][0]["args"]["command"], format!("echo '{every}'"));
    // Drift, and the difference between two contracts.
    host.write("all", format!("{every}!"));
    let drift = host.vm(&["verify", "--plan", "a.plan"]);
    assert_eq!(plain(&drift.expect(3).stderr), None);
    host.opalc(&["a.opl", "--resolve", "-o", "b.plan"]).expect(0);
    for form in ["text", "json", "markdown"] {
        assert_eq!(plain(&host.opalc(&["diff", "a.plan", "b.plan", "--format", form]).expect(3).stdout), None, "{form}");
    }
    // Messages that quote what somebody typed.
    host.set("X", "");
    for program in ["opalc", "opal-vm", "opal"] {
        for json in [false, true] {
            let mut words = vec!["show", "no\u{a0}such\u{2800}\u{202e}file\t"];
            if program == "opal-vm" {
                words = vec!["inspect", "--plan", words[1]];
            }
            if json {
                words.push("--json");
            }
            let ended = host.run(program, &words);
            assert_ne!(ended.status, 0);
            assert_eq!(plain(&ended.stdout).or(plain(&ended.stderr)), None, "{program} {words:?}: {}{}", ended.stdout, ended.stderr);
        }
    }
}

/// What `bash` takes for a blank between words, it takes for one here: anything else that looks like one is an escape.
#[test]
fn what_looks_like_a_blank_and_is_none_for_the_shell_is_an_escape() {
    let all = some_of_everything();
    let lines: Vec<String> =
        all.iter().filter(|one| !matches!(one, '\r')).map(|one| format!("true{one}# comment; echo {:x}\n", u32::from(*one))).collect();
    for locale in ["C", "C.UTF-8"] {
        let mut child = Command::new("bash");
        child.arg("--norc").env("LC_ALL", locale).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = child.stderr(std::process::Stdio::null()).spawn().expect("bash");
        let mut input = child.stdin.take().expect("a pipe");
        let text = lines.concat();
        let writer = std::thread::spawn(move || std::io::Write::write_all(&mut input, text.as_bytes()));
        let output = child.wait_with_output().expect("it ends");
        writer.join().expect("it ends").expect("written");
        let ran: std::collections::HashSet<char> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| char::from_u32(u32::from_str_radix(line, 16).ok()?))
            .collect();
        let blank: Vec<char> = all.iter().copied().filter(|one| !ran.contains(one) && *one != '\r').collect();
        assert_eq!(blank, ['\t'], "{locale}");
    }
    // Each of those that are no blanks is told from one.
    assert!(all.iter().all(|one| is_unseen(*one)) && !is_unseen(' '));
}

/// What an escaped text stands for; `None` where it is no escaped text.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text.chars();
    while let Some(one) = rest.next() {
        if one != '\\' {
            out.extend_from_slice(one.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match rest.next()? {
            '\\' => out.push(b'\\'),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'x' => out.push(u8::from_str_radix(&rest.by_ref().take(2).collect::<String>(), 16).ok()?),
            'u' => {
                let digits: String = rest.by_ref().skip(1).take_while(|one| *one != '}').collect();
                out.extend_from_slice(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return None,
        }
    }
    Some(out)
}

/// Pieces that could be taken for one another.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let fixed = [
        "\\",
        "\t",
        "\\t",
        "t",
        "\n",
        "\\n",
        "n",
        "\\x",
        "\\u{9}",
        "{",
        "}",
        "u",
        "x",
        "ff",
        "\u{a0}",
        " ",
        "\u{ffff}",
        "é",
        "🔒 ",
        "opal:secret:",
        "opal:",
        "secret:",
        "@let.",
        "\"",
        "'",
    ];
    prop_oneof![
        proptest::sample::select(fixed.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        proptest::collection::vec(1_u8.., 1..4),
        any::<char>().prop_filter("no NUL", |one| *one != '\0').prop_map(|one| one.to_string().into_bytes()),
    ]
}

#[test]
fn no_two_texts_are_shown_alike() {
    let text = proptest::collection::vec(piece(), 1..8).prop_map(|pieces| pieces.concat());
    let texts = proptest::collection::vec(text, 150);
    let mut runner = TestRunner::new(Config { cases: 4, failure_persistence: None, ..Config::default() });
    runner
        .run(&texts, |texts| {
            let host = Host::new();
            let steps: String = (0..texts.len()).map(|at| format!("    echo @env.V{at}(public=true)\n")).collect();
            host.write("a.opl", format!("fun go {{\n{steps}}}\n"));
            let show = |form: &str| {
                let values = texts.iter().enumerate().map(|(at, text)| (format!("V{at}"), OsStr::from_bytes(text)));
                let output = host.command("opalc", ["a.opl", "--format", form]).envs(values).output().expect("it starts");
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                String::from_utf8(output.stdout).expect("text")
            };
            let tree = show("tree");
            let document: Value = serde_json::from_str(&show("json")).expect("JSON");
            for (at, text) in texts.iter().enumerate() {
                let start = format!("  env.V{at}(public=true) = ");
                let line = tree.lines().find_map(|line| line.strip_prefix(&start)).expect("a line");
                prop_assert_eq!(unescaped(line), Some(text.clone()), "{}", line);
                let exact = document["values"][format!("env.V{at}(public=true)")].as_str().expect("a string");
                let back = match exact.strip_prefix('\u{ffff}') {
                    Some(escaped) => unescaped(escaped).expect("an escaped text"),
                    None => exact.as_bytes().to_vec(),
                };
                prop_assert_eq!(&back, text);
            }
            Ok(())
        })
        .expect("no two texts are alike");
}

#[test]
fn text_that_looks_like_what_a_view_puts_there_is_told_from_it() {
    let mut host = Host::new();
    host.set("TOKEN", "a-secret-value");
    let tree = |source: &str| {
        host.write("a.opl", source);
        host.opalc(&["a.opl"]).expect(0).stdout.clone()
    };
    assert!(tree("fun go {\n    echo 'a\tb' 'a\\tb'\n}\n").contains("echo 'a\\tb' 'a\\\\tb'"));
    let real = tree("fun go {\n    echo @env.TOKEN\n}\n");
    let id = real.split("echo opal:secret:").nth(1).expect("a placeholder").lines().next().expect("an id").to_owned();
    assert_eq!(id.len(), 8);
    let typed = tree(&format!("fun go {{\n    echo opal:secret:{id}\n}}\n"));
    assert!(typed.contains(&format!("echo opal:secret\\u{{3a}}{id}")), "{typed}");
    let bound = tree("fun go {\n    X=$(date)\n    echo \"@{var.X}y\" 'of\\@let.X'\n}\n");
    assert!(bound.contains("echo \"@let.X\\u{79}\" 'of"), "{bound}");
    assert!(bound.contains("@let\\u{2e}X'"), "{bound}");
}

#[test]
fn columns_are_characters_in_every_document() {
    let host = Host::new();
    host.write("a.opl", "fun go {\n    echo é🔒é @env.HOME; echo 'ü' @file.read(\"none\")\n}\n");
    host.write("none", "x");
    let document: Value = serde_json::from_str(&host.opalc(&["a.opl", "--format", "json"]).expect(0).stdout).expect("JSON");
    let span = |key: &str| {
        let slots = document["slots"].as_array().expect("slots");
        slots.iter().find(|slot| slot["key"].as_str().is_some_and(|other| other.starts_with(key))).expect("the value")["span"].clone()
    };
    let source = host.read("a.opl");
    for (key, text) in [("env.HOME", "@env.HOME"), ("file.read", "@file.read")] {
        let span = span(key);
        let start = usize::try_from(span["start"].as_u64().expect("a number")).expect("small");
        assert!(source[start..].starts_with(text), "{span}");
        let line = source[..start].rfind('\n').map_or(0, |at| at + 1);
        assert_eq!(span["column"], source[line..start].chars().count() + 1, "{span}");
        assert_ne!(span["column"], start - line + 1);
        assert_eq!(span["line"], 2);
    }
    // The same in a contract, and in what the VM says about a place.
    host.opalc(&["a.opl", "--resolve", "-o", "a.plan"]).expect(0);
    let inspected: Value = serde_json::from_str(&host.vm(&["inspect", "--plan", "a.plan", "--json"]).expect(0).stdout).expect("JSON");
    assert_eq!(inspected["slots"][0]["span"], span("env.HOME"));
    host.write("none", "y");
    let drift = host.vm(&["verify", "--plan", "a.plan"]);
    drift.expect(3).says(&format!("a.opl:2:{}", span("file.read")["column"]));
}
