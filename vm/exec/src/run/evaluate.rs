//! The evaluator: what a step wrote meets regular expressions and JSON paths in a process of its own, which holds that text and the operations and
//! nothing else (spec/language.md, "Pipelines"; [`crate::aside`]).
//!
//! A step's output may be anything. What it does to whoever looks into it, it does there: the process has a gigabyte and a minute, and one that ends is a
//! step that failed. Its answer is a text of a bounded length, or which operation failed and why, and counts for nothing more.
//!
//! Tests: `tests/tests/evaluator.rs`, with real processes.
//!
//! Read for: everything in the process that runs a contract.

use std::io;
use std::time::Duration;

use opal_format::kind::NodeKind;
use zeroize::Zeroizing;

use crate::aside::{Aside, Lost, Received, Until};
use crate::frame::{Body, Frame};
use crate::supervise::helper::Role;
use opal_core::operations::{INPUT_MAX, Unmet};

/// How long the answer is waited for: more than the process gets of processor time.
const WAIT: Duration = Duration::from_secs(120);

/// Bytes of an answer: what is no character may become one of three bytes.
const ANSWER_MAX: usize = INPUT_MAX * 3 + 64;

/// The one question: operations with their arguments, and a text.
pub const APPLY: u8 = 2;
/// The answer: the number of the operation that failed and why, or 0, and the text as it was then.
pub const APPLIED: u8 = 2;

/// Why an operation fails, by number.
pub const UNMET: [Unmet; 6] = [Unmet::Match, Unmet::Equal, Unmet::Number, Unmet::Json, Unmet::Path, Unmet::Argument];

/// An operation with its argument.
pub type Operation = (NodeKind, Zeroizing<Vec<u8>>);

/// A text after operations: all of them, or those before the one that failed.
pub(super) struct Applied {
    pub(super) text: Zeroizing<Vec<u8>>,
    pub(super) failed: Option<(usize, Unmet)>,
}

/// A process that is ready to evaluate one text.
pub(super) struct Evaluator(Aside);

impl Evaluator {
    /// Starts one. It gets ready while the step runs.
    pub(super) fn start() -> io::Result<Self> {
        Aside::start(Role::Evaluator, WAIT, ANSWER_MAX.saturating_add(64)).map(Self)
    }

    /// Has operations applied to a text, in order.
    pub(super) fn apply(mut self, operations: &[Operation], text: &[u8], until: Until) -> Result<Applied, Lost> {
        let room = operations
            .iter()
            .map(|(_, argument)| argument.len().saturating_add(8))
            .fold(text.len().saturating_add(16), usize::saturating_add);
        let mut frame = Frame::new(APPLY, room);
        frame.length(operations.len());
        for (kind, argument) in operations {
            frame.u32(u32::from(kind.number())).bytes(argument);
        }
        frame.bytes(text);
        self.0.wait_until(until);
        self.0.wake();
        self.0.tell(frame)?;
        let Received { kind, body } = self.0.hear(ANSWER_MAX)?;
        let mut body = Body(&body);
        let mut applied = || {
            let failed = match usize::try_from(body.u32()?).ok()?.checked_sub(1) {
                Some(at) if at < operations.len() => Some((at, *UNMET.get(usize::from(body.u8()?))?)),
                Some(_) => return None,
                None => None,
            };
            let text = Zeroizing::new(body.bytes()?.to_vec());
            body.is_over().then_some(Applied { text, failed })
        };
        applied().filter(|_| kind == APPLIED).ok_or(Lost::Nonsense)
    }
}

/// Why there is no answer, for people.
pub(super) const fn ended(lost: Lost) -> &'static str {
    match lost {
        Lost::Gone => "the process that evaluates it ended, as it does where it needs more than a gigabyte or a minute",
        Lost::Slow => "it took too long",
        Lost::Greedy | Lost::Nonsense => "the answer makes no sense",
    }
}
