//! A listing of a program for people: its tables, then its code with operands resolved and source positions.
//!
//! It takes any view: what leads nowhere is shown as `?`. Texts are quoted, with control, bidirectional and invisible characters escaped,
//! and cut after [`SHOWN`] bytes, so that the listing of a verified program is linear in its size.

use opal_core::program::table::{Op, Operand};
use opal_core::{decorators, duration};
use opal_format::kind::{NodeKind, Position, ValueType};
use opal_format::program::{Constant, IMPORT_PUBLIC, Import, Instruction, NodeUse, ProgramView, Template};
use opal_format::record::{Span, TextRef};
use std::fmt::{self, Write};

/// Bytes of a text that are shown.
pub const SHOWN: usize = 96;

/// Lists a program.
#[must_use]
pub fn disassemble(view: ProgramView<'_>) -> String {
    let mut listing = Listing { view, out: String::new() };
    // Writing to a String cannot fail.
    let _ = listing.whole();
    listing.out
}

struct Listing<'a> {
    view: ProgramView<'a>,
    out: String,
}

impl Listing<'_> {
    fn whole(&mut self) -> fmt::Result {
        let view = self.view;
        writeln!(self.out, "instruction set {}, entry {}", view.instruction_set, view.entry)?;
        self.table("constants", view.constants, Self::constant)?;
        self.table("imports", view.imports, Self::import)?;
        self.table("nodes", view.nodes, Self::node)?;
        self.table("templates", view.templates, Self::template)?;
        self.table("globals", view.globals, |listing, global| {
            listing.text(global.name)?;
            match global.init.to_native().checked_sub(1) {
                Some(init) => write!(listing.out, " = function {init}"),
                None => Ok(()),
            }
        })?;
        self.table("blocks", view.blocks, |listing, block| {
            let (variable, flags) = (block.variable.to_native(), block.flags.to_native());
            write!(listing.out, "target {} variable {variable} flags {flags} assigns", block.target.to_native())?;
            for variable in block.assigns.of(view.variables).unwrap_or_default() {
                let space = if variable.global == 0 { "local" } else { "global" };
                write!(listing.out, " {space} {}", variable.index.to_native())?;
            }
            Ok(())
        })?;
        self.code()
    }

    fn table<T>(&mut self, name: &str, records: &[T], show: impl Fn(&mut Self, &T) -> fmt::Result) -> fmt::Result {
        if records.is_empty() {
            return Ok(());
        }
        writeln!(self.out, "\n{name}")?;
        for (index, record) in records.iter().enumerate() {
            write!(self.out, "{index:>6}  ")?;
            show(self, record)?;
            self.out.push('\n');
        }
        Ok(())
    }

    fn text(&mut self, text: TextRef) -> fmt::Result {
        let Some(bytes) = text.of(self.view.text) else { return self.out.write_char('?') };
        let shown = bytes.get(..SHOWN).unwrap_or(bytes);
        write!(self.out, "{:?}", String::from_utf8_lossy(shown))?;
        match bytes.len().checked_sub(shown.len()) {
            None | Some(0) => Ok(()),
            Some(rest) => write!(self.out, "+{rest} bytes"),
        }
    }

    fn constant(&mut self, constant: &Constant) -> fmt::Result {
        let scalar = constant.scalar.to_native();
        match ValueType::from_number(constant.value_type) {
            Some(ValueType::String) => self.text(constant.text),
            Some(ValueType::Int) => write!(self.out, "{scalar}"),
            Some(ValueType::Float) => write!(self.out, "{:?}", f64::from_bits(scalar.cast_unsigned())),
            Some(ValueType::Bool) => write!(self.out, "{}", scalar == 1),
            Some(ValueType::Duration) => self.out.write_str(&duration::format(scalar)),
            Some(ValueType::Array | ValueType::Map) | None => self.out.write_char('?'),
        }
    }

    fn place(&mut self, span: Span) -> fmt::Result {
        if span == Span::NONE { Ok(()) } else { write!(self.out, "  ; {}:{}", span.line.to_native(), span.column.to_native()) }
    }

    fn import(&mut self, import: &Import) -> fmt::Result {
        let decorator = decorators::value_decorator(import.decorator.to_native());
        write!(self.out, "@{}(", decorator.map_or("?", |decorator| decorator.name))?;
        let params = decorator.map_or(&[][..], |decorator| decorator.params);
        for (index, argument) in import.args.of(self.view.import_args).unwrap_or_default().iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(self.out, "{separator}{}=", parameter(params, argument.param))?;
            let constant = at(self.view.constants, argument.constant.to_native());
            match constant.filter(|_| argument.computed == 0) {
                Some(constant) => self.constant(constant)?,
                None => self.out.push_str(if argument.computed == 1 { "computed" } else { "?" }),
            }
        }
        self.out.push_str(if import.flags.to_native() & IMPORT_PUBLIC == 0 { ")" } else { ") public" });
        self.place(import.span)
    }

    fn node(&mut self, node: &NodeUse) -> fmt::Result {
        let kind = node.kind();
        write!(self.out, "{}(", kind.map_or("?", NodeKind::name))?;
        let params = kind.map_or(&[][..], decorators::node_params);
        for (index, &number) in node.params.of(self.view.params).unwrap_or_default().iter().enumerate() {
            write!(self.out, "{}{}", if index == 0 { "" } else { ", " }, parameter(params, number))?;
        }
        self.out.push(')');
        if !node.header.is_empty() {
            self.out.push(' ');
            self.text(node.header)?;
        }
        self.place(node.span)
    }

    fn template(&mut self, template: &Template) -> fmt::Result {
        if !template.name().is_empty() {
            self.text(template.name())?;
            self.out.push_str(" =");
        }
        for part in template.parts.of(self.view.template_parts).unwrap_or_default() {
            self.out.push(' ');
            if part.kind == 0 {
                self.text(part.text)?;
            } else {
                let position = Position::from_number(part.position).map_or("?", Position::name);
                write!(self.out, "<{position}{}>", if part.alone == 1 { ", alone" } else { "" })?;
            }
        }
        self.place(template.span)
    }

    fn code(&mut self) -> fmt::Result {
        let view = self.view;
        let mut debug = view.debug.iter().peekable();
        for (number, function) in view.functions.iter().enumerate() {
            let kind = if function.kind == 0 { "command" } else { "thunk" };
            write!(self.out, "\nfunction {number} ")?;
            self.text(function.name)?;
            writeln!(self.out, " {kind}, {} params, {} locals", function.params.to_native(), function.locals.to_native())?;
            let first = function.code.first.to_native();
            for (pc, instruction) in (first..).zip(function.code.of(view.code).unwrap_or_default()) {
                write!(self.out, "{pc:>6}  ")?;
                self.instruction(instruction)?;
                while debug.next_if(|entry| entry.pc.to_native() < pc).is_some() {}
                if let Some(entry) = debug.next_if(|entry| entry.pc.to_native() == pc) {
                    self.place(entry.span)?;
                }
                self.out.push('\n');
            }
        }
        Ok(())
    }

    fn instruction(&mut self, instruction: &Instruction) -> fmt::Result {
        let Some(op) = Op::from_code(instruction.op) else { return write!(self.out, "? {:#04x}", instruction.op) };
        let row = op.row();
        self.out.push_str(row.name);
        let values = [u32::from(instruction.a), u32::from(instruction.b.to_native()), instruction.c.to_native()];
        for (operand, value) in row.operands.into_iter().zip(values) {
            match operand {
                Operand::Zero => {}
                Operand::Type => {
                    let name = ValueType::from_number(instruction.a).map_or("?", ValueType::name);
                    write!(self.out, " {name}")?;
                }
                Operand::Constant | Operand::Text => {
                    self.out.push(' ');
                    match at(self.view.constants, value) {
                        Some(constant) => self.constant(constant)?,
                        None => self.out.push('?'),
                    }
                }
                _ => write!(self.out, " {value}")?,
            }
        }
        Ok(())
    }
}

/// A record of a table, or `None` where the index leaves it.
fn at<T>(table: &[T], index: u32) -> Option<&T> {
    table.get(usize::try_from(index).ok()?)
}

fn parameter(params: &'static [decorators::Param], number: u8) -> &'static str {
    params.get(usize::from(number)).and_then(|param| param.names.first()).copied().unwrap_or("?")
}
