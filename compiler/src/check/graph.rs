//! Who depends on whom: commands that call themselves, variables that need themselves.

use super::typed::Unit;
use crate::diagnostic::{Code, Diagnostic};
use crate::span::Span;
use opal_core::program::table::limits;
use std::collections::BTreeMap;

pub(super) fn check(unit: &Unit, diagnostics: &mut Vec<Diagnostic>) {
    let calls: Vec<&BTreeMap<usize, Span>> = unit.commands.iter().map(|command| &command.uses.calls).collect();
    let name = |command: usize| unit.commands.get(command).map_or("", |command| &command.name);
    let cycles = cycles(unit.commands.len(), |command| calls.get(command).into_iter().flat_map(|calls| calls.keys().copied()).collect());
    for cycle in &cycles {
        let span = closing(cycle).and_then(|(from, to)| calls.get(from)?.get(&to).copied()).unwrap_or_default();
        diagnostics.push(
            Diagnostic::new(Code::Recursion, span, format!("a command cannot call itself: {}", chain(cycle, name)))
                .with_help("repeat with `for` or `while`, which run while the plan is made"),
        );
    }
    if cycles.is_empty() {
        check_depth(unit, diagnostics);
    }
    // In a script the order of the statements rules out cycles.
    let needs = |global: usize| unit.globals.get(global).map(|global| &global.uses.globals);
    let name = |global: usize| unit.globals.get(global).map_or("", |global| &global.name);
    for cycle in self::cycles(unit.globals.len(), |global| {
        needs(global).into_iter().flat_map(|needs| needs.keys().map(|&global| global as usize)).collect()
    }) {
        let span = closing(&cycle).and_then(|(from, to)| needs(from)?.get(&u32::try_from(to).ok()?).copied()).unwrap_or_default();
        diagnostics.push(
            Diagnostic::new(Code::VariableCycle, span, format!("a variable cannot need itself: {}", chain(&cycle, name)))
                .with_help("give one of them a value that does not need the others"),
        );
    }
}

/// The last edge of a cycle.
fn closing(cycle: &[usize]) -> Option<(usize, usize)> {
    cycle.last().copied().zip(cycle.first().copied())
}

fn chain<'n>(cycle: &[usize], name: impl Fn(usize) -> &'n str) -> String {
    let names: Vec<&str> = cycle.iter().chain(cycle.first()).map(|&member| name(member)).collect();
    format!("`{}`", names.join(" → "))
}

/// One cycle per edge that leads back, by a walk that does not recurse.
fn cycles(count: usize, edges: impl Fn(usize) -> Vec<usize>) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    visit(count, 0..count, &edges, |cycle| found.push(cycle.to_vec()));
    found
}

/// Members reachable from `roots`, each after everything it leads to; `cycle` is told of every path that leads back to itself.
fn visit(
    count: usize,
    roots: impl IntoIterator<Item = usize>,
    edges: &impl Fn(usize) -> Vec<usize>,
    mut cycle: impl FnMut(&[usize]),
) -> Vec<usize> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut states = vec![State::New; count];
    let mut order = Vec::new();
    for root in roots {
        if states.get(root) != Some(&State::New) {
            continue;
        }
        states[root] = State::Open;
        let mut path = vec![root];
        let mut left = vec![edges(root).into_iter()];
        while let (Some(&member), Some(rest)) = (path.last(), left.last_mut()) {
            match rest.next() {
                Some(next) if states.get(next) == Some(&State::New) => {
                    states[next] = State::Open;
                    path.push(next);
                    left.push(edges(next).into_iter());
                }
                Some(next) => {
                    if states.get(next) == Some(&State::Open) {
                        let start = path.iter().position(|member| *member == next).unwrap_or(0);
                        cycle(&path[start..]);
                    }
                }
                None => {
                    states[member] = State::Done;
                    order.push(member);
                    path.pop();
                    left.pop();
                }
            }
        }
    }
    order
}

/// Members reachable from `roots`, each after everything it leads to. The edges must be free of cycles.
pub(crate) fn order(count: usize, roots: impl IntoIterator<Item = usize>, edges: &impl Fn(usize) -> Vec<usize>) -> Vec<usize> {
    visit(count, roots, edges, |_| {})
}

fn check_depth(unit: &Unit, diagnostics: &mut Vec<Diagnostic>) {
    let edges = |command: usize| unit.commands.get(command).map(|command| command.uses.calls.keys().copied().collect()).unwrap_or_default();
    let mut depths = vec![0u32; unit.commands.len()];
    for command in order(unit.commands.len(), 0..unit.commands.len(), &edges) {
        let below = edges(command).iter().filter_map(|callee| depths.get(*callee)).max().copied().unwrap_or(0);
        depths[command] = below.saturating_add(1);
        // Reported once, where the limit is crossed; one level is kept for the entry.
        if depths[command] == limits::DEPTH
            && let Some(command) = unit.commands.get(command)
        {
            diagnostics.push(
                Diagnostic::new(Code::LimitExceeded, command.span, format!("calls nest deeper than {}", limits::DEPTH - 1))
                    .with_help("make the chain of commands shorter"),
            );
        }
    }
}
