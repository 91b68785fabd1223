//! Events of every kind, with every kind of content.

use opal_core::event::{
    AcceptedDrift, At, Because, Bytes, Came, Confined, Done, Effects, Ending, Event, Failure, Head, LeftRunning, Outcome, Place, RunStarts,
    Schema, Stop, Stream, Which,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn number() -> impl Strategy<Value = usize> {
    any::<u32>().prop_map(|number| number as usize)
}

fn at() -> impl Strategy<Value = At> {
    (number(), any::<String>()).prop_map(|(node, path)| At { node, path })
}

fn ending() -> impl Strategy<Value = Ending> {
    select(&[Ending::Done, Ending::Failed, Ending::TimedOut, Ending::Stopped][..])
}

fn came() -> impl Strategy<Value = Came> {
    (ending(), option::of(any::<String>()), option::of(any::<i64>())).prop_map(|(result, cause, status)| Came { result, cause, status })
}

fn because() -> impl Strategy<Value = Because> {
    (option::of(number()), option::of(any::<String>()), option::of(any::<i64>())).prop_map(|(failed, cause, status)| Because {
        failed,
        cause,
        status,
    })
}

fn drift() -> impl Strategy<Value = Option<Vec<AcceptedDrift>>> {
    let one = (any::<String>(), any::<String>(), option::of(any::<String>()), option::of(any::<String>()));
    option::of(vec(one.prop_map(|(key, code, was, now)| AcceptedDrift { key, code, was, now }), 1..3))
}

fn which() -> impl Strategy<Value = Which> {
    let texts = (any::<String>(), option::of(any::<String>()), option::of(any::<String>()));
    (texts, number(), any::<bool>(), number()).prop_map(|((run_id, resumed_from, from), steps_before, partial, steps_skipped)| Which {
        run_id,
        resumed_from,
        steps_before,
        partial,
        from,
        steps_skipped,
    })
}

fn failure() -> impl Strategy<Value = Failure> {
    let place = any::<[u32; 4]>().prop_map(|[start, end, line, column]| Place { start, end, line, column });
    let rule = (any::<String>(), any::<[u32; 2]>()).prop_map(|(rule, [line, column])| Confined { rule, line, column });
    (any::<[String; 4]>(), place, any::<[bool; 3]>(), vec(rule, 0..3), any::<u64>()).prop_map(
        |(texts, span, flags, confined_by, elapsed_ms)| {
            let ([path, command, cause, stderr], [handled, denial_likely, first_cause]) = (texts, flags);
            Failure { path, span, command, cause, stderr, handled, confined_by, denial_likely, elapsed_ms, first_cause }
        },
    )
}

/// The end of a run.
pub fn done() -> impl Strategy<Value = Done> {
    let outcomes = &[Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled, Outcome::OutputLost, Outcome::RecordLost][..];
    let left = (any::<[String; 2]>(), any::<i32>(), any::<bool>());
    let left = left.prop_map(|([path, name], pid, ended)| LeftRunning { path, name, pid, ended });
    let how = (select(outcomes), option::of(any::<String>()), any::<[bool; 2]>(), any::<u8>(), any::<u64>());
    let paths = || vec(any::<String>(), 0..3);
    let what = (vec(failure(), 0..3), vec(left, 0..3), paths(), paths());
    (how, (number(), number()), what, which()).prop_map(|(how, (steps_done, steps_total), what, which)| {
        let (outcome, detail, [started, resumable], exit, elapsed_ms) = how;
        let (failures, left_running, cleaned_up, cleanup_skipped) = what;
        Done {
            outcome,
            detail,
            effects: if started { Effects::Started } else { Effects::None },
            exit,
            steps_done,
            steps_total,
            failures,
            left_running,
            cleaned_up,
            cleanup_skipped,
            elapsed_ms,
            resumable,
            which,
        }
    })
}

/// What a record begins with.
pub fn head() -> impl Strategy<Value = Head> {
    let texts = (any::<[String; 5]>(), any::<[Option<String>; 3]>());
    (texts, any::<bool>(), drift(), vec(any::<String>(), 0..3)).prop_map(|(texts, forced, accepted_drift, values)| {
        let ([run_id, started, plan_hash, base, environment], [contract_hash, from, base_sealed]) = texts;
        let schema = Schema::Events;
        Head { schema, run_id, started, contract_hash, plan_hash, forced, accepted_drift, values, base, base_sealed, from, environment }
    })
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![any::<String>().prop_map(Bytes::Text), vec(any::<u8>(), 0..9).prop_map(|bytes| Bytes::Hex(opal_core::hex::encode(&bytes)))]
}

/// An event.
pub fn event() -> impl Strategy<Value = Event> {
    let starts = (number(), which(), any::<bool>(), drift()).prop_map(|(steps, which, forced, accepted_drift)| {
        Event::RunStarts(RunStarts { schema: Schema::Events, steps, which, forced, accepted_drift })
    });
    let stop = select(&[Stop::Timeout, Stop::Cancelled, Stop::Killed, Stop::OutputLost][..]);
    let step_done = (at(), came(), any::<[Option<i32>; 2]>(), option::of(stop), any::<u64>())
        .prop_map(|(at, came, [exit, signal], stopped, elapsed_ms)| Event::StepDone { at, came, exit, signal, stopped, elapsed_ms });
    let binding = (at(), any::<[Option<String>; 2]>(), any::<String>()).prop_map(|(at, [sealed, cause], name)| Event::Binding {
        at,
        name,
        sealed,
        cause,
    });
    let output = (any::<String>(), select(&[Stream::Stdout, Stream::Stderr][..]), bytes())
        .prop_map(|(path, stream, bytes)| Event::Output { path, stream, bytes });
    let of_blocks = prop_oneof![
        at().prop_map(|at| Event::BlockStarts { at }),
        (at(), came()).prop_map(|(at, came)| Event::BlockDone { at, came }),
        (at(), any::<[i64; 2]>()).prop_map(|(at, [attempt, of])| Event::Attempt { at, attempt, of }),
        (at(), because()).prop_map(|(at, because)| Event::Catch { at, because }),
        (at(), ending(), because()).prop_map(|(at, after, because)| Event::Finally { at, after, because }),
        at().prop_map(|at| Event::Timeout { at }),
        at().prop_map(|at| Event::Detach { at }),
        (at(), ending()).prop_map(|(at, after)| Event::DetachEnded { at, after }),
        (at(), number()).prop_map(|(at, bytes)| Event::Transformed { at, bytes }),
    ];
    prop_oneof![
        1 => head().prop_map(Event::Record),
        1 => number().prop_map(|steps_before| Event::Resumed { steps_before }),
        1 => starts,
        1 => at().prop_map(|at| Event::StepStarts { at }),
        1 => step_done,
        1 => binding,
        1 => output,
        1 => done().prop_map(Event::RunDone),
        9 => of_blocks,
    ]
}
