//! What may leave: text that was made of anything at all, and holds none of the secrets that are known when it is made.
//!
//! - [`Clean`] is such a text. Nothing but this module makes one, and events, records and receipts take nothing else.
//! - [`CleanJson`] is a document that becomes one as it is written, however large it is. Its strings are scrubbed before they are escaped, so that no value
//!   can break the form, but for fields whose words are ours (`OURS`).
//! - [`CleanWriter`] scrubs what is written to it on its way to somewhere else.
//!
//! Read for: no secret leaves unscrubbed.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use opal_core::plan::{Scalar, Unscrubbed};
use opal_core::show::{Style, exact, json_line, write_json};
use opal_format::slots::Slots;
use serde::Serialize;

use crate::scrub::{Scrubber, Secrets};

/// Fields whose words are ours, digests, or names of places in the plan. They are scrubbed nevertheless where they are a plan's own: below [`THEIRS`].
const OURS: &str = "after base_sealed code contract_hash decorator effects event from outcome path plan_hash result resumed_from run_id schema sealed signal started stopped stream type values verdict";

/// Fields of a plan whose objects have names or values that its author chose.
const THEIRS: [&[u8]; 2] = [b"args", b"values"];

/// Text that holds none of the secrets that were known when it was made.
#[derive(Clone, Debug, Default)]
pub struct Clean(String);

impl Clean {
    /// Scrubs a text.
    #[must_use]
    pub fn new(secrets: &Arc<Secrets>, text: &[u8]) -> Self {
        Self(String::from_utf8_lossy(&secrets.scrub(text)).into_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Scrubs what is written to it, on its way to `to`.
pub struct CleanWriter<'a> {
    scrubber: Scrubber,
    to: &'a mut dyn Write,
}

impl<'a> CleanWriter<'a> {
    /// A way to `to`.
    #[must_use]
    pub fn new(secrets: &Arc<Secrets>, to: &'a mut dyn Write) -> Self {
        Self { scrubber: Scrubber::new(Arc::clone(secrets)), to }
    }
}

impl Write for CleanWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = Vec::with_capacity(bytes.len());
        self.scrubber.write(bytes, &mut out);
        self.to.write_all(&out)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut out = Vec::new();
        self.scrubber.finish(&mut out);
        self.to.write_all(&out).and_then(|()| self.to.flush())
    }
}

/// A JSON document that is scrubbed as it is written, by the secrets that are known then.
#[derive(Clone, Copy)]
pub struct CleanJson<'a> {
    secrets: &'a Arc<Secrets>,
    document: &'a dyn Document,
}

impl<'a> CleanJson<'a> {
    /// This document.
    #[must_use]
    pub const fn new<T: Serialize>(secrets: &'a Arc<Secrets>, document: &'a T) -> Self {
        Self { secrets, document }
    }

    /// On one line, without a line end.
    #[must_use]
    pub fn line(&self) -> Clean {
        let mut out = Vec::new();
        // Memory takes everything, and no document has keys that are no strings.
        let _ = self.put(false, &mut out);
        Clean(String::from_utf8(out).unwrap_or_default())
    }

    /// Writes it over lines, the last with its end.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        self.put(true, out).and_then(|()| out.write_all(b"\n"))
    }

    fn put(&self, lines: bool, out: &mut dyn Write) -> io::Result<()> {
        if self.secrets.is_empty() {
            return self.document.write(lines, out);
        }
        let (scrubber, out, text, name) = (Scrubber::new(Arc::clone(self.secrets)), BufWriter::new(out), Vec::new(), Vec::new());
        let mut strings = Strings { scrubber, out, text, inside: false, escaped: false, name, ours: false, depth: 0, theirs: None };
        self.document.write(lines, &mut strings).and_then(|()| strings.flush())
    }
}

/// What can be written as JSON.
trait Document {
    fn write(&self, lines: bool, out: &mut dyn Write) -> io::Result<()>;
}

impl<T: Serialize> Document for T {
    fn write(&self, lines: bool, out: &mut dyn Write) -> io::Result<()> {
        if lines { write_json(out, self) } else { out.write_all(json_line(self).as_bytes()) }
    }
}

/// Scrubs the strings of JSON that is written to it.
struct Strings<'a> {
    scrubber: Scrubber,
    out: BufWriter<&'a mut dyn Write>,
    /// A string as it came so far, with its quotes; whether it goes on, and the next byte stands behind a backslash.
    text: Vec<u8>,
    inside: bool,
    escaped: bool,
    /// The last name of a field.
    name: Vec<u8>,
    /// What comes is the value of a field of ours, or in an array that is.
    ours: bool,
    depth: usize,
    /// How deep the object of [`THEIRS`] is that this is in, and whether its names are theirs too.
    theirs: Option<(usize, bool)>,
}

impl Strings<'_> {
    /// Puts out a string, which is the name of a field or a value.
    fn put(&mut self, is_name: bool) -> io::Result<()> {
        let text = std::mem::take(&mut self.text);
        let known = if is_name { self.theirs != Some((self.depth, true)) } else { self.ours };
        if is_name {
            self.name = text.get(1..text.len().saturating_sub(1)).unwrap_or_default().to_vec();
            self.ours = self.theirs.is_none() && OURS.split(' ').any(|name| name.as_bytes() == self.name);
        }
        if known {
            return self.out.write_all(&text);
        }
        let value: String = serde_json::from_slice(&text)?;
        let mut clean = Vec::with_capacity(value.len());
        self.scrubber.write(value.as_bytes(), &mut clean);
        self.scrubber.finish(&mut clean);
        // A value that is no text may have been a part of one.
        let clean = String::from_utf8(clean).unwrap_or_else(|bytes| exact(bytes.as_bytes()).to_string());
        self.out.write_all(json_line(&clean).as_bytes())
    }
}

impl Write for Strings<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            if !self.inside && !self.text.is_empty() {
                self.put(*byte == b':')?;
            }
            if self.inside || *byte == b'"' {
                self.text.push(*byte);
                self.inside = !self.inside || self.escaped || *byte != b'"';
                self.escaped = *byte == b'\\' && !self.escaped;
                continue;
            }
            match byte {
                b'{' => {
                    self.depth = self.depth.saturating_add(1);
                    if self.theirs.is_none() && THEIRS.contains(&self.name.as_slice()) {
                        self.theirs = Some((self.depth, self.name == b"values"));
                    }
                }
                b'}' => {
                    self.theirs = self.theirs.filter(|(depth, _)| *depth < self.depth);
                    self.depth = self.depth.saturating_sub(1);
                    // What comes after it in an array is no field's.
                    self.name.clear();
                    self.ours = false;
                }
                _ => {}
            }
            self.out.write_all(std::slice::from_ref(byte))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let last = if self.text.is_empty() { Ok(()) } else { self.put(false) };
        last.and_then(|()| self.out.flush())
    }
}

/// Takes over values that are to be replaced, each by the placeholder of its slot. What nobody gave a reason for is replaced.
pub fn learn(secrets: &Secrets, slots: &Slots, values: &[Option<Scalar>], unscrubbed: &[Unscrubbed]) {
    let mut known = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let replaced = unscrubbed.get(index).is_none_or(|reason| *reason == Unscrubbed::No);
        if let Some(value @ Scalar::String(_)) = value.as_ref().filter(|_| replaced) {
            let display = slots.slots.get(index).and_then(|slot| slot.display.of(&slots.text)).unwrap_or_default();
            known.push((value.text(), Style::Plain.placeholder(&String::from_utf8_lossy(display))));
        }
    }
    secrets.add(known.iter().map(|(value, name)| (value.as_slice(), name.as_str())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn every_string_of_a_document_is_scrubbed_but_words_that_are_ours() {
        let secrets = Arc::new(Secrets::default());
        secrets.add([(b"path".as_slice(), "<P>"), (b"say \"hi\"\n", "<S>"), (b"sha256", "<H>")]);
        let document = json!({
            "path": "path/1", "plan_hash": "sha256:0", "values": ["sha256"], "why": "say \"hi\"\n!",
            "list": [{ "schema": "path", "other": "path" }, "path"],
            "plan": { "args": { "path": "path", "in": { "code": "sha256" } }, "values": { "path": "path", "x": 1 }, "after": "path" },
        });
        let clean = json!({
            "path": "path/1", "plan_hash": "sha256:0", "values": ["sha256"], "why": "<S>!",
            "list": [{ "schema": "path", "other": "<P>" }, "<P>"],
            "plan": { "args": { "path": "<P>", "in": { "code": "<H>" } }, "values": { "<P>": "<P>", "x": 1 }, "after": "path" },
        });
        let json = CleanJson::new(&secrets, &document);
        let mut text = Vec::new();
        json.write_to(&mut text).expect("memory");
        for text in [json.line().as_str().as_bytes(), &text] {
            assert_eq!(serde_json::from_slice::<Value>(text).expect("JSON"), clean);
        }
    }
}
