//! Emits commands and arguments: values become data in the position where they stand, never text that a shell evaluates.

use super::arithmetic::scalar;
use super::emit::{PROCESS_STRING_MAX, quoted};
use super::error::Cause;
use super::machine::Machine;
use super::splice::{self, Word};
use super::value::{Data, Piece, Text, Value};
use crate::program::table::limits;
use opal_format::kind::{NodeKind, Position};
use opal_format::program::{TEMPLATE_TEXT, Template};
use opal_format::record::TextRef;
use opal_format::steps::PartKind;

/// Where a value stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    position: Position,
    /// The verbatim text right before and after; empty where another value stands there.
    before: &'a [u8],
    after: &'a [u8],
    /// It is in the name of a file that the shell opens.
    file: bool,
    /// It may be in a brace expansion.
    braces: bool,
    /// The command holds a here-document, perhaps around the value.
    document: bool,
}

impl Place<'_> {
    /// An argument of a decorator, which no shell reads.
    const ARGUMENT: Self = Self { position: Position::Argument, before: b"", after: b"", file: false, braces: false, document: false };
}

impl Machine<'_> {
    /// Emits a shell step or a binding from a template and the values of its holes.
    pub(super) fn emit_template(&mut self, kind: NodeKind, number: u32, template: &Template, holes: &[Value]) -> Result<u32, Cause> {
        let pool = self.program.text;
        let node = self.out.node(kind, number)?;
        if kind == NodeKind::Let {
            let args = self.out.args_mark()?;
            let mark = self.out.parts_mark()?;
            self.out.start_run();
            self.out.bytes_part(template.name().of(pool).unwrap_or_default())?;
            self.out.end_run();
            self.out.text_arg(crate::decorators::params::LET_NAME, mark);
            self.out.set_args(node, args)?;
        }
        let mark = self.out.parts_mark()?;
        let parts = template.parts.of(self.program.template_parts).ok_or(Cause::Internal("template parts"))?;
        let mut holes = holes.iter();
        let mut word = Word::default();
        let mut size = 0_usize;
        let document = parts.iter().any(|part| splice::starts_document(part.text.of(pool).unwrap_or_default()));
        for (index, part) in parts.iter().enumerate() {
            if part.kind == TEMPLATE_TEXT {
                word.text(part.text.of(pool).unwrap_or_default());
                self.out.name(u64::from(part.text.length.to_native()))?;
                size = size.saturating_add(part.text.length.to_native() as usize);
                continue;
            }
            let hole = holes.next().ok_or(Cause::Internal("a hole without a value"))?;
            let before = index.checked_sub(1).and_then(|index| parts.get(index)).and_then(|part| part.text.of(pool)).unwrap_or_default();
            let after = index.checked_add(1).and_then(|index| parts.get(index)).and_then(|part| part.text.of(pool)).unwrap_or_default();
            let position = Position::from_number(part.position).ok_or(Cause::Internal("a position"))?;
            if position == Position::Redirect {
                self.check_redirect(hole, &mut word)?;
            }
            self.out.start_run();
            self.emit_hole(
                part.alone == 1,
                hole,
                Place { position, before, after, file: word.opens_file(), braces: word.braces(), document },
            )?;
            self.out.end_run();
        }
        self.out.set_runs(node, mark)?;
        self.check_script(size, mark)?;
        Ok(node)
    }

    /// One value in shell text.
    fn emit_hole(&mut self, alone: bool, value: &Value, place: Place<'_>) -> Result<(), Cause> {
        let position = place.position;
        let count = match &value.data {
            Data::Array(elements) => elements.len() as u64,
            Data::Range(first, last) => super::collections::range_length(*first, *last),
            Data::Binding(step) => {
                if position == Position::Integer {
                    return Err(Cause::NotAnInteger("a runtime binding"));
                }
                self.out.binding_part(*step, position);
                return Ok(());
            }
            _ => return self.emit_scalar(value, place),
        };
        let joined = matches!(position, Position::DoubleQuoted | Position::HereDocument);
        let words = alone && matches!(position, Position::Word | Position::CommandWord);
        if !joined && !words {
            return Err(Cause::NotAWord("an Array"));
        }
        if let Some(key) = value.origin.map(|_| self.candidates.secret_of(value)).transpose()?.flatten() {
            return Err(Cause::SecretStructure { what: "the number of words", key });
        }
        // Each element takes a byte at least.
        if count > PROCESS_STRING_MAX as u64 {
            return Err(Cause::ScriptTooLong);
        }
        if count == 0 && joined {
            return self.emit_bytes(b"", place);
        }
        for index in 0..count {
            if index > 0 {
                self.out.bytes_part(b" ")?;
            }
            let element = super::collections::element(value, index).ok_or(Cause::Internal("an element"))?;
            let element = self.settled(&element);
            self.emit_scalar(&element, place)?;
        }
        Ok(())
    }

    fn emit_scalar(&mut self, value: &Value, place: Place<'_>) -> Result<(), Cause> {
        let position = place.position;
        if position == Position::Integer && !matches!(value.data, Data::Int(_) | Data::Unknown(_)) {
            return Err(Cause::NotAnInteger(value.described()));
        }
        self.pay()?;
        match &value.data {
            Data::Text(Text::Constant(offset, length)) => {
                let bytes = TextRef::new(*offset, *length).of(self.program.text).unwrap_or_default();
                self.emit_bytes(bytes, place)
            }
            Data::Text(Text::Pieces(pieces)) => {
                let empty = pieces.iter().all(|piece| matches!(piece, Piece::Bytes(bytes) if bytes.is_empty()));
                if empty {
                    return self.emit_bytes(b"", place);
                }
                // How the text is divided into pieces makes no difference: neighbouring bytes are one.
                let mut bytes: Vec<u8> = Vec::new();
                for (index, piece) in pieces.iter().enumerate() {
                    match piece {
                        Piece::Bytes(more) => {
                            if position != Position::Argument && bytes.len().saturating_add(more.len()) > PROCESS_STRING_MAX {
                                return Err(Cause::ScriptTooLong);
                            }
                            self.charge(more.len() as u64)?;
                            bytes.extend_from_slice(more);
                        }
                        Piece::Slot(candidate) => {
                            let slot = self.use_slot(*candidate)?;
                            self.out.slot_part(slot, position);
                        }
                    }
                    let ends = !matches!(pieces.get(index.saturating_add(1)), Some(Piece::Bytes(_)));
                    if ends && !bytes.is_empty() {
                        self.emit_bytes(&std::mem::take(&mut bytes), place)?;
                    }
                }
                self.pay()
            }
            Data::Unknown(candidate) => {
                let slot = self.use_slot(*candidate)?;
                self.out.slot_part(slot, position);
                Ok(())
            }
            _ => {
                if let Some(origin) = value.origin {
                    let slot = self.use_slot(origin)?;
                    self.out.slot_part(slot, position);
                    return Ok(());
                }
                let scalar = scalar(value).ok_or(Cause::NotAWord(value.described()))?;
                self.emit_bytes(&scalar.text(), place)
            }
        }
    }

    /// A constant: inlined, or as a slot where its text could change what is around it.
    fn emit_bytes(&mut self, bytes: &[u8], place: Place<'_>) -> Result<(), Cause> {
        let Place { position, before, after, file, braces, document } = place;
        let named = splice::ends_in_name(before);
        // Words of `[[ … ]]` and `case` may be operators or keywords where they are bare.
        let apart = splice::stands_apart(before, after) && (position != Position::Redirect || file) && !document;
        let travels = match position {
            Position::HereDocument => named || !cannot_end_document(bytes, before, after),
            Position::Argument => false,
            _ if splice::holds_marks(bytes) => true,
            Position::Integer if splice::ends_in_colon(before, bytes) => true,
            Position::Integer | Position::DoubleQuoted if document && !cannot_end_document(bytes, before, after) => true,
            Position::Integer => false,
            _ => braces || (document && bytes.contains(&b'\n')),
        };
        if travels {
            let origin = self.constant_slot(bytes)?;
            let slot = self.use_slot(origin)?;
            self.out.slot_part(slot, position);
            return Ok(());
        }
        if position == Position::DoubleQuoted && named {
            self.out.bytes_part(b"\"\"")?;
        }
        self.out.bytes_part(&quoted(bytes, position, apart))
    }

    /// `bash` opens network connections for redirections below `/dev/tcp` and `/dev/udp`.
    fn check_redirect(&mut self, value: &Value, word: &mut Word) -> Result<(), Cause> {
        // A runtime binding is judged when it is known.
        if !matches!(value.data, Data::Binding(_))
            && let Some(bytes) = self.text_of(value)?
        {
            word.value(&bytes);
        }
        if word.opens_network() { Err(Cause::NetworkRedirect) } else { Ok(()) }
    }

    /// A String argument: verbatim text and slots.
    pub(super) fn emit_text_argument(&mut self, param: u8, value: &Value) -> Result<(), Cause> {
        let mark = self.out.parts_mark()?;
        self.out.start_run();
        self.emit_scalar(value, Place::ARGUMENT)?;
        self.out.end_run();
        self.out.text_arg(param, mark);
        Ok(())
    }

    /// Refuses a command above what the kernel gives to a process: `text` bytes of its template, and its runs since `mark`.
    fn check_script(&self, text: usize, mark: u32) -> Result<(), Cause> {
        /// Room for what the executor adds: the first line, and the name of each value.
        const OVERHEAD: usize = 4096;
        const PER_VALUE: usize = 64;
        let from = usize::try_from(mark).map_err(|_| Cause::Internal("parts"))?;
        let mut size = OVERHEAD.saturating_add(text);
        for part in self.out.steps.parts.get(from..).unwrap_or_default() {
            size = size.saturating_add(match part.kind() {
                Some(PartKind::Text) => usize::try_from(part.text_ref().length.to_native()).unwrap_or(usize::MAX),
                Some(PartKind::Slot) => self.inlined_size(part.first.to_native())?.saturating_add(PER_VALUE),
                _ => PER_VALUE,
            });
        }
        if size > PROCESS_STRING_MAX { Err(Cause::ScriptTooLong) } else { Ok(()) }
    }

    /// Bytes that a slot takes in a script: public values stand there themselves, quoted.
    fn inlined_size(&self, slot: u32) -> Result<usize, Cause> {
        let Some(candidate) = usize::try_from(slot).ok().and_then(|slot| self.candidates.used.get(slot)) else { return Ok(0) };
        let entry = self.candidates.entry(*candidate)?;
        Ok(match &entry.value {
            Some(scalar) if entry.public => quoted(&scalar.text(), Position::CommandWord, false).len(),
            _ => 0,
        })
    }

    /// A slot for a constant that cannot be written into a here-document.
    fn constant_slot(&mut self, bytes: &[u8]) -> Result<super::value::Candidate, Cause> {
        let key = super::candidates::bounded(super::candidates::quote(bytes));
        if let Some(candidate) = self.candidates.find(&key) {
            return Ok(candidate);
        }
        let span = self.span();
        self.candidates.add(super::candidates::Entry {
            key,
            value: Some(super::value::Scalar::String(zeroize::Zeroizing::new(bytes.to_vec()))),
            decorator: 0,
            answer: None,
            public: true,
            seeded: false,
            shapes: false,
            operands: Vec::new(),
            span,
            slot: None,
        })
    }

    /// The slot number of a candidate, given at first use.
    pub(super) fn use_slot(&mut self, candidate: super::value::Candidate) -> Result<u32, Cause> {
        let entry = self.candidates.entry(candidate)?;
        if let Some(super::value::Scalar::String(bytes)) = &entry.value {
            if bytes.contains(&0) {
                return Err(Cause::NulByte(entry.key.clone()));
            }
            // The name under which a process gets it and `=` count as well.
            if bytes.len().saturating_add(64) > PROCESS_STRING_MAX {
                return Err(Cause::ValueTooLong(entry.key.clone()));
            }
        }
        self.candidates.slot(candidate, limits::SLOTS)
    }
}

/// Whether a value inlined in a here-document surely leaves its line different from any delimiter: a delimiter is one word, so a space in the same
/// line is enough, and a value of several lines is never inlined.
fn cannot_end_document(bytes: &[u8], before: &[u8], after: &[u8]) -> bool {
    let head = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let tail = after.split(|byte| *byte == b'\n').next().unwrap_or_default();
    !bytes.contains(&b'\n') && (head.contains(&b' ') || tail.contains(&b' ') || bytes.contains(&b' '))
}
