//! What `plan_hash` names (spec/plan-format.md, "plan_hash"): edits that leave the work what it is, edits that make it other work, and the same
//! name however often and wherever a source is compiled.

use opal_core::plan::{FileFailure, Mode, Reality};
use opal_format::hash::HashAlgorithm;
use opal_format::seed::Seed;
use opalc::contract::{Manner, Place, Work};
use opalc::lower::{CliArgument, Entry, compile};
use opalc::source::Source;
use opalc::syntax::parse;
use proptest::prelude::*;
use std::collections::HashMap;

struct World(HashMap<&'static str, &'static str>);

impl Reality for World {
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name).map(|value| value.as_bytes().to_vec())
    }

    fn read_file(&self, path: &[u8]) -> Result<Vec<u8>, FileFailure> {
        Ok(path.to_vec())
    }
}

const ENV: &[(&str, &str)] =
    &[("TOKEN", "a-secret"), ("OTHER", "b-secret"), ("STAGE", "x"), ("PUB", "shown"), ("A", "4"), ("B", "5"), ("FILE", "f")];

const BASE: &str = r#"var REPLICAS = @env.REPLICAS(default=3)
fun deploy(env: String = "prod", n: Int = 2) = {
    echo start @var.env
    @retry(attempts=3, delay=2s) { curl "https://host/@var.n?t=@env.TOKEN" }
    if @env.STAGE == "x" { echo extra }
    for s in ["a", "b"] { echo @var.s @var.REPLICAS }
    echo @env.PUB(public=true) @file.read("conf") @random.password(length=12)
    var SUM = int(@env.A) + 1
    echo @var.SUM && touch done
    check && @timeout(5s) { wait-for it }
    try { risky } catch { mend } finally { clean }
    NAME=$(date)
    echo @var.NAME
}
"#;

/// The name of the work of a source, under a seed.
fn hash_with(text: &str, words: &[&str], env: &[(&'static str, &'static str)], seed: u8, algorithm: HashAlgorithm) -> String {
    let source = Source::new("deploy.opl", text);
    let parsed = parse(&source);
    assert!(!parsed.has_errors(), "{text}\n{:#?}", parsed.diagnostics);
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let (target, rest) = words.split_first().map_or((None, &[][..]), |(target, rest)| (Some(target.clone()), rest));
    let entry = Entry { target, arguments: CliArgument::parse(rest) };
    let compiled = compile(&source, &parsed.file, &entry).unwrap_or_else(|failure| panic!("{text}\n{failure:#?}"));
    let work = Work { program: &compiled.program, target: &compiled.target, arguments: &compiled.arguments };
    let manner =
        Manner { mode: Mode::Resolve, pass_env: Vec::new(), public_names: vec!["TOKEN".to_owned()], no_public: false, regen_root: None };
    let world = World(env.iter().copied().collect());
    let plan = work.plan(&world, &Seed::from_bytes([seed; 32]), &manner).unwrap_or_else(|error| panic!("{text}\n{error}"));
    work.plan_hash(&plan, algorithm, Place { shell: "/bin/bash", umask: 0o022, directory: "" }).expect("a plan of ours").to_string()
}

fn hash(text: &str, words: &[&str], env: &[(&'static str, &'static str)]) -> String {
    hash_with(text, words, env, 7, HashAlgorithm::Sha256)
}

fn base() -> String {
    hash(BASE, &["deploy"], ENV)
}

/// Edits of [`BASE`], `old => new`, several in one row separated by ` ;; `.
fn edited(edits: &str) -> String {
    let mut text = BASE.to_owned();
    for edit in edits.split(" ;; ") {
        let (old, new) = edit.split_once(" => ").expect("an edit");
        assert!(text.contains(old), "no `{old}` to edit");
        text = text.replace(old, &new.replace("\\n", "\n"));
    }
    text
}

const SAME: &[&str] = &[
    "var REPLICAS => # a comment\\n\\n\\nvar REPLICAS",
    "    echo start => // another\\n\\n        echo start",
    "echo start @var.env => echo start @var.env   # after a step",
    "REPLICAS = => COUNT = ;; @var.REPLICAS => @var.COUNT",
    "for s in => for item in ;; @var.s @var => @var.item @var",
    "n: Int => number: Int ;; @var.n? => @var.number?",
    "n: Int = 2 => n = 2",
    "env: String = => env: string =",
    "@var.env => @var(env)",
    "@var.env => @{var.env}",
    "@env.TOKEN => @{env.TOKEN}",
    "@env.PUB(public=true) => @env(\"PUB\", public=true)",
    "attempts=3 => times=3",
    "attempts=3, delay=2s => delay=2s, attempts=3",
    "attempts=3 => 3",
    "delay=2s => delay=2000ms",
    "delay=2s => delay=1s + 1s",
    "    for s in [\"a\", \"b\"] { echo @var.s @var.REPLICAS } =>     echo a @var.REPLICAS\\n    echo b @var.REPLICAS",
    "[\"a\", \"b\"] { => [\"a\", \"b\"] {\\n\\n       ",
    "echo start @var.env => @cmd.begin(@var.env) ;; var REPLICAS => fun begin(x) = echo start @var.x\\nvar REPLICAS",
    "var REPLICAS => var UNUSED = @env.UNUSED\\nfun never() = rm -rf nothing\\nvar REPLICAS",
    "var SUM = int(@env.A) + 1 => var A = int(@env.A)\\n    var SUM = @var.A + 1",
    "var SUM = int(@env.A) + 1 => var SUM = (int(@env.A)) + (3 - 2)",
    "    if @env.STAGE == \"x\" { echo extra } =>     when @env.STAGE { \"x\" -> echo extra ; else -> echo none }",
    "    if @env.STAGE == \"x\" { echo extra } =>     if @env.STAGE != \"x\" { echo none } else { echo extra }",
];

const OTHER: &[&str] = &[
    "echo start => echo  start",
    "echo start => echo begin",
    "echo start @var.env => echo start \"@var.env\"",
    "fun deploy => fun release",
    "n: Int = 2 => n: Int = 3",
    "n: Int = 2 => n: String = \"2\"",
    "env: String = \"prod\", n: Int = 2 => n: Int = 2, env: String = \"prod\"",
    "n: Int = 2 => n: Int = 2, m: Int = 1",
    "attempts=3 => attempts=4",
    "delay=2s => delay=3s",
    "@retry(attempts=3, delay=2s) => @timeout(2s)",
    "@retry(attempts=3, delay=2s) { => @retry(attempts=3, delay=2s) { @timeout(9s) { ;; TOKEN\" } => TOKEN\" } }",
    "t=@env.TOKEN\" => t=\"@env.TOKEN",
    "@env.TOKEN => @env.OTHER",
    "@env.TOKEN => @env.TOKEN(default=\"x\")",
    "@env.TOKEN => @env.TOKEN(public=true)",
    "default=3 => default=4",
    "@env.STAGE == \"x\" => @env.STAGE == \"y\"",
    "    if @env.STAGE == \"x\" { echo extra } =>     echo extra",
    "[\"a\", \"b\"] => [\"a\", \"b\", \"c\"]",
    "[\"a\", \"b\"] => [\"b\", \"a\"]",
    "[\"a\", \"b\"] => [\"a\"]",
    "@env.PUB(public=true) => @env.PUB",
    "file.read(\"conf\") => file.read(\"./conf\")",
    "file.read => file.sha256",
    "length=12 => length=13",
    "int(@env.A) + 1 => int(@env.A) + 2",
    "int(@env.A) + 1 => int(@env.A) - 1",
    "int(@env.A) + 1 => int(@env.B) + 1",
    "int(@env.A) + 1 => 1 + int(@env.A)",
    "&& touch => || touch",
    "@timeout(5s) { wait-for it } => @timeout(6s) { wait-for it }",
    "@timeout(5s) { wait-for it } => wait-for it",
    "try { risky } catch { mend } finally { clean } => try { risky } catch { mend }",
    "try { risky } catch { mend } finally { clean } => risky",
    "catch { mend } finally { clean } => catch { clean } finally { mend }",
    "NAME=$(date) => NAME=$(date -u)",
    "    echo @var.NAME\n => ",
    "    echo @var.NAME => :\\n    echo @var.NAME",
];

#[test]
fn edits_that_leave_the_work_leave_its_name() {
    let wrong: Vec<&&str> = SAME.iter().filter(|edit| hash(&edited(edit), &["deploy"], ENV) != base()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn edits_that_change_the_work_change_its_name_and_no_two_agree() {
    let mut names = HashMap::from([(base(), "nothing")]);
    for edit in OTHER {
        let target = if edit.contains("release") { "release" } else { "deploy" };
        if let Some(earlier) = names.insert(hash(&edited(edit), &[target], ENV), edit) {
            panic!("`{edit}` gives the name of `{earlier}`");
        }
    }
}

#[test]
fn secrets_seeds_and_what_nothing_needs_have_no_influence_and_public_values_have() {
    let with = |name: &'static str, value: &'static str| {
        let env: Vec<_> = ENV.iter().filter(|(other, _)| *other != name).copied().chain([(name, value)]).collect();
        hash(BASE, &["deploy"], &env)
    };
    for (name, value) in
        [("TOKEN", "c"), ("TOKEN", ""), ("A", "5"), ("REPLICAS", "3"), ("REPLICAS", "9"), ("UNUSED", "x"), ("TZ", "Asia/Tokyo")]
    {
        assert_eq!(with(name, value), base(), "{name}={value}");
    }
    for (name, value) in [("PUB", "hidden"), ("STAGE", "y")] {
        assert_ne!(with(name, value), base(), "{name}={value}");
    }
    for seed in 0..8 {
        assert_eq!(hash_with(BASE, &["deploy"], ENV, seed, HashAlgorithm::Sha256), base());
    }
    assert!(hash_with(BASE, &["deploy"], ENV, 7, HashAlgorithm::Blake3).starts_with("blake3:"));
}

#[test]
fn arguments_count_by_value_and_type_however_they_are_given() {
    for words in [
        &["deploy", "prod"][..],
        &["deploy", "prod", "2"],
        &["deploy", "--n=2", "--env=prod"],
        &["deploy", "prod", "--n=2"],
        &["deploy(\"prod\", 2)"],
        &["deploy(n=2)"],
    ] {
        assert_eq!(hash(BASE, words, ENV), base(), "{words:?}");
    }
    for words in [&["deploy", "stage"][..], &["deploy", "--n=3"], &["deploy", "prod "]] {
        assert_ne!(hash(BASE, words, ENV), base(), "{words:?}");
    }
}

#[test]
fn ten_thousand_recompilations_give_one_name() {
    let first = base();
    for round in 0..10_000_u32 {
        let seed = u8::try_from(round % 251).expect("small");
        assert_eq!(hash_with(BASE, &["deploy"], ENV, seed, HashAlgorithm::Sha256), first, "round {round}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn comments_and_blank_lines_between_lines_have_no_influence(
        fillers in proptest::collection::vec("(|\n|  # [a-z @{}\"'$]{0,20}\n|// [a-z\\\\`]{0,9}\n|\t\n)", BASE.lines().count()),
    ) {
        let mut text = String::new();
        for (line, filler) in BASE.lines().zip(&fillers) {
            text.push_str(filler);
            text.push_str(line);
            text.push('\n');
        }
        prop_assert_eq!(hash(&text, &["deploy"], ENV), base());
    }

    #[test]
    fn any_other_word_in_a_command_is_other_work(word in "[a-z]{1,12}") {
        prop_assume!(word != "start");
        let changed = BASE.replace("echo start", &format!("echo {word}"));
        prop_assert_ne!(hash(&changed, &["deploy"], ENV), base());
    }
}
