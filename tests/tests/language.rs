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

#[test]
fn public_values_arrive_byte_for_byte() {
    let mut host = Host::new();
    let value = "\u{1}\u{7f} a'b\"c $HOME `x` \\ * {a,b} ~ \n\nEOF\n";
    host.set("VALUE", value);
    let script = "var V = @env.VALUE(public=true)\nrun: {\n    A=(@var.V \"@var.V\"); printf '%s|' \"${A[@]}\" @var.V \"@var.V\" x{a,b}@{var.V}\n    cat <<EOF\n@var.V\nEOF\n}\n";
    let ended = run(&host, script);
    ended.expect(0);
    assert_eq!(ended.stdout, format!("{value}|{value}|{value}|{value}|xa{value}|xb{value}|{value}\n"));
}
