//! Labels: what a computed value is called and whether it is secret.

use super::candidates::{Candidates, Entry, bounded};
use super::error::Cause;
use super::value::{Candidate, Data, Scalar, Text, Value};
use opal_format::record::Span;

/// Gives the result of an operation the label of its operands: nothing if they are constants, else a computed candidate.
pub(super) fn label(
    candidates: &mut Candidates,
    name: &str,
    operands: &[&Value],
    result: Data,
    pool: &[u8],
    span: Span,
) -> Result<Value, Cause> {
    let mut from: Vec<Candidate> = Vec::new();
    for operand in operands {
        from.extend(candidates.origins(operand));
    }
    if from.is_empty() {
        return Ok(Value::plain(result));
    }
    let mut key = format!("{name}(");
    for (index, operand) in operands.iter().enumerate() {
        if index > 0 {
            key.push_str(", ");
        }
        key.push_str(&candidates.key_of(operand, pool)?);
    }
    key.push(')');
    let value = Value::plain(result);
    let scalar = match &value.data {
        Data::Text(_) | Data::Array(_) | Data::Map(_) | Data::Range(..) | Data::Lazy(_) | Data::Binding(_) | Data::Unset => None,
        Data::Unknown(_) => None,
        _ => super::arithmetic::scalar(&value),
    };
    computed(candidates, bounded(key), scalar, from, span).map(|origin| Value { origin: Some(origin), ..value })
}

/// A String chosen or changed by other values (an element at a secret index, a quoted text): a slot of its own.
pub(super) fn computed_text(
    candidates: &mut Candidates,
    key: String,
    text: Scalar,
    from: Vec<Candidate>,
    span: Span,
) -> Result<Value, Cause> {
    let origin = computed(candidates, bounded(key), Some(text), from, span)?;
    Ok(Value::plain(Data::Text(Text::Pieces([super::value::Piece::Slot(origin)].into()))))
}

/// The candidate of a computed value: one per key.
fn computed(
    candidates: &mut Candidates,
    key: String,
    value: Option<Scalar>,
    operands: Vec<Candidate>,
    span: Span,
) -> Result<Candidate, Cause> {
    if let Some(candidate) = candidates.find(&key) {
        return Ok(candidate);
    }
    let (mut public, mut seeded) = (true, false);
    for operand in &operands {
        let entry = candidates.entry(*operand)?;
        public &= entry.public;
        seeded |= entry.seeded;
    }
    candidates.add(Entry { key, value, decorator: 0, public, seeded, shapes: false, operands, span, slot: None })
}
