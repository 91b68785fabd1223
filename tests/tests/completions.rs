//! Completions through real shells: the script is loaded, and its function is called as the shell calls it.

use opal_tests::{Host, binaries};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

const COMMANDS: &str = "\
# Says hello.
fun hello(name: String = \"world\", times: Int = 1, loud: Bool = false) = echo @var.name @var.times @var.loud @env.NOT_SET
fun scale(env: String, max_conns: Int = 3) = echo @var.env @var.max_conns
roll-back: echo back
run: echo own
";

fn host() -> Host {
    let host = Host::new();
    host.write("commands.opl", COMMANDS);
    host.write("other.opl", "fun up(n: Int = 7) = echo @var.n\n");
    host.write("a.plan", "");
    host.write("my own.plan", "");
    host.write("notes.txt", "");
    host.write("below/x", "");
    host
}

/// What bash would offer for a command line that ends where the cursor is, one candidate after another, each in brackets.
fn bash(host: &Host, line: &str) -> String {
    // Bash cuts words at `=` too, and gives the function the text after the cut.
    let script = r#"
eval "$(opalc completions bash)" || exit
read -ra words <<<"${1//=/ = }"
[[ $1 == *' ' ]] && words+=('')
COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1)) COMPREPLY=()
current=${words[COMP_CWORD]}
[[ $current == = ]] && current=
_"${words[0]//-/_}"_complete "${words[0]}" "$current" "${words[COMP_CWORD - 1]}"
printf '[%s]' "${COMPREPLY[@]}"
"#;
    let ours = host.command("opalc", [] as [&str; 0]);
    let mut shell = Command::new("bash");
    shell.args(["-c", script, "bash", line]).current_dir(host.work()).env_clear();
    shell.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("PATH", format!("{}:{}", binaries().display(), std::env::var("PATH").unwrap_or_default())).stdin(Stdio::null());
    let output = shell.output().expect("bash starts");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "nothing is said while `{line}` is typed");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn commands_parameters_flags_values_and_files_are_completed() {
    let host = host();
    for (line, candidates) in [
        ("opal he", "[hello ]"),
        ("opal rol", "[roll-back ]"),
        ("opal exe", "[execute ]"),
        ("opal hello --n", "[--name ][--no-public ]"),
        ("opal hello --name ", "[world ]"),
        ("opal hello --loud=", "[true ][false ]"),
        ("opal hello --loud=f", "[false ]"),
        ("opal hello --tim", "[--times ]"),
        ("opal scale --max", "[--max-conns ]"),
        ("opal scale --dry", "[--dry-run ]"),
        ("opal plan scale --max", "[--max-conns ]"),
        ("opal ./ot", "[./other.opl ]"),
        ("opal ./other.opl ", "[up ]"),
        ("opal ./other.opl up --n ", "[7 ]"),
        ("opal run --plan ", "[a.plan ][my\\ own.plan ][below/]"),
        ("opal execute a", "[a.plan ]"),
        ("opal completions ", "[bash ][zsh ][fish ]"),
        ("opalc ch", "[check ]"),
        ("opalc check o", "[other.opl ]"),
        ("opalc --format=j", "[json ]"),
        ("opalc --hash-algo ", "[sha256 ][blake3 ]"),
        ("opalc other.opl u", "[up ]"),
        ("opalc other.opl up --n", "[--n ][--no-public ]"),
        ("opalc explain env_u", "[env_unset ]"),
        ("opalc man opal-vm-i", "[opal-vm-inspect ]"),
        ("opalc show ", "[a.plan ][my\\ own.plan ][below/]"),
        ("opalc --pass-env XDG_CONF", "[XDG_CONFIG_HOME ]"),
        ("opal-vm ver", "[verify ]"),
        ("opal-vm verify --rev", "[--reveal ]"),
        ("opal-vm run --color ", "[auto ][always ][never ]"),
        ("opal-vm run --plan my", "[my\\ own.plan ]"),
    ] {
        let found = bash(&host, line);
        let wanted = if line.ends_with(' ') { found.starts_with(candidates) } else { found == candidates };
        assert!(wanted, "`{line}` gives {found}");
    }
    let commands = bash(&host, "opal ");
    for name in ["hello", "scale", "roll-back", "run", "plan", "other.opl"] {
        assert!(commands.contains(&format!("[{name} ]")), "{name} in {commands}");
    }
}

#[test]
fn completing_evaluates_nothing_makes_nothing_and_believes_no_stranger() {
    let host = host();
    let before: Vec<_> = host.files().into_iter().map(|(path, _)| path).collect();
    bash(&host, "opal hello --");
    bash(&host, "opal plan ");
    let after: Vec<_> = host.files().into_iter().map(|(path, _)| path).collect();
    assert_eq!(before, after);
    // What is refused gives no candidates, and no message.
    std::fs::set_permissions(host.work().join("commands.opl"), std::fs::Permissions::from_mode(0o666)).expect("a mode");
    assert_eq!(bash(&host, "opal hel"), "[]");
    std::fs::set_permissions(host.work().join("commands.opl"), std::fs::Permissions::from_mode(0o644)).expect("a mode");
    for text in ["fun broken(\n", "fun twice(a, a) = echo\nfun twice(a) = echo\n", "\u{0}\u{1}", "fun help(help, version) = echo\n"] {
        host.write("commands.opl", text);
        bash(&host, "opal ");
        bash(&host, "opal tw");
        bash(&host, "opal help --");
    }
    std::fs::remove_file(host.work().join("commands.opl")).expect("removed");
    assert_eq!(bash(&host, "opal hel"), "[]");
}

#[test]
fn what_a_file_does_without_a_target_is_completed_behind_the_file() {
    let host = host();
    assert_eq!(bash(&host, "opal other.opl --n"), "[--n ][--no-public ]");
    assert_eq!(bash(&host, "opal other.opl up --n"), "[--n ][--no-public ]");
    assert_eq!(bash(&host, "opalc other.opl u"), "[up ]");
    // A name that an option of opalc has takes nothing else away.
    host.write("clash.opl", "fun clash(json, help = 1, version = 2) = echo @var.json @var.help @var.version\n");
    assert_eq!(bash(&host, "opalc clash.opl cl"), "[clash ]");
    assert!(bash(&host, "opalc clash.opl clash --h").contains("[--help ]"));
    assert_eq!(bash(&host, "opal clash.opl --he"), "[--help ]");
}

#[test]
fn the_variable_of_the_question_alone_changes_nothing() {
    let host = host();
    let output = host.command("opal", ["roll-back"]).env("_OPAL_COMPLETE", "bash").output().expect("starts");
    assert_eq!(output.stdout, b"back\n");
}

/// Whether a shell is here; says so if it is not.
fn has(shell: &str) -> bool {
    let there = Command::new(shell).arg("-c").arg("true").status().is_ok_and(|status| status.success());
    if !there {
        eprintln!("skipped: there is no {shell} here");
    }
    there
}

#[test]
fn the_scripts_for_zsh_and_fish_keep_errors_out_of_the_line_and_load() {
    let host = host();
    for shell in ["zsh", "fish"] {
        let script = host.opalc(&["completions", shell]);
        script.expect(0);
        for program in ["opal", "opalc", "opal-vm"] {
            assert!(script.stdout.contains(program), "{shell}");
        }
        let questions = script.stdout.matches("_OPAL_COMPLETE=").count();
        assert_eq!((questions, script.stdout.matches("2>/dev/null").count()), (3, 3), "{shell}: {}", script.stdout);
        if has(shell) {
            host.write("script", &script.stdout);
            let line = if shell == "zsh" {
                "autoload -U compinit; compinit -D; source ./script"
            } else {
                "source ./script; complete -C 'opal hel'"
            };
            let path = format!("{}:{}", binaries().display(), std::env::var("PATH").unwrap_or_default());
            let output = Command::new(shell).args(["-c", line]).current_dir(host.work()).env("PATH", path).output().expect("starts");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{shell}");
            assert!(shell == "zsh" || String::from_utf8_lossy(&output.stdout).contains("hello"), "{shell}");
        }
    }
}
