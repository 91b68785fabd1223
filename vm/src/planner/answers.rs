//! What this process answers a planner: it reads reality itself, once, for what the program's own import table names, and remembers.
//!
//! Read for: nothing with an effect before compare has passed.

use opal_aside::planner::wire::Take as _;
use opal_core::decorators::{ENV, PASS_ENV, value_decorator};
use opal_core::plan::{Asked, Cause, DraftValue, FileFailure, Given, Here, Reality, Request, Resolver, Scalar, written_key};
use opal_exec::frame::Body;
use opal_format::kind::ValueType;
use opal_format::program::{Constant, IMPORT_PUBLIC, ProgramView};
use opal_format::record::Span;
use opal_format::regen::{Regen, SubKeys};
use opal_format::seed::Seed;
use opal_format::slots::SlotsView;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use zeroize::Zeroizing;

/// Longest key that a planner may name.
const KEY_MAX: usize = 256;

/// What came of reading a file.
type Read = Result<Rc<Zeroizing<Vec<u8>>>, FileFailure>;

/// Reality, of which each file is read once however often it is asked for.
pub(super) struct Remembered<'a> {
    reality: &'a dyn Reality,
    files: RefCell<HashMap<Vec<u8>, Read>>,
}

impl<'a> Remembered<'a> {
    pub(super) fn new(reality: &'a dyn Reality) -> Self {
        Self { reality, files: RefCell::default() }
    }
}

impl Reality for Remembered<'_> {
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        self.reality.env(name)
    }

    fn read_file(&self, path: &[u8]) -> Result<Vec<u8>, FileFailure> {
        let read = || self.reality.read_file(path).map(|bytes| Rc::new(Zeroizing::new(bytes)));
        let mut files = self.files.borrow_mut();
        files.entry(path.to_vec()).or_insert_with(read).clone().map(|bytes| bytes.to_vec())
    }
}

/// One answer.
pub(super) struct Answer {
    pub(super) key: String,
    pub(super) decorator: u16,
    pub(super) value: Result<Scalar, Cause>,
    pub(super) work: u64,
}

/// The answers to one planning.
pub(super) struct Answers<'a> {
    program: ProgramView<'a>,
    promised: &'a [String],
    here: Here<'a>,
    /// Whether policy lets planning use a decorator.
    allowed: &'a dyn Fn(&str) -> bool,
    pub(super) given: Vec<Answer>,
}

/// A question that makes no sense.
pub(super) struct Senseless;

impl<'a> Answers<'a> {
    pub(super) fn new(
        program: ProgramView<'a>,
        promised: &'a [String],
        reality: &'a Remembered<'a>,
        (seed, sub_keys): (&'a Seed, &'a SubKeys),
        allowed: &'a dyn Fn(&str) -> bool,
    ) -> Self {
        Self { program, promised, here: Here::new(reality, seed, Regen::SubKeys(sub_keys)), allowed, given: Vec::new() }
    }

    pub(super) fn into_sub_keys(self) -> SubKeys {
        self.here.into_sub_keys()
    }

    /// The variables that the program names in its text and those that it promised: they are told before they are asked for.
    pub(super) fn warm(&self) -> Vec<(Asked, Scalar, u64)> {
        let literal = |index: u32| {
            let import = self.program.imports.get(usize::try_from(index).ok()?)?;
            let written = import.args.of(self.program.import_args)?.iter().all(|arg| arg.computed == 0);
            (written && import.decorator.to_native() == ENV).then_some(Asked::Import(index))
        };
        let imports = (0..).zip(self.program.imports).filter_map(|(index, _)| literal(index));
        let promises = (0..).zip(self.promised).map(|(index, _)| Asked::Promise(index));
        let answer = |asked: Asked| {
            let (decorator, arguments) = self.question(asked, Vec::new())?;
            let request = Request { asked, decorator, arguments: &arguments, key: "", ordinal: 0 };
            let resolved = self.here.resolve(&request).ok()?;
            Some((asked, resolved.value, resolved.work))
        };
        imports.chain(promises).filter_map(answer).collect()
    }

    /// Answers what GET asks. Gives whether an answer is waited for, and the answer.
    pub(super) fn get(&mut self, body: &[u8]) -> Result<(bool, &Answer), Senseless> {
        let (waited, asked, key, ordinal, computed) = Self::read(body).ok_or(Senseless)?;
        let (decorator, arguments) = self.question(asked, computed).ok_or(Senseless)?;
        if !self.is_its_key(asked, decorator, &arguments, &key) {
            return Err(Senseless);
        }
        let request = Request { asked, decorator, arguments: &arguments, key: &key, ordinal };
        let (value, work) = match self.here.resolve(&request) {
            Ok(resolved) => (Ok(resolved.value), resolved.work),
            Err(cause) => (Err(cause), 0),
        };
        self.given.push(Answer { key, decorator, value, work });
        self.given.last().map(|answer| (waited, answer)).ok_or(Senseless)
    }

    fn read(body: &[u8]) -> Option<(bool, Asked, String, u64, Vec<Scalar>)> {
        let mut body = Body(body);
        let asked = body.asked()?;
        let waited = body.u8()? == 0;
        let ordinal = body.u64()?;
        let key = body.bytes().filter(|key| key.len() <= KEY_MAX && key.iter().all(|byte| (0x20..0x7f).contains(byte)))?;
        let key = String::from_utf8(key.to_vec()).ok()?;
        let count = body.count(2)?;
        let computed = (0..count).map(|_| body.scalar()).collect::<Option<Vec<_>>>()?;
        body.is_over().then_some((waited, asked, key, ordinal, computed))
    }

    /// Whether the key can be that of the question. Where the program writes all arguments out, it is known; where it computes some, they are in the
    /// planner's word for it.
    fn is_its_key(&self, asked: Asked, decorator: u16, arguments: &[Given], key: &str) -> bool {
        let Some(row) = value_decorator(decorator) else { return false };
        let import = match asked {
            Asked::Import(number) => usize::try_from(number).ok().and_then(|number| self.program.imports.get(number)),
            Asked::Promise(_) => None,
        };
        let public = import.is_some_and(|import| import.flags.to_native() & IMPORT_PUBLIC != 0);
        if arguments.iter().any(|given| given.computed) {
            return key.starts_with(row.name) || key.starts_with("computed.");
        }
        let own = written_key(row, arguments, public);
        // Values of a seed are counted where no `regen_key` names them.
        let counted =
            || key.strip_prefix(own.as_str()).and_then(|rest| rest.strip_prefix('#')).is_some_and(|rest| rest.parse::<u64>().is_ok());
        key == own || (row.is_seeded() && counted())
    }

    /// The decorator and all arguments: those that are written out as the program has them, whatever the planner thinks of them.
    fn question(&self, asked: Asked, computed: Vec<Scalar>) -> Option<(u16, Vec<Given>)> {
        let index = |index: u32| usize::try_from(index).ok();
        let import = match asked {
            Asked::Promise(number) => {
                let name = Scalar::String(Zeroizing::new(self.promised.get(index(number)?)?.clone().into_bytes()));
                let arguments = vec![Given { param: 0, value: name, computed: false }];
                return computed.is_empty().then_some((PASS_ENV, arguments));
            }
            Asked::Import(number) => self.program.imports.get(index(number)?)?,
        };
        let row = value_decorator(import.decorator.to_native()).filter(|row| (self.allowed)(row.name))?;
        let mut computed = computed.into_iter();
        let mut arguments = Vec::new();
        for arg in import.args.of(self.program.import_args)? {
            let param = row.params.get(usize::from(arg.param))?;
            let value = if arg.computed == 1 {
                computed.next()?
            } else {
                constant(self.program, self.program.constants.get(index(arg.constant.to_native())?)?)?
            };
            if !param.accepts.accepts(value.value_type()) {
                return None;
            }
            if param.names.first() != Some(&"public") {
                arguments.push(Given { param: arg.param, value, computed: arg.computed == 1 });
            }
        }
        computed.next().is_none().then_some((import.decorator.to_native(), arguments))
    }

    /// What was read until now, as far as it was, for a report. A key says whether its value is public, and the contract knows the key.
    pub(super) fn values(&self, contract: SlotsView<'_>) -> Vec<DraftValue> {
        let all = contract.slots.iter().filter(|slot| slot.is_public());
        let known: HashSet<&[u8]> = all.filter_map(|slot| slot.key.of(contract.text)).collect();
        let one = |answer: &Answer| {
            let value = answer.value.as_ref().ok()?.clone();
            let (key, decorator, public) = (answer.key.clone(), answer.decorator, known.contains(answer.key.as_bytes()));
            Some(DraftValue { key, value: Some(value), answer: None, decorator, public, shapes: false, span: Span::NONE })
        };
        self.given.iter().filter_map(one).collect()
    }
}

fn constant(program: ProgramView<'_>, constant: &Constant) -> Option<Scalar> {
    let scalar = constant.scalar.to_native();
    Some(match ValueType::from_number(constant.value_type)? {
        ValueType::String => Scalar::String(Zeroizing::new(constant.text.of(program.text)?.to_vec())),
        ValueType::Int => Scalar::Int(scalar),
        ValueType::Float => Scalar::Float(f64::from_bits(scalar.cast_unsigned())),
        ValueType::Bool => Scalar::Bool(scalar != 0),
        ValueType::Duration => Scalar::Duration(scalar),
        ValueType::Array | ValueType::Map => return None,
    })
}
