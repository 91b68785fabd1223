//! The rules of the tables (spec/plan-format.md, "Rules of the tables"): what is checked of a plan beyond being a valid archive.
//!
//! One pass over each table, without recursion. Every argument and part belongs to one node, in the order of the nodes and without rest, so that
//! walking a plan takes time in proportion to its tables, and nothing hides between them. Nodes may share text, up to a limit for all together;
//! slots may not. PROGRAM is left to the program verifier.

use crate::crypto::seed::{DISPLAY_ID_LENGTH, is_base58};
use crate::read::canonical;
use crate::read::error::{FormatError, Rule, within};
use crate::read::kind::Section;
use crate::read::kind::{NodeKind, PlanType, Position, ValueType};
use crate::read::limits;
use crate::read::plan_type::derive_plan_type;
use crate::read::program::{ProgramView, TEMPLATE_HOLE, TEMPLATE_TEXT};
use crate::read::record::{Range, Span, TextRef};
use crate::read::slots::{SLOT_COMPUTED, SLOT_PUBLIC, SLOT_SHAPES, Slot, SlotsView};
use crate::read::steps::{Arg, NODE_AXES, Node, OriginsView, Part, PartKind, StepsView};
use crate::read::terms::Terms;
use std::collections::HashSet;

/// TERMS name a regen root exactly where sub-keys of one are there.
pub(crate) fn regen(terms: &Terms, present: bool, offset: usize) -> Result<(), FormatError> {
    if terms.regen_root.is_some() == present {
        return Ok(());
    }
    Err(FormatError::Table { section: Section::Terms, index: 0, rule: Rule::RegenRoot, offset })
}

/// TERMS state the type of the steps.
pub(crate) fn plan_type(terms: &Terms, steps: StepsView<'_>, offset: usize) -> Result<(), FormatError> {
    if terms.plan_type == derive_plan_type(steps).number() {
        return Ok(());
    }
    Err(FormatError::Table { section: Section::Terms, index: 0, rule: Rule::PlanType, offset })
}

/// Checks the terms.
pub(crate) fn terms(terms: &Terms, instruction_set: u32, offset: usize) -> Result<(), FormatError> {
    let fail = |index, rule| Err(FormatError::Table { section: Section::Terms, index, rule, offset });
    match PlanType::from_number(terms.plan_type) {
        None | Some(PlanType::Adaptive) => return Err(FormatError::PlanTypeReserved { number: terms.plan_type }),
        Some(PlanType::Atomic | PlanType::Sequence | PlanType::Matrix | PlanType::Campaign) => {}
    }
    if terms.instruction_set != instruction_set {
        return fail(0, Rule::InstructionSet);
    }
    let mut names = HashSet::new();
    for (index, argument) in terms.arguments.iter().enumerate() {
        if argument.name.is_empty() || !names.insert(argument.name.as_str()) {
            return fail(index, Rule::ArgumentName);
        }
        if canonical::check(&argument.value).is_err() {
            return fail(index, Rule::ArgumentValue);
        }
    }
    if terms.umask > 0o777 {
        return fail(0, Rule::Umask);
    }
    if !terms.pass_env.is_sorted_by(|a, b| a < b) {
        return fail(0, Rule::PassEnv);
    }
    if let Some(index) = terms.pass_env.iter().position(|name| name.is_empty() || name.contains(['\0', '='])) {
        return fail(index, Rule::PassEnv);
    }
    if !terms.shell.starts_with('/') || terms.shell.contains('\0') {
        return fail(0, Rule::Shell);
    }
    if terms.directory.contains('\0') || !(terms.directory.is_empty() || terms.directory.starts_with('/')) {
        return fail(0, Rule::Directory);
    }
    if terms.source_name.contains('\0') {
        return fail(0, Rule::SourceName);
    }
    Ok(())
}

/// Checks the slot table.
pub(crate) fn slots(view: SlotsView<'_>, files: usize, offset: usize) -> Result<(), FormatError> {
    let mut keys = HashSet::with_capacity(view.slots.len());
    let mut text = Row { text: view.text, next: 0 };
    let fail = |index, rule| FormatError::Table { section: Section::Values, index, rule, offset };
    for (index, record) in view.slots.iter().enumerate() {
        slot(record, &mut text, &mut keys).and_then(|()| span(&record.span, files)).map_err(|rule| fail(index, rule))?;
    }
    require(text.next == view.text.len(), Rule::Text).map_err(|rule| fail(view.slots.len(), rule))
}

/// Checks the places of a program in its sources; its meaning is left to the program verifier.
pub(crate) fn program_spans(view: &ProgramView<'_>, files: usize, offset: usize) -> Result<(), FormatError> {
    let imports = view.imports.iter().map(|import| &import.span);
    let nodes = view.nodes.iter().map(|node| &node.span);
    let templates = view.templates.iter().map(|template| &template.span);
    let code = view.debug.iter().map(|entry| &entry.span);
    for (index, place) in imports.chain(nodes).chain(templates).chain(code).enumerate() {
        span(place, files).map_err(|rule| FormatError::Table { section: Section::Program, index, rule, offset })?;
    }
    Ok(())
}

fn span(span: &Span, files: usize) -> Result<(), Rule> {
    require(usize::from(span.file) < files, Rule::SpanFile)
}

fn slot<'a>(slot: &Slot, text: &mut Row<'a>, keys: &mut HashSet<&'a [u8]>) -> Result<(), Rule> {
    require(slot.reserved == [0; 3], Rule::Reserved)?;
    require(slot.flags.to_native() & !(SLOT_PUBLIC | SLOT_SHAPES | SLOT_COMPUTED) == 0, Rule::SlotFlags)?;
    let value_type = ValueType::from_number(slot.value_type).ok_or(Rule::SlotType)?;
    let key = text.take(slot.key)?;
    require(!key.is_empty() && key.len() <= limits::KEY_LENGTH && keys.insert(key), Rule::SlotKey)?;
    let display = text.take(slot.display)?;
    require(display.len() == DISPLAY_ID_LENGTH && display.iter().all(is_base58), Rule::SlotDisplay)?;
    let value = text.take(slot.value)?;
    require(if slot.is_public() { canonical::check(value) == Ok(value_type) } else { value.is_empty() }, Rule::SlotValue)
}

/// Checks what of a program its steps refer to; the rest, and its meaning, is left to the program verifier. Texts of a template are parted by holes,
/// each of which takes a part of STEPS: so a walk over all commands takes time in proportion to the tables.
pub(crate) fn origins(view: OriginsView<'_>, offset: usize) -> Result<(), FormatError> {
    let fail = |index, rule| FormatError::Table { section: Section::Program, index, rule, offset };
    let mut used = 0;
    for (index, template) in view.templates.iter().enumerate() {
        let parts = claim(template.parts, view.parts, &mut used).map_err(|rule| fail(index, rule))?;
        let mut after_text = false;
        for part in parts {
            let text = part.text.of(view.text).ok_or(Rule::Text).map_err(|rule| fail(index, rule))?;
            let is_text = part.kind == TEMPLATE_TEXT;
            require(is_text || part.kind == TEMPLATE_HOLE, Rule::PartKind).map_err(|rule| fail(index, rule))?;
            require(is_text != text.is_empty() && !(is_text && after_text), Rule::PartText).map_err(|rule| fail(index, rule))?;
            after_text = is_text;
        }
    }
    require(used == view.parts.len(), Rule::Range).map_err(|rule| fail(view.templates.len(), rule))?;
    for (index, node) in view.nodes.iter().enumerate() {
        node.header.of(view.text).ok_or(Rule::Text).map_err(|rule| fail(index, rule))?;
    }
    Ok(())
}

/// Checks the step tree against a plan with `slots` slots.
pub(crate) fn steps(view: StepsView<'_>, slots: usize, offset: usize) -> Result<(), FormatError> {
    let mut checker = StepChecker { view, slots, text: Row { text: view.text, next: 0 }, args: 0, parts: 0, open: Vec::new() };
    let fail = |index, rule| FormatError::Table { section: Section::Steps, index, rule, offset };
    let executing = view.nodes.iter().filter(|node| node.kind.to_native() < NodeKind::For.number()).count();
    within("number of steps", executing, limits::STEPS, offset)?;
    for (index, node) in view.nodes.iter().enumerate() {
        checker.node(index, node).map_err(|rule| fail(index, rule))?;
    }
    let fail = |rule| fail(view.nodes.len(), rule);
    require(checker.args == view.args.len() && checker.parts == view.parts.len(), Rule::Range).map_err(fail)?;
    require(checker.text.next == view.text.len(), Rule::Text).map_err(fail)
}

/// The parameter of `@retry` that takes an Array of Ints.
const RETRY_ON: u8 = 4;

struct StepChecker<'a> {
    view: StepsView<'a>,
    slots: usize,
    text: Row<'a>,
    /// Arguments and parts used so far.
    args: usize,
    parts: usize,
    /// The nodes around the current one, outermost first.
    open: Vec<OpenNode>,
}

struct OpenNode {
    /// Index after its last node.
    end: usize,
    kind: NodeKind,
    /// Index of its first child.
    first: usize,
    /// The `@catch` or `@finally` seen last among its children.
    last: Option<NodeKind>,
    /// Whether it is a control-flow node directly in `@parallel`.
    in_parallel: bool,
}

impl StepChecker<'_> {
    fn node(&mut self, index: usize, node: &Node) -> Result<(), Rule> {
        let kind = node.kind().ok_or(Rule::NodeKind)?;
        let known = if kind == NodeKind::For { NODE_AXES } else { 0 };
        require(node.flags.to_native() & !known == 0, Rule::NodeFlags)?;
        while self.open.last().is_some_and(|open| open.end <= index) {
            self.open.pop();
        }
        let limit = self.open.last().map_or(self.view.nodes.len(), |open| open.end);
        let length = node.subtree.to_native() as usize;
        let end = index.saturating_add(length);
        require(length > 0 && end <= limit, Rule::Subtree)?;
        require(length == 1 || !kind.is_leaf(), Rule::LeafChildren)?;
        self.place(kind, index)?;
        let in_parallel = kind.is_flow() && self.open.last().is_some_and(|open| open.kind == NodeKind::Parallel);
        if kind.is_flow() {
            self.branch(kind, index, end, in_parallel)?;
        }
        if kind == NodeKind::Transform {
            let first = index.saturating_add(1);
            require(self.view.tree().end(first) < end, Rule::Transform)?;
        }
        if length > 1 {
            require(self.open.len() < limits::STEP_DEPTH, Rule::Depth)?;
            self.open.push(OpenNode { end, kind, first: index.saturating_add(1), last: None, in_parallel });
        }
        self.arguments(node)?;
        let origins = self.view.origins;
        let origin = node.origin.to_native();
        if !kind.has_command() {
            let same = origins.nodes.get(origin as usize).is_some_and(|origin| origin.kind == node.kind);
            require(same, Rule::Origin)?;
            return require(node.runs.to_native() == 0, Rule::Range);
        }
        let template = origins.template(origin).ok_or(Rule::Origin)?;
        let holes = template.iter().filter(|part| part.kind != TEMPLATE_TEXT);
        let first = if holes.clone().next().is_some() { self.parts } else { 0 };
        require(node.runs.to_native() as usize == first, Rule::Range)?;
        for _ in holes {
            self.run(Some(index))?;
        }
        Ok(())
    }

    /// Checks the run that follows the runs before it, in the command of a node or in an argument.
    fn run(&mut self, command: Option<usize>) -> Result<(), Rule> {
        let (mut alone, mut after_text) = (true, false);
        loop {
            let part = self.view.parts.get(self.parts).ok_or(Rule::Range)?;
            self.parts = self.parts.saturating_add(1);
            let is_text = part.kind() == Some(PartKind::Text);
            let empty = is_text && part.text_ref().is_empty();
            alone &= !part.has_more();
            require((!empty || alone) && !(is_text && after_text), Rule::PartText)?;
            self.part(part, command)?;
            if !part.has_more() {
                return Ok(());
            }
            after_text = is_text;
        }
    }

    /// Branches of `@parallel` are its executing children, whatever control flow is around them: so that how plans run hinges on executing nodes
    /// alone, control flow there holds nothing else, and a taken arm at most one.
    fn branch(&self, kind: NodeKind, index: usize, end: usize, in_parallel: bool) -> Result<(), Rule> {
        require(!self.open.last().is_some_and(|open| open.in_parallel), Rule::Parallel)?;
        if !in_parallel {
            return Ok(());
        }
        let first = index.saturating_add(1);
        let child = self.view.nodes.get(first).map_or(0, |child| child.subtree.to_native() as usize);
        match kind {
            NodeKind::For => Ok(()),
            NodeKind::If | NodeKind::Else | NodeKind::When => require(first == end || first.saturating_add(child) == end, Rule::Parallel),
            _ => Err(Rule::Parallel),
        }
    }

    /// Checks that a node of this kind may follow its siblings.
    fn place(&mut self, kind: NodeKind, index: usize) -> Result<(), Rule> {
        let is_handler = matches!(kind, NodeKind::Catch | NodeKind::Finally);
        let follows_step = self.open.last().is_some_and(|open| open.kind == NodeKind::Transform && open.first != index);
        require(kind.is_operation() == follows_step, Rule::Transform)?;
        match self.open.last_mut() {
            Some(open) if open.kind == NodeKind::Try => {
                let fits = match open.last {
                    None => true,
                    Some(NodeKind::Catch) => kind == NodeKind::Finally,
                    Some(_) => false,
                };
                open.last = is_handler.then_some(kind).or(open.last);
                require(fits, Rule::TryChildren)
            }
            _ => require(!is_handler, Rule::OutsideTry),
        }
    }

    fn arguments(&mut self, node: &Node) -> Result<(), Rule> {
        let args = claim(node.args, self.view.args, &mut self.args)?;
        // The elements of one Array argument follow one another under its parameter.
        let retry = node.kind.to_native() == NodeKind::Retry.number();
        let element = |arg: &Arg| match ValueType::from_number(arg.value_type) {
            Some(ValueType::String) => true,
            Some(ValueType::Int) => retry && arg.param == RETRY_ON,
            _ => false,
        };
        let ascends = |a: &Arg, b: &Arg| a.param < b.param || (a.param == b.param && a.value_type == b.value_type && element(a));
        require(args.is_sorted_by(ascends), Rule::ArgOrder)?;
        for arg in args {
            require(arg.reserved.to_native() == 0, Rule::Reserved)?;
            require(self.argument_fits(arg), if is_scalar(arg) { Rule::ArgValue } else { Rule::ArgType })?;
            if arg.is_text() {
                require(usize::try_from(arg.value.to_native()) == Ok(self.parts), Rule::Range)?;
                self.run(None)?;
            }
        }
        Ok(())
    }

    fn argument_fits(&self, arg: &Arg) -> bool {
        let scalar = arg.scalar();
        let slot = arg.slot.to_native();
        let value_fits = match ValueType::from_number(arg.value_type) {
            Some(ValueType::String) => return slot == 0,
            Some(ValueType::Int | ValueType::Duration) => true,
            Some(ValueType::Bool) => matches!(scalar, 0 | 1),
            Some(ValueType::Float) => f64::from_bits(scalar.cast_unsigned()).is_finite(),
            Some(ValueType::Array | ValueType::Map) | None => return false,
        };
        value_fits && (slot == 0 || (scalar == 0 && slot as usize <= self.slots))
    }

    /// Checks a part of the command of node `command`, or of an argument.
    fn part(&mut self, part: &Part, command: Option<usize>) -> Result<(), Rule> {
        let kind = part.kind().ok_or(Rule::PartKind)?;
        if kind == PartKind::Text {
            return self.text.take(part.text_ref()).map(drop);
        }
        let position = part.position().ok_or(Rule::Position)?;
        require((position == Position::Argument) == command.is_none(), Rule::Position)?;
        let first = part.first.to_native() as usize;
        if kind == PartKind::Slot {
            return require(first < self.slots, Rule::SlotNumber);
        }
        let is_let = |node: &Node| node.kind.to_native() == NodeKind::Let.number();
        let earlier = command.is_some_and(|index| first < index);
        require(earlier && self.view.nodes.get(first).is_some_and(is_let), Rule::Binding)
    }
}

/// Whether an argument's type is one that arguments have.
fn is_scalar(arg: &Arg) -> bool {
    ValueType::from_number(arg.value_type).is_some_and(|value_type| !matches!(value_type, ValueType::Array | ValueType::Map))
}

fn require(holds: bool, rule: Rule) -> Result<(), Rule> {
    if holds { Ok(()) } else { Err(rule) }
}

/// The records of a range, which start where those of the range before it ended; a range without records has one form.
fn claim<'a, T>(range: Range, table: &'a [T], used: &mut usize) -> Result<&'a [T], Rule> {
    if range == Range::EMPTY {
        return Ok(&[]);
    }
    let records = range.of(table).ok_or(Rule::Range)?;
    require(range.first.to_native() as usize == *used && !records.is_empty(), Rule::Range)?;
    *used = used.saturating_add(records.len());
    Ok(records)
}

/// A text pool whose texts stand one after the other, in the order of their references.
struct Row<'a> {
    text: &'a [u8],
    next: usize,
}

impl<'a> Row<'a> {
    fn take(&mut self, reference: TextRef) -> Result<&'a [u8], Rule> {
        if reference == TextRef::EMPTY {
            return Ok(&[]);
        }
        let bytes = reference.of(self.text).ok_or(Rule::Text)?;
        require(reference.offset.to_native() as usize == self.next && !bytes.is_empty(), Rule::Text)?;
        self.next = self.next.saturating_add(bytes.len());
        Ok(bytes)
    }
}
