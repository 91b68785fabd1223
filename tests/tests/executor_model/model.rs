//! What a plan does, written down as simply as it can be: one recursive function over the plan, no processes, no time.
//!
//! Where several things run at once it may be open how far some of them get, so the model gives every ending that is allowed.

use crate::plan::{Block, Exit, Operation, Operator, Plan, Step, Stmt};
use std::collections::BTreeMap;

/// How something ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flow {
    Done,
    /// With its first cause: `s` and the number of a step, or what a decorator says.
    Failed(String),
    /// The limit of a block around it was up.
    TimedOut,
}

/// One way in which things may have gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    /// What the steps noted, in order.
    pub(crate) log: Vec<String>,
    /// Whether that order is the only one.
    pub(crate) concurrent: bool,
    /// What is on standard output.
    pub(crate) output: String,
    /// How often steps have run.
    counts: BTreeMap<u32, u32>,
}

/// More ways than this, and the plan is of no use.
const WAYS_MAX: usize = 200;

type Ways = Vec<(World, Flow)>;

#[derive(Clone, Default)]
struct Scope {
    directory: String,
    variables: BTreeMap<u32, u32>,
    bindings: BTreeMap<u32, String>,
}

/// Every way in which a plan may go; `None` if there are too many.
pub(crate) fn run(plan: &Plan) -> Option<Ways> {
    let last = plan.commands.last()?;
    let ways = Model { plan }.block(last, World::default(), &Scope::default());
    (ways.len() <= WAYS_MAX).then_some(ways)
}

struct Model<'a> {
    plan: &'a Plan,
}

/// Goes on from each way.
fn then(ways: Ways, next: impl Fn(World, Flow) -> Ways) -> Ways {
    let mut all = Vec::new();
    for (world, flow) in ways {
        all.extend(next(world, flow));
        if all.len() > WAYS_MAX {
            break;
        }
    }
    all
}

impl Model<'_> {
    fn block(&self, block: &[Stmt], world: World, scope: &Scope) -> Ways {
        let Some((first, rest)) = block.split_first() else { return vec![(world, Flow::Done)] };
        if let Stmt::Bind(step) = first {
            let (world, flow) = self.step(step, world, scope, false);
            if flow != Flow::Done {
                return vec![(world, flow)];
            }
            let mut scope = scope.clone();
            let value = format!("bound{}{}z", step.id, values(step, &scope));
            scope.bindings.insert(step.id, value);
            return self.block(rest, world, &scope);
        }
        then(self.stmt(first, world, scope), |world, flow| match flow {
            Flow::Done => self.block(rest, world, scope),
            other => vec![(world, other)],
        })
    }

    fn step(&self, step: &Step, mut world: World, scope: &Scope, says: bool) -> (World, Flow) {
        let bound: String = step.bindings.iter().map(|number| format!("-{}", scope.bindings[number])).collect();
        let values = values(step, scope);
        world.log.push(format!("s{}{values}{bound}:{}", step.id, scope.directory));
        for line in 1..=step.lines {
            if says {
                world.output.push_str(&format!("o{}{values}{bound}.{line}\n", step.id));
            }
        }
        let count = world.counts.entry(step.id).or_default();
        *count += 1;
        let well = match step.exit {
            Exit::Code(code) => code == 0,
            Exit::Signal(_) => false,
            Exit::From(times) => *count >= times,
        };
        (world, if well { Flow::Done } else { Flow::Failed(format!("s{}", step.id)) })
    }

    fn stmt(&self, stmt: &Stmt, world: World, scope: &Scope) -> Ways {
        match stmt {
            Stmt::Step(step) | Stmt::Bind(step) => vec![self.step(step, world, scope, true)],
            Stmt::Hang => vec![(world, Flow::TimedOut)],
            Stmt::Sleep => vec![(world, Flow::Done)],
            Stmt::Line(operands) => self.line(operands, world, scope),
            Stmt::Try(body, catch, finally) => self.attempt(body, catch.as_ref(), finally.as_ref(), world, scope),
            Stmt::Retry(attempts, block) => self.retry(*attempts, block, world, scope),
            Stmt::Timeout(fires, block) => then(self.block(block, world, scope), |world, flow| match flow {
                Flow::TimedOut if *fires => vec![(world, Flow::Failed("timeout".to_owned()))],
                other => vec![(world, other)],
            }),
            Stmt::Workdir(path, block) => {
                let directory = match *path {
                    "one" => format!("{}/one", scope.directory),
                    "./one/../two" => format!("{}/two", scope.directory),
                    "../two" => format!("{}/two", scope.directory.rsplit_once('/').map_or("", |(parent, _)| parent)),
                    _ => return vec![(world, Flow::Failed("workdir".to_owned()))],
                };
                self.block(block, world, &Scope { directory, ..scope.clone() })
            }
            Stmt::Parallel { at_once, tolerate, inside } => self.parallel(*at_once, *tolerate, inside, world, scope),
            Stmt::If(variable, block, otherwise) => match (scope.variables[variable], otherwise) {
                (1, _) => self.block(block, world, scope),
                (_, Some(otherwise)) => self.block(otherwise, world, scope),
                _ => vec![(world, Flow::Done)],
            },
            Stmt::When(variable, arms) => {
                let arm = (scope.variables[variable] as usize).min(3) - 1;
                self.block(&arms[arm], world, scope)
            }
            Stmt::For(variable, to, block) => (1..=*to).fold(vec![(world, Flow::Done)], |ways, round| {
                then(ways, |world, flow| match flow {
                    Flow::Done => self.block(block, world, &with(scope, *variable, round)),
                    other => vec![(world, other)],
                })
            }),
            Stmt::Call(number) => {
                let scope = Scope { directory: scope.directory.clone(), ..Scope::default() };
                self.block(&self.plan.commands[*number], world, &scope)
            }
            Stmt::Pipeline(step, operations) => self.pipeline(step, operations, world, scope),
        }
    }

    fn attempt(&self, body: &Block, catch: Option<&Block>, finally: Option<&Block>, world: World, scope: &Scope) -> Ways {
        let ways = then(self.block(body, world, scope), |world, flow| match (&flow, catch) {
            (Flow::Failed(_), Some(catch)) => then(self.block(catch, world, scope), |world, ended| {
                let flow = if matches!(ended, Flow::Failed(_)) { flow.clone() } else { ended };
                vec![(world, flow)]
            }),
            _ => vec![(world, flow)],
        });
        let Some(finally) = finally else { return ways };
        then(ways, |world, flow| {
            then(self.block(finally, world, scope), |world, ended| {
                let flow = if flow == Flow::Done { ended } else { flow.clone() };
                vec![(world, flow)]
            })
        })
    }

    fn retry(&self, attempts: u32, block: &Block, world: World, scope: &Scope) -> Ways {
        then(self.block(block, world, scope), |world, flow| match flow {
            Flow::Failed(_) if attempts > 1 => self.retry(attempts - 1, block, world, scope),
            other => vec![(world, other)],
        })
    }

    /// Branches one after the other. Once more have failed than are tolerated, no more are started; those that were started before that,
    /// where several run at once, are the first few of the rest.
    fn parallel(&self, at_once: usize, tolerate: usize, inside: &Block, world: World, scope: &Scope) -> Ways {
        let mut branches: Vec<(&[Stmt], Scope)> = Vec::new();
        for stmt in inside {
            match stmt {
                Stmt::For(variable, to, block) => branches.extend((1..=*to).map(|round| (block.as_slice(), with(scope, *variable, round)))),
                other => branches.push((std::slice::from_ref(other), scope.clone())),
            }
        }
        let mut world = world;
        world.concurrent |= at_once > 1 && branches.len() > 1;
        // World, causes of failed branches, whether one has timed out.
        let mut open = vec![(world, Vec::<String>::new(), false)];
        let mut over = Vec::new();
        for (block, scope) in &branches {
            let mut next = Vec::new();
            for (world, failed, timed_out) in open {
                if timed_out || failed.len() > tolerate {
                    over.push((world.clone(), failed.clone(), timed_out));
                    if at_once == 1 {
                        continue;
                    }
                }
                for (world, flow) in self.block(block, world, scope) {
                    let mut failed = failed.clone();
                    let timed_out = timed_out || flow == Flow::TimedOut;
                    if let Flow::Failed(cause) = flow {
                        failed.push(cause);
                    }
                    next.push((world, failed, timed_out));
                }
            }
            open = next;
            if open.len() + over.len() > WAYS_MAX {
                break;
            }
        }
        over.extend(open);
        over.into_iter()
            .map(|(world, failed, timed_out)| {
                let flow = match failed.first() {
                    _ if timed_out => Flow::TimedOut,
                    Some(first) if failed.len() > tolerate => Flow::Failed(first.clone()),
                    _ => Flow::Done,
                };
                (world, flow)
            })
            .collect()
    }

    /// As `bash` reads it: `|` binds tightest, then `&&` and `||` from the left, then `;`.
    fn line(&self, operands: &[(Operator, Stmt)], world: World, scope: &Scope) -> Ways {
        let mut pipes: Vec<(Operator, Vec<&Stmt>)> = Vec::new();
        for (operator, operand) in operands {
            match pipes.last_mut() {
                Some((_, pipe)) if *operator == Operator::Pipe => pipe.push(operand),
                _ => pipes.push((*operator, vec![operand])),
            }
        }
        let mut ways = vec![(world, Flow::Done)];
        for (number, (operator, pipe)) in pipes.iter().enumerate() {
            ways = then(ways, |world, flow| {
                let runs = match (operator, &flow) {
                    (_, Flow::TimedOut) => false,
                    _ if number == 0 => true,
                    (Operator::And, flow) => *flow == Flow::Done,
                    (Operator::Or, flow) => *flow != Flow::Done,
                    _ => true,
                };
                if runs { self.pipe(pipe, world, scope) } else { vec![(world, flow)] }
            });
        }
        ways
    }

    /// All operands at once; what those before the last say is read by the next. Fails as the last that fails.
    fn pipe(&self, operands: &[&Stmt], world: World, scope: &Scope) -> Ways {
        let mut ways = vec![(world, Flow::Done)];
        for (number, operand) in operands.iter().enumerate() {
            ways = then(ways, |mut world, before| {
                let output = world.output.len();
                world.concurrent |= operands.len() > 1;
                then(self.stmt(operand, world, scope), |mut world, flow| {
                    if number + 1 < operands.len() {
                        world.output.truncate(output);
                    }
                    vec![(world, if flow == Flow::Done { before.clone() } else { flow })]
                })
            });
        }
        ways
    }

    fn pipeline(&self, step: &Stmt, operations: &[Operation], world: World, scope: &Scope) -> Ways {
        let before = world.output.len();
        then(self.stmt(step, world, scope), |mut world, flow| {
            let text = world.output.split_off(before);
            if flow != Flow::Done {
                return vec![(world, flow)];
            }
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            for operation in operations {
                match operation {
                    Operation::Head(count) => lines.truncate(*count),
                    Operation::Tail(count) => drop(lines.drain(..lines.len().saturating_sub(*count))),
                    Operation::Count => lines = vec![lines.len().to_string()],
                    Operation::Grep(line) => lines.retain(|text| text.ends_with(&format!(".{line}"))),
                    Operation::AtLeast(least) => {
                        let well = lines.concat().parse::<usize>().is_ok_and(|number| number >= *least);
                        if !well {
                            return vec![(world, Flow::Failed("assert".to_owned()))];
                        }
                    }
                }
            }
            lines.iter().for_each(|line| world.output.push_str(&format!("{line}\n")));
            vec![(world, Flow::Done)]
        })
    }
}

fn with(scope: &Scope, variable: u32, value: u32) -> Scope {
    let mut scope = scope.clone();
    scope.variables.insert(variable, value);
    scope
}

fn values(step: &Step, scope: &Scope) -> String {
    step.variables.iter().map(|number| format!("-{}", scope.variables[number])).collect()
}
