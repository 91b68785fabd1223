//! The evaluator itself: a process that holds what one step wrote, and the operations of its pipeline.

use opal_core::operations::apply;
use opal_exec::aside::{self, Line, Over};
use opal_exec::frame::{Body, Frame};
use opal_exec::run::evaluate::{APPLIED, APPLY, Operation, UNMET};
use opal_format::kind::NodeKind;
use std::os::fd::OwnedFd;
use zeroize::Zeroizing;

/// Evaluates one text for who is at the other end of the socket, and never returns: the work of [`Role::Evaluator`](opal_exec::supervise::helper::Role::Evaluator).
pub fn serve(socket: OwnedFd) -> ! {
    aside::serve(socket, c"opal-evaluator", work)
}

fn work(line: &Line) -> Result<(), Over> {
    let (APPLY, body) = line.hear()? else { return Err(Over) };
    let (operations, mut text) = read(&body).ok_or(Over)?;
    let failed = operations.iter().enumerate().find_map(|(at, (kind, argument))| Some((at, apply(*kind, argument, &mut text).err()?)));
    let mut frame = Frame::new(APPLIED, text.len().saturating_add(16));
    match failed {
        None => frame.u32(0),
        Some((at, unmet)) => {
            let why = UNMET.iter().position(|one| *one == unmet).and_then(|why| u8::try_from(why).ok());
            frame.length(at.saturating_add(1)).u8(why.ok_or(Over)?)
        }
    };
    frame.bytes(&text);
    line.say(frame)?;
    line.flush()
}

fn read(body: &[u8]) -> Option<(Vec<Operation>, Zeroizing<Vec<u8>>)> {
    let mut body = Body(body);
    let count = body.count(8)?;
    let operation = |body: &mut Body<'_>| {
        let kind = NodeKind::from_number(u16::try_from(body.u32()?).ok()?)?;
        Some((kind, Zeroizing::new(body.bytes()?.to_vec())))
    };
    let operations = (0..count).map(|_| operation(&mut body)).collect::<Option<_>>()?;
    Some((operations, Zeroizing::new(body.bytes()?.to_vec())))
}
