//! The tables of a program under construction.

use crate::ast::Literal;
use crate::source::Source;
use crate::span::Span;
use opal_core::program::table::INSTRUCTION_SET;
use opal_format::kind::{NodeKind, Position, ValueType};
use opal_format::program::{Constant, IMPORT_PUBLIC, Import, ImportArg, NodeUse, Program, Template, TemplatePart};
use opal_format::record::{self, Range, TextRef};
use std::collections::HashMap;

/// An argument of an import: written out, or computed on the stack.
pub(super) enum Given {
    Constant(u32),
    Computed,
}

/// A part of shell text; a hole's value is on the stack.
pub(super) enum Piece<'t> {
    Text(&'t str),
    Hole { position: Position, alone: bool },
}

/// Indices and lengths have 32 bits. A source holds at most 16 MiB, and each of its bytes adds a bounded number of records, so that they
/// suffice; one that did not would saturate and be refused by the verifier.
pub(super) fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

pub(super) struct Tables<'s> {
    pub program: Program,
    source: &'s Source,
    texts: HashMap<String, TextRef>,
    /// By type, bits and text.
    constants: HashMap<(u8, i64, TextKey), u32>,
}

type TextKey = (u32, u32);

fn key(text: TextRef) -> TextKey {
    (text.offset.to_native(), text.length.to_native())
}

impl<'s> Tables<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        let program = Program { instruction_set: INSTRUCTION_SET, ..Program::default() };
        Self { program, source, texts: HashMap::new(), constants: HashMap::new() }
    }

    pub(super) fn text(&mut self, text: &str) -> TextRef {
        if text.is_empty() {
            return TextRef::EMPTY;
        }
        if let Some(known) = self.texts.get(text) {
            return *known;
        }
        let reference = TextRef::new(index(self.program.text.len()), index(text.len()));
        self.program.text.extend_from_slice(text.as_bytes());
        self.texts.insert(text.to_owned(), reference);
        reference
    }

    pub(super) fn span(&self, span: Span) -> record::Span {
        let line = self.source.line_index(span.start);
        let column = self.source.line_column(span.start).column;
        record::Span::new(span.start, span.end, index(line).saturating_add(1), index(column))
    }

    pub(super) fn constant(&mut self, literal: &Literal) -> u32 {
        let (value_type, scalar, text) = match literal {
            Literal::String(text) => (ValueType::String, 0, self.text(text)),
            Literal::Int(value) => (ValueType::Int, *value, TextRef::EMPTY),
            Literal::Float(value) => (ValueType::Float, value.to_bits().cast_signed(), TextRef::EMPTY),
            Literal::Bool(value) => (ValueType::Bool, i64::from(*value), TextRef::EMPTY),
            Literal::Duration(value) => (ValueType::Duration, *value, TextRef::EMPTY),
        };
        let next = index(self.program.constants.len());
        let number = *self.constants.entry((value_type.number(), scalar, key(text))).or_insert(next);
        if number == next {
            self.program.constants.push(Constant { scalar: scalar.into(), text, value_type: value_type.number(), reserved: [0; 7] });
        }
        number
    }

    pub(super) fn string(&mut self, text: &str) -> u32 {
        self.constant(&Literal::String(text.to_owned()))
    }

    pub(super) fn import(&mut self, decorator: u16, public: bool, arguments: &[(u8, Given)], span: Span) -> u32 {
        let first = index(self.program.import_args.len());
        for (param, given) in arguments {
            let (computed, constant) = match given {
                Given::Constant(constant) => (0, *constant),
                Given::Computed => (1, 0),
            };
            self.program.import_args.push(ImportArg { param: *param, computed, reserved: 0.into(), constant: constant.into() });
        }
        let flags = if public { IMPORT_PUBLIC } else { 0 };
        let args = range(first, arguments.len());
        let span = self.span(span);
        self.program.imports.push(Import { decorator: decorator.into(), flags: flags.into(), args, span });
        index(self.program.imports.len() - 1)
    }

    pub(super) fn node(&mut self, kind: NodeKind, params: &[u8], header: Option<&str>, span: Span) -> u32 {
        let range = range(index(self.program.params.len()), params.len());
        self.program.params.extend_from_slice(params);
        let header = self.text(header.unwrap_or_default());
        let span = self.span(span);
        self.program.nodes.push(NodeUse { kind: kind.number().into(), reserved: 0.into(), params: range, header, span });
        index(self.program.nodes.len() - 1)
    }

    pub(super) fn template(&mut self, name: &str, pieces: &[Piece<'_>], span: Span) -> u32 {
        let first = index(self.program.template_parts.len());
        let mut holes = 0u16;
        for piece in pieces {
            let part = match piece {
                Piece::Text(text) => TemplatePart { kind: 0, position: 0, alone: 0, reserved: 0, text: self.text(text) },
                Piece::Hole { position, alone } => {
                    holes = holes.saturating_add(1);
                    TemplatePart { kind: 1, position: position.number(), alone: u8::from(*alone), reserved: 0, text: TextRef::EMPTY }
                }
            };
            self.program.template_parts.push(part);
        }
        let name = self.text(name);
        let span = self.span(span);
        self.program.templates.push(Template {
            parts: range(first, pieces.len()),
            name_offset: name.offset,
            name_length: u16::try_from(name.length.to_native()).unwrap_or(u16::MAX).into(),
            holes: holes.into(),
            span,
        });
        index(self.program.templates.len() - 1)
    }
}

/// Runs without records are written one way.
pub(super) fn range(first: u32, count: usize) -> Range {
    if count == 0 { Range::EMPTY } else { Range::new(first, index(count)) }
}
