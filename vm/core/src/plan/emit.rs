//! Builds the step tables.

use super::error::Cause;
use crate::program::table::limits;
use opal_format::kind::{NodeKind, Position, ValueType};
use opal_format::record::{Range, TextRef, u16_le, u32_le};
use opal_format::steps::{Arg, NODE_AXES, Node, Part, PartKind, Steps};
use std::collections::BTreeMap;

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
    /// Where the run of parts that is being filled starts.
    run: usize,
    text_limit: u64,
    /// Nodes that execute, so far.
    executing: u32,
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

    fn text(&mut self, bytes: &[u8]) -> Result<TextRef, Cause> {
        let offset = index(self.steps.text.len())?;
        self.unpaid = self.unpaid.saturating_add(bytes.len() as u64 / 4);
        self.steps.text.extend_from_slice(bytes);
        Ok(TextRef::new(offset, index(bytes.len())?))
    }

    /// Counts text that is named once more. A reader counts the same.
    ///
    /// # Errors
    /// [`Cause::Limit`] where the plan names too much text.
    pub(super) fn name(&mut self, length: u64) -> Result<(), Cause> {
        self.named = self.named.saturating_add(length);
        if self.named > self.text_limit {
            return Err(Cause::Limit { what: "bytes of text", limit: self.text_limit });
        }
        Ok(())
    }

    /// Adds a node without children that comes from the template or node `origin` of the program.
    pub(super) fn node(&mut self, kind: NodeKind, origin: u32) -> Result<u32, Cause> {
        let at = index(self.steps.nodes.len())?;
        if !kind.is_flow() {
            self.executing = self.executing.saturating_add(1);
        }
        if self.executing > limits::STEPS || at >= limits::NODES {
            return Err(Cause::Limit { what: "steps", limit: u64::from(limits::STEPS) });
        }
        self.unpaid = self.unpaid.saturating_add(12);
        self.steps.nodes.push(Node {
            kind: u16_le::from_native(kind.number()),
            flags: u16_le::from_native(0),
            subtree: u32_le::from_native(1),
            origin: u32_le::from_native(origin),
            args: Range::EMPTY,
            runs: u32_le::from_native(0),
        });
        Ok(at)
    }

    /// Starts a node whose children follow until [`Self::close`].
    pub(super) fn open(&mut self, kind: NodeKind, origin: u32) -> Result<u32, Cause> {
        if self.open.len() >= limits::DEPTH as usize {
            return Err(Cause::Limit { what: "nested blocks", limit: u64::from(limits::DEPTH) });
        }
        let at = self.node(kind, origin)?;
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

    /// Number of parts so far, where the next run starts.
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

    /// Gives the runs since `mark` to the command of a node.
    pub(super) fn set_runs(&mut self, at: u32, mark: u32) -> Result<(), Cause> {
        if self.parts_mark()? > mark {
            self.at(at)?.runs = u32_le::from_native(mark);
        }
        Ok(())
    }

    /// Starts the run of a hole or of a String argument.
    pub(super) fn start_run(&mut self) {
        self.run = self.steps.parts.len();
    }

    /// Ends the run: one without parts is an empty text.
    pub(super) fn end_run(&mut self) {
        if self.steps.parts.len() == self.run {
            self.part(Part::text(TextRef::EMPTY));
        }
        if let Some((_, before)) = self.steps.parts.get_mut(self.run..).and_then(<[Part]>::split_last_mut) {
            before.iter_mut().for_each(|part| *part = part.with_more());
        }
    }

    fn at(&mut self, at: u32) -> Result<&mut Node, Cause> {
        usize::try_from(at).ok().and_then(|at| self.steps.nodes.get_mut(at)).ok_or(Cause::Internal("no such node"))
    }

    /// Adds a scalar argument.
    pub(super) fn scalar_arg(&mut self, param: u8, value_type: ValueType, scalar: i64, slot: Option<u32>) {
        self.arg(param, value_type, scalar, slot);
    }

    /// Adds a String argument of the run that starts at `mark`.
    pub(super) fn text_arg(&mut self, param: u8, mark: u32) {
        self.arg(param, ValueType::String, i64::from(mark), None);
    }

    fn arg(&mut self, param: u8, value_type: ValueType, value: i64, slot: Option<u32>) {
        self.unpaid = self.unpaid.saturating_add(8);
        self.steps.args.push(Arg {
            value: value.into(),
            slot: u32_le::from_native(slot.map_or(0, |slot| slot.saturating_add(1))),
            param,
            value_type: value_type.number(),
            reserved: u16_le::from_native(0),
        });
    }

    /// Adds verbatim text to the run. Texts that follow one another are one.
    pub(super) fn bytes_part(&mut self, bytes: &[u8]) -> Result<(), Cause> {
        if bytes.is_empty() {
            return Ok(());
        }
        // Before it is copied.
        self.name(bytes.len() as u64)?;
        let text = self.text(bytes)?;
        if self.steps.parts.len() > self.run
            && let Some(last) = self.steps.parts.last_mut().filter(|last| last.kind() == Some(PartKind::Text))
        {
            let before = last.text_ref();
            let length = before.length.to_native().saturating_add(text.length.to_native());
            *last = Part::text(TextRef::new(before.offset.to_native(), length));
            return Ok(());
        }
        self.part(Part::text(text));
        Ok(())
    }

    /// Adds a reference to a slot to the run.
    pub(super) fn slot_part(&mut self, slot: u32, position: Position) {
        self.part(Part::new(PartKind::Slot, slot, position.number().into()));
    }

    /// Adds a reference to a runtime binding to the run.
    pub(super) fn binding_part(&mut self, step: u32, position: Position) {
        self.part(Part::new(PartKind::Binding, step, position.number().into()));
    }

    fn part(&mut self, part: Part) {
        self.unpaid = self.unpaid.saturating_add(4);
        self.steps.parts.push(part);
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
