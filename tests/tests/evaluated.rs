//! No value is executed by `bash`, however a command is spelt: contexts, spellings and separators are composed into lines with a value in them,
//! each is compiled, and what is accepted is run with values that would leave a file behind if anything evaluated them. The other way round,
//! lines of the shell scripts of this machine are compiled with a value in the place of an argument: few of them may be refused.
//!
//! `OPAL_EVALUATED_CASES=100000` draws more lines, `OPAL_EVALUATED_SEED` other ones.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use opal_tests::Host;

/// Values that leave `CANARY` behind where something takes them for arithmetic, a name, a word to expand, elements of an array or a program.
const VALUES: &[&str] = &[
    "x[$(touch CANARY)]",
    "$(touch CANARY)",
    "touch CANARY",
    "a; touch CANARY; b",
    "($(touch CANARY))",
    "x[$(touch CANARY)]=1",
    "-vx[$(touch CANARY)]",
    "`touch CANARY`",
    "m]; touch CANARY; : [",
];

/// Commands that evaluate something of their words: name, what follows it.
const EVALUATORS: &[(&str, &str)] = &[
    ("eval", "¤"),
    ("eval", "\"echo ¤\""),
    ("eval", "echo \"$(echo ¤)\""),
    ("eval", "-- ¤"),
    ("trap", "¤ EXIT"),
    ("trap", "-- \"¤\" EXIT"),
    ("let", "¤"),
    ("let", "\"y=¤\""),
    ("let", "1 $(echo ¤)"),
    ("test", "-v ¤"),
    ("test", "! -v ¤"),
    ("test", "¤ = a -o -v ¤"),
    ("test", "'-v' ¤"),
    ("test", "$'-v' ¤"),
    ("test", "{-v,¤}"),
    ("test", "-{v,x} ¤"),
    ("[", "-v ¤ ]"),
    ("[", "! -v ¤ ]"),
    ("[", "a -a -v ¤ ]"),
    ("[", "\\( -v ¤ \\) ]"),
    ("[", "{-v,¤} ]"),
    ("[", "-v\"\" ¤ ]"),
    ("[", "¤ ¤ ]"),
    ("[", "¤ = ¤ ]"),
    ("printf", "-v ¤ x"),
    ("printf", "-v\"¤\" x"),
    ("printf", "¤ x"),
    ("printf", "%s ¤"),
    ("printf", "¤"),
    ("read", "¤ <<< a"),
    ("read", "-r -a ¤ <<< a"),
    ("read", "-p ¤ y <<< a"),
    ("mapfile", "-t ¤ <<< a"),
    ("mapfile", "-C ¤ -c 1 y <<< a"),
    ("mapfile", "-C eval -c 1 y <<< ¤"),
    ("declare", "-i y=¤"),
    ("declare", "-n y=¤"),
    ("declare", "¤=1"),
    ("declare", "-a y=¤"),
    ("declare", "-A \"y=¤\""),
    ("typeset", "-i \"y=¤\""),
    ("readonly", "-a y=¤"),
    ("export", "-a \"y=¤\""),
    ("export", "y=¤"),
    ("export", "{a,RANDOM}=¤"),
    ("unset", "¤"),
    ("getopts", "a: ¤ -a b"),
    ("wait", "-n -p ¤"),
    ("wait", "\"-np¤\""),
    ("source", "/dev/stdin <<< ¤"),
    (".", "<(echo ¤)"),
    ("source", "/dev/stdin <<E\n¤\nE"),
    ("compgen", "-W ¤"),
    ("alias", "l=¤"),
    ("echo", "¤"),
    ("cd", "¤"),
    ("exit", "¤"),
    ("shift", "¤"),
    ("env", "BASH_ENV=¤ bash -c true"),
    ("env", "echo ¤"),
    ("exec", "{x[¤]}> f"),
    ("hash", "-p ¤ foo"),
    ("enable", "-f ¤ x"),
];

/// What stands before a command, and behind it.
const AROUND: &[(&str, &str)] = &[
    ("", ""),
    ("true && ", ""),
    ("true || ", ""),
    ("! ", ""),
    ("time ", ""),
    ("time -p ", ""),
    ("time -- ", ""),
    ("command ", ""),
    ("builtin ", ""),
    ("command -p ", ""),
    ("command -- ", ""),
    ("builtin -- ", ""),
    ("command builtin ", ""),
    ("$'command' ", ""),
    ("jobs -x ", ""),
    ("env ", ""),
    ("exec ", ""),
    ("nohup ", ""),
    ("A=1 ", ""),
    ("> /dev/null ", ""),
    ("A=1 > f ", ""),
    ("( ", "\n)"),
    ("(", "\n)"),
    ("true; { ", "\n}"),
    ("coproc ", "\nwait"),
    ("true; coproc N { ", "\n}; wait"),
    ("true; if (true) then ", "\nfi"),
    ("true; if [[ a ]] then ", "\nfi"),
    ("true; if ((1)) then ", "\nfi"),
    ("true; if { true; } then ", "\nfi"),
    ("true; for ((i=0;i<1;i++)) do ", "\ndone"),
    ("true; for((i=0;i<1;i++))do ", "\ndone"),
    ("true; if(true)then ", "\nfi"),
    ("true; if((1))then ", "\nfi"),
    ("true; while(true)do ", "\nbreak; done"),
    ("true; !(", "\n)"),
    ("true; time(", "\n)"),
    ("true; {(", "\n)\n}"),
    ("true; case x in(x)", "\nesac"),
    ("true; for i in 1; do ", "\ndone"),
    ("true; for i do ", "\ndone"),
    ("true; while true; do ", "\nbreak; done"),
    ("true; case x in x) ", "\nesac"),
    ("true; case x in (x|y) ", "\nesac"),
    ("true; f() { ", "\n}; f"),
    ("true; f () { ", "\n}; f"),
    ("true; function f { ", "\n}; f"),
    ("true; function f () { ", "\n}; f"),
    ("true; function f() ( ", "\n); f"),
    ("echo $(", "\n)"),
    ("echo \"$(", "\n)\""),
    ("cat <(", "\n)"),
    ("cat <<< \"$(", "\n)\""),
    ("echo a | ", ""),
    ("echo a |& ", ""),
    ("true & ", ""),
    ("shopt -s expand_aliases; ", ""),
];

/// Parts of `[[ … ]]` that may stand before and behind what is evaluated.
const BEFORE: &[&str] =
    &["", "a&&", "a &&", "! b||", "(a)&&", "a == a&&", "a =~ (a)&&", "a =~ a&&", "a == @(a|b)&&", "a<b&&", "-n a && ", "a&&! b||"];
const EVALUATED: &[&str] = &[
    " -v ¤ ",
    " (-v ¤) ",
    " !(-v ¤) ",
    " ! -v ¤ ",
    "( -v ¤ ) ",
    " ((-v ¤)) ",
    " ¤ -eq 0 ",
    " 0 -eq ¤ ",
    " (¤ -eq 0) ",
    " ¤ -lt ¤ ",
    " -\\\nv ¤ ",
    " ¤ -\\\neq 1 ",
    " ! ! ¤ -ne 1 ",
    " 1 -ge \"¤\" ",
    " -v \"¤\" ",
    " $(echo ¤) -eq 1 ",
    " -v $(echo ¤) ",
    " ¤ == ¤ ",
    " ¤ =~ ¤ ",
    " -n ¤ ",
    " -t ¤ ",
    " -R ¤ ",
    " -o ¤ ",
    " x$'-v' ¤ ",
];
const BEHIND: &[&str] = &["", "&&a", "|| a", "&&(a)", ")"];

/// Other places whose text bash evaluates.
const PLACES: &[&str] = &[
    "echo $((¤))",
    "echo $((1 + ¤))",
    "echo $((\"¤\"))",
    "echo $(( $(echo ¤) ))",
    "echo $[¤]",
    "true; ((¤))",
    "true; (( y = ¤ ))",
    "true; for ((i=¤;i<1;i++)); do :; done",
    "y[¤]=1",
    "y[ ¤ ]=1",
    "y[\"¤\"]=1",
    "y[$(echo ¤)]=1",
    "y[¤]+=1",
    "y=([¤]=1)",
    "y=(1 [¤]=1)",
    "true; y=([$(echo ¤)]=1)",
    "echo ${y[¤]}",
    "echo \"${y[¤]}\"",
    "echo ${#y[¤]}",
    "echo ${!y[¤]}",
    "y=abc; echo ${y:¤}",
    "y=abc; echo ${y:0:¤}",
    "y=abc; echo \"${y:$(echo ¤)}\"",
    "echo ${@:¤}",
    "echo ${y:-¤}",
    "echo ${y:-$(echo ¤)}",
    "echo ${y//a/¤}",
    "RANDOM=¤ true",
    "RANDOM=¤",
    "OPTIND=¤; true",
    "HISTCMD=¤; true",
    "BASH_ENV=¤ bash -c true",
    "set -x; PS4=¤ true",
    "true; for RANDOM in ¤; do :; done",
    "true; for SECONDS in ¤; do :; done",
    "read OPTIND <<< ¤",
    "mapfile -t SECONDS <<< ¤",
    "cat <<E\n$((¤))\nE",
    "cat <<E\n$(eval ¤)\nE",
    "echo `eval ¤`",
    "exec {y[¤]}> f",
    "true; case ¤ in ¤) ;; esac",
    "cat > ¤",
    "echo ¤ ¤ \"¤\" a¤",
    "$TOOL ¤",
    "\"$TOOL\" ¤",
    "${TOOL} ¤",
    "$(echo eval) ¤",
    "`echo eval` ¤",
    "{eval,¤}",
    "{ev,}al ¤",
    "{e,}val ¤",
    "e*l ¤",
    "ev?l ¤",
    "ev[a]l ¤",
    "~/eval ¤",
    "$EMPTY eval ¤",
    "¤ ¤",
    "eval$EMPTY ¤",
    "$'\\x65\\x76al' ¤",
    "$'eval\\0x' ¤",
    "\"e\"v\\al ¤",
    "e\\\nval ¤",
    "\\\neval ¤",
    "set -k\ntrue RANDOM=¤",
    "shopt -s expand_aliases; alias e=eval\ne ¤",
    "true; eval() { command eval \"$@\"; }; eval ¤",
    "true; f() [[ -v ¤ ]]; f",
    "true; f() (( ¤ )); f",
    "true; coproc N (( ¤ )); wait",
    "true; coproc N [[ -v ¤ ]]; wait",
    "true; time -p [[ -v ¤ ]]",
    "true; select o in a b; do ((REPLY)); break; done <<< ¤",
    "true; select o in a b; do eval \"$REPLY\"; break; done <<< ¤",
    "x=¤; source /dev/stdin <<< 'let \"$x\"'",
    "x=¤; . /dev/fd/0 <<< 'eval \"$x\"'",
    "x=¤; y='((x))'; eval \"$y\"",
    "x=¤; eval \"((x + $#))\"",
    ". <(echo 'f() { let \"$1\"; }'); f ¤",
    "read x < <(echo ¤); ((x))",
    "mapfile -t a < <(echo ¤); ((a))",
    "exec 3< <(echo ¤); read -u 3 x; ((x))",
    "true; { echo ¤; } | { read x; ((x)); }",
    "PS0=¤ bash --norc -i <<< true",
    "PS1=¤ bash --norc -i",
    "ENV=¤ sh -i",
    ": ¤; ((BASH_EXECUTION_STRING))",
    "x=¤ bash -c 'echo $((x))'",
    "env x=¤ bash -c '[[ -v $x ]]'",
    "bash -c '((i = $1))' _ ¤",
    "x=BASH_REMATCH; [[ ¤ =~ .* ]]; ((x))",
    "history -s ¤; fc -s",
];

/// Ways of a value into the variable `x`.
const SETTERS: &[&str] = &[
    "x=¤; §",
    "x=\"¤\"; §",
    "x=a¤; x=${x#a}; §",
    "x=$(echo ¤); §",
    "x=\"$(echo \"$(echo ¤)\")\"; §",
    "y=¤; x=$y; §",
    "y=¤; x=\"$(echo \"$y\")\"; §",
    "y=¤; z=$y; x=$z; §",
    "export x=¤; §",
    "readonly x=¤; §",
    "declare x=¤; §",
    "x=¤ && §",
    "true; { x=¤; §; }",
    "( x=¤; § )",
    "true; for x in ¤; do §; done",
    "true; select x in ¤; do §; break; done <<< 1",
    "x=(¤); §",
    "x=([0]=¤); §",
    "x[0]=¤; §",
    "x=; x+=¤; §",
    "read x <<< ¤; §",
    "read -r x <<E\n¤\nE\n§",
    "mapfile -t x <<< ¤; §",
    "printf -v x %s ¤; §",
    "printf -vx %s ¤; §",
    "set -- ¤; x=$1; §",
    "set -- ¤; x=$*; §",
    "set -- ¤; for x; do §; done",
    "true; f() { x=$1; §; }; f ¤",
    "true; f () { local x=$1; §; }; f ¤",
    "true; function f { x=$*; §; }; f ¤",
    "echo ¤ | { read -r x; §; }",
    "printf '%s\\n' ¤ | while read -r x; do §; done",
    ": ¤; x=$_; §",
    "[[ ¤ =~ (.*) ]]; x=${BASH_REMATCH[1]}; §",
    "eval 'x=$y'; y=¤; eval 'x=$y'; §",
    "true; y=¤; eval 'x=$y'; §",
    "$'export' x=¤; §",
];

/// What evaluates the variable `x`.
const SINKS: &[&str] = &[
    "eval \"$x\"",
    "eval $x",
    "eval \"echo $x\"",
    "eval \"${x}\"",
    "eval \"$(echo \"$x\")\"",
    "$'eval' \"$x\"",
    "command eval \"$x\"",
    "trap \"$x\" EXIT",
    "trap 'eval \"$x\"' EXIT",
    "trap '$x' EXIT",
    "eval 'eval \"$x\"'",
    "eval 'eval '\\''eval \"$x\"'\\'",
    "echo `eval \"$x\"`",
    "bash -c \"$x\"",
    "{ba,}sh -c \"$x\"",
    "$'bash' -c \"$x\"",
    "((x))",
    "echo $((x))",
    "echo $((x + 1))",
    "echo $[x]",
    "eval '((x))'",
    "echo `echo $((x))`",
    "echo ${a[x]}",
    "echo ${a[$x]}",
    "let x",
    "let \"y=$x\"",
    "test -v \"$x\"",
    "[ -v \"$x\" ]",
    "[[ -v $x ]]",
    "[[ a&&-v $x ]]",
    "[[ $x -eq 1 ]]",
    "[[ x -eq 1 ]]",
    "declare -i z=$x",
    "declare -n z=$x; echo \"$z\"",
    "z=(1); declare z=$x",
    "declare \"$x\"",
    ". <(echo \"$x\")",
    "source /dev/stdin <<< \"$x\"",
    "printf -v \"$x\" a",
    "read \"$x\" <<< a",
    "echo ${x@P}",
    "echo ${!x}",
    "RANDOM=$x",
    "y[$x]=1",
    "\"$TOOL\" \"$x\"",
    "$x",
    "$x b",
    "command $x",
    "$(echo $x)",
    "`echo $x`",
    "env BASH_ENV=\"$x\" bash -c true",
    "echo \"$x\"",
    "env echo \"$x\"",
];

/// A name, written in a way that the shell takes for the same.
fn spellings(name: &str) -> Vec<String> {
    let (head, tail) = name.split_at(1);
    let first = name.as_bytes()[0];
    vec![
        name.to_owned(),
        name.to_owned(),
        name.to_owned(),
        format!("'{name}'"),
        format!("\"{name}\""),
        format!("\\{name}"),
        format!("{head}\"\"{tail}"),
        format!("''{name}"),
        format!("$'{name}'"),
        format!("$\"{name}\""),
        format!("{head}$'{tail}'"),
        format!("$'\\x{first:x}'{tail}"),
        format!("$'\\{first:o}{tail}'"),
        format!("$'\\u{first:04x}'{tail}"),
        format!("\\\n{name}"),
        format!("{head}\\\n{tail}"),
        format!("{{{name},}}"),
        format!("{{{head},}}{tail}"),
    ]
}

/// A source of choices: the same for the same seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        // Knuth's MMIX constants; the low bits are the poor ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

fn line(draw: &mut Draw) -> String {
    match draw.below(8) {
        0..=2 => {
            let (before, behind) = draw.of(AROUND);
            let (name, words) = draw.of(EVALUATORS);
            let name = spellings(name);
            format!("{before}{} {words}{behind}", draw.of(&name))
        }
        3 | 4 => {
            let (before, behind) = draw.of(AROUND);
            let clause = format!("[[ {}{}{} ]]", draw.of(BEFORE), draw.of(EVALUATED), draw.of(BEHIND));
            if before.is_empty() { format!("true; {clause}") } else { format!("{before}{clause}{behind}") }
        }
        5 => (*draw.of(PLACES)).to_owned(),
        _ => {
            let sink = *draw.of(SINKS);
            draw.of(SETTERS).replace('§', sink)
        }
    }
}

/// The lines that every run tries, and as many drawn ones as asked for.
fn lines() -> Vec<String> {
    let number = |name: &str, default: u64| std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"));
    let mut draw = Draw(number("OPAL_EVALUATED_SEED", 1));
    let mut lines: BTreeSet<String> = PLACES.iter().map(|line| (*line).to_owned()).collect();
    lines.extend(EVALUATORS.iter().map(|(name, words)| format!("true; {name} {words}")));
    lines.extend(EVALUATED.iter().map(|clause| format!("true; [[{clause}]]")));
    for _ in 0..number("OPAL_EVALUATED_CASES", 300) {
        lines.insert(line(&mut draw));
    }
    lines.into_iter().collect()
}

/// Whether bash itself reads the text at all, with a word for the value.
fn bash_reads(text: &str) -> bool {
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-n", "-c", text]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    bash.status().is_ok_and(|status| status.success())
}

/// Which of the lines the compiler takes, without an error and without the warning of a second interpreter, with `written` in the place of `¤`.
fn accepted(host: &Host, lines: &[String], written: &str, block: bool) -> Vec<String> {
    let mut source = String::new();
    let mut starts = Vec::new();
    for line in lines {
        let (open, close) = if block { ("try {\n", "\n} catch {\ntrue\n}\n") } else { ("", "\n") };
        source.push_str(open);
        starts.push(source.matches('\n').count() + 1);
        source.push_str(&line.replace('¤', written));
        source.push_str(close);
    }
    host.write("deploy.opl", &source);
    let checked = host.opalc(&["check", "deploy.opl", "--format", "json"]);
    let found: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap_or_else(|_| panic!("{checked:?}"));
    let mut refused = vec![false; lines.len()];
    for diagnostic in found["diagnostics"].as_array().expect("diagnostics") {
        let at = diagnostic["span"]["line"].as_u64().expect("a line") as usize;
        assert!(diagnostic["code"] != "too_many_errors", "the batches are too large");
        let matters = diagnostic["severity"] == "error" || diagnostic["code"] == "value_in_second_interpreter";
        let owner = starts.partition_point(|start| *start <= at);
        if matters && owner > 0 {
            refused[owner - 1] = true;
        }
    }
    lines.iter().zip(refused).filter(|(_, refused)| !refused).map(|(line, _)| line.clone()).collect()
}

/// Runs the lines as steps of one contract with this value; whether the canary fired.
fn fires(host: &mut Host, lines: &[String], written: &str, value: &str) -> bool {
    host.set("VALUE", value).set("TOOL", "eval").set("EMPTY", "");
    let mut source = host.named("true SITE\n");
    for line in lines {
        source.push_str("try {\n@timeout(5s) {\n");
        source.push_str(&line.replace('¤', written));
        source.push_str("\n}\n} catch {\ntrue\n}\n");
    }
    host.write("deploy.opl", &source);
    let _ = std::fs::remove_file(host.work().join("CANARY"));
    let compiled = host.opalc(&["deploy.opl", "--resolve", "-o", "prod.plan"]);
    if compiled.status != 0 {
        // Values that only planning can tell: refused as well. What is left is tried line by line.
        assert!(lines.len() > 1 || compiled.status == 65, "{compiled:?}");
        if lines.len() == 1 {
            return false;
        }
        let (one, two) = lines.split_at(lines.len() / 2);
        return fires(host, one, written, value) || fires(host, two, written, value);
    }
    host.vm(&["run", "--plan", "prod.plan", "--record", "none"]);
    host.work().join("CANARY").exists()
}

#[test]
fn no_spelling_of_a_command_makes_bash_execute_a_value() {
    let lines: Vec<String> = lines().into_iter().filter(|line| bash_reads(&line.replace('¤', "word"))).collect();
    let mut host = Host::new();
    for written in ["@env.VALUE(public=true)", "@env.VALUE"] {
        let written = format!("@{{{}}}", written.trim_start_matches('@'));
        let mut taken = Vec::new();
        for batch in lines.chunks(40) {
            taken.extend(accepted(&host, batch, &written, true));
        }
        assert!(taken.len() > lines.len() / 20, "only {} of {} lines are accepted", taken.len(), lines.len());
        for batch in taken.chunks(40) {
            // A secret takes the same way for every text.
            let values = if written.contains("public") { VALUES } else { &VALUES[..3] };
            for value in values {
                if fires(&mut host, batch, &written, value) {
                    let guilty: Vec<&String> =
                        batch.iter().filter(|line| fires(&mut host, std::slice::from_ref(*line), &written, value)).collect();
                    panic!("`{value}` was executed by: {guilty:#?}");
                }
            }
        }
    }
}

#[test]
fn the_lines_do_execute_a_value_that_nothing_protects() {
    let directory = tempfile::tempdir().expect("a directory");
    let canary = directory.path().join("CANARY");
    let mut alive = 0;
    let tried = EVALUATORS.iter().map(|(name, words)| format!("{name} {words}")).chain(PLACES.iter().map(|line| (*line).to_owned()));
    let tried: Vec<String> = tried.chain(SINKS.iter().map(|sink| format!("x=¤; {sink}"))).collect();
    for line in &tried {
        let fired = VALUES.iter().take(4).any(|value| {
            let _ = std::fs::remove_file(&canary);
            let mut bash = Command::new("bash");
            bash.args(["--norc", "--noprofile", "-c", &line.replace('¤', "\"$VALUE\"")]).current_dir(directory.path());
            bash.env("VALUE", value).env("TOOL", "eval").env("EMPTY", "");
            bash.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            bash.status().expect("bash runs");
            canary.exists()
        });
        alive += usize::from(fired);
    }
    assert!(alive * 2 > tried.len(), "only {alive} of {} lines execute anything", tried.len());
}

/// The shell scripts of this machine.
fn scripts() -> Vec<String> {
    let mut open: Vec<std::path::PathBuf> =
        ["/etc", "/usr/bin", "/usr/sbin", "/usr/share", "/usr/lib/git-core", "/lib"].iter().map(Into::into).collect();
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_by_key(std::fs::DirEntry::path);
        for entry in entries {
            let path = entry.path();
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if entry.metadata().is_ok_and(|metadata| metadata.len() < 200_000) && is_script(&path) {
                found.extend(std::fs::read_to_string(&path).ok());
            }
        }
    }
    found
}

fn is_script(path: &Path) -> bool {
    use std::io::Read as _;
    let mut head = [0; 32];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut head)).unwrap_or(0);
    let head = String::from_utf8_lossy(&head[..read]).into_owned();
    head.starts_with("#!/bin/sh") || head.starts_with("#!/bin/bash") || head.starts_with("#!/usr/bin/env bash")
}

/// Lines that bash reads by themselves, with `¤` for one quoted variable among the words of a command.
fn lines_with_a_value(scripts: &[String]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for line in scripts.iter().flat_map(|script| script.lines()) {
        let line = line.trim();
        if line.contains(['@', '`', '\\', '\r'])
            || line.starts_with(['#', '(', '-', '"', '$', '\'', '{', '}', '*', '['])
            || line.len() > 160
        {
            continue;
        }
        let Some((head, rest)) = line.split_once(" \"$") else { continue };
        let Some((name, tail)) = rest.split_once('"') else { continue };
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let word = head.split_whitespace().next().unwrap_or_default();
        let keyword =
            ["if", "while", "until", "for", "case", "select", "when", "try", "var", "fun", "elif", "else", "do", "then", "done", "fi"];
        if plain && !keyword.contains(&word) && !word.ends_with(')') && !head.contains(['"', '\'']) {
            found.insert(format!("{head} ¤{tail}"));
        }
    }
    found.into_iter().collect()
}

#[test]
fn few_lines_of_the_scripts_of_this_machine_are_refused() {
    let lines = lines_with_a_value(&scripts());
    let lines: Vec<String> = lines.into_iter().filter(|line| bash_reads(&line.replace('¤', "word"))).take(4000).collect();
    if lines.len() < 50 {
        return eprintln!("only {} lines of scripts on this machine: nothing to measure", lines.len());
    }
    let host = Host::new();
    let taken: BTreeSet<String> = lines.chunks(40).flat_map(|batch| accepted(&host, batch, "@{env.VALUE}", false)).collect();
    let refused: Vec<&String> = lines.iter().filter(|line| !taken.contains(*line)).collect();
    println!("{} of {} lines refused: {refused:#?}", refused.len(), lines.len());
    assert!(refused.len() * 20 <= lines.len(), "{} of {} lines are refused: {refused:#?}", refused.len(), lines.len());
}
