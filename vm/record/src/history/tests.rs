//! Random plans run by a model of the executor, are cut anywhere, and go on with what [`read`] says is left. The model passes over what is over as the executor
//! does, and its world decides by the number of times that a step has run how it ends, so a run in two parts can be held against a run in one.

use std::collections::BTreeMap;

use opal_core::event::{At, Done, Effects, Which};
use opal_format::record::Range as Place;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A node of a plan. A step fails the first so many times that it runs.
#[derive(Clone, Debug)]
enum Part {
    Step(u8),
    Bind,
    Hang,
    Block(NodeKind, Vec<Part>),
    Try(Vec<Part>, Option<Vec<Part>>, Option<Vec<Part>>),
    Retry(i64, Vec<Part>),
    Parallel(usize, Vec<Part>),
}

const KINDS: [NodeKind; 7] =
    [NodeKind::Workdir, NodeKind::Or, NodeKind::Seq, NodeKind::And, NodeKind::Pipe, NodeKind::Timeout, NodeKind::Group];

fn part() -> impl Strategy<Value = Part> {
    let leaf = prop_oneof![6 => Just(Part::Step(0)), 1 => Just(Part::Step(1)), 2 => Just(Part::Step(u8::MAX)), 1 => Just(Part::Bind)];
    leaf.prop_recursive(4, 40, 4, |inner| {
        let block = || vec(inner.clone(), 1..4);
        let steps = vec(Just(Part::Step(0)), 1..3);
        prop_oneof![
            3 => (proptest::sample::select(&KINDS[..]), block()).prop_map(|(kind, inside)| Part::Block(kind, inside)),
            1 => (steps, proptest::option::of(block())).prop_map(|(mut inside, finally)| {
                inside.push(Part::Hang);
                let inside = if finally.is_some() { vec![Part::Try(inside, None, finally)] } else { inside };
                Part::Block(NodeKind::Timeout, inside)
            }),
            3 => (block(), proptest::option::of(block()), proptest::option::of(block())).prop_map(|(body, catch, finally)| Part::Try(body, catch, finally)),
            2 => (1..4_i64, block()).prop_map(|(attempts, inside)| Part::Retry(attempts, inside)),
            2 => (0..2_usize, block()).prop_map(|(tolerate, inside)| Part::Parallel(tolerate, inside)),
        ]
    })
}

/// The nodes of a plan, and what the model knows of each.
#[derive(Default)]
struct Plan {
    nodes: Vec<Node>,
    parts: Vec<Part>,
}

impl Plan {
    fn of(parts: &[Part]) -> Self {
        let mut plan = Self::default();
        parts.iter().for_each(|part| plan.add(part));
        plan
    }

    fn add(&mut self, part: &Part) {
        use NodeKind::{Catch, Finally, Let, Parallel, Retry, Shell, Try};
        let (kind, inside) = match part {
            Part::Step(_) | Part::Hang => (Shell, &[][..]),
            Part::Bind => (Let, &[][..]),
            Part::Block(kind, inside) => (*kind, inside.as_slice()),
            Part::Try(body, ..) => (Try, body.as_slice()),
            Part::Retry(_, inside) => (Retry, inside.as_slice()),
            Part::Parallel(_, inside) => (Parallel, inside.as_slice()),
        };
        let index = self.nodes.len();
        let kind = kind.number().into();
        self.nodes.push(Node { kind, flags: 0.into(), subtree: 1.into(), origin: 0.into(), args: Place::EMPTY, runs: 0.into() });
        self.parts.push(part.clone());
        inside.iter().for_each(|part| self.add(part));
        if let Part::Try(_, catch, finally) = part {
            catch.iter().for_each(|inside| self.add(&Part::Block(Catch, inside.clone())));
            finally.iter().for_each(|inside| self.add(&Part::Block(Finally, inside.clone())));
        }
        self.nodes[index].subtree = u32::try_from(self.nodes.len() - index).expect("few").into();
    }

    fn tree(&self) -> Tree<'_> {
        Tree::new(&self.nodes)
    }
}

/// How a node ended, and which failure it was.
#[derive(Clone, Debug, PartialEq)]
enum Flow {
    Done,
    Failed(Because),
    TimedOut,
}

impl Flow {
    fn came(&self) -> Came {
        match self {
            Self::Done => Came { result: Ending::Done, cause: None, status: None },
            Self::TimedOut => Came { result: Ending::TimedOut, cause: None, status: None },
            Self::Failed(because) => Came { result: Ending::Failed, cause: because.cause.clone(), status: because.status },
        }
    }

    fn because(&self) -> Because {
        if let Self::Failed(because) = self { because.clone() } else { Because::default() }
    }
}

fn failed(node: usize) -> Flow {
    Flow::Failed(Because { failed: Some(node), cause: Some("failed".to_owned()), status: Some(1) })
}

/// What steps do and how they end.
#[derive(Clone, Default)]
struct World {
    /// How often each step has run to its end.
    ran: BTreeMap<usize, usize>,
    /// All succeed from now on.
    mended: bool,
}

/// The model of the executor.
struct Run<'p> {
    plan: &'p Plan,
    rest: Rest,
    world: World,
    events: Vec<Event>,
    /// Steps that ran, in order.
    log: Vec<usize>,
}

impl<'p> Run<'p> {
    /// Runs what is left of a plan.
    fn of(plan: &'p Plan, rest: Rest, world: World) -> (Flow, Self) {
        let mut run = Self { plan, rest, world, events: Vec::new(), log: Vec::new() };
        let flow = run.block(plan.tree().executing(None).collect());
        (flow, run)
    }

    fn at(node: usize) -> At {
        At { node, path: String::new() }
    }

    fn begun(&self, node: usize) -> bool {
        self.rest.has_begun(node..self.plan.tree().end(node))
    }

    fn block(&mut self, nodes: Vec<usize>) -> Flow {
        nodes.into_iter().fold(Flow::Done, |flow, node| if flow == Flow::Done { self.node(node) } else { flow })
    }

    fn came_to(node: usize, ending: Ending, because: Because) -> Flow {
        match ending {
            Ending::Failed => Flow::Failed(Because { failed: because.failed.or(Some(node)), ..because }),
            Ending::TimedOut => Flow::TimedOut,
            Ending::Done | Ending::Stopped => Flow::Done,
        }
    }

    fn node(&mut self, node: usize) -> Flow {
        if let Some(Over::All(came)) = self.rest.at(node).cloned() {
            self.rest.take(node);
            return Self::came_to(node, came.result, Because { failed: Some(node), cause: came.cause, status: came.status });
        }
        let kind = self.plan.tree().kind(node).expect("a kind");
        if is_atomic(kind) {
            self.events.push(Event::BlockStarts { at: Self::at(node) });
        }
        let flow = self.enter(node);
        if is_closed(kind) {
            self.events.push(Event::BlockDone { at: Self::at(node), came: flow.came() });
        }
        flow
    }

    fn enter(&mut self, node: usize) -> Flow {
        let inside: Vec<usize> = self.plan.tree().executing(Some(node)).collect();
        match &self.plan.parts[node] {
            Part::Step(failures) => self.step(node, *failures),
            Part::Hang => {
                self.events.push(Event::StepStarts { at: Self::at(node) });
                self.log.push(node);
                let flow = if self.world.mended { Flow::Done } else { Flow::TimedOut };
                self.step_done(node, &flow);
                flow
            }
            Part::Bind => {
                let flow = self.step(node, 0);
                self.events.push(Event::Binding { at: Self::at(node), name: "X".to_owned(), sealed: Some("00".to_owned()), cause: None });
                flow
            }
            Part::Retry(attempts, _) => self.retry(node, *attempts, &inside),
            Part::Try(..) => self.attempt(&inside),
            Part::Parallel(tolerate, _) => self.parallel(*tolerate, &inside),
            Part::Block(NodeKind::Timeout, _) => {
                if let Some(Over::TimedOut) = self.rest.take(node) {
                    return failed(node);
                }
                match self.block(inside) {
                    Flow::TimedOut => {
                        self.events.push(Event::Timeout { at: Self::at(node) });
                        failed(node)
                    }
                    flow => flow,
                }
            }
            Part::Block(NodeKind::Or, _) => inside
                .into_iter()
                .fold(failed(node), |flow, operand| if matches!(flow, Flow::Failed(_)) { self.node(operand) } else { flow }),
            Part::Block(NodeKind::Seq, _) => {
                inside.into_iter().fold(Flow::Done, |flow, operand| if flow == Flow::TimedOut { flow } else { self.node(operand) })
            }
            Part::Block(NodeKind::Pipe, _) => {
                let flows: Vec<Flow> = inside.into_iter().map(|operand| self.node(operand)).collect();
                if flows.iter().all(|flow| *flow == Flow::Done) { Flow::Done } else { failed(node) }
            }
            Part::Block(..) => self.block(inside),
        }
    }

    fn step(&mut self, node: usize, failures: u8) -> Flow {
        self.events.push(Event::StepStarts { at: Self::at(node) });
        self.log.push(node);
        let times = self.world.ran.entry(node).or_insert(0);
        *times += 1;
        let flow = if *times <= usize::from(failures) && !self.world.mended { failed(node) } else { Flow::Done };
        self.step_done(node, &flow);
        flow
    }

    fn step_done(&mut self, node: usize, flow: &Flow) {
        let came = flow.came();
        self.events.push(Event::StepDone { at: Self::at(node), came, exit: None, signal: None, stopped: None, elapsed_ms: 0 });
    }

    fn retry(&mut self, node: usize, attempts: i64, inside: &[usize]) -> Flow {
        let mut attempt = 1;
        match self.rest.take(node) {
            Some(Over::Attempts(begun)) => attempt = begun,
            _ => self.events.push(Event::Attempt { at: Self::at(node), attempt, of: attempts }),
        }
        loop {
            let flow = self.block(inside.to_vec());
            if !matches!(flow, Flow::Failed(_)) || attempt >= attempts {
                return flow;
            }
            self.rest.forget(node..self.plan.tree().end(node));
            attempt += 1;
            self.events.push(Event::Attempt { at: Self::at(node), attempt, of: attempts });
        }
    }

    fn attempt(&mut self, inside: &[usize]) -> Flow {
        let tree = self.plan.tree();
        let of_kind = |kind| inside.iter().copied().find(|part| tree.kind(*part) == Some(kind));
        let (catch, finally) = (of_kind(NodeKind::Catch), of_kind(NodeKind::Finally));
        let before = |run: &mut Self, handler: Option<usize>| match run.rest.take(handler?)? {
            Over::Before(ending, because) => Some(Self::came_to(handler?, ending, because)),
            _ => None,
        };
        let cleaned = before(self, finally);
        let flow = cleaned.clone().unwrap_or_else(|| {
            let caught = before(self, catch);
            let body = inside.iter().copied().filter(|part| Some(*part) != catch && Some(*part) != finally).collect();
            let flow = caught.clone().unwrap_or_else(|| self.block(body));
            let (Flow::Failed(_), Some(catch)) = (&flow, catch) else { return flow };
            if caught.is_none() {
                self.events.push(Event::Catch { at: Self::at(catch), because: flow.because() });
            }
            match self.block(tree.executing(Some(catch)).collect()) {
                Flow::Failed(_) => flow,
                other => other,
            }
        });
        let Some(finally) = finally else { return flow };
        if cleaned.is_none() {
            self.events.push(Event::Finally { at: Self::at(finally), after: flow.came().result, because: flow.because() });
        }
        match (flow, self.block(tree.executing(Some(finally)).collect())) {
            (Flow::Done, ended) => ended,
            (first, _) => first,
        }
    }

    fn parallel(&mut self, tolerate: usize, branches: &[usize]) -> Flow {
        let (begun, others): (Vec<usize>, Vec<usize>) = branches.iter().partition(|branch| self.begun(**branch));
        let (mut failures, mut timed_out) = (BTreeMap::new(), false);
        for branch in begun.iter().chain(&others) {
            if (failures.len() > tolerate || timed_out) && !begun.contains(branch) {
                continue;
            }
            match self.node(*branch) {
                Flow::Done => {}
                Flow::TimedOut => timed_out = true,
                flow => drop(failures.insert(*branch, flow)),
            }
        }
        match failures.len() {
            _ if timed_out => Flow::TimedOut,
            number if number > tolerate => failures.into_values().next().expect("a failure"),
            _ => Flow::Done,
        }
    }
}

fn reading(plan: &Plan, events: &[Event]) -> Reading {
    read(events, &plan.nodes, |_, _| Some(Zeroizing::new(Vec::new())))
}

/// The world after these events: what did not end had no effect.
fn world_after(plan: &Plan, events: &[Event]) -> (World, Vec<usize>) {
    let mut world = World::default();
    let (mut log, mut open) = (Vec::new(), BTreeSet::new());
    let atomic = |node: usize| plan.tree().ancestors(node).find(|block| plan.tree().kind(*block).is_some_and(is_atomic));
    let mut inside: Vec<usize> = Vec::new();
    for event in events {
        match event {
            Event::BlockStarts { at } if atomic(at.node).is_none() => drop(open.insert(at.node)),
            Event::StepStarts { at } if atomic(at.node).is_none() => drop(open.insert(at.node)),
            Event::StepDone { at, .. } if atomic(at.node).is_some() => inside.push(at.node),
            Event::StepDone { at, .. } if plan.tree().kind(at.node) != Some(NodeKind::Let) => {
                open.remove(&at.node);
                log.push(at.node);
            }
            Event::Binding { at, .. } if atomic(at.node).is_none() => {
                open.remove(&at.node);
                log.push(at.node);
            }
            Event::BlockDone { at, .. } if open.remove(&at.node) => log.append(&mut inside),
            // Whoever went on said that what was unknown may run again.
            Event::Resumed { .. } => {
                open.clear();
                inside.clear();
            }
            _ => {}
        }
    }
    log.iter().for_each(|node| *world.ran.entry(*node).or_insert(0) += 1);
    assert_eq!(reading(plan, events).unknown, open.into_iter().collect::<Vec<_>>(), "what began and has no end is unknown");
    (world, log)
}

fn sorted(mut log: Vec<usize>) -> Vec<usize> {
    log.sort_unstable();
    log
}

fn run_done() -> Event {
    Event::RunDone(Done {
        outcome: Outcome::Failed,
        detail: None,
        effects: Effects::Started,
        exit: 1,
        steps_done: 0,
        steps_total: 0,
        failures: Vec::new(),
        left_running: Vec::new(),
        cleaned_up: Vec::new(),
        cleanup_skipped: Vec::new(),
        elapsed_ms: 0,
        resumable: true,
        which: Which::default(),
    })
}

proptest! {
    #[test]
    fn a_run_that_is_cut_anywhere_does_in_two_parts_what_it_does_in_one(parts in vec(part(), 1..5), again in any::<proptest::sample::Index>()) {
        let plan = Plan::of(&parts);
        let (flow, whole) = Run::of(&plan, Rest::default(), World::default());
        for cut in 0..=whole.events.len() {
            let before = &whole.events[..cut];
            let (world, mut log) = world_after(&plan, before);
            let (end, second) = Run::of(&plan, reading(&plan, before).rest, world);
            prop_assert_eq!(&end, &flow, "cut behind {} events: {:?}", cut, before.last());
            // And again, in the middle of the second part.
            let more = again.index(second.events.len() + 1);
            let both = [before, &[Event::Resumed { steps_before: 0 }], &second.events[..more]].concat();
            log.extend(second.log);
            prop_assert_eq!(sorted(log), sorted(whole.log.clone()), "cut behind {} events: {:?}", cut, before.last());
            let (world, mut log) = world_after(&plan, &both);
            let (end, third) = Run::of(&plan, reading(&plan, &both).rest, world);
            log.extend(third.log);
            prop_assert_eq!((sorted(log), &end), (sorted(whole.log.clone()), &flow), "cut behind {} events, and {} more", cut, more);
        }
    }

    #[test]
    fn after_an_orderly_end_what_succeeded_stays_done_and_what_failed_is_done_again(parts in vec(part(), 1..5)) {
        let plan = Plan::of(&parts);
        let (flow, first) = Run::of(&plan, Rest::default(), World::default());
        prop_assume!(flow != Flow::Done);
        let events = [first.events.as_slice(), &[run_done()]].concat();
        let Reading { rest, ended, unknown } = reading(&plan, &events);
        prop_assert_eq!((ended, unknown), (Some(Outcome::Failed), Vec::new()));
        let (end, second) = Run::of(&plan, rest, World { mended: true, ..first.world });
        prop_assert_eq!(end, Flow::Done, "nothing of the failure is left");
        let (_, fresh) = Run::of(&plan, Rest::default(), World { mended: true, ..World::default() });
        let (mut ends, mut steps) = (BTreeMap::new(), BTreeMap::new());
        for event in &first.events {
            match event {
                Event::BlockDone { at, came } => drop(ends.insert(at.node, came.result)),
                Event::StepDone { at, came, .. } => drop(steps.insert(at.node, came.result)),
                _ => {}
            }
        }
        let done = |block: &usize| ends.get(block) == Some(&Ending::Done);
        let within = |step: usize, kinds: &[NodeKind]| {
            let of_kind = |block: &usize| plan.tree().kind(*block).is_some_and(|kind| kinds.contains(&kind));
            plan.tree().ancestors(step).find(|block| done(block) || of_kind(block))
        };
        for step in 0..plan.nodes.len() {
            // The outermost block that ended well, or starts anew.
            let outermost = within(step, &[NodeKind::Try, NodeKind::Retry, NodeKind::Timeout, NodeKind::Pipe]);
            let stays = outermost.map_or(steps.get(&step) == Some(&Ending::Done), |block| done(&block));
            let (runs, wanted) = (second.log.contains(&step), fresh.log.contains(&step));
            prop_assert!(!(stays && runs), "{} is done again", step);
            let chosen = within(step, &[NodeKind::Or, NodeKind::Seq]).is_some();
            prop_assert!(stays || runs || chosen || !wanted, "{} is left out", step);
        }
    }
}
