//! The instruction table. Encoder, decoder, verifier rules, disassembly and the spec's table come from it or are checked against it.
//!
//! The machine has one operand stack, locals per call, globals, and structured blocks. Operand columns: `a` 8 bits, `b` 16 bits, `c` 32 bits.
//! An operand that an instruction does not use is zero.

/// Version of the instruction set. A reader refuses any other.
pub const INSTRUCTION_SET: u32 = 2;

/// What an operand of an instruction is. The verifier checks each by this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Unused: must be zero.
    Zero,
    /// A count.
    Count,
    /// Number of a scalar or collection type.
    Type,
    /// Index of a constant.
    Constant,
    /// Index of a constant that is a String.
    Text,
    /// Index of a local.
    Local,
    /// Index of a global.
    Global,
    /// Index of a function.
    Function,
    /// Index of an import.
    Import,
    /// Index of a template.
    Template,
    /// Index of a node use.
    Node,
    /// Index of a block.
    Block,
    /// Position in the code.
    Target,
}

/// How many values an instruction takes from the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pops {
    /// A fixed number.
    Fixed(u32),
    /// As many as operand `b` says.
    CountB,
    /// Twice as many as operand `b` says.
    TwiceB,
    /// Computed arguments of the import.
    ImportArgs,
    /// Parameters of the function.
    FunctionParams,
    /// Holes of the template.
    Holes,
    /// Arguments of the node.
    NodeArgs,
}

/// The role of an instruction in block structure and step emission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Straight-line.
    Plain,
    /// Emits a step: commands only.
    Emit,
    /// Opens a block that the instruction of the given code closes.
    Opens,
    /// Stands inside a block (`ELSE`, `WHILE_TEST`).
    Middle,
    /// Closes a block.
    Closes,
    /// Last instruction of a function.
    Ends,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The operation.
    pub op: Op,
    /// Mnemonic in disassembly and spec.
    pub name: &'static str,
    /// Operands `a`, `b`, `c`.
    pub operands: [Operand; 3],
    /// Values taken.
    pub pops: Pops,
    /// Values left.
    pub pushes: u32,
    /// Role.
    pub role: Role,
    /// One sentence for the spec.
    pub meaning: &'static str,
}

macro_rules! instructions {
    ($($op:ident = $code:literal, $name:literal, [$a:ident $b:ident $c:ident], $pops:expr, $pushes:literal, $role:ident, $meaning:literal;)+) => {
        /// An operation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Op { $(#[doc = $meaning] $op = $code),+ }

        impl Op {
            /// The operation with this code, or `None`.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$op),)+ _ => None }
            }

            /// Its row.
            #[must_use]
            pub const fn row(self) -> Row {
                match self {
                    $(Self::$op => Row {
                        op: Self::$op,
                        name: $name,
                        operands: [Operand::$a, Operand::$b, Operand::$c],
                        pops: $pops,
                        pushes: $pushes,
                        role: Role::$role,
                        meaning: $meaning,
                    }),+
                }
            }

            /// Every operation, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$op),+];
        }
    };
}

use Pops::{CountB, Fixed, FunctionParams, Holes, ImportArgs, NodeArgs, TwiceB};

instructions! {
    Const = 0x01, "const", [Zero Zero Constant], Fixed(0), 1, Plain, "Pushes constant `c`.";
    Pop = 0x02, "pop", [Zero Zero Zero], Fixed(1), 0, Plain, "Drops the top value.";
    Load = 0x03, "load", [Zero Zero Local], Fixed(0), 1, Plain, "Pushes local `c`; a local that was never stored is an error.";
    Store = 0x04, "store", [Zero Zero Local], Fixed(1), 0, Plain, "Pops into local `c`.";
    LoadGlobal = 0x05, "load_global", [Zero Zero Global], Fixed(0), 1, Plain, "Pushes global `c`; one that is unset is an error.";
    StoreGlobal = 0x06, "store_global", [Zero Zero Global], Fixed(1), 0, Plain, "Pops into global `c`.";
    Thunk = 0x07, "thunk", [Zero Count Function], CountB, 1, Plain, "Pops `b` values and pushes a value that function `c` gives, from these, when first needed.";
    Force = 0x08, "force", [Zero Zero Zero], Fixed(1), 1, Plain, "Evaluates the top value if it is not evaluated yet.";

    Array = 0x10, "array", [Zero Count Zero], CountB, 1, Plain, "Pops `b` elements and pushes their Array.";
    Map = 0x11, "map", [Zero Count Zero], TwiceB, 1, Plain, "Pops `b` pairs of a String key and a value and pushes their Map; equal keys are an error.";
    Index = 0x12, "index", [Zero Zero Zero], Fixed(2), 1, Plain, "Pops an index and a collection and pushes the element.";
    Field = 0x13, "field", [Zero Zero Text], Fixed(1), 1, Plain, "Pops a Map and pushes the value under key `c`.";
    Length = 0x14, "length", [Zero Zero Zero], Fixed(1), 1, Plain, "Pops a collection and pushes its length.";
    Elements = 0x15, "elements", [Zero Zero Zero], Fixed(1), 1, Plain, "Pops a collection and pushes the Array of its elements.";
    Range = 0x16, "range", [Zero Zero Zero], Fixed(2), 1, Plain, "Pops the last and the first Int and pushes the inclusive range; a backward range is an error.";
    Concat = 0x17, "concat", [Zero Count Zero], CountB, 1, Plain, "Pops `b` values and pushes the String of their texts.";
    Quoted = 0x18, "quoted", [Zero Zero Zero], Fixed(1), 1, Plain, "Pops a scalar and pushes its text quoted for a shell.";

    Add = 0x20, "add", [Zero Zero Zero], Fixed(2), 1, Plain, "Adds numbers or Durations, or joins Strings.";
    Subtract = 0x21, "subtract", [Zero Zero Zero], Fixed(2), 1, Plain, "Subtracts numbers or Durations.";
    Multiply = 0x22, "multiply", [Zero Zero Zero], Fixed(2), 1, Plain, "Multiplies numbers, or a Duration by an Int.";
    Divide = 0x23, "divide", [Zero Zero Zero], Fixed(2), 1, Plain, "Divides numbers (Ints truncate), or a Duration by an Int.";
    Remainder = 0x24, "remainder", [Zero Zero Zero], Fixed(2), 1, Plain, "Remainder of numbers.";
    Negate = 0x25, "negate", [Zero Zero Zero], Fixed(1), 1, Plain, "Negates a number or a Duration.";
    Not = 0x26, "not", [Zero Zero Zero], Fixed(1), 1, Plain, "Negates a Bool.";
    Equal = 0x28, "equal", [Zero Zero Zero], Fixed(2), 1, Plain, "Compares two values of one type.";
    NotEqual = 0x29, "not_equal", [Zero Zero Zero], Fixed(2), 1, Plain, "Compares two values of one type.";
    Less = 0x2a, "less", [Zero Zero Zero], Fixed(2), 1, Plain, "Compares two numbers, Durations or Strings.";
    LessEqual = 0x2b, "less_equal", [Zero Zero Zero], Fixed(2), 1, Plain, "Compares two numbers, Durations or Strings.";
    Greater = 0x2c, "greater", [Zero Zero Zero], Fixed(2), 1, Plain, "Compares two numbers, Durations or Strings.";
    GreaterEqual = 0x2d, "greater_equal", [Zero Zero Zero], Fixed(2), 1, Plain, "Compares two numbers, Durations or Strings.";

    Convert = 0x30, "convert", [Type Zero Zero], Fixed(1), 1, Plain, "Converts a scalar to type `a`.";
    Expect = 0x31, "expect", [Type Zero Text], Fixed(1), 1, Plain, "Checks that the value has type `a`; `c` names it in the message.";
    Matches = 0x32, "matches", [Zero Zero Text], Fixed(1), 1, Plain, "Pops a scalar and pushes whether its text matches regular expression `c`.";
    Same = 0x33, "same", [Zero Zero Zero], Fixed(2), 1, Plain, "Pushes whether two values have one type and are equal.";
    Within = 0x34, "within", [Zero Zero Zero], Fixed(3), 1, Plain, "Pops the last and the first value of a range and a value, and pushes whether the value has their type and lies between them.";

    Resolve = 0x38, "resolve", [Zero Zero Import], ImportArgs, 1, Plain, "Pops the computed arguments of import `c`, resolves it and pushes its value.";

    And = 0x40, "and", [Zero Zero Target], Fixed(1), 0, Opens, "Pops a Bool; if false, pushes it and continues after the `end_logic` at `c`.";
    Or = 0x41, "or", [Zero Zero Target], Fixed(1), 0, Opens, "Pops a Bool; if true, pushes it and continues after the `end_logic` at `c`.";
    EndLogic = 0x42, "end_logic", [Zero Zero Zero], Fixed(1), 1, Closes, "Ends `and` or `or`: pops the second Bool and pushes the result.";

    If = 0x48, "if", [Zero Zero Block], Fixed(1), 0, Opens, "Pops a Bool; if false, continues after the block's `else` or `end`.";
    Else = 0x49, "else", [Zero Zero Target], Fixed(0), 0, Middle, "Ends the first arm: continues after the `end` at `c`.";
    End = 0x4a, "end", [Zero Zero Zero], Fixed(0), 0, Closes, "Ends `if`.";
    For = 0x4b, "for", [Zero Zero Block], Fixed(1), 0, Opens, "Pops a collection and runs the body once per element.";
    EndFor = 0x4c, "end_for", [Zero Zero Zero], Fixed(0), 0, Closes, "Ends the body of `for`.";
    While = 0x4d, "while", [Zero Zero Block], Fixed(0), 0, Opens, "Starts a loop on a condition.";
    WhileTest = 0x4e, "while_test", [Zero Zero Zero], Fixed(1), 0, Middle, "Pops a Bool; if false, continues after the `end_while`.";
    EndWhile = 0x4f, "end_while", [Zero Zero Zero], Fixed(0), 0, Closes, "Returns to the start of the loop.";
    Isolate = 0x50, "isolate", [Zero Zero Block], Fixed(0), 0, Opens, "Remembers the variables that the block assigns.";
    EndIsolate = 0x51, "end_isolate", [Zero Zero Zero], Fixed(0), 0, Closes, "Gives the remembered variables their values back.";

    Call = 0x58, "call", [Zero Zero Function], FunctionParams, 0, Emit, "Pops the arguments and runs command `c`.";
    Return = 0x59, "return", [Zero Zero Zero], Fixed(0), 0, Ends, "Ends the function. A thunk leaves its one value.";

    Shell = 0x60, "shell", [Zero Zero Template], Holes, 0, Emit, "Pops the holes of template `c` and emits a shell step.";
    Let = 0x61, "let", [Zero Zero Template], Holes, 1, Emit, "Emits a runtime binding and pushes a reference to it.";
    Open = 0x62, "open", [Zero Zero Node], NodeArgs, 0, Opens, "Pops the arguments of node `c` and starts it.";
    Close = 0x63, "close", [Zero Zero Zero], Fixed(0), 0, Closes, "Ends the node.";
}

/// Upper bounds that hold for every program (spec/program.md, "Limits"). Both sides use the same.
pub mod limits {
    /// Depth of blocks in a function, of calls, and of nodes.
    pub const DEPTH: u32 = 256;
    /// Values on the operand stack of one function.
    pub const STACK: u32 = 65_535;
    /// Fuel: instructions and bytes produced.
    pub const FUEL: u64 = 1 << 27;
    /// Steps of a plan.
    pub const STEPS: u32 = 1_000_000;
    /// Nodes of a plan, control flow included.
    pub const NODES: u32 = 2_000_000;
    /// Slots of a plan.
    pub const SLOTS: u32 = 1_000_000;
    /// Bytes of text in a plan.
    pub const TEXT: u64 = 256 << 20;
}
