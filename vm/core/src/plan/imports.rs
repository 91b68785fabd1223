//! Imports: what a program asks of reality, resolved once per decorator and arguments.

use super::Mode;
use super::arithmetic::wrong;
use super::candidates::Entry;
use super::error::Cause;
use super::machine::{CANDIDATE, Flow, Machine, at, bug};
use super::resolve::{Argument, Asked, Given, Request, is_public, regen_key};
use super::value::{Candidate, Data, Scalar, Value};
use crate::decorators::{self, Cost};
use opal_format::program::IMPORT_PUBLIC;
use opal_format::record::Span;

impl Machine<'_> {
    pub(super) fn resolve_import(&mut self, c: u32) -> Result<Flow, Cause> {
        let import = at(self.program.imports, c)?;
        let args = import.args.of(self.program.import_args).ok_or_else(|| bug("import arguments"))?;
        let computed = args.iter().filter(|arg| arg.computed == 1).count();
        if !self.force(computed, false)? {
            return Ok(Flow::Again);
        }
        let mut values = self.pop_many(computed)?.into_iter();
        let decorator = import.decorator.to_native();
        let row = decorators::value_decorator(decorator).ok_or_else(|| bug("decorator"))?;
        let mut arguments = Vec::with_capacity(args.len());
        for arg in args {
            let value = if arg.computed == 1 {
                values.next().ok_or_else(|| bug("import arguments"))?
            } else {
                self.load_constant(at(self.program.constants, arg.constant.to_native())?)?
            };
            let param = row.params.get(usize::from(arg.param)).ok_or_else(|| bug("parameter"))?;
            let name = param.names.first().copied().unwrap_or_default();
            if let Data::Unknown(_) = value.data {
                self.stack.push(value);
                return Ok(Flow::Next);
            }
            if !value.value_type().is_some_and(|found| param.accepts.accepts(found)) {
                return Err(wrong(&format!("`{name}` of `@{}`", row.name), param.accepts.name(), &value));
            }
            let scalar = match value.data {
                Data::Text(_) => self.text_of(&value)?.map(Scalar::String),
                _ => super::arithmetic::scalar(&value),
            };
            let scalar = scalar.ok_or_else(|| bug("an argument that is no scalar"))?;
            if name != "public" {
                arguments.push(Argument { value, given: Given { param: arg.param, value: scalar, computed: arg.computed == 1 } });
            }
        }
        let marked = import.flags.to_native() & IMPORT_PUBLIC != 0;
        let candidate = self.resolve_named(Asked::Import(c), decorator, arguments, marked, import.span)?;
        let value = match &self.candidates.entry(candidate)?.value {
            Some(scalar) => scalar.to_value(candidate),
            None => Value::plain(Data::Unknown(candidate)),
        };
        self.stack.push(value);
        Ok(Flow::Next)
    }

    /// Resolves once per decorator and arguments; seeded ones each time they are evaluated, unless a `regen_key` names what they give.
    pub(super) fn resolve_named(
        &mut self,
        asked: Asked,
        decorator: u16,
        arguments: Vec<Argument>,
        marked: bool,
        span: Span,
    ) -> Result<Candidate, Cause> {
        let row = decorators::value_decorator(decorator).ok_or_else(|| bug("decorator"))?;
        let mut key = self.import_key(row, &arguments, marked)?;
        let operands = arguments.iter().flat_map(|argument| self.candidates.origins(&argument.value)).collect();
        let given: Vec<Given> = arguments.into_iter().map(|argument| argument.given).collect();
        let public = is_public(decorator, &key, &given, marked, self.inputs)?;
        if row.is_seeded() && regen_key(row, &given).is_none() {
            self.seeded = self.seeded.saturating_add(1);
            key = format!("{key}#{}", self.seeded);
        } else if let Some(candidate) = self.candidates.find(&key) {
            return Ok(candidate);
        }
        let resolved = if self.inputs.mode == Mode::Quick && row.cost == Cost::Expensive {
            None
        } else {
            let request = Request { asked, decorator, arguments: &given, key: &key, ordinal: self.seeded };
            let resolved = self.resolver.resolve(&request)?;
            self.charge(resolved.work.saturating_add(resolved.value.text_length() as u64))?;
            if let Scalar::String(bytes) = &resolved.value
                && bytes.contains(&0)
            {
                return Err(Cause::NulByte(key));
            }
            Some(resolved)
        };
        self.charge(CANDIDATE.saturating_add(key.len() as u64))?;
        let (answer, value) = resolved.map(|resolved| (resolved.number, resolved.value)).unzip();
        let entry = Entry { key, value, decorator, answer, public, seeded: row.is_seeded(), shapes: false, operands, span, slot: None };
        let candidate = self.candidates.add(entry)?;
        if answer.is_some() {
            // What was read is part of the contract, whether or not a step shows it.
            self.use_slot(candidate)?;
        }
        Ok(candidate)
    }

    pub(super) fn import_key(&mut self, row: &decorators::ValueDecorator, arguments: &[Argument], public: bool) -> Result<String, Cause> {
        let named = row.shape == decorators::Shape::Key;
        let mut listed = Vec::with_capacity(arguments.len());
        for (at, argument) in arguments.iter().enumerate() {
            let text = if named && at == 0 { String::new() } else { self.key_of(&argument.value)? };
            listed.push((&argument.given, text));
        }
        Ok(key_with(row, &listed, public))
    }
}

/// The key of an import whose arguments are all written out. No planner is needed to know it.
#[must_use]
pub fn written_key(row: &decorators::ValueDecorator, arguments: &[Given], public: bool) -> String {
    let text = |given: &Given| match &given.value {
        Scalar::String(bytes) => super::candidates::quote(bytes),
        other => String::from_utf8_lossy(&other.text()).into_owned(),
    };
    let listed: Vec<(&Given, String)> = arguments.iter().map(|given| (given, text(given))).collect();
    key_with(row, &listed, public)
}

/// `env.NAME`, `env.NAME(default=3, public=true)`, `file.read("p")`.
fn key_with(row: &decorators::ValueDecorator, arguments: &[(&Given, String)], public: bool) -> String {
    let mut key = row.name.to_owned();
    let mut rest = arguments;
    if row.shape == decorators::Shape::Key
        && let [(first, _), others @ ..] = arguments
    {
        key.push('.');
        key.push_str(&first.bytes().map_or_else(String::new, |name| name.escape_ascii().to_string()));
        rest = others;
    }
    let one = |(given, text): &(&Given, String)| {
        // The first parameter of a call reads well without its name.
        if given.param == 0 {
            return text.clone();
        }
        let name = row.params.get(usize::from(given.param)).and_then(|param| param.names.first()).copied().unwrap_or_default();
        format!("{name}={text}")
    };
    let mut listed: Vec<String> = rest.iter().map(one).collect();
    if public {
        listed.push("public=true".to_owned());
    }
    if !listed.is_empty() || row.shape == decorators::Shape::Call {
        key.push_str(&format!("({})", listed.join(", ")));
    }
    super::candidates::bounded(key)
}
