//! PROGRAM: the tables of a program as they stand in the file (spec/program.md). Their meaning is the VM's instruction table; nothing here is
//! trusted before the program verifier has passed.

use crate::read::kind::NodeKind;
use crate::read::record::{Range, Span, TextRef, i64_le, record, u16_le, u32_le};
use rkyv::{Archive, Deserialize, Serialize};

record! {
    /// One instruction.
    pub struct Instruction {
        /// Operation code.
        pub op: u8,
        /// First operand: a small number such as a type.
        pub a: u8,
        /// Second operand: a count or a small index.
        pub b: u16_le,
        /// Third operand: an index or a position in the code.
        pub c: u32_le,
    } size 8
}

impl Instruction {
    /// An instruction from its fields.
    #[must_use]
    pub const fn new(op: u8, a: u8, b: u16, c: u32) -> Self {
        Self { op, a, b: u16_le::from_native(b), c: u32_le::from_native(c) }
    }
}

record! {
    /// A constant.
    pub struct Constant {
        /// Int, Duration in nanoseconds, Bool as 0 or 1, Float as its bits; 0 for a String.
        pub scalar: i64_le,
        /// A String's bytes; empty otherwise.
        pub text: TextRef,
        /// A [`ValueType`](crate::read::kind::ValueType) number; Array and Map are built by instructions.
        pub value_type: u8,
        /// Zero.
        pub reserved: [u8; 7],
    } size 24
}

record! {
    /// One value decorator that the program may resolve: its only contact with reality.
    pub struct Import {
        /// Number in the decorator table.
        pub decorator: u16_le,
        /// `IMPORT_*` bits.
        pub flags: u16_le,
        /// Its arguments in [`Program::import_args`], sorted by parameter number.
        pub args: Range,
        /// Where it stands.
        pub span: Span,
    } size 28
}

/// `public=true` stands at this spot.
pub const IMPORT_PUBLIC: u16 = 1;

record! {
    /// One argument of an import.
    pub struct ImportArg {
        /// Parameter number in the decorator table.
        pub param: u8,
        /// 1 where the argument is computed: taken from the stack; 0 for a constant.
        pub computed: u8,
        /// Zero.
        pub reserved: u16_le,
        /// Constant number; 0 where computed.
        pub constant: u32_le,
    } size 8
}

record! {
    /// A node that `OPEN` starts: an execution decorator or a control-flow header.
    pub struct NodeUse {
        /// A [`NodeKind`] number.
        pub kind: u16_le,
        /// Zero.
        pub reserved: u16_le,
        /// Parameter numbers of its arguments, ascending, in [`Program::params`]; the values are on the stack in this order.
        pub params: Range,
        /// Source text of a control-flow header.
        pub header: TextRef,
        /// Where it stands.
        pub span: Span,
    } size 36
}

impl NodeUse {
    /// What it is; `None` for a number that no version of the format has given away.
    #[must_use]
    pub const fn kind(&self) -> Option<NodeKind> {
        NodeKind::from_number(self.kind.to_native())
    }
}

record! {
    /// Shell text with holes.
    pub struct Template {
        /// Parts in [`Program::template_parts`].
        pub parts: Range,
        /// Where the name of the binding starts in the text pool, for `LET`; 0 for `SHELL`.
        pub name_offset: u32_le,
        /// Length of that name; 0 for `SHELL`.
        pub name_length: u16_le,
        /// Number of holes among the parts.
        pub holes: u16_le,
        /// Where it stands.
        pub span: Span,
    } size 32
}

impl Template {
    /// Name of the binding, for `LET`; empty for `SHELL`.
    #[must_use]
    pub fn name(&self) -> TextRef {
        TextRef { offset: self.name_offset, length: u32::from(self.name_length.to_native()).into() }
    }
}

record! {
    /// One part of a template.
    pub struct TemplatePart {
        /// 0 for text, 1 for a hole.
        pub kind: u8,
        /// A [`Position`](crate::read::kind::Position) number; 0 for text.
        pub position: u8,
        /// 1 where the hole is the whole of a word or of a pair of double quotes (an Array then becomes several words, or one joined by spaces).
        pub alone: u8,
        /// Zero.
        pub reserved: u8,
        /// The text; empty for a hole.
        pub text: TextRef,
    } size 12
}

/// A [`TemplatePart`] that is text.
pub const TEMPLATE_TEXT: u8 = 0;
/// A [`TemplatePart`] that is a hole.
pub const TEMPLATE_HOLE: u8 = 1;

record! {
    /// A function.
    pub struct Function {
        /// Its name, for messages.
        pub name: TextRef,
        /// Its instructions in [`Program::code`]. Functions partition the code in order.
        pub code: Range,
        /// Parameters: the first locals.
        pub params: u16_le,
        /// Locals, parameters included.
        pub locals: u16_le,
        /// 0: a command (emits steps, leaves nothing). 1: a thunk (emits nothing, leaves one value).
        pub kind: u8,
        /// Zero.
        pub reserved: [u8; 3],
    } size 24
}

record! {
    /// A variable at file level.
    pub struct Global {
        /// Its name, for messages.
        pub name: TextRef,
        /// One more than the thunk that gives its first value; 0 where it starts unset.
        pub init: u32_le,
    } size 12
}

record! {
    /// A structured block: `IF`, `FOR`, `WHILE` or `ISOLATE`.
    pub struct Block {
        /// `IF`: position of its `ELSE` or `END`. `FOR`, `WHILE`: of its `END_FOR`, `END_WHILE`. `ISOLATE`: of its `END_ISOLATE`.
        pub target: u32_le,
        /// Variables that the block assigns, calls included, in [`Program::variables`].
        pub assigns: Range,
        /// `FOR`: the local that takes each element.
        pub variable: u16_le,
        /// Bit 0: one of several axes (a matrix).
        pub flags: u16_le,
    } size 16
}

record! {
    /// A variable.
    pub struct Variable {
        /// Index of the local or global.
        pub index: u32_le,
        /// 1 for a global, 0 for a local.
        pub global: u8,
        /// Zero.
        pub reserved: [u8; 3],
    } size 8
}

record! {
    /// Where an instruction comes from. Sorted by `pc`; an instruction without an entry belongs to the one before it.
    pub struct DebugEntry {
        /// Position in the code.
        pub pc: u32_le,
        /// Where it stands.
        pub span: Span,
    } size 20
}

/// A program as it is built. [`ProgramView`] reads it, and the archived form alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Program {
    /// Instruction-set version.
    pub instruction_set: u32,
    /// Function that planning starts with.
    pub entry: u32,
    /// Constants.
    pub constants: Vec<Constant>,
    /// Value decorators.
    pub imports: Vec<Import>,
    /// Arguments of imports.
    pub import_args: Vec<ImportArg>,
    /// Nodes.
    pub nodes: Vec<NodeUse>,
    /// Parameter numbers of nodes.
    pub params: Vec<u8>,
    /// Shell texts.
    pub templates: Vec<Template>,
    /// Parts of shell texts.
    pub template_parts: Vec<TemplatePart>,
    /// Functions. One may call lower-numbered ones only.
    pub functions: Vec<Function>,
    /// Variables at file level.
    pub globals: Vec<Global>,
    /// Structured blocks, in the order of their opening instructions.
    pub blocks: Vec<Block>,
    /// Variables that blocks assign.
    pub variables: Vec<Variable>,
    /// Instructions.
    pub code: Vec<Instruction>,
    /// Source positions.
    pub debug: Vec<DebugEntry>,
    /// Text pool.
    pub text: Vec<u8>,
}

/// Declares [`ProgramView`] and the two ways to get one.
macro_rules! program_view {
    ($($field:ident : $ty:ty),+ $(,)?) => {
        /// A borrowed program, from memory or from an archive.
        #[derive(Clone, Copy, Debug)]
        pub struct ProgramView<'a> {
            /// See [`Program::instruction_set`].
            pub instruction_set: u32,
            /// See [`Program::entry`].
            pub entry: u32,
            $(#[doc = concat!("See [`Program::", stringify!($field), "`].")] pub $field: &'a [$ty]),+
        }

        impl ProgramView<'_> {
            /// The tables as their own.
            #[must_use]
            pub fn to_program(&self) -> Program {
                Program { instruction_set: self.instruction_set, entry: self.entry, $($field: self.$field.to_vec()),+ }
            }

            /// Each table, in the order in which they lie in an archive.
            pub(crate) fn tables(&self) -> [crate::read::archive::Table; 14] {
                [$(crate::read::archive::table(self.$field)),+]
            }
        }

        impl Program {
            /// The tables as slices.
            #[must_use]
            pub fn view(&self) -> ProgramView<'_> {
                ProgramView { instruction_set: self.instruction_set, entry: self.entry, $($field: &self.$field),+ }
            }
        }

        impl ArchivedProgram {
            /// The tables as slices, where they lie.
            #[must_use]
            pub fn view(&self) -> ProgramView<'_> {
                ProgramView { instruction_set: self.instruction_set.to_native(), entry: self.entry.to_native(), $($field: &self.$field),+ }
            }
        }
    };
}

program_view! {
    constants: Constant, imports: Import, import_args: ImportArg, nodes: NodeUse, params: u8, templates: Template,
    template_parts: TemplatePart, functions: Function, globals: Global, blocks: Block, variables: Variable,
    code: Instruction, debug: DebugEntry, text: u8,
}
