//! The planner is another process, and is not believed.
//!
//! On `run`, `verify` and `resolve` of a contract its program is verified and planned in a process of its own: it holds the program, the bound
//! arguments, the promised names and the values that it asked for, and never steps, seed, keys or policy of the contract. This module is the gate's
//! side: it starts that process, reads reality in its place (`answers`), bounds what it may ask, say and take, and hands on what it says for
//! [`opal_core::agreed`] to judge. What the planner cannot do whatever it says is a test: `tests/tests/planner.rs`, and those below.
//!
//! Read for: nothing with an effect before compare has passed.

mod answers;

pub use opal_aside::planner::plan_at;

use answers::{Answers, Remembered, Senseless};
use opal_aside::planner::wire::{Put as _, TABLES_MAX, Take as _, room, say, tell};
use opal_core::agreed::{Comparison, Found, FoundValue};
use opal_core::code::Code;
use opal_core::compare::Failed;
use opal_core::plan::{Draft, DraftValue, Plan, Reality, STOPS, Scalar, seal_values};
use opal_core::program::verify::{Rule, Table, VerifyError};
use opal_core::refusal::Refusal;
use opal_exec::aside::{Aside, Lost, Received, hold};
use opal_exec::clean::learn;
use opal_exec::frame::{Body, Frame};
use opal_exec::scrub::Secrets;
use opal_exec::supervise::helper::Role;
use opal_format::hash::Digest;
use opal_format::packed;
use opal_format::reader::Contract;
use opal_format::record::Span;
use opal_format::regen::SubKeys;
use opal_format::seed::Seed;
use opal_format::slots::{SLOT_PUBLIC, SLOT_SHAPES};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// What is missing where no filter holds a planner.
pub(crate) const NO_FILTERS: &str = "this kernel has no system call filters (seccomp)";

/// How long a planner is waited for, all in all: more than it gets of processor time.
const WAIT: Duration = Duration::from_secs(120);

/// Bytes that it may say, all in all: fuel bounds the values that it can compute.
const SAID_MAX: usize = 512 << 20;

/// Bytes of one question.
const QUESTION_MAX: usize = 1 << 20;

/// Bytes of digests and values.
const VALUES_MAX: usize = 192 << 20;

/// Questions, and bytes of the answers to them.
const QUESTIONS_MAX: usize = 1_000_000;
const ANSWERED_MAX: usize = 512 << 20;

/// A process that plans.
pub struct Planner {
    aside: Aside,
    /// Whether it holds a program that it found valid.
    loaded: bool,
}

impl Planner {
    /// Starts one. It gets ready by itself.
    ///
    /// # Errors
    /// Where no process can be had.
    pub fn start() -> std::io::Result<Self> {
        Ok(Self { aside: Aside::start(Role::Planner, WAIT, SAID_MAX)?, loaded: false })
    }

    /// Whatever is at the other end of this socket, waited for that long.
    #[must_use]
    pub fn at(socket: OwnedFd, wait: Duration) -> Self {
        Self { aside: Aside::at(socket, wait, SAID_MAX), loaded: false }
    }

    /// What does not hold it, in words. It has said so before it heard of anything.
    ///
    /// # Errors
    /// A planner that has ended.
    pub fn missing(&mut self) -> Result<Option<&'static str>, Refusal> {
        Ok(match self.aside.holds().map_err(ended)? {
            hold::ALL => None,
            holds if holds & hold::CALLS == 0 => Some(NO_FILTERS),
            _ => Some("its memory and time cannot be limited"),
        })
    }

    /// Has a contract's program verified.
    ///
    /// # Errors
    /// The rule that it breaks, named by a planner that is believed only as far as a refusal goes; a planner that has ended.
    pub fn load(&mut self, contract: &Contract<'_>, file: &str) -> Result<(), Refusal> {
        let mut frame = Frame::new(tell::PROGRAM, contract.program_bytes.len());
        frame.raw(contract.program_bytes);
        self.tell(frame)?;
        let Received { kind, body } = self.hear(16)?;
        let mut body = Body(&body);
        match kind {
            say::VALID if body.is_over() => {
                self.loaded = true;
                Ok(())
            }
            say::INVALID => {
                let broken = (|| {
                    let rule = *Rule::ALL.get(usize::from(body.u8()?))?;
                    let table = *Table::ALL.get(usize::from(body.u8()?))?;
                    Some(VerifyError { rule, table, index: body.u32()? })
                })();
                Err(broken.map_or_else(|| ended(Lost::Nonsense), |error| Refusal::from_verify(&error, file)))
            }
            _ => Err(ended(Lost::Nonsense)),
        }
    }

    fn tell(&mut self, frame: Frame) -> Result<(), Refusal> {
        self.aside.tell(frame).map_err(ended)
    }

    fn hear(&mut self, most: usize) -> Result<Received, Refusal> {
        self.aside.hear(most).map_err(ended)
    }
}

/// A planner that gave no answer, or one that makes no sense. It was not believed, so this is no bug of the gate, and nothing has run.
fn ended(lost: Lost) -> Refusal {
    let what = match lost {
        Lost::Gone => "the planner ended without an answer",
        Lost::Slow => "the planner took too long",
        Lost::Greedy => "the planner asked or said too much",
        Lost::Nonsense => "the planner gave an answer that makes no sense",
    };
    Refusal::new(Code::PlannerEnded, what).help(
        "look for what ends processes here (`dmesg`, `ulimit -a`), and try again; if it happens each time, report the contract as a bug",
    )
}

/// A contract that is planned again under one seed, and what its planner is answered from.
pub struct Replanning<'a> {
    contract: &'a Contract<'a>,
    remembered: Remembered<'a>,
    allowed: &'a dyn Fn(&str) -> bool,
    secrets: &'a Arc<Secrets>,
}

/// What a planner said in the end.
enum Said {
    Done { plan_hash: Digest, shown_hash: Digest, values: Vec<(Option<u32>, Option<Scalar>)> },
    Stopped(Failed),
}

impl<'a> Replanning<'a> {
    /// Reads from `reality`, each thing once. `allowed` says which value decorators policy lets planning use.
    /// `secrets` come to know the values, before anything is said of them.
    #[must_use]
    pub fn new(contract: &'a Contract<'a>, reality: &'a dyn Reality, allowed: &'a dyn Fn(&str) -> bool, secrets: &'a Arc<Secrets>) -> Self {
        Self { contract, remembered: Remembered::new(reality), allowed, secrets }
    }

    /// Plans and compares.
    ///
    /// # Errors
    /// A planner that has ended, or one that says that it has a bug. That there is no plan is no error.
    pub fn compare(&self, planner: &mut Planner, seed: &Seed, sub_keys: &SubKeys) -> Result<Comparison, Refusal> {
        let mut answers = self.answers(seed, sub_keys);
        let found = match self.plan(planner, &mut answers)? {
            Said::Stopped(failed) => {
                let values = answers.values(self.contract.slots);
                let (read, unscrubbed) = seal_values(&values, self.contract.program, seed).unwrap_or_default();
                let values: Vec<_> = values.into_iter().map(|value| value.value).collect();
                learn(self.secrets, &read, &values, &unscrubbed);
                return Ok(Comparison::of_failure(self.contract, read, &failed));
            }
            Said::Done { plan_hash, shown_hash, values } => (plan_hash, shown_hash, values),
        };
        let (plan_hash, shown_hash, values) = found;
        let own = Found { plan_hash, shown_hash, values: own_values(&answers, &values)? };
        if let Some(comparison) = Comparison::of_found(self.contract, seed, own) {
            comparison.plan().into_iter().for_each(|plan| self.learn(plan));
            return Ok(comparison);
        }
        let plan = self.tables(planner, &answers, &values, seed)?;
        let comparison = Comparison::of_tables(self.contract, plan);
        if comparison.drift().is_empty() {
            // Its digests say that something differs, and its tables that nothing does.
            return Err(ended(Lost::Nonsense));
        }
        Ok(comparison)
    }

    /// Plans under another seed, for a new contract that is reviewed afterwards.
    ///
    /// # Errors
    /// A planner that has ended. `None` where there is no plan.
    pub fn whole(&self, planner: &mut Planner, seed: &Seed, sub_keys: &SubKeys) -> Result<Option<Plan>, Refusal> {
        let mut answers = self.answers(seed, sub_keys);
        let Said::Done { values, .. } = self.plan(planner, &mut answers)? else { return Ok(None) };
        let plan = self.tables(planner, &answers, &values, seed)?;
        Ok(Some(Plan { sub_keys: answers.into_sub_keys(), ..plan }))
    }

    fn learn(&self, plan: &Plan) {
        learn(self.secrets, &plan.slots, &plan.values, &plan.unscrubbed);
    }

    fn answers<'b>(&'b self, seed: &'b Seed, sub_keys: &'b SubKeys) -> Answers<'b> {
        Answers::new(self.contract.program, &self.contract.terms.pass_env, &self.remembered, (seed, sub_keys), self.allowed)
    }

    fn plan(&self, planner: &mut Planner, answers: &mut Answers<'_>) -> Result<Said, Refusal> {
        if !planner.loaded {
            planner.load(self.contract, "")?;
        }
        planner.tell(self.job(answers))?;
        let mut answered = 0_usize;
        loop {
            let Received { kind, body } = planner.hear(VALUES_MAX)?;
            match kind {
                say::GET if body.len() <= QUESTION_MAX && answers.given.len() < QUESTIONS_MAX => {
                    let (waited, answer) = answers.get(&body).map_err(|Senseless| ended(Lost::Nonsense))?;
                    let mut frame = match &answer.value {
                        Ok(value) => Frame::new(tell::VALUE, room(value).saturating_add(8)),
                        Err(_) => Frame::new(tell::NO_VALUE, 0),
                    };
                    if let Ok(value) = &answer.value {
                        answered = answered.saturating_add(room(value));
                        frame.u64(answer.work).scalar(value);
                    }
                    if answered > ANSWERED_MAX {
                        return Err(ended(Lost::Greedy));
                    }
                    if waited {
                        planner.tell(frame)?;
                    }
                }
                say::GET => return Err(ended(Lost::Greedy)),
                say::DONE => return self.done(&body).ok_or_else(|| ended(Lost::Nonsense)),
                say::STOPPED => return stopped(&body, answers).ok_or_else(|| ended(Lost::Nonsense))?.map(Said::Stopped),
                _ => return Err(ended(Lost::Nonsense)),
            }
        }
    }

    /// What the planner is told of the contract: not its steps, and not its values.
    fn job(&self, answers: &Answers<'_>) -> Frame {
        let (header, terms) = (&self.contract.header, &self.contract.terms);
        let warm = answers.warm();
        let size = [
            header.target.len(),
            terms.shell.len(),
            terms.directory.len(),
            terms.pass_env.iter().map(|name| name.len().saturating_add(4)).sum(),
        ]
        .into_iter()
        .chain(terms.arguments.iter().map(|one| one.name.len().saturating_add(one.value.len()).saturating_add(8)))
        .chain(warm.iter().map(|(_, value, _)| room(value).saturating_add(16)))
        .fold(64, usize::saturating_add);
        let mut frame = Frame::new(tell::PLAN, size);
        frame.u8(header.algorithm.number()).bytes(header.target.as_bytes());
        frame.bytes(terms.shell.as_bytes()).u32(terms.umask).bytes(terms.directory.as_bytes());
        frame.u8(u8::from(terms.no_public)).length(terms.arguments.len());
        for argument in &terms.arguments {
            frame.bytes(argument.name.as_bytes()).bytes(&argument.value);
        }
        frame.length(terms.pass_env.len());
        terms.pass_env.iter().for_each(|name| _ = frame.bytes(name.as_bytes()));
        frame.length(warm.len());
        for (asked, value, work) in &warm {
            frame.asked(*asked).u64(*work).scalar(value);
        }
        frame
    }

    fn done(&self, body: &[u8]) -> Option<Said> {
        let algorithm = self.contract.header.algorithm;
        let mut body = Body(body);
        let mut digest = || Some(Digest { algorithm, bytes: body.array()? });
        let (plan_hash, shown_hash) = (digest()?, digest()?);
        let count = body.count(4)?;
        let mut value = || {
            Some(match body.u32()?.checked_sub(1) {
                Some(answer) => (Some(answer), None),
                None => (None, Some(body.scalar()?)),
            })
        };
        let values = (0..count).map(|_| value()).collect::<Option<_>>()?;
        body.is_over().then_some(Said::Done { plan_hash, shown_hash, values })
    }

    /// The whole of the last plan, for a report or a new contract.
    fn tables(
        &self,
        planner: &mut Planner,
        answers: &Answers<'_>,
        values: &[(Option<u32>, Option<Scalar>)],
        seed: &Seed,
    ) -> Result<Plan, Refusal> {
        planner.tell(Frame::new(tell::TABLES, 0))?;
        let Received { kind, body } = planner.hear(TABLES_MAX.saturating_add(64))?;
        if kind != say::TABLES {
            return Err(ended(Lost::Nonsense));
        }
        if body.is_empty() {
            return Err(Refusal::new(Code::PlannerEnded, "what the program gives now is too large to be shown")
                .help("the contract and this host differ; make a new contract"));
        }
        self.read_tables(&body, own_values(answers, values)?, seed).ok_or_else(|| ended(Lost::Nonsense))
    }

    fn read_tables(&self, body: &[u8], own: Vec<FoundValue>, seed: &Seed) -> Option<Plan> {
        let mut body = Body(body);
        let steps = body.bytes()?;
        let count = body.count(24)?;
        if count != own.len() {
            return None;
        }
        let steps = packed::unpack_steps(steps, count, self.contract.steps.origins).ok()?;
        let mut values = Vec::with_capacity(count);
        for one in own {
            let key = String::from_utf8(body.bytes().filter(|key| !key.is_empty() && key.len() <= QUESTION_MAX)?.to_vec()).ok()?;
            let uses = body.u32()?;
            let (decorator, flags) = (u16::try_from(uses >> 16).ok()?, u16::try_from(uses & 0xffff).ok()?);
            // What was asked for is what it was asked for.
            if one.asked.as_ref().map_or((0, key.as_str()), |(decorator, key)| (*decorator, key)) != (decorator, key.as_str()) {
                return None;
            }
            let (public, shapes) = (flags & SLOT_PUBLIC != 0, flags & SLOT_SHAPES != 0);
            values.push(DraftValue { key, value: Some(one.value), answer: None, decorator, public, shapes, span: body.span()? });
        }
        let draft = Draft { steps, values, undecided: BTreeMap::new() };
        if !body.is_over() {
            return None;
        }
        draft.seal(self.contract.program, seed).ok().inspect(|plan| self.learn(plan))
    }
}

/// The values by slot: this process's own where they were asked for.
fn own_values(answers: &Answers<'_>, values: &[(Option<u32>, Option<Scalar>)]) -> Result<Vec<FoundValue>, Refusal> {
    let one = |(answer, value): &(Option<u32>, Option<Scalar>)| match (answer, value) {
        (Some(number), _) => {
            let answer = answers.given.get(usize::try_from(*number).ok()?)?;
            Some(FoundValue { value: answer.value.as_ref().ok()?.clone(), asked: Some((answer.decorator, answer.key.clone())) })
        }
        (None, Some(value)) => Some(FoundValue { value: value.clone(), asked: None }),
        (None, None) => None,
    };
    values.iter().map(one).collect::<Option<_>>().ok_or_else(|| ended(Lost::Nonsense))
}

/// Why there is no plan: what this process knows of the question that had no answer, else what the planner's number stands for.
fn stopped(body: &[u8], answers: &Answers<'_>) -> Option<Result<Failed, Refusal>> {
    let mut body = Body(body);
    let (refused, code, about) = (body.u8()? == 1, body.u8()?, body.u32()?);
    let span: Span = body.span()?;
    if refused {
        let answer = answers.given.last()?;
        let Err(cause) = &answer.value else { return None };
        return Some(Ok(Failed::new(cause, span)));
    }
    let (code, text) = STOPS.get(usize::from(code))?;
    if *code == "internal" {
        return Some(Err(Refusal::new(Code::Internal, *text)));
    }
    let key = about.checked_sub(1).and_then(|at| answers.given.get(usize::try_from(at).ok()?)).map(|answer| answer.key.clone());
    let message = match (&key, text.strip_prefix("a value ")) {
        (Some(key), Some(rest)) => format!("`{key}` {rest}"),
        _ => (*text).to_owned(),
    };
    Some(Ok(Failed { message, key, missing: false, object: false, unset: false, span }))
}
