//! The specification says what the code says. `OPAL_BLESS=1` rewrites its generated parts.

use opal_core::program::Rule;
use opal_core::program::table::{Op, Operand, Pops};
use std::collections::HashSet;
use std::fmt::Write;
use std::path::Path;

fn operand(column: &str, operand: Operand) -> Option<String> {
    let what = match operand {
        Operand::Zero => return None,
        Operand::Count => "count",
        Operand::Type => "type",
        Operand::Constant => "constant",
        Operand::Text => "text",
        Operand::Local => "local",
        Operand::Global => "global",
        Operand::Function => "function",
        Operand::Import => "import",
        Operand::Template => "template",
        Operand::Node => "node",
        Operand::Block => "block",
        Operand::Target => "target",
    };
    Some(format!("{column} {what}"))
}

fn instructions() -> String {
    let mut table = String::from("| code | name | operands | pops | pushes | role | meaning |\n|---|---|---|---|---|---|---|\n");
    for op in Op::ALL {
        let row = op.row();
        let operands: Vec<_> = ["a", "b", "c"].iter().zip(row.operands).filter_map(|(column, what)| operand(column, what)).collect();
        let pops = match row.pops {
            Pops::Fixed(count) => count.to_string(),
            Pops::CountB => "b".into(),
            Pops::TwiceB => "2 b".into(),
            Pops::ImportArgs => "computed arguments".into(),
            Pops::FunctionParams => "parameters".into(),
            Pops::Holes => "holes".into(),
            Pops::NodeArgs => "arguments".into(),
        };
        let role = format!("{:?}", row.role).to_lowercase();
        let (code, operands) = (*op as u8, operands.join(", "));
        writeln!(table, "| {code:#04x} | `{}` | {operands} | {pops} | {} | {role} | {} |", row.name, row.pushes, row.meaning).unwrap();
    }
    table
}

fn rules() -> String {
    let mut table = String::from("| code | refused when |\n|---|---|\n");
    for rule in Rule::ALL {
        writeln!(table, "| `{}` | {} |", rule.code(), rule.message()).unwrap();
    }
    table
}

/// Compares the part of the specification between two marks, or rewrites it.
fn check(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/program.md");
    let spec = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let start = spec.find(&begin).unwrap() + begin.len();
    let stop = start + spec[start..].find(&end).unwrap();
    if std::env::var_os("OPAL_BLESS").is_some() {
        std::fs::write(&path, [&spec[..start], expected, &spec[stop..]].concat()).unwrap();
    } else {
        assert_eq!(&spec[start..stop], expected, "run with OPAL_BLESS=1 to rewrite spec/program.md");
    }
}

#[test]
fn the_tables_of_the_specification_are_those_of_the_code() {
    check("instructions", &instructions());
    check("rules", &rules());
}

#[test]
fn codes_and_names_of_instructions_are_distinct_and_ascend() {
    let codes: Vec<_> = Op::ALL.iter().map(|op| *op as u8).collect();
    assert!(codes.is_sorted_by(|one, other| one < other));
    let names: HashSet<_> = Op::ALL.iter().map(|op| op.row().name).collect();
    assert_eq!(names.len(), Op::ALL.len());
    for op in Op::ALL {
        assert_eq!(Op::from_code(*op as u8), Some(*op));
    }
}
