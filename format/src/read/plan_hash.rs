//! `plan_hash`: the name of the work that a plan does (spec/plan-format.md, "plan_hash").
//!
//! It covers the target, the bound arguments, the executing nodes and the slots. It leaves out whatever does not change what is done: secret
//! values, control-flow nodes, names, headers, spans, paths, times, ids, and how shell text is cut into parts.

use crate::crypto::hash::{Canonical, Digest, HashAlgorithm};
use crate::read::error::{FormatError, Rule};
use crate::read::kind::NodeKind;
use crate::read::kind::Section;
use crate::read::record::{Range, TextRef};
use crate::read::slots::SlotsView;
use crate::read::steps::{Part, PartKind, StepsView};
use crate::read::terms::BoundArgument;

const TEXT: u8 = 0;
const SLOT: u8 = 1;
const BINDING: u8 = 2;
const END: u8 = 255;

/// Computes `plan_hash`, in time linear in the tables.
///
/// # Errors
/// [`FormatError::Table`] where a reference leaves its table; never for tables that a [`Contract`](crate::read::reader::Contract) holds.
pub fn plan_hash(
    algorithm: HashAlgorithm,
    target: &str,
    arguments: &[BoundArgument],
    steps: StepsView<'_>,
    slots: SlotsView<'_>,
) -> Result<Digest, FormatError> {
    let mut hash = Canonical::new(algorithm, "plan");
    hash.bytes(target.as_bytes()).length(arguments.len());
    for argument in arguments {
        hash.bytes(&argument.value);
    }
    hash_steps(&mut hash, steps)?;
    hash.length(slots.slots.len());
    for (index, slot) in slots.slots.iter().enumerate() {
        let fail = || refuse(Section::Values, index, Rule::Text);
        hash.bytes(slot.key.of(slots.text).ok_or_else(fail)?).u8(slot.value_type).u8(u8::from(slot.is_public()));
        if slot.is_public() {
            hash.bytes(slot.value.of(slots.text).ok_or_else(fail)?);
        }
    }
    Ok(hash.finish())
}

fn hash_steps(hash: &mut Canonical, steps: StepsView<'_>) -> Result<(), FormatError> {
    // Executing nodes before each node: the number of a node in pre-order, and by difference the executing length of a subtree.
    let mut before = Vec::with_capacity(steps.nodes.len().saturating_add(1));
    let mut count = 0_u32;
    before.push(0);
    for node in steps.nodes {
        count = count.saturating_add(u32::from(node.kind.to_native() < NodeKind::For.number()));
        before.push(count);
    }
    hash.u32(count);
    let number_of = |index: usize| before.get(index).copied();
    for (index, node) in steps.nodes.iter().enumerate() {
        if node.kind.to_native() >= NodeKind::For.number() {
            continue;
        }
        let end = index.saturating_add(node.subtree.to_native() as usize);
        let length = number_of(end).zip(number_of(index)).and_then(|(end, start)| end.checked_sub(start));
        let args = node.args.of(steps.args).ok_or_else(|| refuse(Section::Steps, index, Rule::Range))?;
        let length = length.ok_or_else(|| refuse(Section::Steps, index, Rule::Subtree))?;
        hash.u32(node.kind.to_native().into()).u32(length).u32(node.args.count.to_native());
        for arg in args {
            hash.u8(arg.param).u8(arg.value_type).i64(arg.scalar.to_native()).u32(arg.slot.to_native());
            hash_parts(hash, steps, arg.parts, &before, index)?;
        }
        hash_parts(hash, steps, node.parts, &before, index)?;
    }
    Ok(())
}

/// Adjacent texts count as one and empty ones not at all, so that the cutting has no influence.
fn hash_parts(hash: &mut Canonical, steps: StepsView<'_>, range: Range, before: &[u32], index: usize) -> Result<(), FormatError> {
    let mut parts = range.of(steps.parts).ok_or_else(|| refuse(Section::Steps, index, Rule::Range))?;
    let is_text = |part: &Part| part.kind == PartKind::Text.number();
    while let Some((part, rest)) = parts.split_first() {
        if is_text(part) {
            let (run, rest) = parts.split_at(parts.iter().position(|part| !is_text(part)).unwrap_or(parts.len()));
            let length: usize = run.iter().fold(0, |sum: usize, part| sum.saturating_add(part.second.to_native() as usize));
            if length > 0 {
                hash.u8(TEXT).length(length);
            }
            for part in run {
                let text = TextRef { offset: part.first, length: part.second }.of(steps.text);
                hash.raw(text.ok_or_else(|| refuse(Section::Steps, index, Rule::Text))?);
            }
            parts = rest;
            continue;
        }
        if part.kind == PartKind::Slot.number() {
            hash.u8(SLOT).u32(part.first.to_native()).u8(part.position);
        } else {
            let number = before.get(part.first.to_native() as usize);
            hash.u8(BINDING).u32(*number.ok_or_else(|| refuse(Section::Steps, index, Rule::Binding))?).u8(part.position);
        }
        parts = rest;
    }
    hash.u8(END);
    Ok(())
}

const fn refuse(section: Section, index: usize, rule: Rule) -> FormatError {
    FormatError::Table { section, index, rule, offset: 0 }
}
