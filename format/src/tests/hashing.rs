//! What `plan_hash` covers, and what it does not.

use super::sample::{Builder, Piece, Sample};
use crate::read::kind::{NodeKind, PlanType, Position, ValueType};
use crate::read::plan_type::derive_plan_type;
use crate::read::record::{Span, u32_le};
use crate::read::shown_hash::shown_hash;
use crate::read::slots::SLOT_PUBLIC;
use crate::read::steps::{NODE_AXES, Steps};

/// One shell step with these pieces.
fn one_step(pieces: &[Piece<'_>]) -> Sample {
    let mut builder = Builder::default();
    builder.node(NodeKind::Shell, 1, &[], pieces);
    with_steps(builder.0)
}

fn with_steps(steps: Steps) -> Sample {
    Sample::with_steps(steps)
}

#[test]
fn how_text_is_cut_and_where_it_stands_has_no_influence() {
    let whole = one_step(&[Piece::Text("echo hi "), Piece::Slot(0, Position::Word)]).plan_hash();
    let cut = one_step(&[Piece::Text("ec"), Piece::Own(""), Piece::Own("ho hi "), Piece::Slot(0, Position::Word), Piece::Own("")]);
    assert_eq!(whole, cut.plan_hash());
    let own = one_step(&[Piece::Own("echo hi "), Piece::Slot(0, Position::Word)]);
    assert_eq!(whole, own.plan_hash());
    assert_ne!(whole, one_step(&[Piece::Text("echo hi"), Piece::Slot(0, Position::Word)]).plan_hash());
}

#[test]
fn a_slots_number_and_position_count() {
    let hash = |slot, position| one_step(&[Piece::Slot(slot, position)]).plan_hash();
    assert_ne!(hash(0, Position::Word), hash(1, Position::Word));
    assert_ne!(hash(0, Position::Word), hash(0, Position::DoubleQuoted));
}

#[test]
fn control_flow_nodes_have_no_influence_and_groups_have() {
    let build = |wrap: Option<NodeKind>| {
        let mut builder = Builder::default();
        if let Some(kind) = wrap {
            builder.node(kind, 3, &[], &[]);
        }
        builder.node(NodeKind::Let, 1, &[], &[Piece::Text("date")]);
        builder.node(NodeKind::Shell, 1, &[], &[Piece::Text("echo "), Piece::Binding(u32::from(wrap.is_some()))]);
        with_steps(builder.0).plan_hash()
    };
    let bare = build(None);
    for kind in NodeKind::ALL.iter().filter(|kind| kind.is_flow()) {
        assert_eq!(build(Some(*kind)), bare, "{kind:?}");
    }
    assert_ne!(build(Some(NodeKind::Group)), bare);
}

#[test]
fn places_names_ids_and_secrets_have_no_influence() {
    let base = Sample::new();
    let mut other = Sample::new();
    for node in &mut other.steps.origins.nodes {
        node.span = Span::NONE;
        node.header = crate::read::record::TextRef::EMPTY;
    }
    for template in &mut other.steps.origins.templates {
        template.span = Span::NONE;
    }
    for slot in &mut other.slots.slots {
        slot.commitment = [7; 32];
        slot.display = crate::read::record::TextRef::EMPTY;
        slot.span = Span::NONE;
    }
    other.terms.source_name = "/elsewhere.opl".into();
    other.terms.pass_env.clear();
    other.terms.arguments[0].name = "stage".into();
    other.terms.not_after = None;
    assert_eq!(base.plan_hash(), other.plan_hash());
}

#[test]
fn everything_that_changes_the_work_changes_the_hash() {
    type Change = fn(&mut Sample);
    let changes: [(&str, Change); 15] = [
        ("nothing", |_| {}),
        ("target", |s| s.target.push('x')),
        ("argument", |s| s.terms.arguments[1].value[1] = 4),
        ("arguments swapped", |s| s.terms.arguments.swap(0, 1)),
        ("shell", |s| s.terms.shell = "/usr/bin/bash".into()),
        ("umask", |s| s.terms.umask = 0o077),
        ("directory", |s| s.terms.directory.clear()),
        ("kind", |s| s.steps.nodes[1].kind = NodeKind::Timeout.number().into()),
        ("subtree", |s| s.steps.nodes[3].subtree = u32_le::from_native(8)),
        ("scalar", |s| s.steps.args[0].value = 4.into()),
        ("type", |s| s.steps.args[0].value_type = ValueType::Duration.number()),
        ("parameter", |s| s.steps.args[0].param = 9),
        ("computed scalar", |s| s.steps.args[3].slot = 1.into()),
        ("slot key", |s| s.slots.text[4] = b'X'),
        ("public value", |s| s.slots.slots[1].flags = 0.into()),
    ];
    let mut hashes = std::collections::HashSet::new();
    for (what, change) in changes {
        let mut sample = Sample::new();
        change(&mut sample);
        assert!(hashes.insert(sample.plan_hash()), "{what}");
    }
}

fn shown(sample: &Sample) -> crate::crypto::hash::Digest {
    shown_hash(sample.algorithm, sample.steps.view(), sample.slots.view()).unwrap()
}

#[test]
fn what_a_view_shows_beyond_the_work_changes_the_shown_hash() {
    type Change = fn(&mut Sample);
    let changes: [(&str, Change); 6] = [
        ("nothing", |_| {}),
        ("kind of a control-flow node", |s| s.steps.nodes[0].kind = NodeKind::While.number().into()),
        ("where it ends", |s| s.steps.nodes[0].subtree = u32_le::from_native(1)),
        ("several axes", |s| s.steps.nodes[0].flags = NODE_AXES.into()),
        ("a value that no longer shapes the plan", |s| s.slots.slots[1].flags = SLOT_PUBLIC.into()),
        ("decorator of a value", |s| s.slots.slots[0].decorator = 2.into()),
    ];
    let mut hashes = std::collections::HashSet::new();
    for (what, change) in changes {
        let mut sample = Sample::new();
        change(&mut sample);
        assert_eq!(sample.plan_hash(), Sample::new().plan_hash(), "{what}");
        assert!(hashes.insert(shown(&sample)), "{what}");
    }
}

#[test]
fn headers_spans_ids_and_reasons_are_claims_that_no_hash_covers() {
    let mut other = Sample::new();
    for node in &mut other.steps.origins.nodes {
        node.span = Span::NONE;
        node.header = crate::read::record::TextRef::EMPTY;
    }
    for template in &mut other.steps.origins.templates {
        template.span = Span::NONE;
    }
    for slot in &mut other.slots.slots {
        slot.display = crate::read::record::TextRef::EMPTY;
        slot.span = Span::NONE;
    }
    assert_eq!(shown(&Sample::new()), shown(&other));
}

#[test]
fn the_plan_type_is_that_of_the_steps() {
    let kinds = |kinds: &[NodeKind]| {
        let mut builder = Builder::default();
        for kind in kinds {
            builder.node(*kind, 1, &[], &[]);
        }
        derive_plan_type(builder.0.view())
    };
    assert_eq!(kinds(&[]), PlanType::Sequence);
    assert_eq!(kinds(&[NodeKind::If, NodeKind::Shell]), PlanType::Atomic);
    assert_eq!(kinds(&[NodeKind::Transform, NodeKind::Shell, NodeKind::LinesCount]), PlanType::Atomic);
    assert_eq!(kinds(&[NodeKind::Shell, NodeKind::Shell]), PlanType::Sequence);
    assert_eq!(kinds(&[NodeKind::For, NodeKind::Shell]), PlanType::Atomic);
    assert_eq!(kinds(&[NodeKind::Try, NodeKind::Shell]), PlanType::Campaign);
    let mut matrix = Builder::default();
    matrix.node(NodeKind::For, 1, &[], &[]);
    matrix.0.nodes[0].flags = NODE_AXES.into();
    assert_eq!(derive_plan_type(matrix.0.view()), PlanType::Matrix);
}
