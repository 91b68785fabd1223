//! The one table of decorators: names, numbers, parameters, types, defaults, block rules, cost, sensitivity, and how inputs are compared.
//!
//! The compiler's checks, the program verifier, the planner, help and documents all read it (spec/language.md, "Decorators").

use crate::drift::DriftCodes;
use opal_format::kind::{NodeKind, ValueType};

/// What a parameter accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamType {
    /// One type.
    Of(ValueType),
    /// Int or Float.
    Number,
    /// Array of Strings.
    Strings,
    /// Array of Ints.
    Ints,
    /// Any scalar: String, Int, Float, Bool or Duration.
    Scalar,
}

impl ParamType {
    /// Name for messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Of(value_type) => value_type.name(),
            Self::Number => "Int or Float",
            Self::Strings => "Array of Strings",
            Self::Ints => "Array of Ints",
            Self::Scalar => "String, Int, Float, Bool or Duration",
        }
    }

    /// Whether it takes an Array, whose elements are arguments of one number each.
    #[must_use]
    pub const fn is_array(self) -> bool {
        matches!(self, Self::Strings | Self::Ints)
    }

    /// Whether a value of this type may be given. Elements of an Array are checked where they are read.
    #[must_use]
    pub const fn accepts(self, value_type: ValueType) -> bool {
        match self {
            Self::Of(expected) => expected as u8 == value_type as u8,
            Self::Number => matches!(value_type, ValueType::Int | ValueType::Float),
            Self::Strings | Self::Ints => matches!(value_type, ValueType::Array),
            Self::Scalar => !matches!(value_type, ValueType::Array | ValueType::Map),
        }
    }
}

/// One parameter.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Names, the current one first.
    pub names: &'static [&'static str],
    /// What it accepts.
    pub accepts: ParamType,
    /// Whether it must be given.
    pub required: bool,
    /// Whether it must be a literal in the source (it shapes what the program may touch).
    pub literal: bool,
    /// One line for help.
    pub help: &'static str,
}

/// How costly resolving is. Expensive decorators are deferred by quick plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Resolved in quick plans too.
    Cheap,
    /// Deferred by quick plans.
    Expensive,
}

/// How a path after the name is read: `@env.HOME`, `@file.read("p")`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `@name.X`: `X` is parameter 0.
    Key,
    /// `@name(…)`: all parameters in parentheses.
    Call,
}

/// How the inputs of a value decorator are compared when a contract is verified: always by the commitment to a value under the contract's seed,
/// which covers its key, its type and its bytes. Here is which value that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// The text of the variable, or the default where it is unset; not which of the two it was.
    Variable,
    /// The bytes of the file; not its name, owner, mode or times.
    Content,
    /// The digest of the bytes of the file; not its name, owner, mode or times.
    Digest,
    /// What the contract's own seed gives for the arguments: nothing of the host. It may not decide structure unless public.
    Drawn,
}

impl Compared {
    /// As `spec/language.md` says it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Variable => "text, or the default",
            Self::Content => "content",
            Self::Digest => "digest of the content",
            Self::Drawn => "drawn from the seed",
        }
    }
}

/// A value decorator.
#[derive(Clone, Copy, Debug)]
pub struct ValueDecorator {
    /// Number in programs and plans.
    pub number: u16,
    /// Name without `@`, dotted.
    pub name: &'static str,
    /// Written form.
    pub shape: Shape,
    /// Parameters, in binding order. Parameter numbers are positions here.
    pub params: &'static [Param],
    /// Cost.
    pub cost: Cost,
    /// How its inputs are compared.
    pub compared: Compared,
    /// What is said when they moved.
    pub drift: DriftCodes,
    /// One line for help.
    pub help: &'static str,
}

impl ValueDecorator {
    /// Whether its value comes from the plan's seed.
    #[must_use]
    pub fn is_seeded(&self) -> bool {
        self.compared == Compared::Drawn
    }
}

/// An execution decorator that scripts can write.
#[derive(Clone, Copy, Debug)]
pub struct NodeDecorator {
    /// The node that it opens.
    pub kind: NodeKind,
    /// Name without `@`.
    pub name: &'static str,
    /// Parameters, in binding order.
    pub params: &'static [Param],
    /// Whether it takes a block; `@shell` takes none.
    pub block: bool,
    /// One line for help.
    pub help: &'static str,
}

const fn param(names: &'static [&'static str], accepts: ParamType, required: bool, help: &'static str) -> Param {
    Param { names, accepts, required, literal: false, help }
}

const fn literal(names: &'static [&'static str], accepts: ParamType, required: bool, help: &'static str) -> Param {
    Param { names, accepts, required, literal: true, help }
}

const STRING: ParamType = ParamType::Of(ValueType::String);
const INT: ParamType = ParamType::Of(ValueType::Int);
const BOOL: ParamType = ParamType::Of(ValueType::Bool);
const DURATION: ParamType = ParamType::Of(ValueType::Duration);

const PUBLIC: Param = literal(&["public"], BOOL, false, "show the value in plans and output");
const REGEN_KEY: Param = literal(&["regen_key"], STRING, false, "keep the value across plans until this key changes");

/// `@env.NAME`.
pub const ENV: u16 = 1;
/// `@file.read(path)`.
pub const FILE_READ: u16 = 2;
/// `@file.sha256(path)`.
pub const FILE_SHA256: u16 = 3;
/// `@random.password(length)`.
pub const RANDOM_PASSWORD: u16 = 4;
/// `@crypto.generate_key(type)`.
pub const CRYPTO_GENERATE_KEY: u16 = 5;
/// A variable promised to the steps (`--pass-env`). Not writable in sources.
pub const PASS_ENV: u16 = 6;

/// Parameter number of `default` in `@env`.
pub const ENV_DEFAULT: u8 = 1;

/// Every value decorator, by number. `@var` and `@cmd` are the compiler's: they never reach a program.
pub const VALUE_DECORATORS: &[ValueDecorator] = &[
    ValueDecorator {
        number: ENV,
        name: "env",
        shape: Shape::Key,
        params: &[
            literal(&["name"], STRING, true, "name of the variable"),
            param(&["default"], ParamType::Scalar, false, "value and type where the variable is unset"),
            PUBLIC,
        ],
        cost: Cost::Cheap,
        compared: Compared::Variable,
        drift: DriftCodes::ENVIRONMENT,
        help: "an environment variable",
    },
    ValueDecorator {
        number: FILE_READ,
        name: "file.read",
        shape: Shape::Call,
        params: &[param(&["path"], STRING, true, "path, relative to the base directory"), PUBLIC],
        cost: Cost::Cheap,
        compared: Compared::Content,
        drift: DriftCodes::FILE,
        help: "the contents of a regular file",
    },
    ValueDecorator {
        number: FILE_SHA256,
        name: "file.sha256",
        shape: Shape::Call,
        params: &[param(&["path"], STRING, true, "path, relative to the base directory"), PUBLIC],
        cost: Cost::Cheap,
        compared: Compared::Digest,
        drift: DriftCodes::FILE,
        help: "the SHA-256 of a regular file, in hexadecimal",
    },
    ValueDecorator {
        number: RANDOM_PASSWORD,
        name: "random.password",
        shape: Shape::Call,
        params: &[
            param(&["length"], INT, false, "number of characters, 1 to 1024 (default 32)"),
            param(&["alphabet"], STRING, false, "characters and ranges to draw from (default A-Za-z0-9)"),
            REGEN_KEY,
            PUBLIC,
        ],
        cost: Cost::Expensive,
        compared: Compared::Drawn,
        drift: DriftCodes::VALUE,
        help: "a password drawn from the plan's seed",
    },
    ValueDecorator {
        number: CRYPTO_GENERATE_KEY,
        name: "crypto.generate_key",
        shape: Shape::Call,
        params: &[param(&["type"], STRING, false, "`ed25519` (default)"), REGEN_KEY, PUBLIC],
        cost: Cost::Expensive,
        compared: Compared::Drawn,
        drift: DriftCodes::VALUE,
        help: "a private key drawn from the plan's seed, in OpenSSH format",
    },
    ValueDecorator {
        number: PASS_ENV,
        name: "pass_env",
        shape: Shape::Key,
        params: &[literal(&["name"], STRING, true, "name of the variable")],
        cost: Cost::Cheap,
        compared: Compared::Variable,
        drift: DriftCodes::ENVIRONMENT,
        help: "a variable promised to the steps with --pass-env",
    },
];

/// Parameter numbers of execution decorators that the executor reads.
pub mod params {
    /// `@retry(attempts)`.
    pub const RETRY_ATTEMPTS: u8 = 0;
    /// `@retry(delay)`.
    pub const RETRY_DELAY: u8 = 1;
    /// `@retry(backoff)`.
    pub const RETRY_BACKOFF: u8 = 2;
    /// `@retry(jitter)`.
    pub const RETRY_JITTER: u8 = 3;
    /// `@retry(on)`.
    pub const RETRY_ON: u8 = 4;
    /// `@timeout(duration)`.
    pub const TIMEOUT_DURATION: u8 = 0;
    /// `@workdir(path)`.
    pub const WORKDIR_PATH: u8 = 0;
    /// `@parallel(max_concurrency)`.
    pub const PARALLEL_MAX_CONCURRENCY: u8 = 0;
    /// `@parallel(tolerate)`.
    pub const PARALLEL_TOLERATE: u8 = 1;
    /// `@isolated.filesystem(read)`.
    pub const ISOLATED_READ: u8 = 0;
    /// `@isolated.filesystem(write)`.
    pub const ISOLATED_WRITE: u8 = 1;
    /// `sleep(duration)`.
    pub const SLEEP_DURATION: u8 = 0;
    /// What an operation of a pipeline takes.
    pub const OPERATION: u8 = 0;
    /// Name of a runtime binding (`@let`).
    pub const LET_NAME: u8 = 0;
}

/// Every execution decorator that scripts can write, and `sleep`.
pub const NODE_DECORATORS: &[NodeDecorator] = &[
    NodeDecorator {
        kind: NodeKind::Shell,
        name: "shell",
        params: &[param(&["command"], STRING, true, "shell text")],
        block: false,
        help: "one shell command",
    },
    NodeDecorator {
        kind: NodeKind::Retry,
        name: "retry",
        params: &[
            param(&["attempts", "times"], INT, false, "runs at most this often (default 3)"),
            param(&["delay"], DURATION, false, "pause before the next attempt (default 0s)"),
            param(&["backoff"], ParamType::Number, false, "factor on the pause after each attempt (default 1)"),
            param(&["jitter"], ParamType::Number, false, "part of each pause, 0 to 1, that chance may take away (default 0)"),
            param(&["on"], ParamType::Ints, false, "exit statuses, 1 to 255, that another attempt follows (default all failures)"),
        ],
        block: true,
        help: "runs its block again while it fails",
    },
    NodeDecorator {
        kind: NodeKind::Timeout,
        name: "timeout",
        params: &[param(&["duration"], DURATION, true, "time limit")],
        block: true,
        help: "ends its block's processes when time is up",
    },
    NodeDecorator {
        kind: NodeKind::Workdir,
        name: "workdir",
        params: &[param(&["path"], STRING, true, "directory")],
        block: true,
        help: "runs its block in another directory",
    },
    NodeDecorator {
        kind: NodeKind::Parallel,
        name: "parallel",
        params: &[
            param(&["max_concurrency"], INT, false, "branches at once (default: the processors, at least 4)"),
            param(&["tolerate"], INT, false, "failures that do not fail the block (default 0)"),
        ],
        block: true,
        help: "runs its branches at once",
    },
    NodeDecorator {
        kind: NodeKind::Detach,
        name: "detach",
        params: &[],
        block: true,
        help: "lets processes live until the enclosing block ends",
    },
    NodeDecorator { kind: NodeKind::Tty, name: "tty", params: &[], block: true, help: "lends the terminal (direct runs only)" },
    NodeDecorator {
        kind: NodeKind::IsolatedNetwork,
        name: "isolated.network",
        params: &[],
        block: true,
        help: "runs its block without network and other ways to connect to what is outside",
    },
    NodeDecorator {
        kind: NodeKind::IsolatedFilesystem,
        name: "isolated.filesystem",
        params: &[
            param(&["read"], ParamType::Strings, false, "where files may be read and executed (default nowhere)"),
            param(&["write"], ParamType::Strings, false, "where files may be read, executed and written (default nowhere)"),
        ],
        block: true,
        help: "runs its block with access to the listed files and directories, and the system's programs, only",
    },
    NodeDecorator {
        kind: NodeKind::IsolatedPrivileges,
        name: "isolated.privileges",
        params: &[],
        block: true,
        help: "runs its block without capabilities, ways to get any, and power over processes outside",
    },
    NodeDecorator {
        kind: NodeKind::Sleep,
        name: "sleep",
        params: &[param(&["duration"], DURATION, true, "how long")],
        block: false,
        help: "waits",
    },
];

/// Every operation of a pipeline, `step |> name(…)`.
pub const OPERATIONS: &[NodeDecorator] = &[
    operation(NodeKind::LinesGrep, "lines.grep", REGEX, "keeps the lines that it matches"),
    operation(NodeKind::LinesHead, "lines.head", COUNT, "keeps the first lines"),
    operation(NodeKind::LinesTail, "lines.tail", COUNT, "keeps the last lines"),
    operation(NodeKind::LinesCount, "lines.count", &[], "gives the number of lines"),
    operation(
        NodeKind::JsonPick,
        "json.pick",
        &[param(&["path"], STRING, true, "where the value stands: `$.a.b[0]`")],
        "gives one value of a JSON text",
    ),
    operation(NodeKind::AssertRe, "assert.re", REGEX, "fails where nothing matches"),
    operation(
        NodeKind::AssertEq,
        "assert.eq",
        &[param(&["expected"], ParamType::Scalar, true, "the whole text, line ends at its end apart")],
        "fails on any other text",
    ),
    operation(
        NodeKind::AssertNum,
        "assert.num",
        &[param(&["comparison"], STRING, true, "`<` `<=` `>` `>=` `==` or `!=`, and a number")],
        "fails on what is no number or compares otherwise",
    ),
];

const REGEX: &[Param] = &[param(&["re"], STRING, true, "regular expression")];
const COUNT: &[Param] = &[param(&["n"], INT, true, "how many, 0 or more")];

const fn operation(kind: NodeKind, name: &'static str, params: &'static [Param], help: &'static str) -> NodeDecorator {
    NodeDecorator { kind, name, params, block: false, help }
}

/// The value decorator with this number.
#[must_use]
pub fn value_decorator(number: u16) -> Option<&'static ValueDecorator> {
    VALUE_DECORATORS.iter().find(|decorator| decorator.number == number)
}

/// The value decorator with this dotted name.
#[must_use]
pub fn value_decorator_named(name: &str) -> Option<&'static ValueDecorator> {
    VALUE_DECORATORS.iter().find(|decorator| decorator.name == name && decorator.number != PASS_ENV)
}

/// The execution decorator with this dotted name.
#[must_use]
pub fn node_decorator_named(name: &str) -> Option<&'static NodeDecorator> {
    NODE_DECORATORS.iter().find(|decorator| decorator.name == name)
}

/// The name by which policy judges a node; `None` for control flow and operators, which are no decorators. A binding runs a shell.
#[must_use]
pub fn judged_name(kind: NodeKind) -> Option<&'static str> {
    let kind = if kind == NodeKind::Let { NodeKind::Shell } else { kind };
    NODE_DECORATORS.iter().chain(OPERATIONS).find(|decorator| decorator.kind == kind).map(|decorator| decorator.name)
}

/// Parameters of a node kind, by number. Kinds that scripts cannot write have none, but for the name of a `@let`.
#[must_use]
pub fn node_params(kind: NodeKind) -> &'static [Param] {
    const LET: &[Param] = &[param(&["name"], STRING, true, "name of the binding")];
    match NODE_DECORATORS.iter().chain(OPERATIONS).find(|decorator| decorator.kind == kind) {
        Some(decorator) if kind != NodeKind::Shell => decorator.params,
        _ if kind == NodeKind::Let => LET,
        _ => &[],
    }
}

/// Environment variables whose values are public without `public=true`.
pub const PUBLIC_ENV: &[&str] = &["HOME", "USER", "LOGNAME", "PWD", "SHELL", "PATH", "LANG", "TERM", "TZ", "HOSTNAME", "TMPDIR", "CI"];

/// Whether a name looks like that of a secret, so that `public=true` on it needs `--public NAME`.
#[must_use]
pub fn looks_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    ["TOKEN", "SECRET", "PASS", "KEY", "CRED"].iter().any(|part| upper.contains(part))
}
