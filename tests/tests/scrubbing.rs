//! No byte of a secret gets out: a corpus of secrets in every encoding at every split, and the programs that print them by themselves.

use opal_exec::scrub::{Scrubber, Secrets, VALUE_MIN};
use opal_tests::Host;
use std::io::Read as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A small generator of numbers (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(limit).expect("small")).expect("small")
    }

    fn bytes(&mut self, length: usize, from: &[u8]) -> Vec<u8> {
        (0..length).map(|_| from[self.below(from.len())]).collect()
    }
}

const TEXT: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

fn secrets() -> Vec<Vec<u8>> {
    let mut numbers = Numbers(1);
    let mut all: Vec<Vec<u8>> = [
        // Shorter than what is looked for.
        &b"x"[..],
        b"xy",
        b"xyz",
        b"1234",
        b"pass",
        // Prefixes, suffixes and overlaps of each other.
        b"prefix",
        b"prefix-and",
        b"prefix-and-more",
        b"more-or-less",
        b"aaaa",
        b"aaaaaaaaaaaa",
        b"abababab",
        b"hunter2",
        b"correct horse battery staple",
        // What some syntax treats specially.
        b".*+?()[]{}^$|\\",
        b"(?i)secret[0-9]+",
        b"it's \"quoted\" `here` $HOME",
        b"<b attr=\"x\">&amp;</b>",
        b"100% %41 %%",
        b"a\\b\\\\c\\n",
        b"tab\there",
        b" leading and trailing ",
        b"/path/to/file?query=1&other=2#x",
        b"user:p@ss@host",
        b"{\"key\": \"value\", \"n\": [1, 2]}",
        b"--option=-value",
        b"!history !!",
        b"~/tilde ~user",
        b"AKIAIOSFODNN7EXAMPLE",
        b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "gr\u{fc}\u{df}e \u{20ac} \u{1f512} \u{65e5}\u{672c}".as_bytes(),
        b"\xff\xfe\x01\x02binary\x7f\x80",
        b"\x1b[31mred\x1b[0m",
        // Several lines.
        b"line one\nline two",
        b"line one\r\nline two\r\n",
        b"\n\nblank lines\n\n",
        b"short\nab\nlonger line\n",
        b"ab\ncd\nef\ngh",
        b"-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\nVJTUt9Us8cKjMzEfYyjiWA4R4\n-----END KEY-----\n",
    ]
    .into_iter()
    .map(<[u8]>::to_vec)
    .collect();
    for length in [64, 255, 1024, 4096] {
        all.push(numbers.bytes(length, TEXT));
        let any: Vec<u8> = (1..=255).filter(|byte| *byte != b'\n').collect();
        all.push(numbers.bytes(length, &any));
    }
    all.push(numbers.bytes(64 << 10, TEXT));
    all
}

fn base64(bytes: &[u8], alphabet: &[u8; 2]) -> Vec<u8> {
    let digit = |six: u32| match six & 63 {
        six @ 0..26 => b'A' + six as u8,
        six @ 26..52 => b'a' + (six - 26) as u8,
        six @ 52..62 => b'0' + (six - 52) as u8,
        six => alphabet[six as usize - 62],
    };
    let mut out = Vec::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        let digits = [bits >> 18, bits >> 12, bits >> 6, bits].map(digit);
        out.extend_from_slice(&digits[..=group.len()]);
        out.extend(std::iter::repeat_n(b'=', 3 - group.len()));
    }
    out
}

fn unpadded(mut text: Vec<u8>) -> Vec<u8> {
    while text.last() == Some(&b'=') {
        text.pop();
    }
    text
}

fn mapped(bytes: &[u8], map: impl Fn(u8) -> Option<String>) -> Vec<u8> {
    bytes.iter().flat_map(|byte| map(*byte).map_or_else(|| vec![*byte], String::into_bytes)).collect()
}

fn json(byte: u8) -> Option<String> {
    match byte {
        b'"' => Some("\\\"".to_owned()),
        b'\\' => Some("\\\\".to_owned()),
        b'\n' => Some("\\n".to_owned()),
        b'\r' => Some("\\r".to_owned()),
        b'\t' => Some("\\t".to_owned()),
        8 => Some("\\b".to_owned()),
        12 => Some("\\f".to_owned()),
        0..32 => Some(format!("\\u{byte:04x}")),
        _ => None,
    }
}

fn xml(byte: u8) -> Option<String> {
    let entity = match byte {
        b'&' => "&amp;",
        b'<' => "&lt;",
        b'>' => "&gt;",
        b'"' => "&quot;",
        b'\'' => "&#39;",
        _ => return None,
    };
    Some(entity.to_owned())
}

/// How a terminal writes line ends.
fn terminal(bytes: &[u8]) -> Vec<u8> {
    mapped(bytes, |byte| (byte == b'\n').then(|| "\r\n".to_owned()))
}

/// Every encoding of a secret: its name, the text, and how many bytes at either end are also those of what stands beside the secret.
fn encodings(secret: &[u8]) -> Vec<(&'static str, Vec<u8>, usize)> {
    let unix = String::from_utf8_lossy(secret).replace("\r\n", "\n");
    let shifted = |before: usize, after: usize| {
        let mut bytes = vec![b'#'; before];
        bytes.extend_from_slice(secret);
        bytes.extend(vec![b'#'; after]);
        bytes
    };
    let percent = |byte: u8| (!byte.is_ascii_alphanumeric() && !b"-_.~".contains(&byte)).then(|| format!("%{byte:02X}"));
    let mut all = vec![
        ("raw", secret.to_vec(), 0),
        ("base64", base64(secret, b"+/"), 0),
        ("base64, no padding", unpadded(base64(secret, b"+/")), 0),
        ("base64 behind one byte", base64(&shifted(1, 0), b"+/"), 4),
        ("base64 behind two bytes", base64(&shifted(2, 0), b"+/"), 4),
        ("base64 between others", base64(&shifted(4, 5), b"+/"), 14),
        ("base64url", base64(secret, b"-_"), 0),
        ("base64url behind two bytes, no padding", unpadded(base64(&shifted(2, 0), b"-_")), 4),
        ("hex", secret.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect(), 0),
        ("HEX", secret.iter().flat_map(|byte| format!("{byte:02X}").into_bytes()).collect(), 0),
        ("percent", mapped(secret, percent), 0),
        ("percent, lower case", mapped(secret, |byte| percent(byte).map(|text| text.to_lowercase())), 0),
        ("JSON", mapped(secret, json), 0),
        ("XML", mapped(secret, xml), 0),
        ("single quotes", mapped(secret, |byte| (byte == b'\'').then(|| "'\\''".to_owned())), 0),
        ("double quotes", mapped(secret, |byte| b"$`\"\\".contains(&byte).then(|| format!("\\{}", char::from(byte)))), 0),
    ];
    if std::str::from_utf8(secret).is_ok() {
        all.push(("CRLF", unix.replace('\n', "\r\n").into_bytes(), 0));
        all.push(("LF", unix.clone().into_bytes(), 0));
        all.push(("terminal", terminal(unix.as_bytes()), 0));
    }
    all
}

fn streamed<'a>(patterns: &Arc<Secrets>, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut scrubber = Scrubber::new(Arc::clone(patterns));
    let mut out = Vec::new();
    chunks.into_iter().for_each(|chunk| scrubber.write(chunk, &mut out));
    scrubber.finish(&mut out);
    out
}

const BEFORE: &[u8] = b"[before] ";
const AFTER: &[u8] = b" [after]\n";
const NAME: &[u8] = b"@@";

/// Whether what came out shows nothing of a secret in its middle.
fn shows_nothing(out: &[u8], open: usize) -> bool {
    let Some(middle) = out.strip_prefix(BEFORE).and_then(|rest| rest.strip_suffix(AFTER)) else { return false };
    // What a secret shares with its neighbours, and line ends between the lines of one.
    let rest: Vec<u8> = String::from_utf8_lossy(middle).replace("@@", "").into_bytes();
    middle.windows(NAME.len()).any(|window| window == NAME) && rest.iter().filter(|byte| !b"\r\n=".contains(byte)).count() <= open
}

#[test]
fn no_encoding_of_any_secret_gets_out_at_any_split() {
    let mut numbers = Numbers(2);
    let secrets = secrets();
    assert!(secrets.len() >= 40);
    let mut splits = 0;
    for secret in &secrets {
        let patterns = Arc::new(Secrets::default());
        patterns.add([(secret.as_slice(), "@@")]);
        for (name, encoded, open) in encodings(secret) {
            let text = [BEFORE, &encoded, AFTER].concat();
            let whole = patterns.scrub(&text);
            let about = || format!("{name} of {}", String::from_utf8_lossy(&secret[..secret.len().min(40)]));
            if secret.len() < VALUE_MIN {
                assert_eq!(whole, text, "{}", about());
                continue;
            }
            assert!(shows_nothing(&whole, open), "{}: {}", about(), String::from_utf8_lossy(&whole[..whole.len().min(200)]));
            let mut check = |cuts: &[usize]| {
                let ends = cuts.iter().copied().chain([text.len()]);
                let starts = [0].into_iter().chain(cuts.iter().copied());
                let out = streamed(&patterns, starts.zip(ends).map(|(start, end)| &text[start..end]));
                assert!(out == whole, "{} cut at {cuts:?}", about());
                splits += 1;
            };
            if text.len() <= 600 {
                (0..=text.len()).for_each(|cut| check(&[cut]));
                check(&(1..text.len()).collect::<Vec<_>>());
            } else {
                (0..4).for_each(|_| check(&[numbers.below(text.len())]));
            }
            for _ in 0..if text.len() <= 600 { 160 } else { 2 } {
                let mut cuts = [numbers.below(text.len()), numbers.below(text.len())];
                cuts.sort_unstable();
                check(&cuts);
            }
        }
    }
    assert!(splits > 100_000, "{splits}");
}

#[test]
fn all_secrets_at_once_are_replaced_in_a_stream_of_all_their_encodings() {
    let secrets: Vec<Vec<u8>> = secrets().into_iter().filter(|secret| secret.len() <= 1024).collect();
    let patterns = Arc::new(Secrets::default());
    patterns.add(secrets.iter().map(|secret| (secret.as_slice(), "@@")));
    let mut text = Vec::new();
    for secret in secrets.iter().filter(|secret| secret.len() >= 8) {
        for (_, encoded, _) in encodings(secret) {
            text.extend_from_slice(&encoded);
            text.extend_from_slice(b" | ");
        }
    }
    let whole = patterns.scrub(&text);
    for secret in secrets.iter().filter(|secret| secret.len() >= 8) {
        assert!(!whole.windows(secret.len()).any(|window| window == secret.as_slice()), "{}", String::from_utf8_lossy(secret));
    }
    let mut numbers = Numbers(3);
    for _ in 0..20 {
        let mut chunks = Vec::new();
        let mut rest = text.as_slice();
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at((1 + numbers.below(300)).min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        assert!(streamed(&patterns, chunks) == whole);
    }
}

/// Secrets that survive being an environment variable and a file name.
const PRINTED: [&str; 5] =
    ["hunter2-plain-secret", "it's \"quoted\" $x `y`", "tab\there and \\backslash", "two lines\nof some-value", "gr\u{fc}\u{df}e-\u{20ac}"];

#[test]
fn what_programs_print_of_a_secret_by_themselves_is_scrubbed_everywhere() {
    for secret in PRINTED {
        let mut host = Host::new();
        host.set("S", secret);
        host.set("LC_ALL", "C");
        let script = "try {\n    set -x; : @env.S; x=@env.S; echo \"pre $x post\" >&2\n    cat ./no-such-@env.S-file\n} catch {\n    touch here-@env.S; ls . ; ls -b .; ls --quoting-style=shell-escape . ; rm here-*\n    printf '%s\\n' @env.S; printf '%q\\n' @env.S; bash -c 'declare -p S; echo \"${S@Q}\"; export -p; set | grep -a ^S='; env\n    printf '%s' @env.S | base64; printf '%s' @env.S | od -An -tx1 | tr -d ' \\n'\n    V=$(printf '%s' @env.S)\n    echo \"bound @var.V\"; printf '%s' @var.V | base64\n}\n@workdir(\"no-such-@env.S\") {\n    true\n}\n";
        host.write("script.opl", script);
        for words in [&["./script.opl"][..], &["--json", "./script.opl"]] {
            let ended = host.run("opal", words);
            let all = format!("{}{}", ended.stdout, ended.stderr);
            assert!(all.contains("opal:secret:"), "{all}");
            // The longest word of it that no message holds for another reason.
            let part = secret.split(['\n', '\t', ' ', '"', '\'']).max_by_key(|part| part.len()).expect("a part");
            for text in [secret, part] {
                let shown = all.replace("script.opl", "");
                assert!(!shown.contains(text), "`{text}` of {secret:?} in {shown}");
            }
            assert_eq!(ended.status, 1, "{all}");
        }
        for (path, bytes) in host.files() {
            let inside = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!inside, "{} holds {secret:?}", path.display());
        }
    }
}

/// Reads until `wanted` has come, and gives everything that has come until then.
fn read_until(stream: &mut impl std::io::Read, wanted: &str) -> String {
    let begun = Instant::now();
    let mut seen = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&seen).ends_with(wanted) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", String::from_utf8_lossy(&seen));
        if stream.read(&mut byte).expect("a pipe can be read") == 0 {
            break;
        }
        seen.extend_from_slice(&byte);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

#[test]
fn a_line_without_an_end_is_shown_while_its_step_waits_and_the_beginning_of_a_secret_is_not() {
    let mut host = Host::new();
    host.set("S", "hunter2-secret");
    // Goes on when it is told to.
    let wait = "until [ -e go-NUMBER ]; do sleep 0.02; done";
    let script = format!(
        ": @env.S\nprintf 'Password: '; {}; printf 'is hunter2'; touch held; {}; printf ' and '; {}; printf '%s' @env.S; {}; echo .\n",
        wait.replace("NUMBER", "1"),
        wait.replace("NUMBER", "2"),
        wait.replace("NUMBER", "3"),
        wait.replace("NUMBER", "4")
    );
    host.write("script.opl", script);
    let mut run = host.command("opal", ["./script.opl"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut stdout = run.stdout.take().expect("a pipe");
    assert_eq!(read_until(&mut stdout, ": "), "Password: ");
    host.write("go-1", "");
    assert_eq!(read_until(&mut stdout, "is "), "is ");
    while !host.work().join("held").exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    host.write("go-2", "");
    // What has turned out to be no secret comes with what has shown that.
    assert_eq!(read_until(&mut stdout, "and "), "hunter2 and ");
    host.write("go-3", "");
    // A secret that is complete is replaced at once, though nothing has come after it.
    let placeholder = read_until(&mut stdout, "opal:secret:");
    assert_eq!(placeholder, "opal:secret:");
    host.write("go-4", "");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("text");
    assert!(rest.ends_with(".\n") && !rest.contains("hunter2"), "{rest}");
    assert!(run.wait().expect("a status").success());
}
