//! Rules about the tables, apart from the code.

use super::{NAME_MAX, Rule, Table, VerifyError, at};
use crate::decorators::{self, PASS_ENV, Param};
use crate::program::table::INSTRUCTION_SET;
use opal_format::kind::{Position, ValueType};
use opal_format::program::{
    Constant, IMPORT_PUBLIC, Import, ImportArg, NodeUse, ProgramView, TEMPLATE_HOLE, TEMPLATE_TEXT, Template, TemplatePart,
};
use opal_format::record::{Range, TextRef};

/// Takes runs of a table for its owners: each starts where the one before ended, and the last ends the table. So records have one owner
/// each, none is left over, and a walk over all owners is linear. An empty run may also be [`Range::EMPTY`].
pub(super) struct Partition<'a, T> {
    table: &'a [T],
    next: u32,
}

impl<'a, T> Partition<'a, T> {
    pub(super) const fn new(table: &'a [T]) -> Self {
        Self { table, next: 0 }
    }

    pub(super) fn take(&mut self, range: Range) -> Result<&'a [T], Rule> {
        if range == Range::EMPTY {
            return Ok(&[]);
        }
        let records = range.of(self.table).filter(|_| range.first.to_native() == self.next).ok_or(Rule::Partition)?;
        self.next = self.next.checked_add(range.count.to_native()).ok_or(Rule::Partition)?;
        Ok(records)
    }

    pub(super) fn finish(&self) -> Result<(), VerifyError> {
        let complete = u32::try_from(self.table.len()) == Ok(self.next);
        if complete { Ok(()) } else { Err(VerifyError::new(Rule::Partition, Table::Program, 0)) }
    }
}

pub(super) fn ensure(holds: bool, rule: Rule) -> Result<(), Rule> {
    if holds { Ok(()) } else { Err(rule) }
}

pub(super) fn check(view: &ProgramView<'_>) -> Result<(), VerifyError> {
    let whole = |rule| VerifyError::new(rule, Table::Program, 0);
    ensure(view.instruction_set == INSTRUCTION_SET, Rule::InstructionSet).map_err(whole)?;
    ensure(at(view.functions, view.entry).is_some_and(|function| function.kind == 0), Rule::Entry).map_err(whole)?;
    let pool = pool(view.text)?;
    // Whoever looks at every constant does work linear in the pool.
    let mut unclaimed = pool.len();
    each(view.constants, Table::Constants, |constant| {
        unclaimed = unclaimed.checked_sub(check_constant(pool, constant)?).ok_or(Rule::ConstantText)?;
        Ok(())
    })?;
    let mut arguments = Partition::new(view.import_args);
    each(view.imports, Table::Imports, |import| check_import(view, arguments.take(import.args)?, import))?;
    arguments.finish()?;
    let mut params = Partition::new(view.params);
    each(view.nodes, Table::Nodes, |node| check_node(pool, params.take(node.params)?, node))?;
    params.finish()?;
    let mut parts = Partition::new(view.template_parts);
    each(view.templates, Table::Templates, |template| check_template(pool, parts.take(template.parts)?, template))?;
    parts.finish()?;
    each(view.functions, Table::Functions, |function| {
        text(pool, function.name)?;
        ensure(function.reserved == [0; 3], Rule::Reserved)?;
        ensure(function.params.to_native() <= function.locals.to_native(), Rule::FunctionLocals)?;
        ensure(function.kind <= 1, Rule::FunctionKind)
    })?;
    each(view.globals, Table::Globals, |global| {
        text(pool, global.name)?;
        let Some(init) = global.init.to_native().checked_sub(1) else { return Ok(()) };
        let thunk = at(view.functions, init).is_some_and(|function| function.kind == 1 && function.params.to_native() == 0);
        ensure(thunk, Rule::GlobalInit)
    })?;
    ensure(pool_is_used(view), Rule::TextUnused).map_err(whole)?;
    let mut lowest = 0;
    each(view.debug, Table::Debug, |entry| {
        let pc = entry.pc.to_native();
        ensure(pc >= lowest && at(view.code, pc).is_some(), Rule::Debug)?;
        lowest = pc.saturating_add(1);
        Ok(())
    })
}

/// Whether texts cover the pool: bytes that nothing refers to would be a hiding place.
fn pool_is_used(view: &ProgramView<'_>) -> bool {
    let constants = view.constants.iter().map(|constant| constant.text);
    let nodes = view.nodes.iter().map(|node| node.header);
    let templates = view.templates.iter().map(|template| template.name()).chain(view.template_parts.iter().map(|part| part.text));
    let names = view.functions.iter().map(|function| function.name).chain(view.globals.iter().map(|global| global.name));
    let texts = constants.chain(nodes).chain(templates).chain(names).filter(|text| !text.is_empty());
    let mut texts: Vec<(u32, u32)> = texts.map(|text| (text.offset.to_native(), text.length.to_native())).collect();
    texts.sort_unstable();
    let end = texts.iter().try_fold(0_u32, |end, (start, length)| (*start <= end).then(|| end.max(start.saturating_add(*length))));
    end.is_some_and(|end| usize::try_from(end) == Ok(view.text.len()))
}

/// Checks each record of a table; a refusal gets its index.
fn each<T>(table: &[T], name: Table, mut check: impl FnMut(&T) -> Result<(), Rule>) -> Result<(), VerifyError> {
    for (index, record) in table.iter().enumerate() {
        check(record).map_err(|rule| VerifyError::new(rule, name, u32::try_from(index).unwrap_or(u32::MAX)))?;
    }
    Ok(())
}

/// The pool as text. Checked once, so that a reference costs two look-ups however long it is.
fn pool(bytes: &[u8]) -> Result<&str, VerifyError> {
    let refused = |offset| VerifyError::new(Rule::Pool, Table::Text, u32::try_from(offset).unwrap_or(u32::MAX));
    let text = str::from_utf8(bytes).map_err(|error| refused(error.valid_up_to()))?;
    match bytes.iter().position(|&byte| byte == 0) {
        None => Ok(text),
        Some(offset) => Err(refused(offset)),
    }
}

fn text(pool: &str, text: TextRef) -> Result<&str, Rule> {
    let start = usize::try_from(text.offset.to_native()).map_err(|_| Rule::Text)?;
    let length = usize::try_from(text.length.to_native()).map_err(|_| Rule::Text)?;
    let end = start.checked_add(length).ok_or(Rule::Text)?;
    pool.get(start..end).ok_or(Rule::Text)
}

/// Checks a constant and gives the length of its text.
fn check_constant(pool: &str, constant: &Constant) -> Result<usize, Rule> {
    let text = text(pool, constant.text)?;
    let scalar = constant.scalar.to_native();
    ensure(constant.reserved == [0; 7], Rule::Reserved)?;
    let canonical = match ValueType::from_number(constant.value_type) {
        Some(ValueType::String) => scalar == 0,
        Some(ValueType::Int | ValueType::Duration) => text.is_empty(),
        Some(ValueType::Bool) => text.is_empty() && matches!(scalar, 0 | 1),
        Some(ValueType::Float) => text.is_empty() && f64::from_bits(scalar.cast_unsigned()).is_finite(),
        Some(ValueType::Array | ValueType::Map) | None => return Err(Rule::ConstantType),
    };
    ensure(canonical, Rule::ConstantValue)?;
    Ok(text.len())
}

/// Checks that parameter numbers ascend and exist; gives the parameter.
fn parameter(params: &'static [Param], number: u8, lowest: &mut u16) -> Option<&'static Param> {
    let param = params.get(usize::from(number)).filter(|_| u16::from(number) >= *lowest)?;
    *lowest = u16::from(number).saturating_add(1);
    Some(param)
}

/// Whether every required parameter is among the numbers given.
fn complete(params: &[Param], given: impl Fn(u8) -> bool) -> bool {
    (0u8..).zip(params).all(|(number, param)| !param.required || given(number))
}

fn check_import(view: &ProgramView<'_>, arguments: &[ImportArg], import: &Import) -> Result<(), Rule> {
    let decorator = decorators::value_decorator(import.decorator.to_native())
        .filter(|decorator| decorator.number != PASS_ENV)
        .ok_or(Rule::ImportDecorator)?;
    ensure(import.flags.to_native() & !IMPORT_PUBLIC == 0, Rule::Reserved)?;
    let public = import.flags.to_native() & IMPORT_PUBLIC != 0;
    let may_be_public = decorator.params.iter().any(|param| param.names.first() == Some(&"public"));
    ensure(may_be_public || !public, Rule::ImportPublic)?;
    let mut lowest = 0;
    for argument in arguments {
        ensure(argument.reserved.to_native() == 0 && argument.computed <= 1, Rule::Reserved)?;
        let param = parameter(decorator.params, argument.param, &mut lowest).ok_or(Rule::ImportParameter)?;
        if argument.computed == 1 {
            ensure(!param.literal, Rule::ImportLiteral)?;
            ensure(argument.constant.to_native() == 0, Rule::ImportConstant)?;
            continue;
        }
        let constant = at(view.constants, argument.constant.to_native()).ok_or(Rule::ImportConstant)?;
        let accepted = ValueType::from_number(constant.value_type).is_some_and(|value_type| param.accepts.accepts(value_type));
        ensure(accepted, Rule::ImportConstant)?;
        let says_public = param.names.first() == Some(&"public");
        ensure(!says_public || (constant.scalar.to_native() == 1) == public, Rule::ImportPublic)?;
    }
    ensure(complete(decorator.params, |number| arguments.iter().any(|argument| argument.param == number)), Rule::ImportRequired)
}

fn check_node(pool: &str, params: &[u8], node: &NodeUse) -> Result<(), Rule> {
    text(pool, node.header)?;
    ensure(node.reserved.to_native() == 0, Rule::Reserved)?;
    let kind = node.kind().filter(|kind| !kind.has_command()).ok_or(Rule::NodeKind)?;
    let known = decorators::node_params(kind);
    let mut lowest = 0;
    for &number in params {
        parameter(known, number, &mut lowest).ok_or(Rule::NodeParameter)?;
    }
    ensure(complete(known, |number| params.contains(&number)), Rule::NodeRequired)
}

fn check_template(pool: &str, parts: &[TemplatePart], template: &Template) -> Result<(), Rule> {
    let mut holes = 0u32;
    let mut after_text = false;
    for part in parts {
        let text = text(pool, part.text)?;
        ensure(part.reserved == 0, Rule::Reserved)?;
        let well_formed = match part.kind {
            TEMPLATE_TEXT => part.position == 0 && part.alone == 0 && !text.is_empty() && !after_text,
            TEMPLATE_HOLE => {
                holes = holes.saturating_add(1);
                let position = Position::from_number(part.position);
                text.is_empty() && part.alone <= 1 && position.is_some_and(|position| position != Position::Argument)
            }
            _ => false,
        };
        ensure(well_formed, Rule::TemplatePart)?;
        after_text = part.kind == TEMPLATE_TEXT;
    }
    ensure(u32::from(template.holes.to_native()) == holes, Rule::TemplateHoles)?;
    let name = text(pool, template.name())?;
    ensure(u32::from(template.name_length.to_native()) <= NAME_MAX, Rule::TemplateName)?;
    let identifier = name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
    ensure(identifier && !name.bytes().next().is_some_and(|byte| byte.is_ascii_digit()), Rule::TemplateName)
}
