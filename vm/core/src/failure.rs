//! What every error of the rooms says besides its message: a code and what to do.

use crate::code::Code;

/// What the command line needs to know of an error besides its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The code inside `error[…]`, from which the exit status follows.
    pub code: Code,
    /// What to do about it, in one line that can be pasted or followed.
    pub help: String,
}

impl Report {
    /// Puts the parts together.
    pub fn new(code: Code, help: impl Into<String>) -> Self {
        Self { code, help: help.into() }
    }
}

/// An error that ends a command.
pub trait Failure: std::error::Error {
    /// What is to be known of it besides its message.
    fn report(&self) -> Report;
    /// [`Report::code`].
    fn code(&self) -> Code {
        self.report().code
    }
    /// [`Code::exit`].
    fn exit(&self) -> u8 {
        self.code().exit()
    }
    /// [`Report::help`].
    fn help(&self) -> String {
        self.report().help
    }
}
