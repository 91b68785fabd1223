//! What no host compares (headers, places in the source, names and times that the file gives itself) may be a lie. Whatever it says, the words of the
//! programs stay true: they do not call it agreed, compared or unchanged, and where they show it they call it claimed.

use opal_core::show::is_unseen;
use opal_format::identity::Identity;
use opal_format::read_file::read_path;
use opal_format::record::{Span, TextRef};
use opal_format::slots::Slots;
use opal_format::terms::Terms;
use opal_format::writer::PlanContents;
use opal_tests::Host;

const SOURCE: &str = "fun greet(name: String) = echo hello @var.name @env.SECRET\ngo: {\n    if @env.STAGE == \"production\" { greet(\"SITE\") } else { echo other }\n    for i in 1...2 { echo @var.i }\n    test -e go-on\n}\n";

/// The words of the lie, and the line that it names.
const LIE: &str = "THIS-IS-A-LIE";
const LINE: u32 = 4711;

/// What of a contract nobody compares.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    Headers,
    Spans,
    Source,
    Time,
    Provenance,
    /// This text in the place of provenance.
    Says(&'static str),
}

/// A host with a contract for [`SOURCE`], and the same contract that lies, signed by the key that this host trusts.
fn host(lie: Lie) -> Host {
    let mut host = Host::new();
    host.set("STAGE", "production").set("SECRET", "not-to-be-shown");
    host.contract(SOURCE, &["go"]);
    let plan = read_path(&host.work().join("prod.plan"), 1 << 20).expect("a plan").authenticate().expect("its own signature");
    let contract = plan.decode().expect("a contract");
    let identity = host.files().iter().find_map(|(_, bytes)| Identity::from_openssh(bytes).ok()).expect("the key that was made");
    let seed = contract.unseal(&identity.signing).expect("it opens");
    let steps = contract.steps.to_steps();
    let mut program = contract.program.to_program();
    let mut slots = Slots { slots: contract.slots.slots.to_vec(), text: contract.slots.text.to_vec() };
    let mut terms = Terms { ..contract.terms.clone() };
    let mut sources = contract.sources.clone();
    let (mut timestamp, mut provenance) = (contract.header.timestamp, contract.provenance.to_owned());
    match lie {
        Lie::Headers => {
            program.text.extend_from_slice(LIE.as_bytes());
            let end = u32::try_from(program.text.len()).expect("short");
            let mut changed = 0;
            for node in program.nodes.iter_mut().filter(|node| node.header != TextRef::EMPTY) {
                // What was said stays in use, before the lie.
                let from = node.header.offset.to_native();
                node.header = TextRef::new(from, end - from);
                changed += 1;
            }
            assert!(changed >= 2, "an if and a for have headers");
        }
        Lie::Spans => {
            program.nodes.iter_mut().for_each(|node| node.span = Span::new(1, 2, LINE, 1));
            program.templates.iter_mut().for_each(|template| template.span = Span::new(1, 2, LINE, 1));
            slots.slots.iter_mut().for_each(|slot| slot.span = Span::new(1, 2, LINE, 1));
        }
        Lie::Source => {
            LIE.clone_into(&mut terms.source_name);
            sources[0].name = LIE;
        }
        Lie::Time => timestamp -= 86_400 * 365,
        Lie::Provenance => provenance = format!("{{\"made_by\":\"{LIE}\"}}"),
        Lie::Says(text) => text.clone_into(&mut provenance),
    }
    let contents = PlanContents {
        algorithm: contract.header.algorithm,
        timestamp,
        sources: &sources,
        audience: &contract.audience,
        target: contract.header.target,
        terms: &terms,
        program: &program,
        steps: &steps,
        slots: &slots,
        sub_keys: &contract.sub_keys(&seed).expect("there are none"),
        provenance: &provenance,
    };
    let mut file = contents.write(&seed, &[identity.public()]).expect("every rule of the format is kept");
    file.sign(&identity.signing).expect("signed");
    host.write("lying.plan", file.to_bytes());
    host
}

/// The lines of a text that hold one of the words, and whether a line says what is claimed.
fn shows(text: &str, word: &str) -> (bool, Vec<String>) {
    (text.contains(word), text.lines().filter(|line| line.contains("claimed")).map(str::to_owned).collect())
}

#[test]
fn whatever_a_contract_claims_the_words_about_it_stay_true() {
    let place = format!(":{LINE}:");
    for lie in [Lie::Headers, Lie::Spans, Lie::Source, Lie::Time, Lie::Provenance] {
        let mut host = host(lie);
        // It is the same work, and no host notices.
        let verified = host.vm(&["verify", "--plan", "lying.plan"]);
        verified.expect(0);
        let said = format!("{}{}", verified.stdout, verified.stderr);
        for word in ["exactly", "unchanged", "as agreed", LIE, &place] {
            assert!(!said.contains(word), "{lie:?}: `verify` says `{word}`\n{said}");
        }
        let claimed = said.lines().find(|line| line.trim_start().starts_with("claimed:")).expect("what was not compared is named");
        for what in ["control flow", "places in the source", "names of groups", "which source", "when and by what", "not compared"] {
            assert!(claimed.contains(what), "{lie:?}: {claimed}");
        }
        for words in [&["opal-vm", "inspect", "--plan", "lying.plan"][..], &["opalc", "show", "lying.plan"]] {
            let shown = host.run(words[0], &words[1..]);
            shown.expect(0);
            let (lies, claimed) = shows(&shown.stdout, LIE);
            assert_eq!(lies, matches!(lie, Lie::Headers | Lie::Source), "{lie:?}\n{}", shown.stdout);
            for row in ["source:", "made:", "claimed:"] {
                assert!(claimed.iter().any(|line| line.starts_with(row)), "{lie:?}: {row}\n{}", shown.stdout);
            }
        }
        // A report of drift shows places.
        host.set("SECRET", "another-secret");
        let drift = host.vm(&["verify", "--plan", "lying.plan"]);
        drift.expect(3).says("env_changed").says("claimed: places in the source");
        assert_eq!(drift.stderr.contains(&place), lie == Lie::Spans, "{lie:?}\n{}", drift.stderr);
        assert!(!drift.stderr.contains("unchanged"), "{lie:?}\n{}", drift.stderr);
        // So does a run, which shows the tree too where it is forced, and a step that fails.
        let forced = host.vm(&["run", "--plan", "lying.plan", "--force=env.SECRET"]);
        forced.expect(1).says("claimed: texts of control flow, names of groups").says("claimed: places in the source").says("step_failed");
        let (lies, _) = shows(&forced.stderr, LIE);
        assert_eq!(lies, matches!(lie, Lie::Headers | Lie::Source), "{lie:?}\n{}", forced.stderr);
        for word in ["exactly", "unchanged"] {
            assert!(!forced.stderr.contains(word), "{lie:?}\n{}", forced.stderr);
        }
        // What ran is what was signed.
        assert_eq!(forced.stdout, host.named("hello SITE opal:secret:ID\n1\n2\n").replace("ID", id(&forced.stdout)), "{lie:?}");
    }
}

/// The id of the one secret in an output.
fn id(output: &str) -> &str {
    output.split("opal:secret:").nth(1).and_then(|rest| rest.split('\n').next()).unwrap_or_default()
}

#[test]
fn provenance_draws_nothing_breaks_no_document_and_reads_back_as_it_was() {
    let texts = [
        "{\"made_by\":\"\u{202e}gro.live\u{202c}\u{2066}\u{feff}\u{e0001}\u{a0}\u{3164}\"}",
        "{\"a\\u001b[2J\":\"\\u0007\\u0000\\u202e\", \"\u{202e}key\":[\"\u{200b}\"]}",
        "\u{202e}no JSON \u{1b}]0;title\u{7}\r\n\t\0\u{9b}31m",
        "{\"a\":1,\"a\":2}",
        "{\"schema\":\"opal/verify/v1\",\"verdict\":\"same\"}",
        "\"}\\n}{\"",
        "",
    ];
    for text in texts {
        let host = host(Lie::Says(text));
        for words in [&["opal-vm", "inspect", "--plan", "lying.plan"][..], &["opalc", "show", "lying.plan"]] {
            for json in [false, true] {
                let all: Vec<&str> = words[1..].iter().copied().chain(json.then_some("--json")).collect();
                let shown = host.run(words[0], &all);
                shown.expect(0);
                let unseen = shown.stdout.chars().find(|one| is_unseen(*one) && *one != '\n');
                assert_eq!(unseen, None, "{words:?} {json}: {text:?}");
                if json {
                    let document: serde_json::Value = serde_json::from_str(&shown.stdout).expect("one document");
                    let exact = serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::from(text));
                    assert_eq!(document["provenance"], exact, "{words:?}");
                }
            }
        }
        host.vm(&["verify", "--plan", "lying.plan"]).expect(0);
    }
}
