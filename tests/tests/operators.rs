//! Lines with operators over Opal constructs do what `bash` does with the same line.

use opal_tests::Host;
use std::process::{Command, Stdio};

/// A small generator of numbers (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// One operand: how it is written, and what the shell would be given. One that reads leaves nothing unread, so that no writer is cut off.
fn operand(numbers: &mut Numbers, name: usize, reads: bool) -> (String, String) {
    let ends = ["true", "false", "echo"][usize::try_from(numbers.below(3)).expect("small")];
    let ends = if ends == "echo" { format!("echo {name}") } else { ends.to_owned() };
    let work = match (reads, numbers.below(3)) {
        (true, 0) => "cat".to_owned(),
        (true, _) => format!("(cat >/dev/null; {ends})"),
        (false, _) => ends,
    };
    let shell = format!("{{ {work}; }}");
    match numbers.below(6) {
        0 => (format!("@retry(1) {{ {work} }}"), shell),
        1 => (format!("@timeout(1m) {{\n{work}\n}}"), shell),
        2 => (format!("@shell(\"{work}\")"), work),
        3 if !reads => (
            if work == "true" { "well()".to_owned() } else { "@cmd.badly".to_owned() },
            if work == "true" { work } else { "false".to_owned() },
        ),
        _ => (work.clone(), work),
    }
}

fn line(numbers: &mut Numbers) -> (String, String) {
    let (mut opal, mut shell) = operand(numbers, 0, false);
    for name in 1..=2 + usize::try_from(numbers.below(5)).expect("small") {
        let operator = ["|", "&&", "||", ";"][usize::try_from(numbers.below(4)).expect("small")];
        let (next_opal, next_shell) = operand(numbers, name, operator == "|");
        opal.push_str(&format!(" {operator} {next_opal}"));
        shell.push_str(&format!(" {operator} {next_shell}"));
    }
    (opal, shell)
}

#[test]
fn operator_lines_give_the_output_and_the_status_that_bash_gives() {
    let mut numbers = Numbers(7);
    let host = Host::new();
    for round in 0..60 {
        let (opal, shell) = line(&mut numbers);
        let expected = Command::new("bash").args(["-o", "pipefail", "-c", &shell]).stdin(Stdio::null()).output().expect("bash runs");
        let source = format!("well: true\nbadly: false\ngo: {{\n{opal}\n}}\n");
        host.write("line.opl", &source);
        host.opalc(&["line.opl", "go", "--resolve", "-o", "line.plan"]).expect(0);
        let ran = host.vm(&["run", "--plan", "line.plan"]);
        let stdout = String::from_utf8_lossy(&expected.stdout);
        assert_eq!(
            (ran.stdout.as_str(), ran.status),
            (&*stdout, expected.status.code().expect("a status")),
            "round {round}: {opal}\n{shell}\n{}",
            ran.stderr
        );
    }
}
