//! Plans as source text.

use crate::plan::{Block, Exit, Operation, Operator, Plan, Step, Stmt};
use std::fmt::Write as _;

/// How long a `@timeout` that fires takes.
const FIRES_AFTER: &str = "60ms";

/// The source of a plan; its last command is called `go` and takes a number that makes it different work each time.
pub(crate) fn source(plan: &Plan) -> String {
    let mut text = String::new();
    for (number, block) in plan.commands.iter().enumerate() {
        if number + 1 == plan.commands.len() {
            text.push_str("fun go(work: Int) {\n");
        } else {
            let _ = writeln!(text, "c{number}: {{");
        }
        lines(block, 1, &mut text);
        text.push_str("}\n");
    }
    text
}

fn lines(block: &Block, depth: usize, out: &mut String) {
    for stmt in block {
        let _ = writeln!(out, "{}{}", "    ".repeat(depth), text(stmt, depth));
    }
}

fn braced(head: &str, block: &Block, depth: usize) -> String {
    let mut out = format!("{head} {{\n");
    lines(block, depth + 1, &mut out);
    out.push_str(&"    ".repeat(depth));
    out.push('}');
    out
}

/// What a step does, as shell text.
fn work(step: &Step, says: bool) -> String {
    let id = step.id;
    let mut out = String::new();
    if step.drains {
        out.push_str("mapfile -t; ");
    }
    let values: String = step.variables.iter().map(|number| format!("-@{{var.i{number}}}")).collect();
    let bound: String = step.bindings.iter().map(|number| format!("-@{{var.V{number}}}")).collect();
    let _ = write!(out, "echo \"s{id}{values}{bound}:${{PWD#$D}}\" >> \"$D/log\"; ");
    if says {
        for line in 1..=step.lines {
            let _ = write!(out, "echo \"o{id}{values}{bound}.{line}\"; ");
        }
    }
    match step.exit {
        Exit::Code(code) => drop(write!(out, "exit {code}")),
        Exit::Signal(signal) => drop(write!(out, "ulimit -c 0; kill -{signal} $BASHPID")),
        Exit::From(times) => drop(write!(out, "printf x >> \"$D/c{id}\"; read -r seen < \"$D/c{id}\"; [ ${{#seen}} -ge {times} ]")),
    }
    out
}

fn text(stmt: &Stmt, depth: usize) -> String {
    match stmt {
        Stmt::Step(step) => work(step, true),
        Stmt::Hang => "exec sleep 600".to_owned(),
        Stmt::Sleep => "sleep(1ms)".to_owned(),
        Stmt::Bind(step) => {
            let values: String = step.variables.iter().map(|number| format!("-@{{var.i{number}}}")).collect();
            format!("V{}=$(printf \"bound{}{values}z\"; {})", step.id, step.id, work(step, false))
        }
        Stmt::Line(operands) => {
            let mut out = String::new();
            for (number, (operator, operand)) in operands.iter().enumerate() {
                if number > 0 {
                    out.push_str(match operator {
                        Operator::Seq => "; ",
                        Operator::And => " && ",
                        Operator::Or => " || ",
                        Operator::Pipe => " | ",
                    });
                }
                match operand {
                    Stmt::Step(step) => drop(write!(out, "({})", work(step, true))),
                    construct => out.push_str(&text(construct, depth)),
                }
            }
            out
        }
        Stmt::Try(body, catch, finally) => {
            let mut out = braced("try", body, depth);
            for (head, block) in [(" catch", catch), (" finally", finally)] {
                if let Some(block) = block {
                    out.push_str(&braced(head, block, depth));
                }
            }
            out
        }
        Stmt::Retry(attempts, block) => braced(&format!("@retry({attempts}, delay=1ms)"), block, depth),
        Stmt::Timeout(fires, block) => braced(&format!("@timeout({})", if *fires { FIRES_AFTER } else { "10m" }), block, depth),
        Stmt::Workdir(path, block) => braced(&format!("@workdir(\"{path}\")"), block, depth),
        Stmt::Parallel { at_once, tolerate, inside } => {
            braced(&format!("@parallel(max_concurrency={at_once}, tolerate={tolerate})"), inside, depth)
        }
        Stmt::If(variable, block, otherwise) => {
            let mut out = braced(&format!("if i{variable} == 1"), block, depth);
            if let Some(block) = otherwise {
                out.push_str(&braced(" else", block, depth));
            }
            out
        }
        Stmt::When(variable, arms) => {
            let indent = "    ".repeat(depth + 1);
            let mut out = format!("when i{variable} {{\n");
            for (pattern, arm) in ["1", "2", "else"].iter().zip(arms) {
                let _ = writeln!(out, "{indent}{}", braced(&format!("{pattern} ->"), arm, depth + 1));
            }
            out.push_str(&"    ".repeat(depth));
            out.push('}');
            out
        }
        Stmt::For(variable, to, block) => braced(&format!("for i{variable} in 1...{to}"), block, depth),
        Stmt::Call(number) => format!("@cmd.c{number}()"),
        Stmt::Pipeline(step, operations) => {
            let mut out = match &**step {
                Stmt::Step(step) => format!("({})", work(step, true)),
                construct => text(construct, depth),
            };
            for operation in operations {
                let _ = match operation {
                    Operation::Head(count) => write!(out, " |> lines.head({count})"),
                    Operation::Tail(count) => write!(out, " |> lines.tail({count})"),
                    Operation::Count => write!(out, " |> lines.count()"),
                    Operation::Grep(line) => write!(out, " |> lines.grep(\"[.]{line}$\")"),
                    Operation::AtLeast(least) => write!(out, " |> assert.num(\">= {least}\")"),
                };
            }
            out
        }
    }
}
