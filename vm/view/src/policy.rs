//! The keys of a policy in words: which way one tightens, what holds without it, when it is enforced.

use opal_trust::policy::{Moment, Tighter, Unset};

/// Which of two settings is the stricter.
#[must_use]
pub const fn tighter(tighter: Tighter) -> &'static str {
    match tighter {
        Tighter::True => "true is stricter",
        Tighter::False => "false is stricter",
        Tighter::Smaller => "less is stricter",
        Tighter::Larger => "more is stricter",
        Tighter::Fewer => "fewer names are stricter",
        Tighter::More => "more names are stricter",
        Tighter::Fixed => "no flag changes it",
    }
}

/// What holds where the file leaves a key out.
#[must_use]
pub const fn unset(unset: Unset) -> &'static str {
    match unset {
        Unset::Always(true) => "true",
        Unset::Always(false) => "false",
        Unset::Guarded(true) => "true in a guarded run",
        Unset::Guarded(false) => "false in a guarded run",
        Unset::Words(words) => words,
    }
}

/// When a key is enforced.
#[must_use]
pub const fn moment(moment: Moment) -> &'static str {
    match moment {
        Moment::Request => "before anything is read that the caller names",
        Moment::Trust => "with the signatures",
        Moment::Contract => "with what the contract says, before it is planned",
        Moment::Direct => "before a run without a contract",
        Moment::Start => "before lock and ledger",
        Moment::Source => "with the source, before the contract is planned",
        Moment::Plan => "with the agreed plan, before its first step",
        Moment::Steps => "while steps run",
    }
}
