//! Sources to plans: what is compiled is verified and planned against a small reality, and the tree of steps is compared.

use opal_core::decorators::node_params;
use opal_core::plan::{FileFailure, Mode, Options, Plan, PlanError, Reality, plan};
use opal_core::program::table::limits;
use opal_core::program::verify::verify;
use opal_format::kind::{NodeKind, ValueType};
use opal_format::seed::Seed;
use opal_format::slots::SlotsView;
use opal_format::steps::{Piece, Pieces, StepsView};
use opalc::diagnostic::Diagnostic;
use opalc::lower::{CliArgument, Compiled, Entry, Failure, UsageError, compile};
use opalc::source::Source;
use opalc::syntax::parse;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

/// An environment, and a note of what was looked at.
#[derive(Default)]
struct World {
    env: HashMap<String, String>,
    read: RefCell<BTreeSet<String>>,
}

impl Reality for World {
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        self.read.borrow_mut().insert(name.to_owned());
        self.env.get(name).map(|value| value.clone().into_bytes())
    }

    fn read_file(&self, path: &[u8]) -> Result<Vec<u8>, FileFailure> {
        Err(FileFailure { missing: true, reason: format!("no {}", String::from_utf8_lossy(path)) })
    }
}

fn world(env: &[(&str, &str)]) -> World {
    World { env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(), read: RefCell::default() }
}

fn entry(words: &[&str]) -> Entry {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let (target, arguments) = words.split_first().map_or((None, &[][..]), |(target, rest)| (Some(target.clone()), rest));
    Entry { target, arguments: CliArgument::parse(arguments) }
}

fn try_compile(text: &str, words: &[&str]) -> Result<Compiled, Failure> {
    let source = Source::new("test.opl", text);
    let parsed = parse(&source);
    assert!(!parsed.has_errors(), "{:#?}", parsed.diagnostics);
    compile(&source, &parsed.file, &entry(words))
}

fn compiled(text: &str, words: &[&str]) -> Compiled {
    try_compile(text, words).unwrap_or_else(|failure| panic!("{text}\n{failure:#?}"))
}

fn try_plan(text: &str, words: &[&str], world: &World) -> Result<Plan, PlanError> {
    let compiled = compiled(text, words);
    let verified = verify(compiled.program.view()).unwrap_or_else(|error| panic!("{error}"));
    let seed = Seed::from_bytes([7; 32]);
    let options = Options {
        mode: Mode::Resolve,
        seed: &seed,
        arguments: &compiled.values,
        pass_env: &[],
        regen: opal_format::regen::Regen::None,
        public_names: Some(&[]),
        no_public: false,
        fuel: limits::FUEL,
    };
    plan(&verified, world, &options)
}

/// The tree that a source plans, one node a line.
fn planned(text: &str, words: &[&str], env: &[(&str, &str)]) -> String {
    let plan = try_plan(text, words, &world(env)).unwrap_or_else(|error| panic!("{text}\n{error:?}"));
    tree(&plan)
}

fn tree(plan: &Plan) -> String {
    let (steps, slots) = (plan.steps.view(), plan.slots.view());
    let mut out = String::new();
    let mut ends: Vec<usize> = Vec::new();
    for (at, node) in steps.nodes.iter().enumerate() {
        ends.retain(|end| *end > at);
        let kind = node.kind().expect("a known kind");
        let indent = "  ".repeat(ends.len());
        let header = String::from_utf8_lossy(steps.header(node)).into_owned();
        let args: Vec<String> = steps.args_of(node).iter().map(|arg| argument(steps, slots, kind, arg)).collect();
        let text = match kind {
            NodeKind::Shell => pieces(slots, steps.command(node)),
            NodeKind::Let => format!("@let {}", pieces(slots, steps.command(node))),
            _ if !header.is_empty() => format!("{}({header})", kind.name()),
            _ if args.is_empty() => kind.name().to_owned(),
            _ => format!("{}({})", kind.name(), args.join(", ")),
        };
        writeln!(out, "{indent}{text}").expect("a string");
        ends.push(at + node.subtree.to_native() as usize);
    }
    out
}

fn argument(steps: StepsView<'_>, slots: SlotsView<'_>, kind: NodeKind, arg: &opal_format::steps::Arg) -> String {
    let name = node_params(kind)[usize::from(arg.param)].names[0];
    let scalar = arg.scalar();
    let value = match (arg.slot.to_native().checked_sub(1), ValueType::from_number(arg.value_type)) {
        (Some(slot), _) => slot_key(slots, slot),
        (None, Some(ValueType::String)) => pieces(slots, steps.text_of(arg)),
        (None, Some(ValueType::Duration)) => opal_core::duration::format(scalar),
        (None, Some(ValueType::Float)) => format!("{:?}", f64::from_bits(scalar.cast_unsigned())),
        (None, _) => scalar.to_string(),
    };
    format!("{name}={value}")
}

fn slot_key(slots: SlotsView<'_>, slot: u32) -> String {
    format!("{{{}}}", String::from_utf8_lossy(slots.slots[slot as usize].key.of(slots.text).unwrap_or_default()))
}

fn pieces(slots: SlotsView<'_>, pieces: Pieces<'_>) -> String {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(&String::from_utf8_lossy(text)),
            Piece::Slot(slot, _) => out.push_str(&slot_key(slots, slot)),
            Piece::Binding(node, _) => write!(out, "{{@let {node}}}").expect("a string"),
            Piece::Missing => panic!("a reference that leads nowhere"),
        }
    }
    out
}

/// Codes of the errors and warnings of a source.
fn said(text: &str) -> Vec<&'static str> {
    all(text).iter().map(|diagnostic| diagnostic.code.name()).collect()
}

fn all(text: &str) -> Vec<Diagnostic> {
    let source = Source::new("test.opl", text);
    let parsed = parse(&source);
    assert!(!parsed.has_errors(), "{text}\n{:#?}", parsed.diagnostics);
    opalc::check::check(&source, &parsed.file)
}

/// The errors of a source, as `code: message; help`.
fn errors(text: &str) -> Vec<String> {
    let errors = all(text).into_iter().filter(Diagnostic::is_error);
    errors.map(|error| format!("{}: {}; {}", error.code, error.message, error.help.unwrap_or_default())).collect()
}

fn usage(text: &str, words: &[&str]) -> UsageError {
    match try_compile(text, words) {
        Err(Failure::Usage(usage)) => usage.error,
        other => panic!("{other:?}"),
    }
}

const WEB: &str = r#"
var (
    ENV = @env.ENVIRONMENT(default="development")
    VERSION = @env.APP_VERSION(default="latest")
    REPLICAS = @env.REPLICAS(default=1)
    SERVICES = ["api", "worker", "ui"]
)

deploy: {
    echo "Deploying version @var.VERSION to @var.ENV"

    when @var.ENV {
        "production" -> {
            for service in @var.SERVICES {
                @retry(attempts=3, delay=10s) {
                    kubectl apply -f k8s/prod/@var.service/
                    kubectl scale --replicas=@var.REPLICAS deployment/@var.service
                }
            }
        }
        "staging" -> {
            @timeout(5m) {
                kubectl apply -f k8s/staging/
            }
        }
        else -> {
            echo "Deploying to development"
            kubectl apply -f k8s/dev/
        }
    }

    echo "Deployment complete"
}
"#;

#[test]
fn a_web_deployment_plans_the_arm_that_the_environment_chooses() {
    let expected = r#"echo "Deploying version {env.APP_VERSION(default="latest")} to {env.ENVIRONMENT(default="development")}"
@when(@var.ENV == else)
  echo "Deploying to development"
  kubectl apply -f k8s/dev/
echo "Deployment complete"
"#;
    let shown = planned(WEB, &["deploy"], &[]);
    assert_eq!(shown, expected);
    let shown = planned(WEB, &["deploy"], &[("ENVIRONMENT", "production"), ("REPLICAS", "3")]);
    assert!(shown.contains("@when(@var.ENV == \"production\")\n  @for(service in @var.SERVICES)\n    @retry(attempts=3, delay=10s)\n      kubectl apply -f k8s/prod/api/\n"), "{shown}");
}

#[test]
fn a_migration_plans_every_path_of_its_try_and_binds_at_run_time() {
    let text = r#"
var DB_URL = @env.DATABASE_URL
var BACKUP_BUCKET = @env.BACKUP_BUCKET(default="db-backups")

migrate: {
    try {
        echo "Starting database migration"
        @timeout(30m) {
            # Backup first
            pg_dump @var.DB_URL | gzip > backup.sql.gz
            @retry(attempts=2, delay=5s) {
                psql @var.DB_URL -f migrations/001.sql
            }
        }
    } catch {
        LATEST_BACKUP=$(aws s3 ls s3://@var.BACKUP_BUCKET/ | tail -1 | awk '{print $4}')
        aws s3 cp s3://@var.BACKUP_BUCKET/@var.LATEST_BACKUP - | gunzip | psql @var.DB_URL
    } finally {
        rm -f backup-*.sql.gz
    }
}
"#;
    let expected = r#"@try
  echo "Starting database migration"
  @timeout(duration=30m)
    pg_dump {env.DATABASE_URL} | gzip > backup.sql.gz
    @retry(attempts=2, delay=5s)
      psql {env.DATABASE_URL} -f migrations/001.sql
  @catch
    @let LATEST_BACKUP=$(aws s3 ls s3://{env.BACKUP_BUCKET}/ | tail -1 | awk '{print $4}')
    aws s3 cp s3://{env.BACKUP_BUCKET}/{@let 7} - | gunzip | psql {env.DATABASE_URL}
  @finally
    rm -f backup-*.sql.gz
"#;
    let shown = planned(text, &[], &[("DATABASE_URL", "postgres://db"), ("BACKUP_BUCKET", "b")]);
    assert_eq!(shown.replace("{env.BACKUP_BUCKET(default=\"db-backups\")}", "{env.BACKUP_BUCKET}"), expected);
}

#[test]
fn the_trees_of_loops_conditions_and_patterns_keep_their_headers() {
    let shown = planned(r#"deploy: for service in ["api", "worker"] { kubectl apply -f k8s/@var.service/ }"#, &[], &[]);
    assert_eq!(shown, "@for(service in [\"api\", \"worker\"])\n  kubectl apply -f k8s/api/\n  kubectl apply -f k8s/worker/\n");
    let text = "fun deploy(ENV) {\n  if ENV   ==\n \"production\" { a } else if ENV == \"x\" { b } else { c }\n}";
    assert_eq!(planned(text, &["deploy", "production"], &[]), "@if(ENV == \"production\")\n  a\n");
    assert_eq!(planned(text, &["deploy", "x"], &[]), "@else(ENV == \"production\")\n  @if(ENV == \"x\")\n    b\n");
    assert_eq!(planned(text, &["deploy", "y"], &[]), "@else(ENV == \"production\")\n  @else(ENV == \"x\")\n    c\n");
    let text = r#"fun f(v: Int) { when @var.v { 1 | 2 -> low
  200...299 -> ok
  else -> other } }"#;
    assert_eq!(planned(text, &["f", "2"], &[]), "@when(@var.v == 1 | 2)\n  low\n");
    assert_eq!(planned(text, &["f", "299"], &[]), "@when(@var.v == 200...299)\n  ok\n");
    assert_eq!(planned(text, &["f", "3"], &[]), "@when(@var.v == else)\n  other\n");
    let text = r#"fun f(v) { when @var.v { r"^release/" -> rel
  {"main", "develop"} -> trunk } }"#;
    assert_eq!(planned(text, &["f", "release/1"], &[]), "@when(@var.v == r\"^release/\")\n  rel\n");
    assert_eq!(planned(text, &["f", "develop"], &[]), "@when(@var.v == {\"main\", \"develop\"})\n  trunk\n");
    assert_eq!(planned(text, &["f", "x"], &[]), "");
}

#[test]
fn an_empty_arm_still_shows_that_it_was_taken() {
    assert_eq!(planned("fun f(v: Bool) { if v { } else { } }", &["f", "true"], &[]), "@if(v)\n");
    assert_eq!(planned("fun f(v: Bool) { if v { } else { } }", &["f", "false"], &[]), "@else(v)\n");
}

#[test]
fn a_product_of_axes_is_one_loop_whose_last_axis_varies_fastest() {
    let text = "build: for os in [\"linux\", \"mac\"], v in 1...2 { make @var.os @var.v }";
    let plan = try_plan(text, &[], &world(&[])).expect("a plan");
    assert_eq!(tree(&plan), "@for(os in [\"linux\", \"mac\"], v in 1...2)\n  make linux 1\n  make linux 2\n  make mac 1\n  make mac 2\n");
    assert_eq!(plan.plan_type.name(), "matrix");
}

#[test]
fn loops_conditions_and_commands_write_to_the_enclosing_scope() {
    let text = r#"
var total = 0
for n in 1...3 { total += @var.n }
if total == 6 { total *= 10 }
when total { 60 -> { total++ } }
while total < 63 { total++ }
fun bump = echo @var.total
bump()
echo @var.total
"#;
    assert!(planned(text, &[], &[]).ends_with("echo 63\necho 63\n"), "{}", planned(text, &[], &[]));
    let text = "var n = 1\nfun set(v) { n = @var.v }\nfun go { set(5); echo @var.n }\nfun go2 { echo @var.n\n set(5)\n echo @var.n }";
    assert_eq!(planned(text, &["go2"], &[]), "echo 1\necho 5\n");
}

#[test]
fn decorator_and_try_blocks_work_on_a_copy() {
    let text = r#"
var counter = 0
try { counter++
  a @var.counter } catch { counter += 5
  b @var.counter } finally { counter += 7
  c @var.counter }
@retry(2) { counter++
  d @var.counter }
fun bump { counter += 100 }
@timeout(1m) { bump()
  e @var.counter }
f @var.counter
"#;
    let shown = planned(text, &[], &[]);
    for line in ["a 1", "b 5", "c 7", "d 1", "e 100", "f 0"] {
        assert!(shown.lines().any(|shown| shown.trim() == line), "{line}\n{shown}");
    }
}

#[test]
fn what_nothing_needs_is_not_read() {
    let text = r#"
var TOKEN = @env.TOKEN
var LIST = [@env.A, @env.B]
fun helper(unused, used) = echo @var.used
build: make
login: login @var.TOKEN
second: echo @var.LIST[1]
indirect: helper(@env.NEVER, @env.SOME)
"#;
    let reads = |target: &str| {
        let world = world(&[("TOKEN", "t"), ("B", "b"), ("SOME", "s")]);
        try_plan(text, &[target], &world).unwrap_or_else(|error| panic!("{target}: {error:?}"));
        world.read.into_inner().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(reads("build"), Vec::<String>::new());
    assert_eq!(reads("second"), ["B"]);
    assert_eq!(reads("indirect"), ["SOME"]);
    assert_eq!(reads("login"), ["TOKEN"]);
}

#[test]
fn a_value_is_that_of_the_moment_of_its_assignment_however_late_it_is_needed() {
    let text = "var a = @env.A\nvar b = @var.a + \"-b\"\na = \"new\"\necho @var.b @var.a";
    assert_eq!(planned(text, &[], &[("A", "old")]), "echo {env.A}-b new\n");
    // In a command file first values see first values.
    let text = "var a = \"old\"\nvar b = @var.a + \"!\"\nfun go { a = \"new\"\n echo @var.b @var.a }";
    assert_eq!(planned(text, &["go"], &[]), "echo 'old!' new\n");
    // A loop variable is captured per iteration.
    let text = "var last = \"\"\nfun go { for x in [\"a\", \"b\"] { var mine = @var.x + @env.E\n last = @var.mine }\n echo @var.last }";
    assert_eq!(planned(text, &["go"], &[("E", "e")]), "@for(x in [\"a\", \"b\"])\necho b{env.E}\n");
}

#[test]
fn later_top_level_variables_of_a_command_file_can_be_referred_to() {
    assert_eq!(planned("var a = @var.b + 1\nvar b = 2\ngo: echo @var.a", &[], &[]), "echo 3\n");
}

#[test]
fn defaults_are_filled_in_and_may_refer_to_earlier_parameters_and_reality() {
    let text = r#"
fun image(name, tag = "latest", full = "@var.name:@var.tag", home = @env.HOME) = pull @var.full @var.home
fun all { image("api")
 image("web", tag="v2") }
"#;
    assert_eq!(planned(text, &["all"], &[("HOME", "/root")]), "pull api:latest {env.HOME}\npull web:v2 {env.HOME}\n");
    assert_eq!(planned(text, &["image", "x", "--tag=y"], &[("HOME", "/root")]), "pull x:y {env.HOME}\n");
    let bound = compiled(text, &["image", "x", "--tag=y"]);
    assert_eq!(bound.arguments.iter().map(|argument| argument.name.as_str()).collect::<Vec<_>>(), ["name", "tag"]);
}

#[test]
fn arguments_of_the_command_line_are_typed_by_annotation_or_default() {
    let text = "fun f(env: String, replicas: Int = 3, wait: Duration = 30s, dry_run: Bool = false, ratio = 1.5) = run @var.env @var.replicas @var.wait @var.dry_run @var.ratio";
    assert_eq!(planned(text, &["f", "prod"], &[]), "run prod 3 30s false 1.5\n");
    assert_eq!(planned(text, &["f", "prod", "--replicas=5", "--dry-run", "--wait=90s", "--ratio=2"], &[]), "run prod 5 1m30s true 2.0\n");
    assert_eq!(planned(text, &["f(\"prod\", replicas=5, wait=-1m)"], &[]), "run prod 5 -1m false 1.5\n");
    assert_eq!(compiled(text, &["f", "7"]).target, "f");
    assert_eq!(usage(text, &["f"]), UsageError::MissingArgument { command: "f".to_owned(), name: "env".to_owned() });
    assert!(matches!(usage(text, &["f", "x", "y"]), UsageError::BadValue { expected: "an Int", .. }));
    assert!(matches!(usage(text, &["f", "x", "--replica=1"]), UsageError::UnknownArgument { near: Some(near), .. } if near == "replicas"));
    assert!(matches!(usage(text, &["f", "x", "--env=y"]), UsageError::DuplicateArgument { .. }));
    assert!(matches!(usage(text, &["f", "x", "--replicas"]), UsageError::ValueNeeded { .. }));
    assert!(matches!(usage(text, &["f", "1", "2", "3s", "true", "1.0", "6"]), UsageError::TooManyArguments { limit: 5, .. }));
    assert!(matches!(usage(text, &["g"]), UsageError::UnknownTarget { .. }));
    assert!(matches!(usage(text, &["f(x y)"]), UsageError::BadCall { .. }));
}

#[test]
fn the_target_is_the_script_the_stem_or_the_only_command() {
    assert_eq!(planned("fun f = a\nb", &[], &[]), "b\n");
    assert_eq!(planned("fun f = a\nb", &["f"], &[]), "a\n");
    assert_eq!(planned("fun f = a\nfun test = t", &[], &[]), "t\n");
    assert_eq!(usage("fun f = a\nfun g = t", &[]), UsageError::TargetNeeded);
    match try_compile("var x = 1", &[]) {
        Err(Failure::Source(errors)) => assert!(errors.iter().any(|error| error.code.name() == "nothing_to_plan")),
        other => panic!("{other:?}"),
    }
    let summaries = match try_compile("fun f(a: Int = 3, b) = x @var.a @var.b\ng: y", &["h"]) {
        Err(Failure::Usage(usage)) => usage.commands.iter().map(ToString::to_string).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(summaries, ["f(a: Int = 3, b)", "g"]);
}

#[test]
fn a_command_of_a_script_sees_the_first_values_of_its_variables() {
    assert_eq!(planned("var x = @env.X\nfun f = echo @var.x\nrun", &["f"], &[("X", "1")]), "echo {env.X}\n");
}

#[test]
fn operators_over_opal_constructs_become_nodes() {
    let text = "build: make\ntest: t\ndeploy: @cmd.build && @cmd.test || echo bad";
    assert_eq!(
        planned(text, &["deploy"], &[]),
        "@or\n  @and\n    @group(@cmd.build)\n      make\n    @group(@cmd.test)\n      t\n  echo bad\n"
    );
    let text = "go: @retry(3) { a } | b | c";
    assert_eq!(planned(text, &[], &[]), "@pipe\n  @retry(attempts=3)\n    a\n  b | c\n");
}

#[test]
fn runs_of_shell_text_are_split_where_the_shell_would_group_them_otherwise() {
    let shape = |line: &str| planned(&format!("go: {{\n{line}\n}}"), &[], &[]);
    for (line, expected) in [
        ("@retry(3) { a } | b | c; d && e", "@seq\n  @pipe\n    @retry(attempts=3)\n      a\n    b | c\n  d && e\n"),
        ("a && b | @retry { c }", "@and\n  a\n  @pipe\n    b\n    @retry\n      c\n"),
        ("a; b || c; d && e | @retry { f }", "@seq\n  a; b || c\n  @and\n    d\n    @pipe\n      e\n      @retry\n        f\n"),
        ("@retry { x } && a || b || c && d && e", "@and\n  @or\n    @and\n      @retry\n        x\n      a\n    b || c\n  d && e\n"),
        ("@retry { x } | a && b && c", "@and\n  @pipe\n    @retry\n      x\n    a\n  b && c\n"),
        ("a && b || c && @retry { x }", "@and\n  a && b || c\n  @retry\n    x\n"),
        ("a; b; @retry { x }; c; d || e", "@seq\n  a; b\n  @retry\n    x\n  c; d || e\n"),
        ("@retry { x } || a; b; c && @retry { y }", "@seq\n  @or\n    @retry\n      x\n    a\n  b\n  @and\n    c\n    @retry\n      y\n"),
        ("(a; b) | { c; d; } | @retry { x } && y", "@and\n  @pipe\n    (a; b) | { c; d; }\n    @retry\n      x\n  y\n"),
        ("@shell(\"a; b\") | c; d", "@seq\n  @pipe\n    a; b\n    c\n  d\n"),
        ("@retry { x } && a \"&& b;\" '||' # c; d", "@and\n  @retry\n    x\n  a \"&& b;\" '||'\n"),
        ("@retry { x } | cat && # then\n  b ||\n  c", "@or\n  @and\n    @pipe\n      @retry\n        x\n      cat\n    b\n  c\n"),
        ("@retry { x } && a; b & c", "@seq\n  @and\n    @retry\n      x\n    a\n  b & c\n"),
    ] {
        assert_eq!(shape(line), expected, "{line}");
    }
    let text = "x: echo x\ngo: a; b && x() | c";
    let expected = "@seq\n  a\n  @and\n    b\n    @pipe\n      @group(x())\n        echo x\n      c\n";
    assert_eq!(planned(text, &["go"], &[]), expected);
}

#[test]
fn what_the_shell_would_apply_to_an_opal_construct_too_is_refused() {
    for line in [
        "@retry { x } && a &",
        "@retry { x } | a & b",
        "a & @retry { x }",
        "@retry { x } & a",
        "! a | @retry { x }",
        "a; ! b | @retry { x }",
        "@retry { x } | ! a",
        "a |& @retry { x }",
        "@retry { x } |& a",
    ] {
        let source = Source::new("test.opl", format!("go: {{\n{line}\n}}"));
        let parsed = parse(&source);
        let codes: Vec<&str> = parsed.diagnostics.iter().filter(|one| one.is_error()).map(|one| one.code.name()).collect();
        assert_eq!(codes, ["operand_not_allowed"], "{line}");
    }
    let here = "go: {\n@retry { x } && a <<E || b\ntext\nE\n}";
    let parsed = parse(&Source::new("test.opl", here));
    assert!(parsed.has_errors(), "{:?}", parsed.file);
}

#[test]
fn a_pipeline_is_a_node_with_its_step_and_its_operations() {
    let text = r#"
f: echo f
go: {
    var (least = 2, re = "^@env.X")
    curl /health |> assert.re("Status 200") |> lines.head(least + 1)
    f() |> lines.count() |> assert.num(">= @var.least")
    @retry { a |> lines.grep(re) } |> assert.eq(3s)
    a && f() | c |> json.pick("$.a[0]")
}
"#;
    let expected = "\
@transform
  curl /health
  @assert.re(re=Status 200)
  @lines.head(n=3)
@transform
  @group(f())
    echo f
  @lines.count
  @assert.num(comparison=>= 2)
@transform
  @retry
    @transform
      a
      @lines.grep(re=^{env.X})
  @assert.eq(expected=3s)
@transform
  @and
    a
    @pipe
      @group(f())
        echo f
      c
  @json.pick(path=$.a[0])
";
    assert_eq!(planned(text, &["go"], &[("X", "x")]), expected);
}

#[test]
fn operations_of_a_pipeline_take_what_they_can_use_and_nothing_else() {
    for (line, code) in [
        ("a |> lines.grep(\"[\")", "operation_argument"),
        ("a |> json.pick(\"a.b\")", "operation_argument"),
        ("a |> assert.num(\"3\")", "operation_argument"),
        ("a |> lines.head(-1)", "operation_argument"),
        ("a |> lines.head(\"3\")", "wrong_type"),
        ("a |> assert.eq([1])", "wrong_type"),
        ("a |> assert.re()", "missing_argument"),
        ("a |> lines.count(1)", "too_many_arguments"),
        ("a |> lines.tail(lines=1)", "unknown_argument"),
    ] {
        assert_eq!(said(&format!("go: {{ {line} }}")), [code], "{line}");
    }
    assert_eq!(said("go: { N=1\n a |> assert.eq(\"@var.N\") }"), ["binding_in_expression"]);
    for (text, env) in [
        ("lines.grep(\"@env.X\")", "["),
        ("json.pick(\"@env.X\")", "x"),
        ("assert.num(\"@env.X\")", "x"),
        ("lines.tail(int(\"@env.X\"))", "-3"),
    ] {
        let error = try_plan(&format!("go: a |> {text}"), &[], &world(&[("X", env)])).expect_err("a plan error");
        assert_eq!(error.cause.code(), "argument_out_of_bounds", "{text}");
        assert!(!error.to_string().contains(env), "{error}");
    }
}

#[test]
fn what_a_pipeline_does_is_part_of_what_the_plan_is() {
    let hash = |line: &str| {
        let plan = try_plan(&format!("go: {line}"), &[], &world(&[])).expect("a plan");
        let steps = plan.steps.view();
        let setting = opal_format::terms::Setting { target: "go", arguments: &[], shell: "/bin/bash", umask: 0o022, directory: "" };
        opal_format::plan_hash::plan_hash(opal_format::hash::HashAlgorithm::Sha256, &setting, steps, plan.slots.view()).expect("a hash")
    };
    let lines = [
        "a",
        "a |> lines.count()",
        "a |> lines.head(1)",
        "a |> lines.head(2)",
        "a |> lines.tail(2)",
        "a |> assert.eq(2)",
        "a |> assert.eq(\"2\")",
        "a |> lines.head(2) |> lines.count()",
        "a |> lines.count() |> lines.head(2)",
    ];
    let hashes: BTreeSet<String> = lines.iter().map(|line| hash(line).to_string()).collect();
    assert_eq!(hashes.len(), lines.len());
}

#[test]
fn every_branch_of_parallel_is_one_child() {
    let text = r#"
fun sub { s1
 s2 }
go: @parallel(max_concurrency=2) {
    a
    sub()
    for x in ["1", "2"] { b @var.x
        c @var.x }
    for y in [3] { d @var.y }
    if true { e
        f } else { g }
    var z = 1
    @retry { h @var.z }
}
"#;
    let expected = "@parallel(max_concurrency=2)
  a
  @group(sub())
    s1
    s2
  @for(x in [\"1\", \"2\"])
    @group({ b @var.x c @var.x })
      b 1
      c 1
    @group({ b @var.x c @var.x })
      b 2
      c 2
  @for(y in [3])
    d 3
  @if(true)
    @group({ e f })
      e
      f
  @retry
    h 1
";
    assert_eq!(planned(text, &["go"], &[]), expected);
}

#[test]
fn decorators_take_arguments_by_position_and_name() {
    assert_eq!(planned("go: @retry(3, delay=2s, backoff=1.5) { a }", &[], &[]), "@retry(attempts=3, delay=2s, backoff=1.5)\n  a\n");
    assert_eq!(planned("go: @retry(times=3) { a }", &[], &[]), "@retry(attempts=3)\n  a\n");
    assert_eq!(planned("go: { var d = 1m - 5m\n sleep(d) }", &[], &[]), "@sleep(duration=0s)\n");
    assert_eq!(planned("go: { var w = \"x\"\n @workdir(\"/srv/@var.w\") { pwd } }", &[], &[]), "@workdir(path=/srv/x)\n  pwd\n");
    assert_eq!(said("go: @retry(attempts=3, times=4) { a }"), ["duplicate_argument"]);
    assert_eq!(said("go: @retry(atempts=3) { a }"), ["unknown_argument"]);
    assert_eq!(said("go: @timeout { a }"), ["missing_argument"]);
    assert_eq!(said("go: @timeout(30) { a }"), ["wrong_type"]);
    assert_eq!(said("go: @detach(1) { a }"), ["too_many_arguments"]);
    assert!(errors("go: @retri(3) { a }")[0].ends_with("did you mean `@retry`?"));
}

#[test]
fn runtime_bindings_are_read_in_shell_text_of_their_block_only() {
    let text = "go: {\n TAG=$(git describe)\n echo @var.TAG\n if true { echo \"in @var.TAG\" }\n}";
    assert_eq!(planned(text, &[], &[]), "@let TAG=$(git describe)\necho {@let 0}\n@if(true)\n  echo \"in {@let 0}\"\n");
    assert_eq!(said("go: {\n TAG=$(x)\n var y = @var.TAG\n echo @var.y }"), ["binding_in_expression"]);
    assert_eq!(said("fun f(a) = echo @var.a\ngo: {\n TAG=$(x)\n f(@var.TAG) }"), ["binding_in_expression"]);
    assert_eq!(said("var TAG = 1\ngo: {\n TAG=$(x)\n echo @var.TAG }"), ["binding_is_variable"]);
    assert_eq!(said("go: {\n if true { TAG=$(x) }\n echo @var.TAG }"), ["unknown_variable"]);
    assert_eq!(said("fun f = echo @var.TAG\ngo: {\n TAG=$(x)\n f() }"), ["unknown_variable"]);
    assert_eq!(said("go: @parallel {\n TAG=$(x)\n y }"), ["binding_in_parallel"]);
}

#[test]
fn names_are_found_or_the_nearest_is_suggested() {
    assert_eq!(
        errors("var service = 1\ngo: echo @var.servce @var.service"),
        ["unknown_variable: there is no variable `servce` here; did you mean `service`?"]
    );
    assert_eq!(errors("build: x\ngo: { biuld() }"), ["unknown_command: there is no command `biuld`; did you mean `build`?"]);
    assert!(errors("go: { if true { var x = 1\n echo @var.x }\n echo @var.x }")[0].contains("declare it before the block"));
    assert_eq!(said("echo @var.x\nvar x = 1"), ["unknown_variable", "unused_variable"]);
    assert_eq!(said("var x = @file.raed(\"a\")\ngo: echo @var.x"), ["unknown_namespace"]);
    assert_eq!(said("build: x\nvar y = @cmd.build()\ngo: echo @var.y"), ["command_as_value"]);
}

#[test]
fn definitions_and_calls_must_be_sound() {
    assert_eq!(
        errors("fun a { b() }\nfun b { c() }\nfun c { a() }"),
        ["recursion: a command cannot call itself: `a → b → c → a`; repeat with `for` or `while`, which run while the plan is made"]
    );
    assert_eq!(said("fun a { a() }"), ["recursion"]);
    assert!(errors("var a = @var.b\nvar b = @var.a\ngo: echo @var.a")[0].contains("`a → b → a`"));
    assert_eq!(said("a: x\na: y"), ["duplicate_command"]);
    assert_eq!(said("go: { var x = 1\n var x = 2\n echo @var.x }"), ["duplicate_variable"]);
    assert_eq!(said("fun f(a, a) = echo @var.a"), ["duplicate_parameter"]);
    assert_eq!(said("fun f(a) = echo @var.a\ngo: { f() }"), ["missing_argument"]);
    assert_eq!(said("fun f(a) = echo @var.a\ngo: { f(1, 2) }"), ["too_many_arguments"]);
    assert_eq!(said("fun f(a) = echo @var.a\ngo: { f(1, a=2) }"), ["duplicate_argument"]);
    assert_eq!(said("fun f(a: Int) = echo @var.a\ngo: { f(\"x\") }"), ["wrong_type"]);
}

#[test]
fn types_that_are_known_are_checked() {
    for (source, code) in [
        ("if \"x\" { a }", "wrong_type"),
        ("var x = 1 + \"a\"\necho @var.x", "wrong_type"),
        ("var x = 1s + 1\necho @var.x", "wrong_type"),
        ("var x = !1\necho @var.x", "wrong_type"),
        ("for x in 3 { a @var.x }", "wrong_type"),
        ("when \"a\" { 1...3 -> b }", "wrong_type"),
        ("var l = [1]\necho @var.l[1]", "index_out_of_range"),
        ("var m = {\"a\": 1}\necho @var.m.b", "unknown_key"),
        ("var s = \"a\"\necho @var.s.txt", "field_of_scalar"),
        ("echo @env.HOME.bak", "field_of_scalar"),
        ("for x in 3...1 { a @var.x }", "backward_range"),
        ("var m = {\"a\": 1, \"a\": 2}\necho @var.m.a", "duplicate_key"),
        ("var x = \"a\"\necho $((@var.x + 1))", "wrong_type"),
        ("var x = \"a\"\necho $x @var.x", "shell_variable"),
    ] {
        assert_eq!(said(source), [code], "{source}");
    }
    assert_eq!(said("var x = 1\nif @var.x == 1 { a }\necho $((@var.x + 1))"), Vec::<&str>::new());
}

#[test]
fn warnings_point_at_what_is_probably_a_mistake() {
    assert_eq!(said("var x = 1\ngo: a"), ["unused_variable"]);
    assert_eq!(said("fun f(a) = b"), ["unused_parameter"]);
    assert_eq!(said("var x = 1\nfun f(x) = echo @var.x\ngo: echo @var.x"), ["shadowing"]);
    assert_eq!(said("go: when 1 { else -> a\n 2 -> b }"), ["unreachable_pattern"]);
    assert_eq!(said("go: when 1 { \"a\" -> a }"), ["unreachable_pattern"]);
    assert_eq!(said("go: mysql --password=@env.DB_PASSWORD"), ["secret_argument"]);
    assert_eq!(said("var t = @env.API_TOKEN\ngo: curl -H \"X: @var.t\""), ["secret_argument"]);
    assert_eq!(said("go: PGPASSWORD=@env.DB_PASSWORD psql"), Vec::<&str>::new());
}

#[test]
fn a_source_that_is_partly_unreadable_is_not_blamed_twice() {
    let source = Source::new("test.opl", "var a = (1\nvar b = [1]\ngo: {\n  echo @var.a @var.b[3]\n}");
    let parsed = parse(&source);
    assert!(parsed.has_errors());
    let said: Vec<&str> = opalc::check::check_parsed(&source, &parsed).iter().map(|diagnostic| diagnostic.code.name()).collect();
    assert!(said.contains(&"index_out_of_range") && !said.contains(&"unknown_variable"), "{said:?}");
}

#[test]
fn planning_errors_point_at_their_place() {
    let text = "var n = @env.N(default=1)\ngo: {\n  echo @var.n\n  var l = [1, 2]\n  echo @var.l[@var.n]\n}";
    let error = try_plan(text, &["go"], &world(&[("N", "7")])).expect_err("an index out of range");
    assert_eq!((error.cause.code(), error.span.line.to_native()), ("index_out_of_range", 5));
    let error = try_plan("fun f(a: Int) = echo @var.a\nfun g(x) { f(@var.x) }\ngo: g(@env.N)", &["go"], &world(&[("N", "x")]))
        .map(|plan| tree(&plan));
    assert_eq!(error.expect_err("a String").cause.code(), "type_mismatch");
    let error = try_plan("go: echo @env.MISSING", &[], &world(&[])).map(|plan| tree(&plan)).expect_err("unset");
    assert_eq!((error.cause.code(), error.span.line.to_native(), error.span.column.to_native()), ("env_unset", 1, 10));
}

#[test]
fn double_quotes_around_a_redirection_are_moved_to_its_text() {
    let text = "var d = @env.D\ngo: { run > \"@var.d/log\" 2> \"@var.d\" < \"a/@var.d()b\" }";
    assert_eq!(planned(text, &["go"], &[("D", "x")]), "run > {env.D}\"/log\" 2> {env.D} < \"a/\"{env.D}\"b\"\n");
}

#[test]
fn deep_nesting_is_refused_with_a_place_or_planned() {
    let nested = |count: usize| format!("go: {}a{}", "if true { ".repeat(count), " }".repeat(count));
    assert_eq!(planned(&nested(100), &[], &[]).lines().count(), 101);
    for count in [128, 129, 200, 250] {
        match try_compile(&nested(count), &[]) {
            Ok(_) => {}
            Err(Failure::Source(errors)) => assert!(errors.iter().any(|error| error.code.name() == "limit_exceeded"), "{errors:?}"),
            Err(other) => panic!("{count}: {other:?}"),
        }
    }
    let chain: String = (0..300).map(|n| format!("if n == {n} {{ a }} else ")).collect();
    assert_eq!(said(&format!("var n = 1\n{chain}{{ b }}")), ["limit_exceeded"]);
    let calls: String = (0..300).map(|n| format!("fun f{n} {{ f{}() }}\n", n + 1)).collect();
    assert_eq!(said(&format!("{calls}fun f300 = a")), ["limit_exceeded"]);
}

/// Sources of any mixture of statements over a few names.
mod generated {
    use super::{Failure, compile, entry, parse, plan, verify, world};
    use opal_core::plan::{Cause, Mode, Options};
    use opal_core::program::table::limits;
    use opal_format::seed::Seed;
    use opalc::source::Source;
    use proptest::prelude::*;

    fn pick(of: &[&'static str]) -> impl Strategy<Value = String> + use<> {
        prop::sample::select(of.to_vec()).prop_map(str::to_owned)
    }

    fn int() -> impl Strategy<Value = String> {
        let leaf = pick(&["1", "2", "a", "@var.l[0]", "@var.l[a]", "@var.l.length", "@var.m.k", "@env.N(default=1)", "int(@env.E)"]);
        leaf.prop_recursive(3, 8, 2, |inner| {
            (inner.clone(), pick(&["+", "-", "*", "/", "%"]), inner).prop_map(|(a, op, b)| format!("({a} {op} {b})"))
        })
    }

    fn bool() -> impl Strategy<Value = String> {
        let compared = (int(), pick(&["==", "<", ">="]), int()).prop_map(|(a, op, b)| format!("{a} {op} {b}"));
        let leaf = prop_oneof![compared, pick(&["true", "s == \"x\"", "bool(@env.B(default=\"true\"))"])];
        leaf.prop_recursive(2, 6, 2, |inner| {
            (inner.clone(), pick(&["&&", "||"]), inner).prop_map(|(a, op, b)| format!("(!({a}) {op} {b})"))
        })
    }

    fn array() -> impl Strategy<Value = String> {
        prop_oneof![pick(&["@var.l", "1...3", "@var.m.*"]), (int(), int()).prop_map(|(a, b)| format!("[{a}, {b}]"))]
    }

    fn expression() -> impl Strategy<Value = String> {
        let text =
            pick(&["\"t @var.a @env.E\"", "s", "@random.password(length=a)", "@file.read(\"f@var.a\")", "@{var.s}.quoted", "30s * a"]);
        prop_oneof![int(), bool(), array(), text]
    }

    fn statement() -> impl Strategy<Value = String> {
        let shell =
            pick(&["run @var.a", "echo \"@var.b\" > \"@var.a\"", "x | y && z", "if true { T=$(date)\n echo @var.T }", "sleep(1s)", "a++"]);
        let leaf = prop_oneof![
            shell,
            expression().prop_map(|value| format!("x = {value}")),
            int().prop_map(|value| format!("a += {value}")),
            expression().prop_map(|value| format!("if true {{ var y = {value}\n run @var.y }}")),
            (expression(), expression()).prop_map(|(one, two)| format!("h({one}, n={two})")),
            expression().prop_map(|value| format!("@cmd.h({value}) && run | sleep(1s) || other")),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let block = prop::collection::vec(inner, 0..4).prop_map(|lines| format!("{{\n{}\n}}", lines.join("\n")));
            prop_oneof![
                (bool(), block.clone(), block.clone())
                    .prop_map(|(test, then, other)| format!("if {test} {then} else if a == 2 {then} else {other}")),
                (array(), block.clone()).prop_map(|(each, body)| format!("for e in {each} {body}")),
                block.clone().prop_map(|body| format!("for e in [1, 2], y in 1...a {body}")),
                block.clone().prop_map(|body| format!("while a < 3 {{ a++\n if true {body} }}")),
                (expression(), block.clone(), block.clone())
                    .prop_map(|(value, one, two)| format!("when {value} {{\n 1 | 2 -> {one}\n r\"x\" -> {two}\n else -> {one}\n}}")),
                (block.clone(), block.clone(), block.clone()).prop_map(|(a, b, c)| format!("try {a} catch {b} finally {c}")),
                (int(), block.clone()).prop_map(|(count, body)| format!("@retry({count}, delay=1s) {body}")),
                block.prop_map(|body| format!("@parallel {body}")),
            ]
        })
    }

    fn source() -> impl Strategy<Value = String> {
        let body = || prop::collection::vec(statement(), 0..5).prop_map(|lines| lines.join("\n"));
        (any::<bool>(), expression(), body(), body(), body()).prop_map(|(script, first, f, g, top)| {
            let top = if script { format!("{top}\nf(1)\n@cmd.f(2) && run | @cmd.g || other") } else { String::new() };
            format!(
                "var a = 1\nvar b = 2\nvar m = {{\"k\": b}}\nvar l = [a, 5]\nvar s = \"x\"\nvar x = {first}\n{top}\n\
                 fun h(o, n = @env.N(default=1)) = run @var.o @var.n\n\
                 fun f(p, q = @var.p) {{\np++\n{f}\nrun @var.p @var.q\n}}\n\
                 fun g(p = @env.N(default=1)) {{\n{g}\nf(@var.p)\n}}\n"
            )
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

        /// Whatever is written: what compiles passes the verifier, and planning it meets no internal error.
        #[test]
        fn what_compiles_is_verified_and_planned_without_internal_errors(text in source()) {
            let source = Source::new("test.opl", text.as_str());
            let parsed = parse(&source);
            prop_assume!(!parsed.has_errors());
            for target in [&[][..], &["g"]] {
                let compiled = match compile(&source, &parsed.file, &entry(target)) {
                    Ok(compiled) => compiled,
                    Err(Failure::Internal(error)) => return Err(TestCaseError::fail(format!("{error}"))),
                    Err(Failure::Source(_) | Failure::Usage(_)) => continue,
                };
                let verified = verify(compiled.program.view()).expect("a verified program");
                let seed = Seed::from_bytes([7; 32]);
                for mode in [Mode::Quick, Mode::Resolve] {
                    let options = Options {
                        mode,
                        seed: &seed,
                        arguments: &compiled.values,
                        pass_env: &[],
                        regen: opal_format::regen::Regen::None,
                        public_names: Some(&[]),
                        no_public: false,
                        fuel: limits::FUEL / 64,
                    };
                    if let Err(error) = plan(&verified, &world(&[("E", "1")]), &options) {
                        prop_assert!(!matches!(error.cause, Cause::Internal(_)), "{:?}", error);
                    }
                }
            }
        }
    }
}

#[test]
fn a_message_about_a_secret_names_its_key_and_never_its_value() {
    let refused = |text: &str| {
        let error = try_plan(text, &[], &world(&[("N", "4242")])).map(|plan| tree(&plan)).expect_err(text);
        let said = format!("{error} {error:?} {:?}", error.cause.help());
        assert!(!said.contains("4242") && said.contains("env.N"), "{said}");
    };
    refused("var i = int(@env.N)\nvar a = [1, 2]\nvar x = a[i]\necho @var.x\n");
    refused("var i = int(@env.N)\nvar r = 1...3\nvar x = r[i]\necho @var.x\n");
    refused("var i = int(@env.N)\nvar r = i...3\nfor x in r { echo @var.x }\n");
    refused("var m = {\"a\": 1}\nvar x = m[@env.N]\necho @var.x\n");
    refused("var x = duration(@env.N)\necho @var.x\n");
}

#[test]
fn the_elements_of_an_array_argument_are_strings() {
    let text = "var paths = [\"/a\", \"/b\"]\n@isolated.filesystem(read=paths) {\n  echo hi\n}\n";
    assert!(planned(text, &[], &[]).contains("/b"), "{}", planned(text, &[], &[]));
    for other in ["1...2", "[1, 2]", "[\"/a\", 2]"] {
        let text = format!("var paths = {other}\n@isolated.filesystem(read=paths) {{\n  echo hi\n}}\n");
        let error = try_plan(&text, &[], &world(&[])).expect_err("no Strings");
        assert_eq!(error.cause.code(), "type_mismatch", "{error}");
        assert!(error.to_string().ends_with("not an Array with an Int"), "{error}");
    }
}
