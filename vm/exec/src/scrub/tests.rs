use super::*;
use crate::listed::{digits, forms};
use proptest::prelude::*;

fn patterns(secrets: &[(&[u8], &str)]) -> Arc<Secrets> {
    let known = Arc::new(Secrets::default());
    known.add(secrets.iter().copied());
    known
}

/// What scrubbing means, with no automaton and no streaming: every occurrence of every form, overlapping ones
/// merged, each range replaced by the name of its first and longest occurrence.
fn reference(secrets: &[(&[u8], &str)], text: &[u8]) -> Vec<u8> {
    let mut occurrences = Vec::new();
    for (secret, name) in secrets.iter().filter(|(secret, _)| secret.len() >= VALUE_MIN) {
        for form in forms(secret).into_iter().chain(digits(secret)) {
            for at in 0..text.len() {
                if text[at..].starts_with(&form) {
                    occurrences.push((at, Reverse(form.len()), *name));
                }
            }
        }
    }
    occurrences.sort_by_key(|(at, length, _)| (*at, *length));
    let mut out = Vec::new();
    let mut at = 0;
    let mut rest = occurrences.iter().peekable();
    while let Some((start, length, name)) = rest.next() {
        out.extend_from_slice(&text[at..*start]);
        out.extend_from_slice(name.as_bytes());
        let mut end = start + length.0;
        while let Some((start, length, _)) = rest.next_if(|(start, ..)| *start < end) {
            end = end.max(start + length.0);
        }
        at = end;
    }
    out.extend_from_slice(&text[at..]);
    out
}

fn streamed(patterns: &Arc<Secrets>, chunks: &[&[u8]]) -> Vec<u8> {
    let mut scrubber = Scrubber::new(Arc::clone(patterns));
    let mut out = Vec::new();
    chunks.iter().for_each(|chunk| scrubber.write(chunk, &mut out));
    scrubber.finish(&mut out);
    out
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

const NASTY: &[u8] = b"p/+ss w\"o'r\\d\n$x<&>\t%\xc3\xa9end";

/// What tools print for [`NASTY`], one entry a tool.
const PRINTED: [&[u8]; 16] = [
    NASTY,
    b"cC8rc3MgdyJvJ3JcZAokeDwmPgklw6llbmQ=",                         // base64
    b"702f2b7373207722",                                             // the beginning of xxd -p
    b"p%2F%2Bss%20w%22o'r%5Cd%0A%24x%3C%26%3E%09%25%C3%A9end",       // encodeURIComponent
    b"p%2F%2Bss+w%22o%27r%5Cd%0A%24x%3C%26%3E%09%25%C3%A9end",       // urlencode in PHP and Python's quote_plus
    b"p/%2Bss%20w%22o%27r%5Cd%0A%24x%3C%26%3E%09%25%C3%A9end",       // Python's quote
    b"p/+ss w\\\"o'r\\\\d\\n$x<&>\\t%\xc3\xa9end",                   // JSON.stringify
    b"p/+ss w\\\"o'r\\\\d\\n$x<&>\\t%\\u00e9end",                    // Python's json.dumps
    b"p\\/+ss w\\\"o'r\\\\d\\n$x<&>\\t%\\u00e9end",                  // PHP's json_encode
    b"p/+ss w\\\"o'r\\\\d\\n$x\\u003c\\u0026\\u003e\\t%\xc3\xa9end", // Go's json.Marshal
    b"p/+ss w\"o'\\''r\\d\n$x<&>\t%\xc3\xa9end",                     // shlex, set -x
    b"p/+ss w\"o'\"'\"'r\\d\n$x<&>\t%\xc3\xa9end",                   // shlex.quote
    b"p/+ss w&quot;o&#39;r\\d\n$x&lt;&amp;&gt;\t%\xc3\xa9end",       // html.EscapeString
    b"p/+ss w\\\"o'r\\\\d\n\\$x<&>\t%\xc3\xa9end",                   // inside double quotes
    b"p/+ss w\"o\\'r\\\\d\\n$x<&>\\t%\xc3\xa9end",                   // printf %q
    b"p/+ss w\"o\\'r\\\\d\\n$x<&>\\t%\\303\\251end",                 // printf %q where the locale is C
];

#[test]
fn what_tools_print_is_replaced() {
    let patterns = patterns(&[(NASTY, "<S>")]);
    for printed in PRINTED.iter().filter(|printed| !printed.starts_with(b"702f")) {
        let text = [b"before ", *printed, b" after"].concat();
        assert_eq!(patterns.scrub(&text), b"before <S> after", "{}", String::from_utf8_lossy(printed));
    }
    let hex: String = NASTY.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(hex.as_bytes().starts_with(PRINTED[2]));
    assert_eq!(patterns.scrub(hex.as_bytes()), b"<S>");
    assert_eq!(patterns.scrub(hex.to_uppercase().as_bytes()), b"<S>");
}

#[test]
fn base64_is_found_at_every_place_in_a_group() {
    let patterns = patterns(&[(b"hunter2-secret", "<S>")]);
    // printf 'hunter2-secret' | base64; the same after one and after two bytes, and before others.
    assert_eq!(patterns.scrub(b"aHVudGVyMi1zZWNyZXQ="), b"<S>");
    assert_eq!(patterns.scrub(b"eGh1bnRlcjItc2VjcmV0"), b"eG<S>");
    assert_eq!(patterns.scrub(b"eHhodW50ZXIyLXNlY3JldA=="), b"eHh<S>");
    assert_eq!(patterns.scrub(b"dXNlcjpodW50ZXIyLXNlY3JldA"), b"dXNlcjp<S>");
}

#[test]
fn no_split_lets_a_byte_of_a_secret_through() {
    let secrets: [(&[u8], &str); 4] = [(NASTY, "<S>"), (b"prefix", "<P>"), (b"prefix-and-more", "<Q>"), (b"morsel", "<M>")];
    let patterns = patterns(&secrets);
    for text in PRINTED.iter().map(|p| p.to_vec()).chain([b"prefix-and-morsel prefix-and-more-prefix".to_vec()]) {
        let whole = reference(&secrets, &text);
        assert_eq!(patterns.scrub(&text), whole);
        for a in 0..=text.len() {
            assert_eq!(streamed(&patterns, &[&text[..a], &text[a..]]), whole);
            let b = (a + text.len()) / 2;
            assert_eq!(streamed(&patterns, &[&text[..a], &text[a..b], &text[b..]]), whole);
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(streamed(&patterns, &bytes), whole);
    }
}

#[test]
fn overlapping_secrets_are_one_range() {
    let patterns = patterns(&[(b"abcd", "<1>"), (b"cdef", "<2>"), (b"efghijkl", "<3>")]);
    assert_eq!(patterns.scrub(b"xabcdefghijklx"), b"x<1>x");
    assert_eq!(patterns.scrub(b"abcdcdef"), b"<1><2>");
    assert_eq!(patterns.scrub(b"abcabcd"), b"abc<1>");
}

#[test]
fn a_secret_of_several_lines_is_replaced_line_by_line() {
    let key = b"-----BEGIN KEY-----\nAAAAlongline1\nok\nBBBBlongline2\n-----END KEY-----\n";
    let patterns = patterns(&[(key, "<K>")]);
    assert_eq!(patterns.scrub(key), b"<K>");
    assert_eq!(patterns.scrub(b"tail: BBBBlongline2\r\n"), b"tail: <K>\r\n");
    let dos = String::from_utf8_lossy(key).replace('\n', "\r\n");
    assert!(!contains(&patterns.scrub(dos.as_bytes()), b"longline"));
    assert_eq!(patterns.scrub(b"ok"), b"ok", "a short line alone is not a secret");
}

/// Digits in rows of so many, with what stands before and behind a row.
fn rows(digits: &[u8], width: usize, before: &str, behind: &str) -> Vec<u8> {
    digits.chunks(width).map(|row| [before.as_bytes(), row, behind.as_bytes()].concat()).collect::<Vec<_>>().join(&b'\n')
}

#[test]
fn digits_broken_into_lines_of_any_width_are_replaced() {
    let secret: Vec<u8> = (0..200u8).map(|n| b'!' + n % 90).collect();
    let patterns = patterns(&[(&secret, "<S>")]);
    let all = digits(&secret);
    assert!(all.iter().any(|form| form.ends_with(b"===")), "base32 is padded too");
    for digits in &all {
        for width in (3..80).chain([100, 120]) {
            assert_eq!(patterns.scrub(&rows(digits, width, "", "")), b"<S>", "{width} {}", String::from_utf8_lossy(digits));
            let dos = [b"[", rows(digits, width, "", "\r").as_slice(), b"\n]"].concat();
            assert!(patterns.scrub(&dos).starts_with(b"[<S>"), "{width}");
        }
        assert_eq!(patterns.scrub(&rows(digits, 64, "    ", "")), b"    <S>", "in YAML");
        let json = String::from_utf8(rows(digits, 64, "", "")).expect("ASCII").replace('\n', "\\n");
        assert_eq!(patterns.scrub(json.as_bytes()), b"<S>", "in JSON");
    }
}

/// A dump as tools lay it out: an offset and `after` it, groups of so many pairs, and a column of characters.
fn dump(bytes: &[u8], offset: bool, after: &str, group: usize, column: Option<[&str; 2]>) -> Vec<u8> {
    let mut out = String::new();
    for (number, row) in bytes.chunks(16).enumerate() {
        if offset {
            out += &format!("{:08x}{after}", number * 16);
        }
        let groups: Vec<String> = row.chunks(group).map(|group| group.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
        // As `hexdump -C` sets the halves of a row apart.
        let halves: Vec<String> = groups.chunks(8).map(|half| half.join(" ")).collect();
        out += &halves.join("  ");
        if let Some([open, close]) = column {
            out += open;
            out.extend(row.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }));
            out += close;
        }
        out.push('\n');
    }
    out.into_bytes()
}

#[test]
fn a_dump_in_any_layout_shows_nothing_of_a_secret_wherever_it_begins() {
    for secret in [&b"hunter2"[..], b"correct horse battery staple, 2 of it", b"\x01\xff deadbeef deadbeef beef", &[0; 40]] {
        let patterns = patterns(&[(secret, "<S>")]);
        for before in [0, 1, 7, 11, 14, 15, 16, 29] {
            for behind in [0, 20] {
                let bytes = [vec![b'#'; before], secret.to_vec(), vec![b'#'; behind]].concat();
                for (offset, after) in [(false, ""), (true, ": "), (true, "  "), (true, " ")] {
                    for group in [1, 2, 4, 8] {
                        for column in [None, Some(["  ", ""]), Some(["  |", "|"]), Some(["  >", "<"])] {
                            let text = dump(&bytes, offset, after, group, column);
                            let out = patterns.scrub(&text);
                            let shown = String::from_utf8_lossy(&out);
                            // What is left of it is too little to be held back at the end of a line.
                            let pairs = shown.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() != 8 || !offset);
                            let left: usize = pairs.map(|word| word.len() - word.matches("23").count() * 2).sum();
                            assert!(
                                shown.contains("<S>") && (left <= 4 || column.is_some()),
                                "{before} {behind} {}: {shown}",
                                String::from_utf8_lossy(&text)
                            );
                            if group == 2 && behind > 0 {
                                let bytes: Vec<&[u8]> = text.chunks(1).collect();
                                assert_eq!(streamed(&patterns, &bytes), out);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn pairs_with_anything_that_tools_put_between_them_are_replaced() {
    let secret = b"hunter2-secret";
    let patterns = patterns(&[(secret, "<S>")]);
    for one in [" ", "\t", ":", ",", "-", ";", ".", "_", "|"] {
        for two in ["", " ", "0x", "\\x"] {
            for upper in [false, true] {
                let pairs = secret.map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
                let text = format!("[{}]", pairs.join(&format!("{one}{two}")));
                assert_eq!(patterns.scrub(text.as_bytes()), b"[<S>]", "{text}");
                assert_eq!(streamed(&patterns, &text.as_bytes().chunks(1).collect::<Vec<_>>()), b"[<S>]", "{text}");
            }
        }
    }
    for between in ["0x", "\\x"] {
        let text = format!("[{between}{}]", secret.map(|byte| format!("{byte:02x}")).join(between));
        assert_eq!(patterns.scrub(text.as_bytes()), format!("[{between}<S>]").into_bytes(), "{text}");
    }
}

#[test]
fn a_secret_of_short_lines_is_found_without_its_line_ends() {
    for secret in ["ab\nc\n\n\n", "ab\r\ncd\r\n\r\n", "ab\ncd\n\n"] {
        let patterns = patterns(&[(secret.as_bytes(), "<S>")]);
        assert_eq!(patterns.scrub(secret.trim_end().as_bytes()), b"<S>", "{secret:?}");
    }
}

#[test]
fn new_secrets_count_for_what_is_held_and_what_comes() {
    let known = patterns(&[(b"first-secret", "<1>")]);
    let mut scrubber = Scrubber::new(Arc::clone(&known));
    let mut out = Vec::new();
    // Held as the beginning of the first, and then of the second.
    scrubber.write(b"a first-sec", &mut out);
    known.add([(&b"st-second"[..], "<2>")]);
    scrubber.write(b"ond b", &mut out);
    assert_eq!(out, b"a fir<2> b");
    // Begun before it was known, and put out: the rest of it is replaced.
    out.clear();
    scrubber.write(b" third-se", &mut out);
    known.add([(&b"third-secret"[..], "<3>")]);
    scrubber.write(b"cret.", &mut out);
    assert_eq!(out, b" third-se<3>.");
    // What was read before and waits is judged by what is known when it is given away.
    out.clear();
    scrubber.push(b" fourth-secret d");
    known.add([(&b"fourth-secret"[..], "<4>")]);
    while scrubber.pull(3, &mut out) > 0 {}
    scrubber.finish(&mut out);
    assert_eq!(out, b" <4> d");
}

#[test]
fn what_ended_in_the_middle_of_a_secret_goes_on_as_one() {
    let known = patterns(&[(b"hunter2-secret", "<S>")]);
    let mut scrubber = Scrubber::new(known);
    let mut out = Vec::new();
    scrubber.write(b"hunter", &mut out);
    scrubber.finish(&mut out);
    assert_eq!(out, b"hunter");
    scrubber.write(b"2-secret. ", &mut out);
    assert_eq!(out, b"hunter<S>. ");
    // However much has come before.
    for _ in 0..10 {
        scrubber.write(&[b'x'; 3000], &mut out);
    }
    out.clear();
    scrubber.write(b"hunter2-secret hunter2", &mut out);
    assert_eq!(out, b"<S> ");
}

#[test]
fn a_thousand_secrets_one_after_the_other_are_compiled_a_few_times_each() {
    let known = Arc::new(Secrets::default());
    for number in 0..1000 {
        let value = format!("secret-number-{number}");
        known.add([(value.as_bytes(), "<S>")]);
        known.add([(value.as_bytes(), "<again>")]);
    }
    let (compiled, tiers) = known.work();
    assert!(compiled <= 1000 * 11 && tiers <= 10, "{compiled} in {tiers} tiers");
    assert_eq!(known.scrub(b"secret-number-0 secret-number-999-"), b"<S> <S>-");
}

#[test]
fn what_cannot_be_part_of_a_secret_is_not_held_back() {
    let patterns = patterns(&[(b"secret", "<S>")]);
    let mut scrubber = Scrubber::new(patterns);
    let mut out = Vec::new();
    scrubber.write(b"Password: ", &mut out);
    assert_eq!((out.as_slice(), scrubber.held()), (&b"Password: "[..], 0));
    scrubber.write(b"sec", &mut out);
    assert_eq!((out.as_slice(), scrubber.held()), (&b"Password: "[..], 3));
    scrubber.write(b"ond", &mut out);
    assert_eq!((out.as_slice(), scrubber.held()), (&b"Password: second"[..], 0));
    scrubber.write(b"se", &mut out);
    scrubber.finish(&mut out);
    assert_eq!(out, b"Password: secondse");
}

#[test]
fn short_values_are_left_alone() {
    let patterns = patterns(&[(b"abc", "<S>"), (b"", "<E>")]);
    assert!(patterns.is_empty());
    assert_eq!(patterns.scrub(b"abcabc"), b"abcabc");
}

proptest! {
    #[test]
    fn streaming_equals_the_reference(
        secrets in prop::collection::vec("[ab\"\n ]{0,9}", 0..5),
        text in prop::collection::vec(prop::sample::select(&b"aaabb\"\\\n n"[..]), 0..120),
        planted in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let named: Vec<(Vec<u8>, String)> =
            secrets.iter().enumerate().map(|(n, s)| (s.clone().into_bytes(), format!("<{n}>"))).collect();
        let named: Vec<(&[u8], &str)> = named.iter().map(|(s, n)| (s.as_slice(), n.as_str())).collect();
        let mut text = text;
        if !named.is_empty() {
            for (which, place) in planted {
                let at = place.index(text.len() + 1);
                let secret = named[which.index(named.len())].0;
                text.splice(at..at, secret.iter().copied());
            }
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
        let patterns = patterns(&named);
        let out = streamed(&patterns, &chunks);
        prop_assert_eq!(&out, &reference(&named, &text));
        let longest = named.iter().flat_map(|(secret, _)| forms(secret).into_iter().chain(digits(secret))).map(|form| form.len()).max().unwrap_or(0);
        let mut scrubber = Scrubber::new(patterns);
        for chunk in chunks {
            scrubber.write(chunk, &mut Vec::new());
            let pending: usize = scrubber.found.iter().map(|found| found.range.len()).sum();
            prop_assert!(scrubber.held() <= longest.max(1) + pending);
        }
    }
}
