//! From a contract's bytes to the plan that equals it.

use crate::child::peak_memory;
use crate::{Row, Rows, clock, sample};
use opal_core::agreed::Comparison;
use opal_core::plan::{Mode, Options, plan};
use opal_core::program::table;
use opal_core::program::verify::verify;
use opal_format::hash::HashAlgorithm;
use opal_format::limits;
use opal_format::program::ProgramView;
use opal_format::read_file::read_path;
use opal_format::reader::{Contract, RawPlan};
use opal_format::seed::Seed;
use opal_tests::Host;
use opal_vm::reality::Host as Reality;
use std::hint::black_box;
use std::time::Duration;

/// Stack of the thread that the program verifier must pass on.
const VERIFIER_STACK: usize = 256 << 10;

/// Read, authenticate and validate, over one SHA-256 pass.
pub(crate) fn read() -> Rows {
    let directory = tempfile::tempdir()?;
    let mut rows = Vec::new();
    for (shape, text) in [("loop", sample::unrolled(100_000)), ("lines", sample::lines(100_000))] {
        let bytes = sample::contract(&text)?.bytes;
        let path = directory.path().join("read.plan");
        std::fs::write(&path, &bytes)?;
        let authenticated = || read_path(&path, limits::FILE_SIZE).ok()?.authenticate().ok();
        let [hash, read, all] = clock::interleaved(
            10,
            [
                &mut || {
                    black_box(HashAlgorithm::Sha256.plain(&bytes));
                },
                &mut || assert!(authenticated().is_some_and(|plan| plan.decode().is_ok()), "the contract reads"),
                &mut || assert!(authenticated().is_some_and(|plan| plan.decode().is_ok_and(|plan| plan.check_plan_hash().is_ok()))),
            ],
        );
        let size = bytes.len() >> 10;
        let pass = format!("a SHA-256 pass, {size} KiB");
        rows.push(Row::times(format!("read + authenticate + validate, 100,000 steps ({shape})"), read, &pass, hash, 2.0));
        rows.push(Row::times("  and recompute plan_hash", all, &pass, hash, None));
    }
    Ok(rows)
}

/// Program verifier, replan and compare, each step.
pub(crate) fn replan() -> Rows {
    let host = sample::host();
    let mut rows = Vec::new();
    let mut measure = |shape: &str, text: &str, steps: u32| -> Result<(), Box<dyn std::error::Error>> {
        let sample = sample::contract(text)?;
        let authenticated = RawPlan::copy(&sample.bytes, limits::FILE_SIZE)?.authenticate()?;
        let contract = authenticated.decode()?;
        let rounds = if steps > 10_000 { 10 } else { 50 };
        let time = clock::alone(rounds, || assert!(is_same(&contract, &host, &sample.seed), "the fresh plan equals the contract"));
        let budget = (steps == 10_000).then_some(1.0);
        let row = Row::limit(format!("verify + replan + compare, each of {steps} steps ({shape})"), time / steps, Duration::from_micros(1));
        rows.push(Row { budget, ..row });
        Ok(())
    };
    for steps in [100_u32, 1_000, 10_000, 100_000] {
        measure("loop", &sample::unrolled(steps as usize), steps)?;
    }
    measure("lines", &sample::lines(10_000), 10_000)?;
    Ok(rows)
}

/// Whether replanning a contract here gives the same plan.
fn is_same(contract: &Contract<'_>, host: &Reality, seed: &Seed) -> bool {
    let options = Options {
        mode: Mode::Resolve,
        seed,
        arguments: &[],
        pass_env: &[],
        regen: opal_format::regen::Regen::None,
        public_names: None,
        no_public: false,
        fuel: table::limits::FUEL,
    };
    let Ok(program) = verify(contract.program) else { return false };
    let Ok(fresh) = plan(&program, host, &options) else { return false };
    Comparison::of_tables(contract, fresh).drift().is_empty()
}

/// The program verifier, each byte, and how it grows.
pub(crate) fn verifier() -> Rows {
    let (small, large) = (sample::compile(&sample::lines(50_000))?.program, sample::compile(&sample::lines(100_000))?.program);
    let kilobytes = u32::try_from(program_size(large.view()) >> 10)?;
    let thread = std::thread::Builder::new().stack_size(VERIFIER_STACK).spawn(move || {
        let times = clock::interleaved(
            20,
            [&mut || assert!(verify(black_box(small.view())).is_ok(), "the program verifies"), &mut || {
                assert!(verify(black_box(large.view())).is_ok(), "the program verifies")
            }],
        );
        // Freed outside of what is measured.
        drop((small, large));
        times
    })?;
    let [half, whole] = thread.join().map_err(|_| "the verifier did not pass on a small stack")?;
    Ok(vec![
        Row::limit(format!("program verifier, each of {kilobytes} KiB, 256 KiB stack"), whole / kilobytes, Duration::from_nanos(20) * 1024),
        Row::times("program verifier, t(2n)", whole, "t(n)", half, 2.2),
    ])
}

/// Bytes of a program's tables.
const fn program_size(view: ProgramView<'_>) -> usize {
    size_of_val(view.constants)
        + size_of_val(view.templates)
        + size_of_val(view.template_parts)
        + size_of_val(view.functions)
        + size_of_val(view.blocks)
        + size_of_val(view.code)
        + size_of_val(view.debug)
        + view.text.len()
}

/// What `opal-vm verify` holds in memory, over the size of the contract.
pub(crate) fn memory() -> Rows {
    /// What the process needs whatever the size of the contract.
    const FIXED: u64 = 16 << 20;
    let host = Host::new();
    let mut rows = Vec::new();
    for (shape, text) in [("loop", sample::unrolled(100_000)), ("lines", sample::lines(100_000))] {
        host.write("deploy.opl", text);
        let made = host.opalc(&["deploy.opl", "--resolve", "-o", "prod.plan"]);
        if made.status != 0 {
            return Err(made.stderr.into());
        }
        let file = std::fs::metadata(host.work().join("prod.plan"))?.len();
        let peak = peak_memory(&host.command("opal-vm", ["verify", "--plan", "prod.plan"]))?;
        rows.push(Row {
            what: format!("memory of verify, 100,000 steps ({shape}), beyond 16 MiB"),
            measured: format!("{} KiB", peak >> 10),
            ratio: peak.saturating_sub(FIXED) as f64 / file as f64,
            yardstick: format!("the file ({} KiB)", file >> 10),
            budget: Some(4.0),
        });
    }
    Ok(rows)
}
