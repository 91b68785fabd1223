//! From a source to a plan.

use crate::child::spawn_times;
use crate::{Row, Rows, clock, sample};
use opal_tests::Host;
use opalc::source::Source;
use opalc::syntax;
use std::time::Duration;

pub(crate) fn rows() -> Rows {
    let host = Host::new();
    host.write("script.opl", sample::script());
    host.write("loop.opl", sample::unrolled(100_000));
    let [script] = spawn_times(20, 1, [&host.command("opalc", ["script.opl"])])?;
    let [unrolled] = spawn_times(5, 1, [&host.command("opalc", ["loop.opl", "--resolve", "-o", "loop.plan"])])?;

    let commands = Source::new("commands.opl", sample::commands(10_000));
    let half = Source::new("commands.opl", sample::commands(5_000));
    let [whole, half] = clock::interleaved(
        5,
        [&mut || drop(std::hint::black_box(syntax::parse(&commands))), &mut || drop(std::hint::black_box(syntax::parse(&half)))],
    );
    let throughput = 10_000.0 / (whole.as_secs_f64() * 1e3);
    let [large, small] = [8 << 20, 1 << 20].map(|size| Source::new("large.opl", sample::of_size(size)));
    let [large, small] = clock::interleaved(
        2,
        [&mut || drop(std::hint::black_box(syntax::parse(&large))), &mut || drop(std::hint::black_box(syntax::parse(&small)))],
    );
    Ok(vec![
        Row::limit("compile a script of 100 lines, whole process", script, Duration::from_millis(5)),
        Row::times(format!("parse 10,000 commands ({throughput:.0} lines/ms)"), whole, "parse 5,000", half, 2.2),
        Row::times("parse 8 MiB", large, "parse 1 MiB", small, 8.8),
        Row::times("a loop of 100,000 steps to a contract, whole process", unrolled, "the script of 100 lines", script, None),
    ])
}
