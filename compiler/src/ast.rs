//! The syntax tree (`spec/grammar.md`).
//!
//! Every node carries the bytes it was read from. The tree keeps what was written: nothing is resolved, no name is
//! looked up. Only the older spellings are already normalised (see [`Reference::older`]).
//!
//! INVARIANT: no path through the tree is deeper than [`DEPTH_MAX`] blocks plus [`DEPTH_MAX`] expressions, so that
//! recursive walks (and `Drop`) are safe. Long chains (`else if`, `a && b && c`, `a | b | c`) are flat lists.

use crate::span::Span;

/// How deep blocks, and separately expressions, may nest.
pub const DEPTH_MAX: usize = 256;

/// A whole source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct File {
    /// Definitions and top-level statements, in source order.
    pub items: Vec<Item>,
    /// Every comment outside shell text that bash reads itself, in source order.
    pub comments: Vec<Comment>,
}

/// A comment, from its `#` or `//` to the end of the line (exclusive).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Where it stands, marker included.
    pub span: Span,
}

/// One top-level item.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A command definition.
    Definition(Definition),
    /// Top-level work or a top-level `var`.
    Statement(Statement),
}

/// A name as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identifier {
    /// The name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// `fun name(params) = body`, `fun name(params) { … }`, `name: body` or `name: { … }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// From `fun` or the name to the end of the body.
    pub span: Span,
    /// The command's name. Only the colon form may hold hyphens.
    pub name: Identifier,
    /// Which form was written.
    pub form: DefinitionForm,
    /// Parameters; empty for the colon form.
    pub parameters: Vec<Parameter>,
    /// The body. A one-line body is a block of one statement.
    pub body: Block,
}

/// The spelling of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefinitionForm {
    /// `fun name(…) = statement`
    FunAssign,
    /// `fun name(…) { … }`
    FunBlock,
    /// `name: statement`
    ColonLine,
    /// `name: { … }`
    ColonBlock,
}

/// One parameter of a `fun`.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// The whole parameter.
    pub span: Span,
    /// Its name.
    pub name: Identifier,
    /// `: Type`, if written.
    pub annotation: Option<TypeAnnotation>,
    /// `= expr`, if written.
    pub default: Option<Expression>,
}

/// A written type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeAnnotation {
    /// Where it stands.
    pub span: Span,
    /// Which type.
    pub kind: TypeName,
}

/// The types a parameter may name; spelled in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TypeName {
    /// `String`
    String,
    /// `Int`, 64 bits, signed
    Int,
    /// `Float`, 64 bits
    Float,
    /// `Bool`
    Bool,
    /// `Duration`, nanoseconds
    Duration,
    /// `Array`
    Array,
    /// `Map`
    Map,
}

/// `{ … }`, or one statement where a block may be left out (`name: statement`, `pattern -> statement`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// Braces included where they were written.
    pub span: Span,
    /// Its statements in order.
    pub statements: Vec<Statement>,
    /// Whether braces were written.
    pub braced: bool,
}

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// Where it stands, without a trailing comment.
    pub span: Span,
    /// What it is.
    pub kind: StatementKind,
}

/// The forms of a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum StatementKind {
    /// `var x = e`, or `var ( … )` with several.
    Var(VarDeclaration),
    /// `x = e`, `x += e`, `x++`.
    Assign(Assignment),
    /// `if … { } else if … { } else { }`
    If(If),
    /// `for x in xs { }`, `for a in A, b in B { }`
    For(For),
    /// `while e { }`
    While(While),
    /// `when e { pattern -> … }`
    When(When),
    /// `try { } catch { } finally { }`
    Try(Try),
    /// `@retry(3) { … }`, `@detach { … }`. Never `@shell` and never `@cmd`.
    Decorator(Decorator),
    /// `name(…)` or `@cmd.name(…)`
    Call(Call),
    /// `sleep(d)`
    Sleep(Sleep),
    /// Shell text alone: a line, or `@shell("…")`.
    Shell(ShellCommand),
    /// `NAME=$(…)` or `NAME=word`, standing alone.
    Binding(RuntimeBinding),
    /// Operators with at least one Opal operand.
    Operators(Operators),
    /// `source |> op(…) |> op(…)`
    Pipeline(Pipeline),
}

/// `var x = e` (one binding, not grouped) or `var ( x = e … )`.
#[derive(Clone, Debug, PartialEq)]
pub struct VarDeclaration {
    /// Whether parentheses were written.
    pub grouped: bool,
    /// In source order.
    pub bindings: Vec<VarBinding>,
}

/// `name = value` in a `var`.
#[derive(Clone, Debug, PartialEq)]
pub struct VarBinding {
    /// The whole binding.
    pub span: Span,
    /// The variable.
    pub name: Identifier,
    /// Its value.
    pub value: Expression,
}

/// A change of a variable.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The variable.
    pub target: Identifier,
    /// What is done.
    pub operator: AssignOperator,
    /// The right side. For `++` and `--` the integer 1, with the operator's span.
    pub value: Expression,
}

/// `=`, `op=`, `++`, `--`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignOperator {
    /// `=`
    Set,
    /// `+=`
    Add,
    /// `-=`
    Subtract,
    /// `*=`
    Multiply,
    /// `/=`
    Divide,
    /// `%=`
    Remainder,
    /// `++`
    Increment,
    /// `--`
    Decrement,
}

/// A chain of conditions, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct If {
    /// The `if` and every `else if`; at least one.
    pub branches: Vec<Branch>,
    /// The `else`.
    pub otherwise: Option<Block>,
}

/// One condition and its block.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// From `if` to the end of the condition.
    pub header: Span,
    /// The condition.
    pub condition: Expression,
    /// What is planned when it holds.
    pub body: Block,
}

/// A loop over one axis, or over the product of several (a matrix).
#[derive(Clone, Debug, PartialEq)]
pub struct For {
    /// From `for` to the end of the last collection.
    pub header: Span,
    /// At least one; the last varies fastest.
    pub axes: Vec<Axis>,
    /// The body.
    pub body: Block,
}

/// `name in collection`
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// The loop variable.
    pub name: Identifier,
    /// An array or a range.
    pub collection: Expression,
}

/// A loop that runs at plan time.
#[derive(Clone, Debug, PartialEq)]
pub struct While {
    /// From `while` to the end of the condition.
    pub header: Span,
    /// Judged before every round.
    pub condition: Expression,
    /// The body.
    pub body: Block,
}

/// `when subject { arms }`; the first match wins.
#[derive(Clone, Debug, PartialEq)]
pub struct When {
    /// From `when` to the end of the subject.
    pub header: Span,
    /// What is matched.
    pub subject: Expression,
    /// In source order.
    pub arms: Vec<Arm>,
}

/// `pattern -> body`
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// Pattern and body.
    pub span: Span,
    /// The pattern.
    pub pattern: Pattern,
    /// A block, or one statement.
    pub body: Block,
}

/// A pattern of `when`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    /// Where it stands.
    pub span: Span,
    /// What it matches.
    pub kind: PatternKind,
}

/// The forms of a pattern.
#[derive(Clone, Debug, PartialEq)]
pub enum PatternKind {
    /// A scalar literal (String without references, Int, Float, Bool, Duration), possibly negated.
    Literal(Literal),
    /// `a...b`, inclusive. Both are numbers or durations.
    Range {
        /// The lower bound.
        low: Literal,
        /// The upper bound.
        high: Literal,
    },
    /// `r"regex"`
    Regex(String),
    /// `p | q` and `{p, q}`: flat, never holds another `AnyOf`, `Else` only stands alone.
    AnyOf(Vec<Pattern>),
    /// `else`
    Else,
}

/// A scalar constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// Text without references.
    String(String),
    /// 64 bits, signed.
    Int(i64),
    /// Always finite.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// In nanoseconds.
    Duration(i64),
}

/// `try { } catch { } finally { }` with at least one of the last two.
#[derive(Clone, Debug, PartialEq)]
pub struct Try {
    /// The guarded block.
    pub body: Block,
    /// `catch`
    pub catch: Option<Block>,
    /// `finally`
    pub finally: Option<Block>,
}

/// An execution decorator as a statement or operand.
#[derive(Clone, Debug, PartialEq)]
pub struct Decorator {
    /// `@name(args)` without the block.
    pub header: Span,
    /// Dotted name without `@`: `retry`, `isolated.network`.
    pub name: Identifier,
    /// `(…)`, if written.
    pub arguments: Option<Arguments>,
    /// `{ … }`, if written.
    pub block: Option<Block>,
}

/// `( … )` of a call, decorator or operation. Positional ones never follow a named one.
#[derive(Clone, Debug, PartialEq)]
pub struct Arguments {
    /// Parentheses included.
    pub span: Span,
    /// In source order.
    pub items: Vec<Argument>,
}

/// One argument.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// The whole argument.
    pub span: Span,
    /// `name =`, if written.
    pub name: Option<Identifier>,
    /// The value.
    pub value: Expression,
}

/// A call of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The whole call.
    pub span: Span,
    /// The command's name, hyphens allowed in the `@cmd` form.
    pub name: Identifier,
    /// `(…)`; `@cmd.name` may leave it out.
    pub arguments: Option<Arguments>,
    /// Whether it was written `@cmd.name` (or the older `@cmd(name)`).
    pub via_cmd: bool,
}

/// `sleep(d)`
#[derive(Clone, Debug, PartialEq)]
pub struct Sleep {
    /// The whole statement.
    pub span: Span,
    /// The arguments as written.
    pub arguments: Arguments,
}

/// One shell step.
#[derive(Clone, Debug, PartialEq)]
pub struct ShellCommand {
    /// What bash is given.
    pub text: ShellText,
    /// Whether it was written `@shell("…")`.
    pub via_decorator: bool,
}

/// `NAME=$(…)` or `NAME=word`: a value the following steps of the block read as `@var.NAME`.
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimeBinding {
    /// The name.
    pub name: Identifier,
    /// The whole line, `NAME=` included.
    pub text: ShellText,
}

/// `|` binds tighter than `&&` and `||` (equal, left to right), those tighter than `;`.
#[derive(Clone, Debug, PartialEq)]
pub struct Operators {
    /// The whole line.
    pub span: Span,
    /// Joined by `;`; at least one.
    pub sequence: Vec<AndOr>,
}

/// `first && a || b …`, left to right.
#[derive(Clone, Debug, PartialEq)]
pub struct AndOr {
    /// From the first to the last operand.
    pub span: Span,
    /// The first operand.
    pub first: Piped,
    /// The rest, each with the operator before it.
    pub rest: Vec<(AndOrOperator, Piped)>,
}

/// `&&` or `||`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AndOrOperator {
    /// `&&`
    And,
    /// `||`
    Or,
}

/// `a | b | c`; one operand when there is no pipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Piped {
    /// From the first to the last operand.
    pub span: Span,
    /// At least one.
    pub operands: Vec<Operand>,
}

/// An operand of an operator.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A maximal run of shell text; it may hold operators of its own.
    Shell(ShellCommand),
    /// `name(…)`, `@cmd.name(…)`
    Call(Call),
    /// `sleep(…)`
    Sleep(Sleep),
    /// `@retry(…) { … }`
    Decorator(Decorator),
}

/// `source |> op(…) |> op(…)`
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// The whole line.
    pub span: Span,
    /// Whose standard output is taken.
    pub source: PipelineSource,
    /// At least one.
    pub operations: Vec<Operation>,
}

/// What stands left of the first `|>`.
#[derive(Clone, Debug, PartialEq)]
pub enum PipelineSource {
    /// One shell step.
    Shell(ShellCommand),
    /// One Opal construct, or operators with one.
    Operators(Operators),
}

/// One operation of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Name and arguments.
    pub span: Span,
    /// Which one.
    pub kind: OperationKind,
    /// Where its name stands.
    pub name_span: Span,
    /// `( … )`
    pub arguments: Arguments,
}

/// The operations known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationKind {
    /// `lines.grep(re)`
    LinesGrep,
    /// `lines.head(n)`
    LinesHead,
    /// `lines.tail(n)`
    LinesTail,
    /// `lines.count()`
    LinesCount,
    /// `json.pick(path)`
    JsonPick,
    /// `assert.re(re)`
    AssertRe,
    /// `assert.eq(s)`
    AssertEq,
    /// `assert.num(">= 3")`
    AssertNum,
}

impl OperationKind {
    /// Every operation with its name.
    pub const ALL: [(&'static str, Self); 8] = [
        ("lines.grep", Self::LinesGrep),
        ("lines.head", Self::LinesHead),
        ("lines.tail", Self::LinesTail),
        ("lines.count", Self::LinesCount),
        ("json.pick", Self::JsonPick),
        ("assert.re", Self::AssertRe),
        ("assert.eq", Self::AssertEq),
        ("assert.num", Self::AssertNum),
    ];

    /// The operation called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| *name)
    }
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: ExpressionKind,
}

/// The forms of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpressionKind {
    /// `"text @var.x"` or `'text'`
    String(StringLiteral),
    /// 64 bits, signed.
    Int(i64),
    /// Always finite.
    Float(f64),
    /// `true`, `false`
    Bool(bool),
    /// In nanoseconds, never negative.
    Duration(i64),
    /// `[a, b]`
    Array(Vec<Expression>),
    /// `{"k": v}` in source order.
    Map(Vec<MapEntry>),
    /// `name`, `name.field[0]`: a variable without `@var.`.
    Name(NamePath),
    /// `@ns.path(options)`, value-decorator calls included.
    Reference(Reference),
    /// `-e`, `!e`
    Unary(UnaryOperator, Box<Expression>),
    /// `a op b`
    Binary(Box<Binary>),
    /// `a...b` (or the older `a..b`), inclusive.
    Range(Box<(Expression, Expression)>),
    /// `int(e)`, `float(e)`, `bool(e)`, `duration(e)`, `string(e)`
    Convert(Box<Convert>),
}

/// A string with its interpolations.
#[derive(Clone, Debug, PartialEq)]
pub struct StringLiteral {
    /// Text is already unescaped. Neighbouring texts are merged; empty texts are left out.
    pub parts: Vec<StringPart>,
    /// Which quotes were written.
    pub quote: QuoteKind,
}

impl StringLiteral {
    /// The text, if it holds no reference.
    #[must_use]
    pub fn constant(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [StringPart::Text { text, .. }] => Some(text),
            _ => None,
        }
    }
}

/// The quotes of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuoteKind {
    /// `"…"`, with escapes and references
    Double,
    /// `'…'`, literal
    Single,
    /// None: a value that an older form gave as a bare name.
    Bare,
}

/// A part of a string.
#[derive(Clone, Debug, PartialEq)]
pub enum StringPart {
    /// Literal text, unescaped.
    Text {
        /// The text.
        text: String,
        /// Where it was written.
        span: Span,
    },
    /// An inserted value.
    Reference(Reference),
}

/// `"key": value`
#[derive(Clone, Debug, PartialEq)]
pub struct MapEntry {
    /// The key; written as a string or a bare identifier.
    pub key: Identifier,
    /// The value.
    pub value: Expression,
}

/// A variable by its bare name, with what is taken from it.
#[derive(Clone, Debug, PartialEq)]
pub struct NamePath {
    /// The variable.
    pub name: Identifier,
    /// `.field`, `[0]` …
    pub path: Vec<Segment>,
}

/// `a op b`
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Which operator.
    pub operator: BinaryOperator,
    /// Where the operator stands.
    pub operator_span: Span,
    /// Left side.
    pub left: Expression,
    /// Right side.
    pub right: Expression,
}

/// Operators before an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOperator {
    /// `-`
    Negate,
    /// `!`
    Not,
}

/// Operators between operands. From tightest: `* / %`, `+ -`, `< <= > >=`, `== !=`, `&&`, `||`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOperator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `&&`
    And,
    /// `||`
    Or,
}

impl BinaryOperator {
    /// As written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::And => "&&",
            Self::Or => "||",
        }
    }
}

/// `int(e)` and its like.
#[derive(Clone, Debug, PartialEq)]
pub struct Convert {
    /// To which type: `String`, `Int`, `Float`, `Bool` or `Duration`.
    pub to: TypeName,
    /// Where the name stands.
    pub name_span: Span,
    /// What is converted.
    pub value: Expression,
}

/// `@ns.path(options)` or `@{ns.path(options)}`.
///
/// `@var.CONFIG.db.url` has namespace `var` and the path `CONFIG` `db` `url`; `@file.read("p")` has namespace `file`,
/// path `read` and one argument; `@cmd.name` never appears as a reference of shell text or of a string.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// From `@` to the end, `()` and `.quoted` included.
    pub span: Span,
    /// `var`, `env`, `file` …
    pub namespace: Identifier,
    /// What follows the namespace; the first is a [`SegmentKind::Field`] (the name).
    pub path: Vec<Segment>,
    /// `( … )`; `Some` with no items for a plain `()`.
    pub options: Option<Arguments>,
    /// In expressions only: what is taken from the result of `( … )`.
    pub tail: Vec<Segment>,
    /// Whether it was written `@{…}`.
    pub braced: bool,
    /// Whether `.quoted` follows: the value as one shell-quoted word.
    pub quoted: bool,
    /// Whether an older spelling was written (`@var(X)`, `@env("X")`, `@aws.secret("k")`).
    pub older: bool,
}

impl Reference {
    /// The first name of the path: the variable of `@var.X`, the function of `@file.read(…)`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self.path.first().map(|segment| &segment.kind) {
            Some(SegmentKind::Field(name)) => Some(name),
            _ => None,
        }
    }
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Where it stands, dot or brackets included.
    pub span: Span,
    /// What it takes.
    pub kind: SegmentKind,
}

/// The forms of a path's step.
#[derive(Clone, Debug, PartialEq)]
pub enum SegmentKind {
    /// `.field`, `["field"]`
    Field(String),
    /// `.0`, `[0]`, `.[0]`
    Index(u64),
    /// `[expr]`, `.[expr]`
    Computed(Box<Expression>),
    /// `.*`: all elements
    All,
    /// `.length`
    Length,
}

/// Shell text: what bash is given, with the places where values stand.
///
/// The script is the parts in order. Comments that end a command and carriage returns before line ends are not in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShellText {
    /// From the first to the last byte of the command.
    pub span: Span,
    /// In order. Texts are never empty.
    pub parts: Vec<ShellPart>,
    /// The simple commands inside, in order of their start, nested ones included.
    pub commands: Vec<SimpleCommand>,
    /// Every `$NAME` and `${NAME…}` outside literal quotes.
    pub variables: Vec<ShellVariable>,
    /// The names that the text itself sets (assignments, `for`, `read`, `declare` …).
    pub assigned: Vec<String>,
}

impl ShellText {
    /// The whole text if no value stands in it.
    #[must_use]
    pub fn constant(&self) -> Option<String> {
        let mut whole = String::new();
        for part in &self.parts {
            match part {
                ShellPart::Text { text, .. } => whole.push_str(text),
                ShellPart::Reference(_) => return None,
            }
        }
        Some(whole)
    }

    /// The values in it.
    pub fn references(&self) -> impl Iterator<Item = &ShellReference> {
        self.parts.iter().filter_map(|part| match part {
            ShellPart::Reference(reference) => Some(reference.as_ref()),
            ShellPart::Text { .. } => None,
        })
    }
}

/// A part of shell text.
#[derive(Clone, Debug, PartialEq)]
pub enum ShellPart {
    /// Bytes that go to bash as they are. `\@` is already `@`.
    Text {
        /// The text.
        text: String,
        /// Where it was written.
        span: Span,
    },
    /// A value.
    Reference(Box<ShellReference>),
}

/// A value in shell text.
#[derive(Clone, Debug, PartialEq)]
pub struct ShellReference {
    /// Which value.
    pub reference: Reference,
    /// Where it stands, which decides how it is quoted.
    pub position: Position,
    /// Index into [`ShellText::commands`] of the command it is an argument, assignment or redirect of.
    pub command: Option<u32>,
    /// The word it stands in is a program for this second interpreter (`sh`, `ssh`, `awk`, `psql` …).
    pub interpreter: Option<String>,
    /// Why only an Int may stand here, if so.
    pub evaluated: Option<Evaluated>,
}

/// Why only an Int may stand in a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evaluated {
    /// Bash evaluates the text there.
    Here,
    /// It is a word of a command that may be one which evaluates its words.
    Unread,
    /// It becomes the value of a variable, which this evaluates.
    Later(String),
    /// Because of this, it cannot be told what the command does.
    Undecided(&'static str),
}

/// Where a value stands in shell text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The role of the word around it.
    pub place: Place,
    /// The quotes around it.
    pub quoting: Quoting,
    /// Whether it is the whole word, quotes apart: then, when bare, an array is one word per element.
    pub alone: bool,
}

/// The role of the word that holds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An ordinary argument.
    Word,
    /// The word that names the command.
    CommandWord,
    /// The right side of `NAME=`.
    Assignment,
    /// The target of a redirection or a here-string: exactly one word.
    Redirect,
    /// The body of a here-document.
    HereDocument,
    /// A place whose text bash evaluates: only an Int may stand here.
    Integer,
}

/// The quotes around a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// None: quoting must be added.
    Bare,
    /// Inside `"…"`.
    Double,
    /// Inside an unquoted here-document.
    HereDocument,
}

/// One simple command inside shell text.
#[derive(Clone, Debug, PartialEq)]
pub struct SimpleCommand {
    /// From its first word to its last.
    pub span: Span,
    /// The word that names it, if that word is constant; quotes removed.
    pub name: Option<String>,
    /// How many words follow the name (redirections apart).
    pub arguments: u32,
    /// How many shells deep it stands: 0 for the step's own.
    pub depth: u32,
}

/// A use of a shell variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellVariable {
    /// Its name.
    pub name: String,
    /// From `$` to the end of the name (or of `${NAME`).
    pub span: Span,
}
