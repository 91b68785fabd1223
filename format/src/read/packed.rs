//! Tables that one process tells another, in the archives that a plan file has them in. Whoever takes them checks as much as of a file.

use crate::read::archive::{self, table};
use crate::read::check;
use crate::read::error::FormatError;
use crate::read::kind::Section;
use crate::read::program::{ArchivedProgram, ProgramView};
use crate::read::section::Located;
use crate::read::steps::{ArchivedSteps, OriginsView, Steps};

/// The tables of a program in bytes that [`ArchivedProgram`] fills.
///
/// # Errors
/// [`FormatError::Archive`], [`FormatError::TrailingData`].
pub fn program(bytes: &crate::Bytes) -> Result<ProgramView<'_>, FormatError> {
    let located = Located { start: 0, bytes };
    let program = archive::read::<ArchivedProgram>(Section::Program, located)?.view();
    archive::check_full::<ArchivedProgram>(located, &program.tables())?;
    Ok(program)
}

/// The bytes of step tables.
///
/// # Errors
/// Where 32-bit offsets do not suffice.
pub fn pack_steps(steps: &Steps) -> Result<crate::Bytes, FormatError> {
    archive::write(Section::Steps, steps)
}

/// Step tables that keep every rule, in a plan with `slots` slots, of a program that was checked.
///
/// # Errors
/// The first rule that they break.
pub fn unpack_steps(bytes: &[u8], slots: usize, origins: OriginsView<'_>) -> Result<Steps, FormatError> {
    let mut aligned = crate::Bytes::with_capacity(bytes.len());
    aligned.extend_from_slice(bytes);
    let located = Located { start: 0, bytes: &aligned };
    let view = archive::read::<ArchivedSteps>(Section::Steps, located)?.view(origins);
    archive::check_full::<ArchivedSteps>(located, &[table(view.nodes), table(view.args), table(view.parts), table(view.text)])?;
    check::steps(view, slots, 0)?;
    Ok(view.to_steps())
}
