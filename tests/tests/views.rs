//! The forms of a plan, through the real programs: what they show, what they leave open, and that no text can break out of them.

use opal_tests::Host;
use serde_json::Value;

const FORMS: [&str; 5] = ["tree", "json", "html", "dot", "markdown"];

fn show(host: &Host, file: &str, form: &str) -> String {
    host.opalc(&[file, "--format", form]).expect(0).stdout.clone()
}

const OPEN: &str = "\
var PW = @random.password(length=12)
fun go {
    if @var.PW == \"abc\" {
        echo first
        when @env.HOME { \"/\" -> echo root; else -> echo home }
    } else if @var.PW == \"b\" { echo second } else { echo third }
    when @var.PW { \"x\" -> echo X; else -> echo Y }
    for i in 1...int(@var.PW) { echo \"turn @var.i\" }
    while @var.PW == \"z\" { echo again }
    if @env.HOME == \"/\" { echo not taken } else { echo taken }
}
";

#[test]
fn a_quick_plan_shows_every_way_that_a_deferred_value_leaves_open() {
    let host = Host::new();
    host.write("a.opl", OPEN);
    let tree = show(&host, "a.opl", "tree");
    let expected = "\
go:
├─ @if(@var.PW == \"abc\")  ← may be taken: ¹
│  ├─ echo first
│  └─ @when(@env.HOME == else)
│     └─ echo home
├─ @else(@var.PW == \"abc\")  ← may be taken: ¹
│  ├─ @if(@var.PW == \"b\")  ← may be taken: ¹
│  │  └─ echo second
│  └─ @else(@var.PW == \"b\")  ← may be taken: ¹
│     └─ echo third
├─ @when(@var.PW == \"x\")  ← may be taken: ¹
│  └─ echo X
├─ @when(@var.PW == else)  ← may be taken: ¹
│  └─ echo Y
├─ @for(i in 1...int(@var.PW))  ← any number of times: ¹
│  └─ echo \"turn ²<deferred>\"
├─ @while(@var.PW == \"z\")  ← any number of times: ¹
│  └─ echo again
└─ @else(@env.HOME == \"/\")
   └─ echo taken

Values:
  env.HOME = HOST/home

Deferred Values:
1. @random.password(12)#1 → <expensive>
2. <an element of a deferred collection>
";
    assert_eq!(tree, expected.replace("HOST", &host.path().display().to_string()));
    for form in FORMS {
        let text = show(&host, "a.opl", form);
        for step in ["first", "second", "third", "echo X", "echo Y", "again", "home", "taken"] {
            assert!(text.contains(step), "{form} has no {step}");
        }
        assert!(!text.contains("not taken"), "{form}");
        assert!(form == "json" || text.matches("may be taken").count() == 6, "{form}: {text}");
    }
    let document: Value = serde_json::from_str(&show(&host, "a.opl", "json")).expect("JSON");
    assert_eq!(document["steps"][0]["decided_by"], "random.password(12)#1");
    assert_eq!(document["steps"][0]["block"][1].get("decided_by"), None);
    host.write("commands.opl", OPEN);
    assert_eq!(host.run("opal", &["go", "--dry-run"]).expect(0).stdout, tree);
}

#[test]
fn no_text_breaks_out_of_a_view() {
    let nasty = "x ``` ```` @someone <script>alert(1)</script> & \\\" | \u{202e}gnp.\u{200b} \u{1b}[2J \u{7}";
    let source =
        format!("fun go {{\n    echo '{nasty}'\n    cat <<'E'\n```\n@everyone\n└─ rm -rf /\nE\n    echo @env.V(public=true)\n}}\n");
    for form in FORMS {
        let mut host = Host::new();
        host.write("a.opl", &source);
        host.set("V", nasty);
        let text = show(&host, "a.opl", form);
        assert!(!text.contains(['\u{202e}', '\u{200b}', '\u{1b}', '\u{7}']), "{form}: {text:?}");
        match form {
            "tree" => assert!(!text.lines().any(|line| line.starts_with("└─ rm")), "{text}"),
            "json" => assert!(serde_json::from_str::<Value>(&text).is_ok()),
            "html" => {
                assert!(!text.contains("<script") && text.contains("&lt;script&gt;") && text.contains("default-src 'none'"), "{text}")
            }
            "markdown" => assert_fenced(&text),
            _ => assert_dot(&text),
        }
    }
}

/// Outside of fences, which no line inside closes, nothing of a source stands.
fn assert_fenced(text: &str) {
    let mut fence: Option<&str> = None;
    for line in text.lines() {
        let ticks = &line[..line.len() - line.trim_start_matches('`').len()];
        match fence {
            Some(open) if ticks.len() >= open.len() && line == ticks => fence = None,
            Some(_) => {}
            None if ticks.len() >= 3 => fence = Some(ticks),
            None => assert!(!line.contains("someone") && !line.contains("everyone") && !line.contains("script"), "{line}\n{text}"),
        }
    }
    assert_eq!(fence, None, "{text}");
}

/// Each line is a statement whose double quotes are closed.
fn assert_dot(text: &str) {
    let mut lines = text.lines();
    assert_eq!((lines.next(), text.lines().last()), (Some("digraph plan {"), Some("}")));
    for line in lines.filter(|line| *line != "}") {
        let mut quoted = false;
        let mut characters = line.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' if quoted => drop(characters.next()),
                '"' => quoted = !quoted,
                _ => {}
            }
        }
        assert!(!quoted && line.ends_with(';'), "{line}");
    }
    let Ok(mut dot) =
        std::process::Command::new("dot").arg("-Tsvg").stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).spawn()
    else {
        eprintln!("graphviz is not here: its grammar is not tried");
        return;
    };
    std::io::Write::write_all(&mut dot.stdin.take().expect("a pipe"), text.as_bytes()).expect("written");
    assert!(dot.wait().expect("ended").success());
}

#[test]
fn a_contract_is_shown_in_every_form_whatever_is_wrong_with_it() {
    let host = Host::new();
    host.contract("fun deploy = echo SITE @env.HOME @env.RECORD_TO", &["--expires", "1s"]);
    host.opalc(&["deploy.opl", "--resolve", "--unsigned", "-o", "unsigned.plan"]).expect(0);
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert!(host.vm(&["verify", "--plan", "prod.plan"]).expect(21).stdout.is_empty());
    // A host that knows neither signer nor recipient.
    let stranger = Host::new();
    for name in ["prod.plan", "unsigned.plan"] {
        stranger.write(name, std::fs::read(host.work().join(name)).expect("a contract"));
        for form in FORMS {
            let text = stranger.opalc(&["show", name, "--format", form]).expect(0).stdout.clone();
            assert!(text.contains("echo") && text.contains("sha256:") && text.contains("opal:secret:"), "{name} {form}: {text}");
        }
    }
    assert!(stranger.opalc(&["show", "unsigned.plan"]).expect(0).stdout.contains("signed by:    nobody"));
    stranger.opalc(&["show", "prod.plan", "--format", "html", "-o", "plan.html"]).expect(0);
    assert!(stranger.read("plan.html").starts_with("<!doctype html>"));
}

#[test]
fn a_difference_is_a_comment_with_inputs_before_steps() {
    let mut host = Host::new();
    host.write(
        "a.opl",
        "fun go {\n    echo @env.R(public=true)\n    if @env.R(public=true) == \"2\" { echo `date` } else { echo more }\n}\n",
    );
    host.set("R", "2").opalc(&["a.opl", "--resolve", "-o", "a.plan"]).expect(0);
    host.set("R", "3").opalc(&["a.opl", "--resolve", "-o", "b.plan"]).expect(0);
    let text = host.opalc(&["diff", "a.plan", "b.plan", "--format", "markdown"]).expect(3).stdout.clone();
    let (inputs, steps) = (text.find("#### Inputs").expect("inputs"), text.find("#### Steps").expect("steps"));
    assert!(inputs < steps && text.contains("was `2`, is now `3`") && text.contains("+ echo more"), "{text}");
    assert!(host.opalc(&["diff", "a.plan", "b.plan"]).expect(3).stdout.contains("is changed"));
}

#[test]
fn inspect_stops_after_a_megabyte_unless_all_is_asked_for() {
    let host = Host::new();
    host.write("a.opl", format!("fun go {{ for i in 1...4000 {{ echo {} @var.i }} }}", "x".repeat(400)));
    host.opalc(&["a.opl", "--resolve", "-o", "a.plan"]).expect(0);
    let short = host.vm(&["inspect", "--plan", "a.plan"]).expect(0).stdout.clone();
    assert!(short.len() < 1_200_000 && short.contains("more nodes are not shown") && short.contains("Plan Hash: "), "{}", short.len());
    let all = host.vm(&["inspect", "--plan", "a.plan", "--all"]).expect(0).stdout.clone();
    assert!(all.len() > 1_600_000 && !all.contains("not shown"));
    assert!(all.ends_with(&host.opalc(&["show", "a.plan", "--all"]).expect(0).stdout));
}

#[test]
fn a_run_says_a_line_for_each_step_that_ends() {
    let host = Host::new();
    host.write("commands.opl", host.named("fun go {\n    printf SITE\n    try { bash -c 'echo wrong >&2; exit 3' } catch { echo caught }\n    sleep(1ms)\n}\nfun bad = false\n"));
    let ended = host.run("opal", &["go"]);
    assert_eq!(ended.expect(0).stdout, host.named("SITEcaught\n"));
    let marks: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with(['✓', '✗'])).collect();
    assert_eq!(marks.len(), 4, "{}", ended.stderr);
    assert!(marks[0].starts_with("✓ 1/4 1 (") && marks[1].starts_with("✗ 2/4 2.1 (exit status 3 after "), "{marks:?}");
    assert!(marks[3].starts_with("✓ 4/4 3 ("), "{marks:?}");
    for quiet in ["--quiet", "--json"] {
        let ended = host.run("opal", &["go", quiet]);
        assert!(!ended.expect(0).stderr.contains('✓'), "{}", ended.stderr);
    }
    let failed = host.run("opal", &["bad", "--quiet"]);
    failed.expect(1).says("error[step_failed]: step 1 failed: exit status 1");
    assert!(!failed.stderr.contains('✗'), "{}", failed.stderr);
}
