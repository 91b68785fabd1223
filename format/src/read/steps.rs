//! STEPS: the tree of steps as flat tables (spec/plan-format.md, "STEPS").
//!
//! Nodes stand in pre-order, each with the length of its subtree, so that hashing, checking, showing and walking need no recursion. The
//! tables hold no secret: a secret value appears as a slot number only. What the program says of a step stands in PROGRAM alone: a node names the
//! template or the node of the program that it comes from, and holds what fills the template's holes.

use crate::read::kind::{NodeKind, Position, ValueType};
use crate::read::program::{NodeUse, ProgramView, TEMPLATE_TEXT, Template, TemplatePart};
use crate::read::record::{Range, Span, TextRef, i64_le, record, u16_le, u32_le};
use rkyv::{Archive, Deserialize, Serialize};

record! {
    /// One node of the step tree.
    pub struct Node {
        /// A [`NodeKind`] number.
        pub kind: u16_le,
        /// `NODE_*` bits.
        pub flags: u16_le,
        /// Nodes in this subtree, this one included: at least 1.
        pub subtree: u32_le,
        /// What of the program it comes from: for a kind with a command a template, else a node.
        pub origin: u32_le,
        /// Arguments, in [`Steps::args`], sorted by parameter number.
        pub args: Range,
        /// Index in [`Steps::parts`] of the first run of its command: one run for each hole of the template. Zero where there is no hole.
        pub runs: u32_le,
    } size 24
}

/// The loop goes over several axes: only a `@for` may say so.
pub const NODE_AXES: u16 = 1;

impl Node {
    /// Whether the node is a loop over several axes.
    #[must_use]
    pub const fn has_axes(&self) -> bool {
        self.flags.to_native() & NODE_AXES != 0
    }
}

record! {
    /// One argument of a node.
    pub struct Arg {
        /// Int, Duration in nanoseconds, Bool as 0 or 1, Float as its bits; zero where `slot` is set. For a String the index of its run in
        /// [`Steps::parts`].
        pub value: i64_le,
        /// One more than the slot that holds the value of a computed scalar; zero for none.
        pub slot: u32_le,
        /// Parameter number in the decorator table.
        pub param: u8,
        /// A [`ValueType`] number: String, Int, Float, Bool or Duration.
        pub value_type: u8,
        /// Zero.
        pub reserved: u16_le,
    } size 16
}

impl Arg {
    /// Whether it is a String, which is a run of parts.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        self.value_type == ValueType::String.number()
    }

    /// The scalar; zero for a String.
    #[must_use]
    pub const fn scalar(&self) -> i64 {
        if self.is_text() { 0 } else { self.value.to_native() }
    }
}

record! {
    /// One part of what stands in a hole of a command, or of a String argument. The parts of one such *run* follow one another.
    pub struct Part {
        /// Text: offset in the pool. Slot: slot number. Binding: index of its `@let` node.
        pub first: u32_le,
        /// Bit 31: another part of the run follows. Bits 29 and 30: a [`PartKind`] number. The others: of a text the length, else a
        /// [`Position`] number.
        pub bits: u32_le,
    } size 8
}

const MORE: u32 = 1 << 31;
const KIND_SHIFT: u32 = 29;
const LOW: u32 = (1 << KIND_SHIFT) - 1;

impl Part {
    /// The last part of a run. A length of text that does not fit is cut: whoever makes parts keeps to [`limits::TEXT`](crate::read::limits).
    #[must_use]
    pub const fn new(kind: PartKind, first: u32, low: u32) -> Self {
        let low = if low > LOW { LOW } else { low };
        Self { first: u32_le::from_native(first), bits: u32_le::from_native(((kind.number() as u32) << KIND_SHIFT) | low) }
    }

    /// Verbatim text of the pool.
    #[must_use]
    pub const fn text(text: TextRef) -> Self {
        Self::new(PartKind::Text, text.offset.to_native(), text.length.to_native())
    }

    /// The same, with another part after it in its run.
    #[must_use]
    pub const fn with_more(self) -> Self {
        Self { first: self.first, bits: u32_le::from_native(self.bits.to_native() | MORE) }
    }

    /// Whether another part of the run follows.
    #[must_use]
    pub const fn has_more(&self) -> bool {
        self.bits.to_native() & MORE != 0
    }

    /// What it is; `None` for a number that no version of the format has given away.
    #[must_use]
    pub fn kind(&self) -> Option<PartKind> {
        PartKind::from_number((self.bits.to_native() & !MORE) >> KIND_SHIFT)
    }

    /// Of a text its place in the pool.
    #[must_use]
    pub const fn text_ref(&self) -> TextRef {
        TextRef { offset: self.first, length: u32_le::from_native(self.low()) }
    }

    /// Of a slot or a binding where it stands.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        Position::from_number(u8::try_from(self.low()).ok()?)
    }

    const fn low(&self) -> u32 {
        self.bits.to_native() & LOW
    }
}

/// What a [`Part`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// Verbatim bytes.
    Text,
    /// The value of a slot.
    Slot,
    /// What a runtime binding holds when the step runs.
    Binding,
}

impl PartKind {
    /// The kind with this number, or `None`.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Text),
            1 => Some(Self::Slot),
            2 => Some(Self::Binding),
            _ => None,
        }
    }

    /// Its number in files.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Text => 0,
            Self::Slot => 1,
            Self::Binding => 2,
        }
    }
}

/// The step tables, as they are built. [`StepsView`] reads them, and the archived form alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Steps {
    /// The tree in pre-order; top-level steps follow each other.
    pub nodes: Vec<Node>,
    /// Arguments of nodes.
    pub args: Vec<Arg>,
    /// Parts of commands and arguments.
    pub parts: Vec<Part>,
    /// Text pool.
    pub text: Vec<u8>,
    /// What of the program the nodes come from. It stands in PROGRAM, not here.
    #[rkyv(with = rkyv::with::Skip)]
    pub origins: Origins,
}

/// The tables of a program that steps refer to, in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// See [`Program::templates`](crate::read::program::Program::templates).
    pub templates: Vec<Template>,
    /// See [`Program::template_parts`](crate::read::program::Program::template_parts).
    pub parts: Vec<TemplatePart>,
    /// See [`Program::nodes`](crate::read::program::Program::nodes).
    pub nodes: Vec<NodeUse>,
    /// See [`Program::text`](crate::read::program::Program::text).
    pub text: Vec<u8>,
}

/// Borrowed [`Origins`], from memory or from an archive.
#[derive(Clone, Copy, Debug, Default)]
pub struct OriginsView<'a> {
    /// See [`Origins::templates`].
    pub templates: &'a [Template],
    /// See [`Origins::parts`].
    pub parts: &'a [TemplatePart],
    /// See [`Origins::nodes`].
    pub nodes: &'a [NodeUse],
    /// See [`Origins::text`].
    pub text: &'a [u8],
}

impl Origins {
    /// The tables as slices.
    #[must_use]
    pub fn view(&self) -> OriginsView<'_> {
        OriginsView { templates: &self.templates, parts: &self.parts, nodes: &self.nodes, text: &self.text }
    }
}

impl<'a> OriginsView<'a> {
    /// Those of a program.
    #[must_use]
    pub const fn of(program: &ProgramView<'a>) -> Self {
        Self { templates: program.templates, parts: program.template_parts, nodes: program.nodes, text: program.text }
    }

    /// The tables as their own.
    #[must_use]
    pub fn to_origins(self) -> Origins {
        Origins { templates: self.templates.to_vec(), parts: self.parts.to_vec(), nodes: self.nodes.to_vec(), text: self.text.to_vec() }
    }

    /// The parts of a template.
    pub(crate) fn template(self, number: u32) -> Option<&'a [TemplatePart]> {
        self.templates.get(number as usize)?.parts.of(self.parts)
    }
}

/// Borrowed step tables, from memory or from an archive.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepsView<'a> {
    /// See [`Steps::nodes`].
    pub nodes: &'a [Node],
    /// See [`Steps::args`].
    pub args: &'a [Arg],
    /// See [`Steps::parts`].
    pub parts: &'a [Part],
    /// See [`Steps::text`].
    pub text: &'a [u8],
    /// See [`Steps::origins`].
    pub origins: OriginsView<'a>,
}

impl Steps {
    /// The tables as slices.
    #[must_use]
    pub fn view(&self) -> StepsView<'_> {
        StepsView { nodes: &self.nodes, args: &self.args, parts: &self.parts, text: &self.text, origins: self.origins.view() }
    }
}

impl ArchivedSteps {
    /// The tables as slices, where they lie, beside those of their program.
    #[must_use]
    pub fn view<'a>(&'a self, origins: OriginsView<'a>) -> StepsView<'a> {
        StepsView { nodes: &self.nodes, args: &self.args, parts: &self.parts, text: &self.text, origins }
    }
}

/// A piece of a command or of a String argument, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Verbatim bytes.
    Text(&'a [u8]),
    /// The value of a slot.
    Slot(u32, Position),
    /// What the runtime binding of this `@let` node holds when the step runs.
    Binding(u32, Position),
    /// A reference that leads nowhere, which no checked plan has.
    Missing,
}

/// The pieces of a command: the texts of its template, and in each hole the parts of a run.
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    steps: StepsView<'a>,
    template: &'a [TemplatePart],
    next: usize,
    in_run: bool,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if !self.in_run {
            let (part, rest) = self.template.split_first()?;
            self.template = rest;
            if part.kind == TEMPLATE_TEXT {
                return Some(part.text.of(self.steps.origins.text).map_or(Piece::Missing, Piece::Text));
            }
            self.in_run = true;
        }
        let part = self.steps.parts.get(self.next);
        self.next = self.next.saturating_add(1);
        self.in_run = part.is_some_and(Part::has_more);
        let piece = part.and_then(|part| match part.kind()? {
            PartKind::Text => part.text_ref().of(self.steps.text).map(Piece::Text),
            PartKind::Slot => Some(Piece::Slot(part.first.to_native(), part.position()?)),
            PartKind::Binding => Some(Piece::Binding(part.first.to_native(), part.position()?)),
        });
        Some(piece.unwrap_or(Piece::Missing))
    }
}

impl<'a> StepsView<'a> {
    /// The tables as their own.
    #[must_use]
    pub fn to_steps(self) -> Steps {
        Steps {
            nodes: self.nodes.to_vec(),
            args: self.args.to_vec(),
            parts: self.parts.to_vec(),
            text: self.text.to_vec(),
            origins: self.origins.to_origins(),
        }
    }

    /// The arguments of a node.
    #[must_use]
    pub fn args_of(self, node: &Node) -> &'a [Arg] {
        node.args.of(self.args).unwrap_or_default()
    }

    /// The pieces of the command of a node; none for a kind that has no command.
    #[must_use]
    pub fn command(self, node: &Node) -> Pieces<'a> {
        let template = node.has_command().then(|| self.origins.template(node.origin.to_native())).flatten();
        Pieces { steps: self, template: template.unwrap_or_default(), next: node.runs.to_native() as usize, in_run: false }
    }

    /// The pieces of a String argument; none for another.
    #[must_use]
    pub fn text_of(self, arg: &Arg) -> Pieces<'a> {
        let next = usize::try_from(arg.value.to_native()).unwrap_or(usize::MAX);
        Pieces { steps: self, template: &[], next, in_run: arg.is_text() }
    }

    /// The pieces of the arguments of a node, then those of its command.
    pub fn pieces(self, node: &Node) -> impl Iterator<Item = Piece<'a>> + use<'a> {
        self.args_of(node).iter().flat_map(move |arg| self.text_of(arg)).chain(self.command(node))
    }

    /// The name of a runtime binding, by its `@let` node: one text, the first argument.
    #[must_use]
    pub fn binding_name(self, node: u32) -> &'a [u8] {
        let arg = self.nodes.get(node as usize).and_then(|node| self.args_of(node).first());
        match arg.and_then(|arg| self.text_of(arg).next()) {
            Some(Piece::Text(name)) => name,
            _ => b"",
        }
    }

    /// Source text of the header of a node, as its program claims it.
    #[must_use]
    pub fn header(self, node: &Node) -> &'a [u8] {
        let origin = self.origins.nodes.get(node.origin.to_native() as usize).filter(|_| !node.has_command());
        origin.and_then(|origin| origin.header.of(self.origins.text)).unwrap_or_default()
    }

    /// Where a node comes from, as its program claims it.
    #[must_use]
    pub fn span(self, node: &Node) -> Span {
        let origin = node.origin.to_native() as usize;
        let span = if node.has_command() {
            self.origins.templates.get(origin).map(|template| template.span)
        } else {
            self.origins.nodes.get(origin).map(|node| node.span)
        };
        span.unwrap_or(Span::NONE)
    }
}

impl Node {
    /// Whether its kind has a command.
    #[must_use]
    pub fn has_command(&self) -> bool {
        self.kind().is_some_and(NodeKind::has_command)
    }
}
