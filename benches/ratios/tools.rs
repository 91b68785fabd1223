//! The same commands by other tools. All start each command as a process of its own and stop at the first that fails.

use crate::child::spawn_times;
use crate::run::copy_surroundings;
use crate::{Row, Rows};
use opal_tests::Host;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

const STEPS: usize = 200;

pub(crate) fn rows() -> Rows {
    let host = Host::new();
    let mut rows = Vec::new();
    for (kind, line) in [("programs", "/bin/true"), ("shell lines", "test -d / && /bin/true")] {
        let mut opal = String::new();
        let mut bash = "set -eo pipefail\n".to_owned();
        let mut make = "all:\n".to_owned();
        let mut just = "all:\n".to_owned();
        for _ in 0..STEPS {
            let _ = writeln!(opal, "{line}");
            let _ = writeln!(bash, "{line}");
            let _ = writeln!(make, "\t@{line}");
            let _ = writeln!(just, "    @{line}");
        }
        host.write("deploy.opl", opal);
        host.write("script.sh", bash);
        host.write("Makefile", make);
        host.write("justfile", just);
        let made = host.opalc(&["deploy.opl", "--resolve", "-o", "prod.plan"]);
        if made.status != 0 {
            return Err(made.stderr.into());
        }
        let contract = host.command("opal-vm", ["run", "--plan", "prod.plan", "--record", "none"]);
        let direct = host.command("opal", ["-q", "--record", "none", "./deploy.opl"]);
        for (tool, words) in [("bash", &["-e", "script.sh"][..]), ("make", &["-s"]), ("just", &["--quiet"])] {
            let mut other = Command::new(tool);
            other.args(words);
            copy_surroundings(&contract, &mut other);
            let runs = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            if runs.is_err() {
                println!("tools: {tool} is not installed");
                continue;
            }
            let [contract, direct, other] = spawn_times(5, 1, [&contract, &direct, &other])?;
            let yardstick = format!("{tool} {}", words.join(" "));
            rows.push(Row::times(format!("{STEPS} {kind}, contract"), contract, &yardstick, other, None));
            rows.push(Row::times(format!("{STEPS} {kind}, direct run"), direct, &yardstick, other, None));
        }
    }
    Ok(rows)
}
