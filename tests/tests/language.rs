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
fn numbers_and_durations_are_calculated() {
    prints(
        r##"var a = 30s - 1h
var b = 1h30m + 45m
var c = 30s * 3
var d = 5m-2m30s
var e = 1m - 5m
var f = 8d
var h = 1h / 7
run: echo @var.a @var.b @var.c @var.d @var.e @var.f @var.h
"##,
        "-59m30s 2h15m 1m30s 2m30s -4m 1w1d 8m34s285ms714us285ns\n",
    );
    prints(
        r##"var a = 7 / 2
var b = -7 / 2
var c = -7 % 3
var d = 7 / 2.0
var e = 2.0
var f = 1 + 2 * 3
var g = (1 + 2) * 3
var h = "a" + "b"
run: echo @var.a @var.b @var.c @var.d @var.e @var.f @var.g @var.h
"##,
        "3 -3 -1 3.5 2.0 7 9 ab\n",
    );
    prints(
        r##"var a = -9223372036854775807 - 1
run: echo @var.a
"##,
        "-9223372036854775808\n",
    );
    prints(
        r##"var a = int("5") + 1
var b = float("2.5") * 2
var c = string(30s) + "x"
var d = bool("true")
var e = duration("1h30m")
run: echo @var.a @var.b @var.c @var.d @var.e
"##,
        "6 5.0 30sx true 1h30m\n",
    );
    prints(
        r##"var x = 1
x = 5
x *= 2
x -= 1
x /= 2
x %= 3
echo @var.x
"##,
        "1\n",
    );
    prints(
        r##"if !false && (1 < 2 || 3 > 4) { echo y }
"##,
        "y\n",
    );
    prints(
        r##"if "a" < "b" { echo y }
"##,
        "y\n",
    );
}

#[test]
fn loops_run_while_the_plan_is_made() {
    prints(
        r##"run: {
    for i in 1...3 {
    echo @var.i
    }
    for i in 1..2 { echo old @var.i }
}
"##,
        "1\n2\n3\nold 1\nold 2\n",
    );
    prints(
        r##"run: {
    for a in ["x","y"], b in [1, 2] {
    echo @var.a@{var.b}
    }
}
"##,
        "x1\nx2\ny1\ny2\n",
    );
    prints(
        r##"var n = 3
run: {
    while @var.n > 0 {
    echo @var.n
    n--
    }
    echo end @var.n
}
"##,
        "3\n2\n1\nend 0\n",
    );
    prints(
        r##"run: {
    for x in [] { echo @var.x }
    echo done
}
"##,
        "done\n",
    );
}

#[test]
fn the_first_arm_that_matches_is_taken() {
    prints(
        r##"run: {
    for v in ["main","develop","release/1","x","q"] {
    when @var.v {
    "main" | "develop" -> echo a
    r"^release/" -> echo b
    {"x", "z"} -> echo c
    else -> echo d
    }
    }
}
"##,
        "a\na\nb\nc\nd\n",
    );
    prints(
        r##"run: {
    for v in [199, 200, 299, 300] {
    when @var.v {
    200...299 -> echo in
    300 -> echo three
    else -> echo out
    }
    }
}
"##,
        "out\nin\nin\nthree\n",
    );
    prints(
        r##"var x = true
run: when @var.x { true -> echo t; false -> echo f }
"##,
        "t\n",
    );
    prints(
        r##"var ENV="production"
run: {
    when @var.ENV { "production" -> echo 3; else -> echo 1 }
}
"##,
        "3\n",
    );
    prints(
        r##"var x = 30s
run: when @var.x { 30s -> echo t; else -> echo f }
"##,
        "t\n",
    );
    prints(
        r##"var x = 2
if x == 1 { echo 1 } else if x == 2 { echo 2 } else { echo 3 }
"##,
        "2\n",
    );
}

#[test]
fn blocks_of_control_flow_write_outside_and_others_do_not() {
    prints(
        r##"var counter = 0
var status = "pending"
try {
    echo s @var.counter
    counter++
    status = "running"
    echo i @var.counter @var.status
} catch {
    counter += 5
}
echo f @var.counter @var.status
"##,
        "s 0\ni 1 running\nf 0 pending\n",
    );
    prints(
        r##"var attempts = 0
@retry(attempts=3) {
    attempts++
    echo @var.attempts
}
echo @var.attempts
"##,
        "1\n0\n",
    );
    prints(
        r##"var t = 0
for i in 1...3 {
    t += i
}
if true {
    t++
}
echo @var.t
"##,
        "7\n",
    );
    prints(
        r##"var c = 0
fun f(x) {
    c++
    x = 9
    echo @var.c @var.x
}
f(1)
f(2)
echo @var.c
"##,
        "1 9\n2 9\n2\n",
    );
}

#[test]
fn a_command_ends_where_the_shell_would_end_it() {
    prints(
        r##"echo a \
     b
echo c |
    cat
true &&
    echo d
false ||
    echo e
echo "x
y"
echo $(
    echo z
)
"##,
        "a b\nc\nd\ne\nx\ny\nz\n",
    );
    prints(
        r##"run: {
    cat <<EOF
     a } # not // comment
EOF
    cat <<'EOF'
@var.x $HOME
EOF
    cat <<A <<B
1
A
2
B
}
"##,
        "     a } # not // comment\n@var.x $HOME\n2\n",
    );
    prints(
        r##"run: { echo ${HOME:+x} {a,b} "}" '}' }
"##,
        "x a b } }\n",
    );
    prints(
        r##"# c
// c
echo a # c
echo b // c
echo http://x//y#z
echo "a # b" '// c'
"##,
        "a\nb\nhttp://x//y#z\na # b // c\n",
    );
    prints(
        r##"var SERVICE = "api"
run: SERVICE=x; echo $SERVICE
"##,
        "x\n",
    );
}

#[test]
fn references_stand_where_they_are_meant() {
    prints(
        r##"var a = "1"
var b = "2"
run: echo @var.a@var.b
"##,
        "12\n",
    );
    prints(
        r##"run: echo git@host me@var.com @types/node \@env.HOME a@b "x@y.z"
"##,
        "git@host me@var.com @types/node @env.HOME a@b x@y.z\n",
    );
    prints(
        r##"var S = ["a b","c"]
run: {
    printf "%s|" @var.S @var.S.* "@var.S" "@var.S.*" @var.S.0 @var.S[1] @var.S.[0] @var.S.length
}
"##,
        "a b|c|a b|c|a b c|a b c|a b|c|a b|2|",
    );
    prints(
        r##"var C = {"database": "db", "r": {"s": [1,2]}}
run: echo @var.C.database @var.C.r.s.1 @var.C["database"]
"##,
        "db 2 db\n",
    );
    prints(
        r##"var C = {"a": 5, "b": 6}
var tot = 0
for s in ["a","b"] {
    tot += @var.C[@var.s]
    echo @var.C[s]
}
echo @var.tot
"##,
        "5\n6\n11\n",
    );
    prints(
        r##"run: {
    X=$(printf "a  b")
    printf "%s|" @var.X > f
    if true { cp f g }
    Y=word
    echo @var.Y > h
    cat f h | wc -c
}
"##,
        "10\n",
    );
    prints(
        r##"var x = "a  b"
run: @shell("printf '%s|' @var.x")
"##,
        "a  b|",
    );
}

#[test]
fn failures_are_retried_timed_out_and_caught() {
    prints(
        r##"run: {
    @retry(attempts=3, delay=1ms) {
    echo x >> f; test $(wc -l < f) = 3
    }
    cat f
}
"##,
        "x\nx\nx\n",
    );
    prints(
        r##"run: {
    try {
    @timeout(200ms) { sleep 30 }
    } catch { echo caught }
}
"##,
        "caught\n",
    );
    prints(
        r##"run: {
    try {
    @timeout(200ms) { 
    try { sleep 30 } catch { echo inner } finally { echo fin } } 
    } catch { echo outer }
}
"##,
        "fin\nouter\n",
    );
    prints(
        r##"run: {
    try {
    false
    } catch {
    echo c
    }
    echo after
}
"##,
        "c\nafter\n",
    );
    prints(
        r##"run: @retry(2) { false } || echo b
"##,
        "b\n",
    );
    prints(
        r##"run: @parallel(max_concurrency=1, tolerate=1) {
    echo A
    false
    echo B
}
"##,
        "A\nB\n",
    );
}

#[test]
fn branches_print_in_the_order_of_the_plan() {
    prints(
        r##"run: @parallel {
    sleep 0.3 && echo A
    echo B
    for i in 1...2 { echo @var.i }
    if true { 
    echo C1
    echo C2
    }
}
"##,
        "A\nB\n1\n2\nC1\nC2\n",
    );
}

#[test]
fn a_directory_holds_for_its_block() {
    prints(
        r##"run: {
    @shell("mkdir -p d/e")
    @workdir("d") { pwd | sed "s,.*/,,"
    @workdir("e") { pwd | sed "s,.*/work,," } }
    pwd | sed "s,.*/,,"
}
"##,
        "d\n/d/e\nwork\n",
    );
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

#[test]
fn a_secret_that_bounds_a_loop_is_named_as_it_is_written() {
    let host = Host::new();
    host.write("loop.opl", "var N = @env.N(default=3)\nvar M = N + 1\nfor i in 1...@var.M {\n    echo @var.i\n}\n");
    let ended = host.opalc(&["loop.opl"]);
    ended.expect(65).says("error[secret_structure]: the bound of a `for` depends on `env.N(default=3)`, which is secret");
    ended.says("help: if the value may be shown, write `public=true` at `@env.N(default=3)`");
    host.write("loop.opl", "var N = @env.N(default=3, public=true)\nfor i in 1...@var.N {\n    echo @var.i\n}\n");
    host.opalc(&["loop.opl"]).expect(0);
    host.opalc(&["loop.opl", "--no-public"]).expect(65).says("help: plan without `--no-public`");
}

#[test]
fn a_generated_value_that_decides_a_branch_is_named_as_it_is_written() {
    let host = Host::new();
    host.write("branch.opl", "var N = @random.password(length=8)\nif @var.N + @env.A(default=\"\") == \"x\" {\n    echo x\n}\n");
    let ended = host.opalc(&["branch.opl", "--hash"]);
    ended.expect(65).says("error[secret_structure]: which steps run depends on `random.password(8)#1`, which is secret");
    ended.says("help: if the value may be shown, write `public=true` at `@random.password(8)`");
    // Only the generated value asks for it: that a secret of the environment decides a branch is listed, and allowed.
    host.write(
        "branch.opl",
        "var N = @random.password(length=8, public=true)\nif @var.N + @env.A(default=\"\") == \"x\" {\n    echo x\n}\n",
    );
    host.opalc(&["branch.opl", "--hash"]).expect(0);
}
