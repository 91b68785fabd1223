//! The options of opal itself.

use crate::cli::{options, plan};

/// The options that opal has whatever the target.
pub(in crate::cli) fn own_options() -> Vec<clap::Arg> {
    use options::{flag, path};
    let mut all = vec![
        flag("dry-run", "Show the plan, and run nothing"),
        flag("confirm", "Show the plan and ask before it is run; needs a terminal").conflicts_with("dry-run"),
        flag("yes", "Answer that question").conflicts_with("dry-run"),
        flag("quiet", "Say nothing but what the steps say, unless something fails").short('q').conflicts_with("dry-run"),
        path("record", "DIR", "Where the record of the run goes, or `none`").long("record").conflicts_with("dry-run"),
    ];
    all.extend(plan::arguments());
    all
}
