//! `|>` from a source to a run, with the real binaries.

use opal_tests::Host;

const SOURCE: &str = r#"
health: echo "Status 500 @env.TOKEN" |> assert.re("Status 200")
go: {
    var least = 2
    echo '{"replicas": 3}' |> json.pick("$.replicas") |> assert.num(">= @var.least")
    echo "@env.TOKEN" |> assert.eq("@env.TOKEN")
    try { health() } catch { echo SITE fell back }
    @retry(2) { echo "not @env.TOKEN" |> assert.eq("@env.TOKEN") }
}
"#;

#[test]
fn a_pipeline_is_shown_on_one_line_run_and_explained_without_secrets() {
    let mut host = Host::new();
    host.set("TOKEN", "hunter2hunter2");
    host.contract(SOURCE, &["go"]);
    let shown = host.opalc(&["show", "prod.plan"]);
    let line = r#"echo '{"replicas": 3}' |> json.pick("$.replicas") |> assert.num(">= 2")"#;
    assert!(shown.expect(0).stdout.contains(line), "{}", shown.stdout);
    let ran = host.vm(&["run", "--plan", "prod.plan"]);
    ran.expect(1).says("expected \"opal:secret:").says("got `not opal:secret:");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(
        matches!(lines.as_slice(), ["3", token, fell] if token.starts_with("opal:secret:") && fell.ends_with("fell back")),
        "{lines:?}"
    );
    assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"), "{ran:?}");
    for (path, bytes) in host.files() {
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{}", path.display());
    }
}

#[test]
fn json_shows_each_operation_with_its_argument() {
    let mut host = Host::new();
    host.set("TOKEN", "hunter2hunter2");
    host.write("deploy.opl", SOURCE);
    let planned = host.opalc(&["deploy.opl", "health", "--format", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&planned.expect(0).stdout).expect("JSON");
    let pipeline = &plan["steps"][0];
    assert_eq!(pipeline["decorator"], "@transform");
    assert_eq!(pipeline["block"][0]["decorator"], "@shell");
    assert_eq!((&pipeline["block"][1]["decorator"], &pipeline["block"][1]["args"]["re"]), (&"@assert.re".into(), &"Status 200".into()));
}
