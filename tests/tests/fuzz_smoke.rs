//! The fuzz bodies on generated inputs, the same in every run. `fuzz/` runs them under a fuzzer; `OPAL_FUZZ_CASES` asks for more here.

use opal_tests::fuzz;
use std::path::Path;

/// A fuzz body.
type Body = fn(&[u8]);

/// Runs a body on inputs of growing length. A failure names the input by its number.
fn run(body: Body, longest: usize) {
    let cases = std::env::var("OPAL_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400);
    for case in 0..cases {
        let mut state = case;
        let length = usize::try_from(case).unwrap() * 7 % longest;
        let data: Vec<u8> = (0..length).map(|_| next(&mut state)).collect();
        if let Err(panic) = std::panic::catch_unwind(|| body(&data)) {
            eprintln!("input {case}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// SplitMix64.
fn next(state: &mut u64) -> u8 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed.to_le_bytes()[3]
}

#[test]
fn the_reader_decides_about_any_bytes() {
    run(fuzz::plan_bytes, 512);
}

#[test]
fn the_reader_decides_about_a_plan_with_changed_bytes() {
    run(fuzz::plan_edits, 40);
}

#[test]
fn the_verifier_and_the_disassembler_decide_about_any_tables() {
    run(fuzz::program_bytes, 1500);
}

#[test]
fn what_the_verifier_accepts_is_planned_written_and_read_without_a_bug() {
    run(fuzz::program_verify_plan, 1500);
}

#[test]
fn the_parser_decides_about_any_bytes() {
    run(fuzz::source_text, 300);
}

#[test]
fn what_compiles_is_verified_and_planned_without_a_bug() {
    run(fuzz::source_pieces, 80);
}

#[test]
fn the_streaming_scrubber_does_what_a_naive_one_does() {
    run(fuzz::scrub_stream, 300);
}

#[test]
fn policies_lists_and_records_are_read_or_refused() {
    run(fuzz::policy_text, 200);
    run(fuzz::signers_text, 200);
    run(fuzz::record_events, 200);
}

#[test]
fn the_plan_that_edits_start_from_is_valid() {
    let raw = opal_format::reader::RawPlan::copy(fuzz::valid_plan(), opal_format::limits::FILE_SIZE).unwrap();
    assert!(raw.authenticate().unwrap().decode().is_ok());
}

#[test]
fn every_seed_still_passes() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    let targets: [(&str, Body); 6] = [
        ("plan_bytes", fuzz::plan_bytes),
        ("policy_text", fuzz::policy_text),
        ("program_verify_plan", fuzz::program_verify_plan),
        ("record_events", fuzz::record_events),
        ("signers_text", fuzz::signers_text),
        ("source_text", fuzz::source_text),
    ];
    for (target, body) in targets {
        let mut found = 0;
        for seed in std::fs::read_dir(seeds.join(target)).unwrap() {
            let path = seed.unwrap().path();
            eprintln!("{}", path.display());
            body(&std::fs::read(path).unwrap());
            found += 1;
        }
        assert!(found > 0, "{target} has no seeds");
    }
}
