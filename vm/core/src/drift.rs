//! The codes of drift (spec/language.md, "Drift").
//!
//! Read for: nothing with an effect before compare has passed.

/// Why contract and host differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DriftCode {
    /// An environment variable has another value.
    EnvChanged,
    /// A file or provider object is gone.
    InfraMissing,
    /// A file or provider object is different.
    InfraMutated,
    /// Another value is different.
    ValueChanged,
    /// The steps are different.
    StructureChanged,
    /// The contract shows its steps or values otherwise than its program gives them.
    ShownDiffers,
    /// The source file is different.
    SourceChanged,
    /// The source file is not there, and nothing stands in for it.
    SourceMissing,
}

impl DriftCode {
    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EnvChanged => "env_changed",
            Self::InfraMissing => "infra_missing",
            Self::InfraMutated => "infra_mutated",
            Self::ValueChanged => "value_changed",
            Self::StructureChanged => "structure_changed",
            Self::ShownDiffers => "shown_differs",
            Self::SourceChanged => "source_changed",
            Self::SourceMissing => "source_missing",
        }
    }
}

/// The codes of one value decorator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriftCodes {
    /// Its value is another one, or cannot be had as it was.
    pub moved: DriftCode,
    /// What it reads is not there.
    pub missing: DriftCode,
}

impl DriftCodes {
    /// A variable that is not set any more is a variable that moved.
    pub const ENVIRONMENT: Self = Self { moved: DriftCode::EnvChanged, missing: DriftCode::EnvChanged };
    /// Of a file.
    pub const FILE: Self = Self { moved: DriftCode::InfraMutated, missing: DriftCode::InfraMissing };
    /// Of what is drawn from a seed, or computed.
    pub const VALUE: Self = Self { moved: DriftCode::ValueChanged, missing: DriftCode::ValueChanged };
}
