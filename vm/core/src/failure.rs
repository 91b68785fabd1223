//! What every error of the rooms says besides its message: a code, an exit status and what to do.

/// What the command line needs to know of an error besides its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The stable code inside `error[…]`.
    pub code: &'static str,
    /// The exit status.
    pub exit: u8,
    /// What to do about it, in one line that can be pasted or followed.
    pub help: String,
}

impl Report {
    /// Puts the parts together.
    pub fn new(code: &'static str, exit: u8, help: impl Into<String>) -> Self {
        Self { code, exit, help: help.into() }
    }
}

/// An error that ends a command.
pub trait Failure: std::error::Error {
    /// What is to be known of it besides its message.
    fn report(&self) -> Report;
    /// [`Report::code`].
    fn code(&self) -> &'static str {
        self.report().code
    }
    /// [`Report::exit`].
    fn exit(&self) -> u8 {
        self.report().exit
    }
    /// [`Report::help`].
    fn help(&self) -> String {
        self.report().help
    }
}

/// Exit statuses of these errors.
pub mod exit {
    /// Signature missing, bad or not trusted.
    pub const UNTRUSTED: u8 = 20;
    /// A single-use contract has been run already.
    pub const ALREADY_RUN: u8 = 22;
    /// Refused by policy.
    pub const POLICY: u8 = 24;
    /// A wrong command line.
    pub const USAGE: u8 = 64;
    /// An input file is malformed.
    pub const MALFORMED: u8 = 65;
    /// An input file is missing or unreadable.
    pub const NO_INPUT: u8 = 66;
    /// Something that has to be written cannot be.
    pub const CANNOT_WRITE: u8 = 74;
    /// Another run holds the lock.
    pub const LOCKED: u8 = 75;
    /// A policy, trust or identity file is wrong.
    pub const CONFIGURATION: u8 = 78;
}
