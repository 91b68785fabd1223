//! Plans as the model sees them, and a generator of them.

/// A sequence of statements.
pub(crate) type Block = Vec<Stmt>;

/// How a step ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
    /// Fails before it has been run so often, in all of the plan.
    From(u32),
}

/// One shell command. It notes in a log that it ran, where, and with which values; and says so on its standard output.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) id: u32,
    pub(crate) exit: Exit,
    /// Loop variables that it uses, by number.
    pub(crate) variables: Vec<u32>,
    /// Runtime bindings that it uses, by number.
    pub(crate) bindings: Vec<u32>,
    /// Reads its standard input to the end first.
    pub(crate) drains: bool,
    /// Lines on standard output.
    pub(crate) lines: u32,
}

/// What `|>` puts output through.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Head(usize),
    Tail(usize),
    Count,
    /// Keeps lines that end so.
    Grep(u32),
    /// Wants a number of at least this.
    AtLeast(usize),
}

/// Operators, from the loosest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Seq,
    And,
    Or,
    Pipe,
}

#[derive(Clone, Debug)]
pub(crate) enum Stmt {
    Step(Step),
    /// Does nothing for ever.
    Hang,
    Sleep,
    Bind(Step),
    /// Operands with the operator before each; that of the first means nothing. At least one operand is no step.
    Line(Vec<(Operator, Stmt)>),
    Try(Block, Option<Block>, Option<Block>),
    Retry(u32, Block),
    /// Whether it fires, and what is inside. One that fires holds a hanging step that is reached before anything else.
    Timeout(bool, Block),
    /// A directory below the current one, or beside it, or one that is not there.
    Workdir(&'static str, Block),
    Parallel {
        at_once: usize,
        tolerate: usize,
        inside: Block,
    },
    /// `if` on a loop variable's being 1.
    If(u32, Block, Option<Block>),
    /// `when` on a loop variable: arms for 1 and 2, and for all else.
    When(u32, [Block; 3]),
    /// A loop variable from 1 to a number.
    For(u32, u32, Block),
    Call(usize),
    Pipeline(Box<Stmt>, Vec<Operation>),
}

/// A plan: commands that call only those before them. The last is what is run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) commands: Vec<Block>,
}

/// Makes plans from a number.
pub(crate) struct Generator {
    state: u64,
    next_id: u32,
    /// Commands that hold a step whose end depends on how often it has run.
    stateful: Vec<bool>,
    /// Commands in which several branches run at once.
    concurrent: Vec<bool>,
    budget: u32,
}

/// What may stand at a place.
#[derive(Clone, Default)]
struct Place {
    depth: u32,
    variables: Vec<u32>,
    bindings: Vec<u32>,
    /// Several things run at once around it, so that nothing may depend on how often something has run.
    concurrent: bool,
    /// Its output goes into a pipe, where branches that run at once write in no order.
    piped: bool,
    /// Directly in `@parallel`, where no binding may stand.
    branch: bool,
    /// Inside a directory, so that there is one beside it.
    moved: bool,
}

impl Place {
    fn deeper(&self) -> Self {
        Self { depth: self.depth + 1, branch: false, ..self.clone() }
    }
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, next_id: 1, stateful: Vec::new(), concurrent: Vec::new(), budget: 0 }
    }

    pub(crate) fn plan(mut self) -> Plan {
        let count = 1 + self.below(3);
        let mut commands = Vec::new();
        for number in 0..count {
            self.budget = if number + 1 == count { 16 } else { 4 };
            self.stateful.push(false);
            self.concurrent.push(false);
            commands.push(self.block(&Place { depth: if number + 1 == count { 0 } else { 2 }, ..Place::default() }));
        }
        Plan { commands }
    }

    /// SplitMix64.
    fn below(&mut self, limit: u32) -> u32 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) % u64::from(limit)).expect("small")
    }

    fn one_in(&mut self, chances: u32) -> bool {
        self.below(chances) == 0
    }

    fn fresh(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// At least one statement.
    fn block(&mut self, place: &Place) -> Block {
        let mut place = place.clone();
        let mut block = Vec::new();
        for _ in 0..=self.below(3) {
            let stmt = self.stmt(&place);
            if let Stmt::Bind(step) = &stmt {
                place.bindings.push(step.id);
            }
            block.push(stmt);
            if self.budget == 0 {
                break;
            }
        }
        block
    }

    fn step(&mut self, place: &Place) -> Step {
        self.budget = self.budget.saturating_sub(1);
        let exit = match self.below(10) {
            0 | 1 => Exit::Code(i32::try_from(1 + self.below(255)).expect("small")),
            // Not INT: a subshell of bash that ends itself by it counts as one that ended well.
            2 => Exit::Signal([1, 6, 9, 13, 15][usize::try_from(self.below(5)).expect("small")]),
            3 | 4 if !place.concurrent => {
                if let Some(stateful) = self.stateful.last_mut() {
                    *stateful = true;
                }
                Exit::From(2 + self.below(2))
            }
            _ => Exit::Code(0),
        };
        let mut some = |all: &[u32]| all.iter().copied().filter(|_| self.one_in(2)).collect();
        let (variables, bindings) = (some(&place.variables), some(&place.bindings));
        Step { id: self.fresh(), exit, variables, bindings, drains: false, lines: 1 }
    }

    fn call(&mut self, place: &Place) -> Option<Stmt> {
        let callable = u32::try_from(self.stateful.len() - 1).expect("small");
        let number = usize::try_from(self.below(callable.max(1))).expect("small");
        if callable == 0 || (place.concurrent && self.stateful[number]) || (place.piped && self.concurrent[number]) {
            return None;
        }
        if self.concurrent[number]
            && let Some(concurrent) = self.concurrent.last_mut()
        {
            *concurrent = true;
        }
        if self.stateful[number]
            && let Some(stateful) = self.stateful.last_mut()
        {
            *stateful = true;
        }
        Some(Stmt::Call(number))
    }

    fn stmt(&mut self, place: &Place) -> Stmt {
        let inner = place.deeper();
        if place.depth >= 4 || self.budget <= 1 {
            return Stmt::Step(self.step(place));
        }
        match self.below(26) {
            0..=4 => Stmt::Step(self.step(place)),
            5 if place.branch => Stmt::Step(self.step(place)),
            5 | 6 if !place.branch => Stmt::Bind(self.step(place)),
            7 => Stmt::Sleep,
            8..=10 => self.line(place),
            11..=13 => self.attempt(&inner),
            14 | 15 => Stmt::Retry(1 + self.below(3), self.block(&inner)),
            16 => Stmt::Timeout(false, self.block(&inner)),
            17 => Stmt::Timeout(true, vec![self.hanging(&inner)]),
            18 => self.workdir(&inner),
            19 | 20 => self.parallel(&inner),
            21 if !place.variables.is_empty() => {
                let variable = self.variable(place);
                let otherwise = if self.one_in(2) { Some(self.block(&inner)) } else { None };
                Stmt::If(variable, self.block(&inner), otherwise)
            }
            22 if !place.variables.is_empty() => {
                let variable = self.variable(place);
                Stmt::When(variable, [self.block(&inner), self.block(&inner), self.block(&inner)])
            }
            23 => {
                let (variable, to) = (self.fresh(), 1 + self.below(3));
                let mut inner = inner;
                inner.variables.push(variable);
                Stmt::For(variable, to, self.block(&inner))
            }
            24 => self.pipeline(place),
            _ => self.call(place).unwrap_or_else(|| Stmt::Step(self.step(place))),
        }
    }

    fn variable(&mut self, place: &Place) -> u32 {
        place.variables[usize::try_from(self.below(u32::try_from(place.variables.len()).expect("small"))).expect("small")]
    }

    fn attempt(&mut self, inner: &Place) -> Stmt {
        let body = self.block(inner);
        let which = self.below(3);
        let catch = if which != 1 { Some(self.block(inner)) } else { None };
        let finally = if which != 0 { Some(self.block(inner)) } else { None };
        Stmt::Try(body, catch, finally)
    }

    fn workdir(&mut self, inner: &Place) -> Stmt {
        let path = match self.below(4) {
            0 => "missing",
            1 if inner.moved => "../two",
            2 => "./one/../two",
            _ => "one",
        };
        Stmt::Workdir(path, self.block(&Place { moved: true, ..inner.clone() }))
    }

    fn parallel(&mut self, inner: &Place) -> Stmt {
        let at_once = 1 + self.below(4);
        if at_once > 1
            && let Some(concurrent) = self.concurrent.last_mut()
        {
            *concurrent = true;
        }
        let mut place = Place { branch: true, concurrent: inner.concurrent || at_once > 1, ..inner.clone() };
        let mut inside = self.block(&place);
        if self.one_in(3) {
            let variable = self.fresh();
            place.variables.push(variable);
            // A round is a block of its own.
            place.branch = false;
            inside.push(Stmt::For(variable, 2 + self.below(3), self.block(&place)));
        }
        Stmt::Parallel {
            at_once: usize::try_from(at_once).expect("small"),
            tolerate: usize::try_from(self.below(3)).expect("small"),
            inside,
        }
    }

    /// A statement that reaches a hanging step before anything else.
    fn hanging(&mut self, place: &Place) -> Stmt {
        let inner = place.deeper();
        if place.depth >= 4 {
            return Stmt::Hang;
        }
        let first = |generator: &mut Self, inner: &Place| {
            let mut block = vec![generator.hanging(inner)];
            if generator.one_in(2) {
                block.push(Stmt::Step(generator.step(inner)));
            }
            block
        };
        match self.below(10) {
            0 => {
                let body = first(self, &inner);
                let finally = if self.one_in(3) { None } else { Some(self.block(&inner)) };
                Stmt::Try(body, Some(self.block(&inner)), finally)
            }
            1 => {
                let body = first(self, &inner);
                Stmt::Try(body, None, Some(self.block(&inner)))
            }
            2 => Stmt::Retry(3, first(self, &inner)),
            3 => Stmt::Timeout(false, first(self, &inner)),
            4 => Stmt::Parallel { at_once: 1, tolerate: 1, inside: first(self, &inner) },
            5 => {
                let operator = [Operator::And, Operator::Or, Operator::Seq][usize::try_from(self.below(3)).expect("small")];
                let hanging = Stmt::Retry(2, first(self, &inner));
                Stmt::Line(vec![(Operator::Seq, hanging), (operator, Stmt::Step(self.step(&inner)))])
            }
            _ => Stmt::Hang,
        }
    }

    /// An operand: a step, or a construct with a block. Reads all of its input first if something is piped into it.
    fn operand(&mut self, place: &Place, construct: bool, reads: bool) -> Stmt {
        let mut step = self.step(place);
        step.drains = reads;
        if !construct {
            return Stmt::Step(step);
        }
        let mut block = vec![Stmt::Step(step)];
        if self.one_in(3) {
            block.push(Stmt::Step(self.step(place)));
        }
        match self.below(4) {
            0 if !reads => self.call(place).unwrap_or(Stmt::Retry(1, block)),
            1 => Stmt::Timeout(false, block),
            // What reads all there is finds nothing when it is run again.
            _ => Stmt::Retry(1 + self.below(3), block),
        }
    }

    fn line(&mut self, place: &Place) -> Stmt {
        let count = 2 + self.below(3);
        let operators: Vec<Operator> = (0..count)
            .map(|_| {
                [Operator::Seq, Operator::And, Operator::Or, Operator::And, Operator::Or, Operator::Pipe]
                    [usize::try_from(self.below(6)).expect("small")]
            })
            .collect();
        let pipes = operators.iter().skip(1).any(|operator| *operator == Operator::Pipe);
        let place = Place { concurrent: place.concurrent || pipes, piped: place.piped || pipes, ..place.clone() };
        let construct = self.below(count);
        let mut operands = Vec::new();
        for (number, operator) in (0..count).zip(operators) {
            let reads = number > 0 && operator == Operator::Pipe;
            let construct = number == construct || self.one_in(3);
            operands.push((operator, self.operand(&place, construct, reads)));
        }
        Stmt::Line(operands)
    }

    fn pipeline(&mut self, place: &Place) -> Stmt {
        let mut step = self.step(place);
        step.lines = 1 + self.below(4);
        let operations = (0..=self.below(2))
            .map(|_| match self.below(4) {
                0 => Operation::Head(usize::try_from(self.below(4)).expect("small")),
                1 => Operation::Tail(usize::try_from(self.below(4)).expect("small")),
                2 => Operation::Count,
                _ => Operation::Grep(1 + self.below(3)),
            })
            .collect::<Vec<_>>();
        let checked = if self.one_in(2) {
            vec![Operation::Count, Operation::AtLeast(usize::try_from(self.below(3)).expect("small"))]
        } else {
            Vec::new()
        };
        let operations = operations.into_iter().chain(checked).collect();
        let step = match self.below(3) {
            0 => Stmt::Retry(2, vec![Stmt::Step(step)]),
            1 => self.call(&Place { piped: true, ..place.clone() }).unwrap_or(Stmt::Step(step)),
            _ => Stmt::Step(step),
        };
        Stmt::Pipeline(Box::new(step), operations)
    }
}
