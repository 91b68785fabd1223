//! `plan_hash`: the name of the work that a plan does (spec/plan-format.md, "plan_hash").
//!
//! It covers the target, the bound arguments, shell, umask and directory, the executing nodes and the slots. It leaves out whatever does not change what is done: secret
//! values, control-flow nodes, names, headers, spans, paths, times, ids, and how shell text is cut into parts.

use crate::crypto::hash::{Canonical, Digest, HashAlgorithm};
use crate::read::error::{FormatError, Rule};
use crate::read::kind::NodeKind;
use crate::read::kind::Section;
use crate::read::slots::SlotsView;
use crate::read::steps::{Node, Piece, Pieces, StepsView};
use crate::read::terms::Setting;

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
    setting: &Setting<'_>,
    steps: StepsView<'_>,
    slots: SlotsView<'_>,
) -> Result<Digest, FormatError> {
    let Setting { target, arguments, shell, umask, directory } = *setting;
    let mut hash = Canonical::new(algorithm, "v2/plan");
    hash.bytes(target.as_bytes()).length(arguments.len());
    for argument in arguments {
        hash.bytes(&argument.value);
    }
    hash.bytes(shell.as_bytes()).u32(umask).bytes(directory.as_bytes());
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

/// By node, the executing nodes before it: the number of a node in pre-order, and by difference the executing length of a subtree.
pub(crate) struct Numbering(Vec<u32>);

impl Numbering {
    pub(crate) fn new(steps: StepsView<'_>) -> Self {
        let mut before = Vec::with_capacity(steps.nodes.len().saturating_add(1));
        let mut count = 0_u32;
        before.push(0);
        for node in steps.nodes {
            count = count.saturating_add(u32::from(node.kind.to_native() < NodeKind::For.number()));
            before.push(count);
        }
        Self(before)
    }

    fn of(&self, index: usize) -> Option<u32> {
        self.0.get(index).copied()
    }
}

fn hash_steps(hash: &mut Canonical, steps: StepsView<'_>) -> Result<(), FormatError> {
    let numbering = Numbering::new(steps);
    hash.u32(numbering.of(steps.nodes.len()).unwrap_or(0));
    for (index, node) in steps.nodes.iter().enumerate() {
        if node.kind.to_native() >= NodeKind::For.number() {
            continue;
        }
        let end = index.saturating_add(node.length());
        let length = numbering.of(end).zip(numbering.of(index)).and_then(|(end, start)| end.checked_sub(start));
        let length = length.ok_or_else(|| refuse(Section::Steps, index, Rule::Subtree))?;
        hash.u32(node.kind.to_native().into()).u32(length);
        hash_arguments(hash, steps, &numbering, index, node)?;
        hash_pieces(hash, steps.command(node), &numbering, index)?;
    }
    Ok(())
}

/// The arguments of the node at `index`.
pub(crate) fn hash_arguments(
    hash: &mut Canonical,
    steps: StepsView<'_>,
    numbering: &Numbering,
    index: usize,
    node: &Node,
) -> Result<(), FormatError> {
    hash.u32(node.args.count.to_native());
    for arg in node.args.of(steps.args).ok_or_else(|| refuse(Section::Steps, index, Rule::Range))? {
        hash.u8(arg.param).u8(arg.value_type).i64(arg.scalar()).u32(arg.slot.to_native());
        hash_pieces(hash, steps.text_of(arg), numbering, index)?;
    }
    Ok(())
}

/// Adjacent texts count as one and empty ones not at all, so that neither the cutting nor where a text stands has an influence.
fn hash_pieces(hash: &mut Canonical, pieces: Pieces<'_>, numbering: &Numbering, index: usize) -> Result<(), FormatError> {
    let text = |piece| if let Piece::Text(text) = piece { Some(text) } else { None };
    let mut rest = pieces;
    loop {
        let run = rest.clone().map_while(text);
        let (count, length) =
            run.clone().fold((0_usize, 0_usize), |(count, length), text| (count.saturating_add(1), length.saturating_add(text.len())));
        if length > 0 {
            hash.u8(TEXT).length(length);
            for text in run {
                hash.raw(text);
            }
        }
        match rest.nth(count) {
            Some(Piece::Slot(slot, position)) => _ = hash.u8(SLOT).u32(slot).u8(position.number()),
            Some(Piece::Binding(node, position)) => {
                let number = numbering.of(node as usize);
                hash.u8(BINDING).u32(number.ok_or_else(|| refuse(Section::Steps, index, Rule::Binding))?).u8(position.number());
            }
            Some(Piece::Text(_) | Piece::Missing) => return Err(refuse(Section::Steps, index, Rule::Text)),
            None => break,
        }
    }
    hash.u8(END);
    Ok(())
}

const fn refuse(section: Section, index: usize, rule: Rule) -> FormatError {
    FormatError::Table { section, index, rule, offset: 0 }
}
