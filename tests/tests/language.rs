//! What scripts do when they are run: the language, through the real binaries.

use opal_tests::{Ended, Host};

/// Compiles a script and runs the contract.
#[track_caller]
fn run(host: &Host, script: &str) -> Ended {
    host.contract(&format!("{script}# SITE\n"), &[]);
    host.vm(&["run", "--plan", "prod.plan"])
}

/// What a script that succeeds prints.
#[track_caller]
fn prints(script: &str, expected: &str) {
    let ended = run(&Host::new(), script);
    ended.expect(0);
    assert_eq!(ended.stdout, expected, "{script}");
}

#[test]
fn line_ends_of_windows_are_line_ends() {
    prints("echo a \\\r\n  b\r\ncat <<EOF | od -An -c\r\nx\r\nEOF\r\n", "a b\n   x  \\n\n");
    prints("run: {\r\n    cat <<-'EOF'\r\n\tx\r\n\tEOF\r\n}\r\n", "x\n");
}
