//! Shell text in a script means what it means to `bash`: every line of a corpus is run by `bash` itself, and as a step, and leaves the same behind.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use opal_tests::Host;

/// Commands that succeed. One entry may be several lines, as one command.
const CORPUS: &[&str] = &[
    // Quoting.
    "echo a  b   c",
    "echo 'a  b' \"c  d\" e\\ f",
    "echo 'it'\\''s' \"say \\\"hi\\\"\" \"\\\\\" '\\'",
    "echo \"a 'b' c\" 'a \"b\" c'",
    "echo 'two\nlines' \"and\ntwo\"",
    "echo $'tab\\there' $'quote\\'s' $'\\x41\\u00e9'",
    "echo $\"localised\"",
    "echo \"\" '' | od -c",
    "echo \\# not \\; a \\& comment",
    "echo a\\\nb",
    "echo \"a\\\nb\"",
    "echo 'a\\\nb'",
    "echo \\\\",
    "echo \"}\" '}' \\} '{' \\{",
    "echo \"#\" '#' a#b \"a # b\"",
    "echo \"//\" http://x/y a//b '// c'",
    "echo \"$(echo \"in $(echo \"deep\")\")\"",
    "echo \"`echo back`\" `echo a` 'no `this`'",
    "echo `echo \\`echo nested\\``",
    "echo \"a `echo \"b c\"` d\"",
    "echo größe 日本 'ü' \"é\"",
    "printf '%s|' \"a\\tb\" 'a\\tb'; echo",
    "echo 'a@b' me@example.com git@host:x \"a@b\" @types/node '@var.x'",
    "echo \"$@\" $# ${#} $? \"$*\"",
    "echo ~nobody_here a~ '~'",
    // Substitution and nesting.
    "echo $(echo a) \"$(echo 'b  c')\"",
    "echo $(echo a; echo b\necho c)",
    "echo $( (echo sub) )",
    "echo $(case x in x) echo yes;; esac)",
    "echo $(case x in (x) echo yes;; (*) echo no;; esac)",
    "echo $(cat <<E\nin $(echo deep)\nE\n)",
    "echo \"$(cat <<'E'\nlit $(x) \"quote\nE\n)\"",
    "echo $(echo a # comment )\n)",
    "echo $((1 + 2 * (3 - 1))) $[4 + 5]",
    "echo $(( (1 + 2) * 3 ))",
    "echo \"$((7 / 2))\" $((0x10 | 1)) $((1 << 4))",
    "X=abcdef; echo ${X} ${X:2} ${X:1:3} ${X: -2} ${#X} ${X%f} ${X#a} ${X/b/Z} ${X//[ce]/_} ${X^^}",
    "echo ${UNSET:-default} ${UNSET:-\"a b\"} ${UNSET-'}'} \"${UNSET:-}}\" ${UNSET:+no}",
    "echo \"${UNSET:-'}'}\" \"${UNSET:-'a b'}\"",
    "echo \"${UNSET:-\"nested quotes\"}\" \"${UNSET:-a}\"",
    "echo ${UNSET:-$(echo computed)} ${UNSET:-${ALSO:-deep}}",
    "X=y; echo \"${X}z\" $X\"z\" ${X}z",
    "echo $(<in.txt)",
    "diff <(echo a) <(echo a) && echo same",
    "cat <(echo one) <(echo two)",
    "echo a | tee >(cat > tee.txt) > /dev/null; sleep 0.05; cat tee.txt",
    // Braces.
    "echo {a,b}{1,2} {1..5} {a..e..2} pre{x,y}post {,x}",
    "echo {} {a} a{b}c '{a,b}' \"{a,b}\" \\{a,b\\}",
    "echo a }b c} {x",
    "{ echo group; echo two; }",
    "{ echo one\necho two\n}",
    "{ { echo nested; }; echo outer; } | cat",
    "{ echo a; } > group.txt; cat group.txt",
    "echo ${X:-{a}}",
    "echo a{b,c}d{e,f} \"${Y:-}\"{1,2}",
    "awk '{ print $1 }' in.txt",
    "awk \"{ print \\$1 }\" in.txt",
    "echo '{{.Names}}' {{.Names}}",
    "find . -name in.txt -exec echo {} \\;",
    "find . -name in.txt -exec echo {} +",
    // Subshells.
    "(echo a; echo b)",
    "(cd / && pwd); echo back",
    "(\necho a\necho b\n)",
    "( (echo double) )",
    "(echo a) | (cat; echo b)",
    "(exit 3) || echo \"status $?\"",
    "(true) && (echo yes)",
    "( echo 'a )' \")\" \\) )",
    // Operators and continuation.
    "true && echo yes || echo no",
    "false && echo yes || echo no",
    "! false && echo negated",
    "echo a; echo b; echo c",
    "echo a;echo b;",
    "echo a &\nwait",
    "{ echo a & wait; }",
    "echo one \\\n  two \\\n  three",
    "echo a |\n  cat",
    "echo a && \\\n echo b",
    "true &&\n  echo joined",
    "false ||\n\n  echo after blank",
    "echo abc | tr a b | tr b c",
    "echo a |& cat",
    "true |\n# comment between\ncat; echo after",
    "echo out 2>&1 | cat",
    "time -p true 2> /dev/null",
    "! true || echo bang",
    "true;true; echo 'a;b' \"c;d\" e\\;f",
    "echo a&& echo b||echo c",
    // Comments.
    "echo a # a comment",
    "echo a #b 'unclosed",
    "echo a#b #c",
    "echo a // a comment \" of ours",
    "echo a//b",
    "(echo a # in a subshell\necho b)",
    "{ echo a # c'\necho b\n}",
    "echo $(echo a # it's\n)",
    "echo \"# no\" '# no' \\# no",
    "echo ${#X} $#",
    "echo a;# comment\n",
    "cat <<E # comment\nbody # no comment\nE",
    // Here-documents.
    "cat <<EOF\nplain\nEOF",
    "cat <<EOF\n$(echo sub) ${UNSET:-x} `echo back` \\$no \"quotes' stay\nEOF",
    "cat <<'EOF'\n$(echo sub) ${X} `x` \\$no \"quotes' stay\nEOF",
    "cat <<\"EOF\"\n$HOME\nEOF",
    "cat <<\\EOF\n$HOME\nEOF",
    "cat <<E\"O\"F\n$HOME\nEOF",
    "cat <<-EOF\n\ttabs\n\t\tmore\n  spaces\n\tEOF",
    "cat <<-'EOF'\n\t$x\n\tEOF",
    "cat << EOF\nspace before\nEOF",
    "cat <<A <<B\nfirst\nA\nsecond\nB",
    "cat <<A; cat <<B\nfirst\nA\nsecond\nB",
    "cat <<EOF | tr a-z A-Z\npiped\nEOF",
    "cat <<EOF |\npiped on\nEOF\ntr a-z A-Z",
    "cat <<EOF && echo after\nbody\nEOF",
    "cat <<EOF > doc.txt && cat doc.txt\nbody\nEOF",
    "cat > doc2.txt <<EOF\n}\n{\n)\nEOF",
    "cat <<EOF\nEOF not yet\n EOF\nEOF \nEOF",
    "cat <<EOF\na \\\nEOF\nb\nEOF",
    "cat <<EOF\na \\\\\nEOF",
    "cat <<EF\nx\nE\\\nF",
    "cat <<EOF\nline \\\ncontinued\nEOF",
    "cat <<''\nuntil an empty line\n\n",
    "cat <<EOF\n\n\nEOF",
    "cat <<EOF\n$(cat <<IN\ninner\nIN\n)\nEOF",
    "cat <<'}'\nbrace\n}",
    "cat <<EOF\n# no comment\n// none\nEOF",
    "{ cat <<EOF\nin group\nEOF\n}",
    "(cat <<EOF\nin subshell\nEOF\n)",
    "true; while read -r l; do echo \"<$l>\"; done <<EOF\na b\nc\nEOF",
    "cat <<EOF 3<<OTHER\n1\nEOF\n3\nOTHER",
    "cat <<< word; cat <<<'two words'; cat <<< \"$(echo sub)\"",
    "bash <<'EOF'\nif true; then echo inner; fi\nEOF",
    "cat <<EOF-1\nodd\nEOF-1",
    "cat <<'E F'\nspaced\nE F",
    // Control structures inside a command.
    "true; if true; then echo yes; else echo no; fi",
    "true && for i in 1 2 3; do echo $i; done",
    "true && for ((i=0; i<3; i++)); do echo $i; done",
    "true; i=0; while [ $i -lt 2 ]; do echo $i; i=$((i+1)); done",
    "true; until true; do echo never; done; echo done",
    "true; case abc in a*) echo star;; *) echo other;; esac",
    "case x in\n  a|b) echo ab ;;\n  (x) echo x ;;\nesac",
    "case '}' in '}') echo brace;; esac",
    "case a in a) echo 1;& b) echo 2;; c) echo 3;; esac",
    "case a in a) echo 1;;& [a-z]) echo 2;; esac",
    "case $(echo x) in x) (echo sub);; esac",
    "true; for f in *.txt; do case $f in in*) echo \"$f\";; esac; done",
    "true | while read -r x; do\n  echo $x\ndone; echo ended",
    "true; select x in a b; do echo \"$x\"; break; done <<< 1 2> /dev/null",
    "( f() { echo \"f $1\"; }; f a; f 'b c' )",
    "( function g { echo g; }; g )",
    "( h() ( echo sub ); h )",
    "true && { if false; then echo a; elif true; then echo b; fi; }",
    "true; for x in a b\ndo\necho $x\ndone",
    // Tests and arrays.
    "[[ a == a && b != c ]] && echo ok",
    "[[ a < b || ( a > b && x ) ]] && echo ok",
    "[[ abc =~ ^a(b|x)c$ ]] && echo \"${BASH_REMATCH[1]}\"",
    "[[ 'a b' == *' '* ]] && echo space",
    "[[ -n x &&\n -z '' ]] && echo multi",
    "[ -f in.txt ] && [ ! -d in.txt ] && echo file",
    "[ \"a\" = 'a' -a 1 -lt 2 ] && echo ok",
    "true; A=(1 2 'three four'); echo \"${#A[@]}\" \"${A[2]}\" \"${A[@]:1}\" ${A[-1]}",
    "true; A=(\n one # first\n two\n); echo ${A[*]}",
    "true; A=([2]=x [0]=y); A+=(z); echo \"${!A[@]}\" \"${A[@]}\"",
    "declare -A M=([a]=1 [b c]=2); echo \"${M[b c]}\"",
    "true; a[0]=x; a[1+1]=y; echo ${a[0]} ${a[2]}",
    "((1 + 1 == 2)) && echo math",
    "(( x = 3, y = x * 2 )); echo $x $y",
    "let 'z = 4 + 1'; echo $z",
    "shopt -s extglob\n",
    // Redirections.
    "echo out > o1.txt; cat < o1.txt",
    "echo more >> o1.txt && cat o1.txt",
    "echo err >&2 2> /dev/null; echo done",
    "ls nothere 2> e.txt || cat < /dev/null; test -s e.txt && echo wrote",
    "{ echo a; echo b >&2; } > both.txt 2>&1; sort both.txt",
    "echo both &> amp.txt; cat amp.txt",
    "echo app &>> amp.txt; cat amp.txt",
    "exec 3> fd.txt; echo three >&3; exec 3>&-; cat fd.txt",
    "echo clobber >| o1.txt; cat o1.txt",
    "cat 0< in.txt",
    "> empty.txt; wc -c < empty.txt",
    "echo a >'quoted name.txt'; cat \"quoted name.txt\"",
    "exec {fd}< in.txt; cat <&$fd",
    "echo 2>&1 x 1>&2 2>/dev/null",
    "cat<in.txt>copy.txt;cat copy.txt",
    "echo 2 >two.txt; echo 2>/dev/null two; cat two.txt",
    // Assignments and builtins.
    "X=1 Y='two words' env | grep -E '^(X|Y)=' | sort",
    "X=1; X+=2; echo $X",
    "export Z=z; env | grep ^Z=",
    "X=$(echo a b); echo \"$X\"",
    "X=a\\ b; echo \"$X\"",
    "A=1 B=$(echo 2); echo $A$B",
    "set -- a 'b c'; echo $# \"$2\"",
    "printf '%s\\n' a \"b c\" 'd  e'",
    "printf '%s-' {a..c}; echo",
    "eval 'echo evaluated'",
    "trap 'echo bye' EXIT; echo hi",
    "command echo c; builtin echo b; \\echo e",
    "read -r a b <<< 'x y z'; echo \"$b\"",
    "IFS=: read -r a b <<< 'p:q'; echo $b",
    "test 1 = 1 && echo t",
    "echo * | tr ' ' '\\n' | grep -c in.txt",
    "echo in.tx? [i]n.txt",
    "echo a=b c=d -x --y=z",
    "echo if then else for while",
    "echo do done esac in function",
    "echo var when try catch finally fun",
    "echo !  x! '!'",
    "echo % ^ , . : = + - _ / @",
    "echo $ a$ $. \"$\" '$'",
    "true\r\n",
    "echo carriage\r\n",
    "cat <<EOF\r\nx\r\nEOF\r\n",
    "  echo indented",
    "\techo tabbed\t",
    "echo trailing   ",
    "ls -1 *.txt | sort | head -1",
    "sed -n 's/^\\(a\\).*/\\1/p' in.txt",
    "grep -E 'a|b' in.txt | cut -d' ' -f1",
    "xargs -n1 echo < in.txt",
    "echo \"a;b|c&d>e<f(g)h{i}j\"",
    "echo a\\|b \\> \\< \\( \\)",
    "echo ''a''\"\"b\"\"",
    "echo \"${X:-a b}\" '${X}' \\${X}",
    "echo $(echo \")\") $(echo ')') $(echo \\))",
    "echo \"$(echo ')' \"(\")\" '('",
    "true && echo \"$(if true; then echo in; fi)\"",
    "echo $(for i in a b; do echo $i; done)",
    "echo $(while false; do :; done; echo w)",
    "echo $(( $(echo 1) + ${N:-2} ))",
    "echo \"$(( 1 + $( echo \"$((2))\" ) ))\"",
];

/// The words and the ways to use them, for lines made by combination.
const WORDS: &[&str] = &[
    "a",
    "'a b'",
    "\"c d\"",
    "\"$(echo e)\"",
    "$(echo f g)",
    "`echo h`",
    "${U:-i}",
    "\"${U:-j k}\"",
    "{l,m}",
    "\\n",
    "o#p",
    "$'q\\tr'",
    "s//t",
    "\"u # v\"",
    "'}'",
    "$((1+2))",
    "\"`echo w`\"",
    "x\\ y",
    "''",
];
const USES: &[&str] = &[
    "echo W | cat",
    "(echo W; echo W)",
    "{ echo W; }",
    "echo \"$(printf '%s,' W)\"",
    "cat <<E\nW\nE",
    "cat <<-E\n\tW\n\tE",
    "true && echo W || echo no",
    "X=W; echo \"$X\" W",
    "case W in W) echo W;; *) echo other;; esac",
    "true; for i in W W; do echo \"$i\"; done",
    "cat <<< W",
    "echo W \\\n  W # W",
    "true; A=(W W); echo \"${A[@]}\"",
    "if_=1; { cat <<E; echo W; } | cat\n$(echo W)\nE",
];

fn lines() -> Vec<String> {
    let made = USES.iter().flat_map(|line| WORDS.iter().map(move |word| line.replace('W', word)));
    // Bash takes a brace list in a redirection for an error.
    let made = made.filter(|line| !line.contains("<<< {"));
    CORPUS.iter().map(|line| (*line).to_owned()).chain(made).collect()
}

/// What a step leaves out that `bash` would not: comments of ours, and carriage returns at line ends.
fn as_bash_would_write_it(line: &str) -> String {
    line.replace("\r\n", "\n").replace(" // a comment \" of ours", "")
}

fn files(host: &Host) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(host.work())
        .expect("a directory")
        .flatten()
        .filter(|entry| entry.path().is_file() && !["deploy.opl", "prod.plan"].iter().any(|name| entry.file_name() == *name))
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).expect("a file")))
        .collect();
    files.sort();
    files
}

/// Runs every line as a step, written by `write`, and by bash alone; compares.
fn compare(write: impl Fn(&str) -> String) {
    let lines = lines();
    let (ours, theirs) = (Host::new(), Host::new());
    for host in [&ours, &theirs] {
        host.write("in.txt", "a b\nc d\n");
    }
    let mut source = ours.named("true SITE\n");
    let mut expected = String::new();
    for (number, line) in lines.iter().enumerate() {
        let _ = writeln!(source, "{}\necho '== {number}'", write(line));
        let mut bash = Command::new("bash");
        bash.args(["--norc", "--noprofile", "-o", "pipefail", "-c", &as_bash_would_write_it(line)]).current_dir(theirs.work());
        bash.env_clear().env("PATH", std::env::var("PATH").expect("a PATH")).env("HOME", ours.path().join("home"));
        let output = bash.stdin(Stdio::null()).output().expect("bash runs");
        assert!(output.status.success(), "bash refuses `{line}`: {}", String::from_utf8_lossy(&output.stderr));
        let _ = writeln!(expected, "{}== {number}", String::from_utf8_lossy(&output.stdout));
    }
    ours.write("deploy.opl", &source);
    ours.opalc(&["deploy.opl", "--resolve", "-o", "prod.plan"]).expect(0);
    let ended = ours.vm(&["run", "--plan", "prod.plan", "--record", "none"]);
    let piece = |text: &str, number: usize| text.split("== ").nth(number).unwrap_or_default().to_owned();
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(piece(&ended.stdout, number), piece(&expected, number), "`{line}`\n{}", ended.stderr);
    }
    assert_eq!(ended.stdout, expected);
    ended.expect(0);
    assert_eq!(files(&ours), files(&theirs));
}

#[test]
fn lines_of_a_script_mean_what_they_mean_to_bash() {
    compare(str::to_owned);
}

#[test]
fn lines_of_a_block_mean_what_they_mean_to_bash() {
    // A here-document ends with its line, a comment with its own: then the brace stands on the next.
    compare(|line| {
        match line.contains(['\n', '#'])
            || line.contains("; then")
            || line.contains("; do")
            || line.contains(" // ")
            || line.ends_with([' ', '\t', ';'])
        {
            true => format!("if true {{\n{line}\n}}"),
            false => format!("if true {{ {line} }}"),
        }
    });
}
