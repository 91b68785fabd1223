//! Builds the step tables.

use super::error::Cause;
use crate::program::table::limits;
use opal_format::kind::{NodeKind, Position, ValueType};
use opal_format::record::{Range, Span, TextRef, u16_le, u32_le};
use opal_format::steps::{Arg, NODE_AXES, Node, Part, PartKind, Steps};
use std::collections::{BTreeMap, HashMap};

/// Bytes that the kernel allows in one string given to a process, its end included (`MAX_ARG_STRLEN`).
pub const PROCESS_STRING_MAX: usize = 128 * 1024;

/// Step tables under construction.
#[derive(Default)]
pub(super) struct Emitter {
    pub steps: Steps,
    /// Control-flow nodes that a deferred value decides about, and its slot.
    pub undecided: BTreeMap<u32, u32>,
    /// Nodes that are open: index in the table.
    open: Vec<u32>,
    /// Program text (offset, length) to its copy in the steps' pool.
    interned: HashMap<(u32, u32), u32>,
    text_limit: u64,
    /// Bytes of text that nodes, arguments and commands name, shared text once for each.
    named: u64,
    /// Fuel for what was added since it was last taken: half the bytes of a record, a quarter of those of text.
    pub unpaid: u64,
}

fn index(length: usize) -> Result<u32, Cause> {
    u32::try_from(length).map_err(|_| Cause::Limit { what: "bytes of text", limit: limits::TEXT })
}

impl Emitter {
    pub(super) fn new(text_limit: u64) -> Self {
        Self { text_limit, ..Self::default() }
    }

    /// Copies a text of the program into the pool, once.
    pub(super) fn intern(&mut self, text: TextRef, pool: &[u8]) -> Result<TextRef, Cause> {
        let (offset, length) = (text.offset.to_native(), text.length.to_native());
        if length == 0 {
            return Ok(TextRef::EMPTY);
        }
        if let Some(at) = self.interned.get(&(offset, length)) {
            return Ok(TextRef::new(*at, length));
        }
        let copy = self.text(text.of(pool).ok_or(Cause::Internal("text outside the pool"))?)?;
        self.interned.insert((offset, length), copy.offset.to_native());
        Ok(copy)
    }

    fn text(&mut self, bytes: &[u8]) -> Result<TextRef, Cause> {
        let offset = index(self.steps.text.len())?;
        self.unpaid = self.unpaid.saturating_add(bytes.len() as u64 / 4);
        self.steps.text.extend_from_slice(bytes);
        Ok(TextRef::new(offset, index(bytes.len())?))
    }

    /// Counts text that is named once more. A reader counts the same.
    fn name(&mut self, length: u64) -> Result<(), Cause> {
        self.named = self.named.saturating_add(length);
        if self.named > self.text_limit {
            return Err(Cause::Limit { what: "bytes of text", limit: self.text_limit });
        }
        Ok(())
    }

    /// Adds a node without children.
    pub(super) fn node(&mut self, kind: NodeKind, header: TextRef, span: Span) -> Result<u32, Cause> {
        let at = index(self.steps.nodes.len())?;
        if at >= limits::STEPS {
            return Err(Cause::Limit { what: "steps", limit: u64::from(limits::STEPS) });
        }
        self.name(u64::from(header.length.to_native()))?;
        self.unpaid = self.unpaid.saturating_add(24);
        self.steps.nodes.push(Node {
            kind: u16_le::from_native(kind.number()),
            flags: u16_le::from_native(0),
            subtree: u32_le::from_native(1),
            args: Range::EMPTY,
            parts: Range::EMPTY,
            header,
            span,
        });
        Ok(at)
    }

    /// Starts a node whose children follow until [`Self::close`].
    pub(super) fn open(&mut self, kind: NodeKind, header: TextRef, span: Span) -> Result<u32, Cause> {
        if self.open.len() >= limits::DEPTH as usize {
            return Err(Cause::Limit { what: "nested blocks", limit: u64::from(limits::DEPTH) });
        }
        let at = self.node(kind, header, span)?;
        self.open.push(at);
        Ok(at)
    }

    /// Notes that the value of `slot`, which is deferred, decides how often the innermost open node runs.
    pub(super) fn undecided(&mut self, slot: u32) {
        if let Some(node) = self.open.last() {
            self.undecided.entry(*node).or_insert(slot);
        }
    }

    /// Notes that the innermost open node, where it is a `@for`, goes over several axes.
    pub(super) fn axes(&mut self) {
        let open = self.open.last().and_then(|at| usize::try_from(*at).ok()).and_then(|at| self.steps.nodes.get_mut(at));
        if let Some(node) = open.filter(|node| node.kind.to_native() == NodeKind::For.number()) {
            node.flags = u16_le::from_native(NODE_AXES);
        }
    }

    /// Ends the innermost open node.
    pub(super) fn close(&mut self) -> Result<(), Cause> {
        let at = self.open.pop().ok_or(Cause::Internal("no open node"))?;
        let length = index(self.steps.nodes.len())?.checked_sub(at).ok_or(Cause::Internal("node order"))?;
        let node = usize::try_from(at).ok().and_then(|at| self.steps.nodes.get_mut(at)).ok_or(Cause::Internal("no such node"))?;
        node.subtree = u32_le::from_native(length);
        Ok(())
    }

    /// Number of arguments so far, where the next node's arguments start.
    pub(super) fn args_mark(&self) -> Result<u32, Cause> {
        index(self.steps.args.len())
    }

    /// Number of parts so far, where the next command's or argument's parts start.
    pub(super) fn parts_mark(&self) -> Result<u32, Cause> {
        index(self.steps.parts.len())
    }

    /// Gives the arguments since `mark` to a node.
    pub(super) fn set_args(&mut self, at: u32, mark: u32) -> Result<(), Cause> {
        let count = index(self.steps.args.len())?.saturating_sub(mark);
        if count > 0 {
            self.at(at)?.args = Range::new(mark, count);
        }
        Ok(())
    }

    /// Gives the parts since `mark` to a node.
    pub(super) fn set_parts(&mut self, at: u32, mark: u32) -> Result<(), Cause> {
        let range = self.parts_since(mark)?;
        self.at(at)?.parts = range;
        Ok(())
    }

    fn parts_since(&self, mark: u32) -> Result<Range, Cause> {
        let count = index(self.steps.parts.len())?.saturating_sub(mark);
        Ok(if count == 0 { Range::EMPTY } else { Range::new(mark, count) })
    }

    fn at(&mut self, at: u32) -> Result<&mut Node, Cause> {
        usize::try_from(at).ok().and_then(|at| self.steps.nodes.get_mut(at)).ok_or(Cause::Internal("no such node"))
    }

    /// Adds a scalar argument.
    pub(super) fn scalar_arg(&mut self, param: u8, value_type: ValueType, scalar: i64, slot: Option<u32>) {
        self.unpaid = self.unpaid.saturating_add(12);
        self.steps.args.push(Arg {
            scalar: scalar.into(),
            parts: Range::EMPTY,
            slot: u32_le::from_native(slot.map_or(0, |slot| slot.saturating_add(1))),
            param,
            value_type: value_type.number(),
            reserved: u16_le::from_native(0),
        });
    }

    /// Adds a String argument of the parts since `mark`.
    pub(super) fn text_arg(&mut self, param: u8, mark: u32) -> Result<(), Cause> {
        let parts = self.parts_since(mark)?;
        self.unpaid = self.unpaid.saturating_add(12);
        self.steps.args.push(Arg {
            scalar: 0.into(),
            parts,
            slot: u32_le::from_native(0),
            param,
            value_type: ValueType::String.number(),
            reserved: u16_le::from_native(0),
        });
        Ok(())
    }

    /// Adds verbatim text that is in the pool already.
    ///
    /// # Errors
    /// [`Cause::Limit`] where the plan names too much text.
    pub(super) fn text_part(&mut self, text: TextRef) -> Result<(), Cause> {
        if !text.is_empty() {
            self.name(u64::from(text.length.to_native()))?;
            self.part(PartKind::Text, 0, text.offset.to_native(), text.length.to_native());
        }
        Ok(())
    }

    /// Adds verbatim text.
    pub(super) fn bytes_part(&mut self, bytes: &[u8]) -> Result<(), Cause> {
        // Before it is copied.
        if bytes.len() as u64 > self.text_limit.saturating_sub(self.named) {
            return Err(Cause::Limit { what: "bytes of text", limit: self.text_limit });
        }
        let text = self.text(bytes)?;
        self.text_part(text)
    }

    /// Adds a reference to a slot.
    pub(super) fn slot_part(&mut self, slot: u32, position: Position) {
        self.part(PartKind::Slot, position.number(), slot, 0);
    }

    /// Adds a reference to a runtime binding.
    pub(super) fn binding_part(&mut self, step: u32, position: Position) {
        self.part(PartKind::Binding, position.number(), step, 0);
    }

    fn part(&mut self, kind: PartKind, position: u8, first: u32, second: u32) {
        self.unpaid = self.unpaid.saturating_add(6);
        self.steps.parts.push(Part {
            kind: kind.number(),
            position,
            reserved: u16_le::from_native(0),
            first: u32_le::from_native(first),
            second: u32_le::from_native(second),
        });
    }
}

/// A public value as shell text that stands for exactly these bytes.
///
/// In a word, bytes outside a small safe set are put in single quotes; the name of a command is always quoted, since an unquoted word there
/// might be a keyword, an alias or an assignment. `apart` says that nothing beside it could make a bare value part of an expansion.
#[must_use]
pub fn quoted(bytes: &[u8], position: Position, apart: bool) -> Vec<u8> {
    // Room for the longest form, since a buffer that grew would leave secrets behind: `'` becomes `'\''`, others at most two bytes.
    let quotes = bytes.iter().filter(|byte| matches!(byte, b'\'' | b'\\' | b'$' | b'`' | b'"')).count();
    let mut out = Vec::with_capacity(bytes.len().saturating_add(quotes.saturating_mul(3)).saturating_add(2));
    let _ = quote::<std::convert::Infallible>(bytes, position, apart, &mut |piece| {
        out.extend_from_slice(piece);
        Ok(())
    });
    out
}

/// What [`quoted`] gives, in pieces.
///
/// # Errors
/// Those of `put`.
pub fn quote<E>(bytes: &[u8], position: Position, apart: bool, put: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    match position {
        Position::DoubleQuoted | Position::HereDocument => {
            let special = |byte: &u8| matches!(byte, b'\\' | b'$' | b'`') || (*byte == b'"' && position == Position::DoubleQuoted);
            let mut rest = bytes;
            while let Some(at) = rest.iter().position(special) {
                let (plain, from) = rest.split_at(at);
                let (byte, after) = from.split_at(1.min(from.len()));
                put(plain)?;
                put(b"\\")?;
                put(byte)?;
                rest = after;
            }
            put(rest)
        }
        Position::Argument | Position::Integer => put(bytes),
        Position::Word | Position::CommandWord | Position::Assignment | Position::Redirect => {
            if position != Position::CommandWord && apart && !bytes.is_empty() && bytes.iter().all(|byte| is_bare(*byte)) {
                return put(bytes);
            }
            put(b"'")?;
            for (at, piece) in bytes.split(|byte| *byte == b'\'').enumerate() {
                if at > 0 {
                    put(b"'\\''")?;
                }
                put(piece)?;
            }
            put(b"'")
        }
    }
}

pub(super) const fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b':' | b'@' | b'%' | b'+' | b'=' | b'-')
}
