//! The planner itself: a process that knows a program, its arguments, and the values that it asked for. It holds no file, no seed, no key and
//! no policy, and is confined before it hears of anything.

pub mod wire;

use opal_core::plan::{Asked, Cause, Draft, Inputs, Mode, PlanError, Request, Resolved, Resolver, Scalar, Unfinished, draft};
use opal_core::program::table::limits;
use opal_core::program::verify::{Rule, Table, Verified, verify};
use opal_exec::aside::{self, Line, Over};
use opal_exec::frame::{Body, Frame};
use opal_format::canonical::CanonicalValue;
use opal_format::hash::HashAlgorithm;
use opal_format::packed;
use opal_format::plan_hash::plan_hash;
use opal_format::shown_hash::shown_hash;
use opal_format::slots::{SLOT_PUBLIC, SLOT_SHAPES, Slots};
use opal_format::terms::{BoundArgument, Setting};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use wire::{Put as _, Take as _, room, say, tell};
use zeroize::Zeroizing;

/// Plans for the gate at the other end of the socket, and never returns.
pub fn serve(socket: OwnedFd) -> ! {
    aside::serve(socket, c"opal-planner", work)
}

/// Plans for who is at the other end of the socket until that is gone, and says first that this `holds` it. [`serve`] does the same once it is
/// confined; by itself this is for tests. Says whether all that was asked could be done.
pub fn plan_at(socket: OwnedFd, holds: u8) -> bool {
    let line = Line::new(socket);
    line.greet(holds).and_then(|()| work(&line)).is_ok()
}

fn work(line: &Line) -> Result<(), Over> {
    let (tell::PROGRAM, bytes) = line.hear()? else { return Err(Over) };
    // The gate has read these bytes as an archive already.
    let view = packed::program(&bytes).map_err(|_| Over)?;
    let program = match verify(view) {
        Ok(program) => program,
        Err(error) => {
            let place = |at: Option<usize>| at.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX);
            let mut frame = Frame::new(say::INVALID, 6);
            frame.u8(place(Rule::ALL.iter().position(|rule| *rule == error.rule)));
            frame.u8(place(Table::ALL.iter().position(|table| *table == error.table))).u32(error.index);
            line.say(frame)?;
            return line.flush();
        }
    };
    line.say(Frame::new(say::VALID, 0))?;
    line.flush()?;
    let mut last = None;
    loop {
        match line.hear()? {
            (tell::PLAN, body) => last = plan(line, &program, &body)?,
            (tell::TABLES, _) => tables(line, last.as_ref().ok_or(Over)?)?,
            _ => return Err(Over),
        }
        line.flush()?;
    }
}

/// What the gate asks to be planned.
struct Job {
    algorithm: HashAlgorithm,
    target: String,
    shell: String,
    umask: u32,
    directory: String,
    arguments: Vec<BoundArgument>,
    pass_env: Vec<String>,
    no_public: bool,
    /// Answers to imports whose arguments are all written out, ahead of the question.
    warm: HashMap<Asked, Resolved>,
}

impl Job {
    fn read(body: &[u8]) -> Option<Self> {
        let mut body = Body(body);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        let number = body.u8()?;
        let algorithm = *HashAlgorithm::ALL.iter().find(|algorithm| algorithm.number() == number)?;
        let target = text(body.bytes()?)?;
        let (shell, umask, directory) = (text(body.bytes()?)?, body.u32()?, text(body.bytes()?)?);
        let no_public = body.u8()? == 1;
        let count = body.count(8)?;
        let argument = |body: &mut Body<'_>| Some(BoundArgument { name: text(body.bytes()?)?, value: body.bytes()?.to_vec() });
        let arguments = (0..count).map(|_| argument(&mut body)).collect::<Option<_>>()?;
        let count = body.count(4)?;
        let pass_env = (0..count).map(|_| text(body.bytes()?)).collect::<Option<_>>()?;
        let count = body.count(16)?;
        let mut answer = || {
            let asked = body.asked()?;
            Some((asked, Resolved { work: body.u64()?, value: body.scalar()?, number: 0 }))
        };
        let warm = (0..count).map(|_| answer()).collect::<Option<_>>()?;
        Some(Self { algorithm, target, shell, umask, directory, arguments, pass_env, no_public, warm })
    }

    fn setting(&self) -> Setting<'_> {
        let Self { target, arguments, shell, umask, directory, .. } = self;
        Setting { target, arguments, shell, umask: *umask, directory }
    }
}

/// Asks the gate.
struct Gate<'a> {
    line: &'a Line,
    warm: RefCell<HashMap<Asked, Resolved>>,
    number: Cell<u32>,
    last: RefCell<String>,
    /// Whether there is no value for the last question, or nobody any more who answers.
    refused: Cell<bool>,
    over: Cell<bool>,
}

impl Resolver for Gate<'_> {
    fn resolve(&self, request: &Request<'_>) -> Result<Resolved, Cause> {
        let number = self.number.get();
        self.number.set(number.saturating_add(1));
        request.key.clone_into(&mut self.last.borrow_mut());
        let warm = self.warm.borrow_mut().remove(&request.asked);
        self.ask(request, warm.is_some())
            .and_then(|()| match warm {
                Some(answer) => Ok(Some(Resolved { number, ..answer })),
                None => self.answer(number),
            })
            .unwrap_or_else(|Over| {
                self.over.set(true);
                None
            })
            .ok_or_else(|| {
                self.refused.set(true);
                Cause::Internal("no value")
            })
    }
}

impl Gate<'_> {
    fn ask(&self, request: &Request<'_>, warm: bool) -> Result<(), Over> {
        let computed = || request.arguments.iter().filter(|given| given.computed).map(|given| &given.value);
        let size = computed().map(room).fold(request.key.len().saturating_add(64), usize::saturating_add);
        let mut frame = Frame::new(say::GET, size);
        frame.asked(request.asked).u8(u8::from(warm)).u64(request.ordinal).bytes(request.key.as_bytes()).length(computed().count());
        computed().for_each(|value| _ = frame.scalar(value));
        self.line.say(frame)
    }

    fn answer(&self, number: u32) -> Result<Option<Resolved>, Over> {
        self.line.flush()?;
        let (kind, body) = self.line.hear()?;
        let body = Zeroizing::new(body.into_vec());
        let mut body = Body(&body);
        match kind {
            tell::VALUE => {
                let work = body.u64().ok_or(Over)?;
                Ok(Some(Resolved { work, value: body.scalar().ok_or(Over)?, number }))
            }
            tell::NO_VALUE => Ok(None),
            _ => Err(Over),
        }
    }
}

fn plan(line: &Line, program: &Verified<'_>, body: &[u8]) -> Result<Option<Draft>, Over> {
    let mut job = Job::read(body).ok_or(Over)?;
    let arguments: Result<Vec<_>, _> = job.arguments.iter().map(|argument| CanonicalValue::decode(&argument.value)).collect();
    let arguments = arguments.map_err(|_| Over)?;
    let inputs = Inputs {
        mode: Mode::Resolve,
        arguments: &arguments,
        pass_env: &job.pass_env,
        public_names: None,
        no_public: job.no_public,
        fuel: limits::FUEL,
    };
    let gate = Gate {
        line,
        warm: RefCell::new(std::mem::take(&mut job.warm)),
        number: Cell::new(0),
        last: RefCell::default(),
        refused: Cell::new(false),
        over: Cell::new(false),
    };
    let drafted = draft(program, &gate, &inputs);
    if gate.over.get() {
        return Err(Over);
    }
    match drafted {
        Ok(draft) => {
            done(line, &draft, job.algorithm, &job.setting())?;
            Ok(Some(draft))
        }
        Err(unfinished) => {
            stopped(line, &unfinished, &gate)?;
            Ok(None)
        }
    }
}

fn done(line: &Line, draft: &Draft, algorithm: HashAlgorithm, setting: &Setting<'_>) -> Result<(), Over> {
    let slots: Slots = draft.bare_slots().map_err(|_| Over)?;
    let work = plan_hash(algorithm, setting, draft.steps.view(), slots.view()).map_err(|_| Over)?;
    let shown = shown_hash(algorithm, draft.steps.view(), slots.view()).map_err(|_| Over)?;
    let value = |value: &Option<Scalar>| value.as_ref().map_or(0, room);
    let size = draft.values.iter().map(|one| value(&one.value).saturating_add(8)).fold(128, usize::saturating_add);
    let mut frame = Frame::new(say::DONE, size);
    frame.raw(&work.bytes).raw(&shown.bytes).length(draft.values.len());
    for one in &draft.values {
        match (one.answer, &one.value) {
            (Some(answer), _) => frame.u32(answer.saturating_add(1)),
            (None, Some(value)) => frame.u32(0).scalar(value),
            (None, None) => return Err(Over),
        };
    }
    line.say(frame)
}

/// Says why there is no plan: by number, never by text.
fn stopped(line: &Line, Unfinished { error: PlanError { cause, span }, values }: &Unfinished, gate: &Gate<'_>) -> Result<(), Over> {
    let last = || (cause.key() == Some(gate.last.borrow().as_str())).then(|| gate.number.get());
    let about =
        values.iter().find(|value| Some(value.key.as_str()) == cause.key()).and_then(|value| value.answer?.checked_add(1)).or_else(last);
    let mut frame = Frame::new(say::STOPPED, 24);
    frame.u8(u8::from(gate.refused.get())).u8(cause.number()).u32(about.unwrap_or(0)).span(span);
    line.say(frame)
}

/// Gives the whole of the last plan, if it is not too large for a report.
fn tables(line: &Line, draft: &Draft) -> Result<(), Over> {
    let steps = packed::pack_steps(&draft.steps).map_err(|_| Over)?;
    let size =
        draft.values.iter().map(|value| value.key.len().saturating_add(24)).fold(steps.len().saturating_add(16), usize::saturating_add);
    if size > wire::TABLES_MAX {
        return line.say(Frame::new(say::TABLES, 0));
    }
    let mut frame = Frame::new(say::TABLES, size);
    frame.bytes(&steps).length(draft.values.len());
    for value in &draft.values {
        let flags = (if value.public { SLOT_PUBLIC } else { 0 }) | (if value.shapes { SLOT_SHAPES } else { 0 });
        frame.bytes(value.key.as_bytes()).u32(u32::from(value.decorator) << 16 | u32::from(flags)).span(&value.span);
    }
    line.say(frame)
}
