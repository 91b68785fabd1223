//! The type of a plan: what its steps are, derived from them alone (spec/plan-format.md, "Plan type").

use crate::read::kind::{NodeKind, PlanType};
use crate::read::steps::{Node, StepsView};

/// The type of these steps: `campaign` where there is a `@try`, else `matrix` where a loop goes over several axes, else `atomic` where one
/// node executes, else `sequence`.
#[must_use]
pub fn derive_plan_type(steps: StepsView<'_>) -> PlanType {
    let kinds = || steps.nodes.iter().filter_map(Node::kind);
    // A pipeline's operations belong to its step.
    let counts = |kind: &NodeKind| !kind.is_flow() && !kind.is_operation() && *kind != NodeKind::Transform;
    if kinds().any(|kind| kind == NodeKind::Try) {
        PlanType::Campaign
    } else if steps.nodes.iter().any(|node| node.has_axes()) {
        PlanType::Matrix
    } else if kinds().filter(counts).take(2).count() == 1 {
        PlanType::Atomic
    } else {
        PlanType::Sequence
    }
}
