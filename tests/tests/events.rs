//! Events have one writer and one reader: what is written reads back as it was, what a later version adds is skipped, and what no version writes is
//! refused.

use opal_core::event::{Event, Summary, Unreadable};
use opal_core::show::json_text;
use opal_tests::events::{done, event, head};
use proptest::prelude::*;
use serde_json::{Value, json};

fn document(event: &Event) -> serde_json::Map<String, Value> {
    serde_json::from_str(&event.line()).expect("an object")
}

fn read(members: &serde_json::Map<String, Value>) -> Result<Option<Event>, Unreadable> {
    Event::read(&serde_json::to_vec(members).expect("JSON"))
}

proptest! {
    #[test]
    fn an_event_reads_back_as_it_was(event in event(), head in head(), done in done()) {
        let line = event.line();
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(Event::read(line.as_bytes()), Ok(Some(event.clone())));
        let summary = Summary::of(&head, done, "now".to_owned());
        prop_assert_eq!(Summary::read(json_text(&summary).as_bytes()), Ok(summary));
        // In a record it has two members more, and a later version may add others.
        let mut more = document(&event);
        for (name, value) in [("at", json!("2026")), ("mac", json!("00")), ("of_a_later_version", json!({ "event": [1, null] }))] {
            more.insert(name.to_owned(), value);
        }
        prop_assert_eq!(read(&more), Ok(Some(event)));
    }

    #[test]
    fn an_event_that_lacks_a_member_or_has_another_in_its_place_is_none(event in event()) {
        let whole = document(&event);
        for name in whole.keys() {
            let mut less = whole.clone();
            let gone = less.remove(name).expect("a member");
            match read(&less) {
                Ok(Some(other)) => {
                    let same = document(&other).get(name).is_none_or(Value::is_null);
                    prop_assert!(same, "{} is missing and was {}", name, gone);
                }
                other => prop_assert_eq!(other, Err(Unreadable), "without {}", name),
            }
            less.insert(name.clone(), json!([[]]));
            prop_assert_eq!(read(&less), Err(Unreadable), "{} is something else", name);
        }
    }

    #[test]
    fn an_event_of_a_later_version_says_nothing(name in "[a-z_]{1,12}", more in any::<String>()) {
        prop_assume!(!Event::NAMES.contains(&name.as_str()));
        let members = json!({ "event": name, "node": more });
        prop_assert_eq!(Event::read(members.to_string().as_bytes()), Ok(None));
    }
}

#[test]
fn the_names_that_are_known_are_those_of_the_events() {
    for name in Event::NAMES {
        // It is known: what it lacks is said to be missing, and it is not skipped.
        assert_eq!(Event::read(json!({ "event": name }).to_string().as_bytes()), Err(Unreadable), "{name}");
    }
    for none in ["", "null", "[]", "{}", "{\"event\":1}", "{\"event\":\"run_done\"", "{\"event\":\"catch\",\"node\":-1,\"path\":\"\"}"] {
        assert_eq!(Event::read(none.as_bytes()), Err(Unreadable), "{none}");
    }
}
