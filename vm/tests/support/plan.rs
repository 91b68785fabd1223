//! Plans made by hand.

use opal_core::decorators::params;
use opal_core::plan::{Plan, Scalar, Unscrubbed};
use opal_format::kind::{NodeKind, PlanType, Position, ValueType};
use opal_format::program::{TEMPLATE_HOLE, Template, TemplatePart};
use opal_format::record::{Range, Span, TextRef};
use opal_format::slots::{SLOT_PUBLIC, Slot, Slots};
use opal_format::steps::{self, Node, PartKind, Steps};

#[derive(Clone)]
pub enum Arg {
    Int(i64),
    Duration(i64),
    Text(String),
    /// A String that is the value of a slot.
    Slot(u32),
}

#[derive(Clone, Copy)]
pub enum Part<'a> {
    Text(&'a str),
    Slot(u32, Position),
    Binding(u32, Position),
}

#[derive(Clone)]
enum Owned {
    Text(String),
    Slot(u32, Position),
    Binding(u32, Position),
}

#[derive(Clone)]
pub struct Tree {
    kind: NodeKind,
    args: Vec<(u8, Arg)>,
    parts: Vec<Owned>,
    inside: Vec<Tree>,
}

pub fn with(kind: NodeKind, args: Vec<(u8, Arg)>, inside: Vec<Tree>) -> Tree {
    Tree { kind, args, parts: Vec::new(), inside }
}

pub fn block(kind: NodeKind, inside: Vec<Tree>) -> Tree {
    with(kind, Vec::new(), inside)
}

pub fn shell(parts: Vec<Part<'_>>) -> Tree {
    let parts = parts
        .into_iter()
        .map(|part| match part {
            Part::Text(text) => Owned::Text(text.to_owned()),
            Part::Slot(slot, position) => Owned::Slot(slot, position),
            Part::Binding(node, position) => Owned::Binding(node, position),
        })
        .collect();
    Tree { kind: NodeKind::Shell, args: Vec::new(), parts, inside: Vec::new() }
}

pub fn sh(script: &str) -> Tree {
    shell(vec![Part::Text(script)])
}

pub fn let_(name: &str, text: &str) -> Tree {
    let args = vec![(params::LET_NAME, Arg::Text(name.to_owned()))];
    Tree { kind: NodeKind::Let, args, ..sh(text) }
}

/// The same work with other control flow around it, at every place at once: each step in an arm of its own, all steps of a block in one, or both.
pub fn under_control_flow(trees: &[Tree], each: bool, all: bool) -> Vec<Tree> {
    let handler = |tree: &Tree| matches!(tree.kind, NodeKind::Catch | NodeKind::Finally);
    let inner = |tree: &Tree| Tree { inside: under_control_flow(&tree.inside, each, all), ..tree.clone() };
    let (handlers, steps): (Vec<&Tree>, Vec<&Tree>) = trees.iter().partition(|tree| handler(tree));
    let arm = |tree: &Tree| if each { block(NodeKind::If, vec![inner(tree)]) } else { inner(tree) };
    let mut out: Vec<Tree> = steps.into_iter().map(arm).collect();
    if all && !out.is_empty() {
        out = vec![block(NodeKind::For, vec![block(NodeKind::When, out)])];
    }
    out.extend(handlers.into_iter().map(inner));
    out
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap()
}

fn text(pool: &mut Vec<u8>, bytes: &[u8]) -> TextRef {
    let at = pool.len();
    pool.extend_from_slice(bytes);
    TextRef::new(number(at), number(bytes.len()))
}

fn part(steps: &mut Steps, part: &Owned) -> steps::Part {
    match part {
        Owned::Text(bytes) => steps::Part::text(text(&mut steps.text, bytes.as_bytes())),
        Owned::Slot(slot, position) => steps::Part::new(PartKind::Slot, *slot, position.number().into()),
        Owned::Binding(node, position) => steps::Part::new(PartKind::Binding, *node, position.number().into()),
    }
}

/// A run of these parts; gives its first.
fn run(steps: &mut Steps, parts: &[Owned]) -> u32 {
    let first = number(steps.parts.len());
    for (at, one) in parts.iter().enumerate() {
        let one = part(steps, one);
        steps.parts.push(if at + 1 < parts.len() { one.with_more() } else { one });
    }
    first
}

fn add(steps: &mut Steps, tree: &Tree) {
    let at = steps.nodes.len();
    let mark = steps.args.len();
    for (param, arg) in &tree.args {
        let (value_type, value) = match arg {
            Arg::Int(int) => (ValueType::Int, *int),
            Arg::Duration(nanoseconds) => (ValueType::Duration, *nanoseconds),
            Arg::Text(bytes) => (ValueType::String, run(steps, &[Owned::Text(bytes.clone())]).into()),
            Arg::Slot(slot) => (ValueType::String, run(steps, &[Owned::Slot(*slot, Position::Argument)]).into()),
        };
        steps.args.push(steps::Arg {
            value: value.into(),
            slot: 0.into(),
            param: *param,
            value_type: value_type.number(),
            reserved: 0.into(),
        });
    }
    // The whole command stands in one hole.
    let runs = if tree.parts.is_empty() { 0 } else { run(steps, &tree.parts) };
    let origins = &mut steps.origins;
    let origin = origins.templates.len();
    let holes = usize::from(!tree.parts.is_empty());
    let parts = Range::new(number(origins.parts.len()), number(holes));
    let hole = TemplatePart { kind: TEMPLATE_HOLE, position: 0, alone: 0, reserved: 0, text: TextRef::EMPTY };
    origins.parts.extend(std::iter::repeat_n(hole, holes));
    origins.templates.push(Template { parts, name_offset: 0.into(), name_length: 0.into(), holes: 1.into(), span: Span::NONE });
    steps.nodes.push(Node {
        kind: tree.kind.number().into(),
        flags: 0.into(),
        subtree: 1.into(),
        origin: number(origin).into(),
        args: Range::new(number(mark), number(tree.args.len())),
        runs: runs.into(),
    });
    tree.inside.iter().for_each(|child| add(steps, child));
    steps.nodes[at].subtree = number(steps.nodes.len() - at).into();
}

/// A plan of these trees; slots are given by their values and whether they are public. Slot `n` is shown as `IDn`.
pub fn plan_of(trees: Vec<Tree>, values: &[(Scalar, bool)]) -> Plan {
    let mut steps = Steps::default();
    trees.iter().for_each(|tree| add(&mut steps, tree));
    let mut slots = Slots::default();
    for (n, (value, public)) in values.iter().enumerate() {
        let key = text(&mut slots.text, format!("env.V{n}").as_bytes());
        let display = text(&mut slots.text, format!("ID{n}").as_bytes());
        slots.slots.push(Slot {
            key,
            display,
            value: TextRef::EMPTY,
            commitment: [0; 32],
            decorator: 1.into(),
            flags: if *public { SLOT_PUBLIC } else { 0 }.into(),
            value_type: value.value_type().number(),
            reserved: [0; 3],
            span: Span::NONE,
        });
    }
    let reasons = |(_, public): &(Scalar, bool)| if *public { Unscrubbed::Public } else { Unscrubbed::No };
    let unscrubbed = values.iter().map(reasons).collect();
    let values = values.iter().map(|(value, _)| Some(value.clone())).collect();
    Plan { steps, slots, values, unscrubbed, undecided: Default::default(), plan_type: PlanType::Sequence, sub_keys: Default::default() }
}
