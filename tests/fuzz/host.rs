//! Files of a host: its policy, its list of signers, its records.

use super::plan::some_plan;
use opal_core::event::Event;
use opal_format::steps::Node;
use opal_trust::policy::Policy;
use opal_trust::{revoked, signers};
use std::path::Path;
use std::sync::OnceLock;
use zeroize::Zeroizing;

/// A policy is read, or refused with one line that names its defect; the same bytes give the same policy.
///
/// # Panics
/// Where it is not so.
pub fn policy_text(data: &[u8]) {
    match (Policy::parse(data), Policy::parse(data)) {
        (Ok(one), Ok(two)) => assert_eq!(one, two),
        (Err(one), Err(two)) => {
            let said = one.to_string();
            assert_eq!(said, two.to_string());
            assert!(!said.is_empty(), "a refusal without a word");
        }
        (one, two) => panic!("the same bytes, two verdicts: {} {}", one.is_ok(), two.is_ok()),
    }
}

/// So are lists of signers and of what is revoked.
pub fn signers_text(data: &[u8]) {
    let file = Path::new("/etc/opal/allowed_signers");
    let _ = signers::parse(data, file, &jiff::tz::TimeZone::UTC);
    let _ = revoked::Revoked::parse(data, file);
}

/// A record is a line of JSON for each event. What is read as one is written so that it reads the same, and whatever they say about the steps of a plan,
/// what they come to names steps that the plan has.
///
/// # Panics
/// Where it does not.
pub fn record_events(data: &[u8]) {
    static NODES: OnceLock<Vec<Node>> = OnceLock::new();
    let nodes = NODES.get_or_init(|| some_plan().1.steps.nodes.to_vec());
    let events: Vec<Event> = data.split(|byte| *byte == b'\n').filter_map(|line| Event::read(line).ok()?).collect();
    for event in &events {
        assert_eq!(Event::read(event.line().as_bytes()).as_ref(), Ok(&Some(event.clone())), "an event that reads back as another");
    }
    let reading = opal_record::history::read(&events, nodes, |_, sealed| Some(Zeroizing::new(sealed.as_bytes().to_vec())));
    assert!(reading.unknown.iter().all(|node| *node < nodes.len()), "a step that the plan has not");
    assert!(reading.rest.ran.len() <= nodes.len(), "more steps than the plan has");
}
