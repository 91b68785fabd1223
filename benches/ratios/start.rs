//! What it takes to start a program that has nothing to do.

use crate::child::spawn_times;
use crate::{Row, Rows};
use opal_tests::Host;
use std::process::Command;

pub(crate) fn rows() -> Rows {
    let host = Host::new();
    let (vm, opalc) = (host.command("opal-vm", ["--version"]), host.command("opalc", ["--version"]));
    let [bare, vm, opalc] = spawn_times(10, 20, [&Command::new("/bin/true"), &vm, &opalc])?;
    Ok(vec![
        Row::times("start of `opal-vm --version`", vm, "/bin/true", bare, None),
        Row::times("start of `opalc --version`", opalc, "/bin/true", bare, None),
    ])
}
