//! The program verifier: one pass over the tables, one over the code (spec/program.md, "Verification").
//!
//! It reads the view only, recurses nowhere, and keeps four bytes a function and one frame per open block. What it proves, the planner
//! does not check again; what depends on reality (types of values, sizes, time) is the planner's. Tests: `vm/tests/program/verify.rs`.

mod code;
mod tables;

use opal_format::program::ProgramView;
use std::fmt;
use std::ops::Deref;

/// Longest name of a runtime binding, in bytes. Bounds the work per template, since texts may overlap in the pool.
pub const NAME_MAX: u32 = 1024;

/// A program that passed. Only [`verify`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Verified<'a>(ProgramView<'a>);

impl<'a> Verified<'a> {
    /// The tables.
    #[must_use]
    pub const fn view(&self) -> ProgramView<'a> {
        self.0
    }
}

impl<'a> Deref for Verified<'a> {
    type Target = ProgramView<'a>;

    fn deref(&self) -> &ProgramView<'a> {
        &self.0
    }
}

/// A program that was refused: the first rule broken, in the order of the pass, and where. Exit status 65.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyError {
    /// The rule.
    pub rule: Rule,
    /// The table.
    pub table: Table,
    /// Index in the table; for [`Table::Code`] the position of the instruction. 0 for [`Table::Program`].
    pub index: u32,
}

impl VerifyError {
    pub(crate) const fn new(rule: Rule, table: Table, index: u32) -> Self {
        Self { rule, table, index }
    }

    /// Stable code for messages and JSON.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.rule.code()
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.table {
            Table::Program => formatter.write_str(self.rule.message()),
            table => write!(formatter, "{}: {} {}", self.rule.message(), table.name(), self.index),
        }
    }
}

impl std::error::Error for VerifyError {}

/// Declares an enum whose members have texts.
macro_rules! named {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $code:literal, $message:literal;)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vmeta])* #[doc = $message] $variant),+ }

        impl $name {
            /// Every member.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            const fn texts(self) -> (&'static str, &'static str) {
                match self { $(Self::$variant => ($code, $message)),+ }
            }
        }
    };
}

named! {
    /// Where a rule was broken.
    pub enum Table {
        Program = "program", "The program as a whole.";
        Text = "byte", "The text pool.";
        Constants = "constant", "Constants.";
        Imports = "import", "Imports.";
        Nodes = "node", "Nodes.";
        Templates = "template", "Shell texts.";
        Functions = "function", "Functions.";
        Globals = "global", "Globals.";
        Blocks = "block", "Blocks.";
        Debug = "debug entry", "Source positions.";
        Code = "instruction", "Instructions.";
    }
}

impl Table {
    /// What one entry is called in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.texts().0
    }
}

named! {
    /// The rules. Each has a stable code, listed in spec/program.md, "Verification".
    pub enum Rule {
        InstructionSet = "program_instruction_set", "the program is for another instruction set";
        Entry = "program_entry", "the entry is not a command of the program";
        Pool = "program_pool", "the text pool is not UTF-8 or holds NUL";
        Text = "program_text", "a text leaves the pool or splits a character";
        TextUnused = "program_text_unused", "the pool holds bytes that no text refers to";
        Reserved = "program_reserved", "a reserved field or an unknown flag is set";
        Partition = "program_partition", "a table is not divided among its owners in order and without rest";
        ConstantType = "program_constant_type", "a constant has a type that constants cannot have";
        ConstantValue = "program_constant_value", "a constant is not the canonical form of a value of its type";
        ConstantText = "program_constant_text", "texts of constants overlap";
        ImportDecorator = "program_import_decorator", "an import names no decorator that a program may use";
        ImportPublic = "program_import_public", "an import is public without saying so in one way";
        ImportParameter = "program_import_parameter", "arguments of an import are unknown, repeated or out of order";
        ImportRequired = "program_import_required", "an import lacks a required argument";
        ImportLiteral = "program_import_literal", "an argument that must be written out is computed";
        ImportConstant = "program_import_constant", "an argument of an import has no constant of an accepted type";
        NodeKind = "program_node_kind", "a node has a kind that `open` cannot start";
        NodeParameter = "program_node_parameter", "arguments of a node are unknown, repeated or out of order";
        NodeRequired = "program_node_required", "a node lacks a required argument";
        TemplatePart = "program_template_part", "a part of a shell text is not well-formed";
        TemplateHoles = "program_template_holes", "a shell text states a wrong number of holes";
        TemplateName = "program_template_name", "a runtime binding has no name, or another shell text has one";
        FunctionCode = "program_function_code", "functions do not divide the code in order, each at least one instruction";
        FunctionLocals = "program_function_locals", "a function has more parameters than locals";
        FunctionKind = "program_function_kind", "a function is neither a command nor a thunk";
        GlobalInit = "program_global_init", "a first value is not given by a thunk without parameters";
        BlockOrder = "program_block_order", "blocks are not used once each, in the order of their opening instructions";
        BlockVariable = "program_block_variable", "a block names a variable that is not there";
        Debug = "program_debug", "source positions are not in the order of the code";
        Operation = "program_operation", "an instruction is unknown";
        Operand = "program_operand", "an operand is out of range, or set where it is unused";
        Underflow = "program_underflow", "an instruction takes more values than its block has made";
        StackLimit = "program_stack_limit", "the operand stack would grow beyond its limit";
        Height = "program_height", "a block or function does not leave the values that it must";
        Nesting = "program_nesting", "blocks do not nest";
        Depth = "program_depth", "blocks nest too deeply";
        Target = "program_target", "a target is not the place where its block goes on";
        Return = "program_return", "`return` is missing at the end of a function, or stands elsewhere";
        WhileTest = "program_while_test", "a `while` lacks its one `while_test`";
        Effect = "program_effect", "an effect stands where a value is computed";
        Call = "program_call", "a function is not lower-numbered, of the right kind, or given its arguments";
        GlobalOrder = "program_global_order", "a global is loaded where its first value may depend on it";
        Try = "program_try", "`@catch` and `@finally` do not end a `@try`, once each, in this order";
        Operator = "program_operator", "operands of an operator are fewer than two or not one step each";
        Transform = "program_transform", "a pipeline is not one step and then its operations, or an operation stands elsewhere";
        Parallel = "program_parallel", "control flow in `@parallel` holds more than its branches, an arm more than one, or a call stands there";
        CallDepth = "program_call_depth", "calls nest too deeply";
        NodeDepth = "program_node_depth", "nodes nest too deeply";
    }
}

impl Rule {
    /// Stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.texts().0
    }

    /// What is wrong where the rule is broken.
    #[must_use]
    pub const fn message(self) -> &'static str {
        self.texts().1
    }
}

/// Checks a program against every rule of spec/program.md, "Verification", in time linear in its size.
///
/// # Errors
/// The first rule broken.
pub fn verify(view: ProgramView<'_>) -> Result<Verified<'_>, VerifyError> {
    tables::check(&view)?;
    code::check(&view)?;
    Ok(Verified(view))
}

/// A record of a table, or `None` where the index leaves it.
pub(crate) fn at<T>(table: &[T], index: u32) -> Option<&T> {
    table.get(usize::try_from(index).ok()?)
}
