//! `allowed_signers` files, as `ssh-keygen -Y verify` reads them.
//!
//! A line holds principals, options and a key. What this reader does not honour it refuses by name: a line that
//! was meant to restrict never restricts less than its writer thought. Any error makes the whole file unusable.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use opal_format::identity::{ALGORITHM, KeyError, PublicKey};

use super::pattern::list_accepts;
use opal_core::failure::{Failure, Report, exit};

/// One line: a key and what its signatures are good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Who holds the key: names or patterns, at least one.
    pub principals: Vec<String>,
    /// The pattern list of `namespaces=`; without it, every namespace.
    pub namespaces: Option<String>,
    /// The first moment at which its signatures count.
    pub valid_after: Option<Timestamp>,
    /// The last second in which they do.
    pub valid_before: Option<Timestamp>,
    /// The key.
    pub key: PublicKey,
}

/// Why an entry does not count now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Inactive {
    /// `namespaces=` leaves this purpose out.
    #[error("its entry is not for the namespace `{0}`")]
    Namespace(&'static str),
    /// `valid-after` has not come.
    #[error("its entry is not valid yet")]
    NotYet,
    /// `valid-before` has passed.
    #[error("its entry has expired")]
    Expired,
}

impl Signer {
    /// Whether the entry counts for signatures in `namespace` at `now`.
    ///
    /// # Errors
    /// The first [`Inactive`] reason against it.
    pub fn check_active(&self, namespace: &'static str, now: Timestamp) -> Result<(), Inactive> {
        if self.namespaces.as_ref().is_some_and(|list| !list_accepts(list, namespace)) {
            return Err(Inactive::Namespace(namespace));
        }
        // Entries are written to the second.
        if self.valid_after.is_some_and(|after| now.as_second() < after.as_second()) {
            return Err(Inactive::NotYet);
        }
        if self.valid_before.is_some_and(|before| now.as_second() > before.as_second()) {
            return Err(Inactive::Expired);
        }
        Ok(())
    }
}

/// A line that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` line {line}: {cause}", file.display())]
pub struct LineError {
    /// The file.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong.
    pub cause: LineCause,
}

/// What is wrong with a line of a trust file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineCause {
    /// Bytes that are no text.
    #[error("it is not UTF-8 text")]
    NotText,
    /// The principals are missing.
    #[error("it names no principal")]
    NoPrincipal,
    /// There is nothing after the principals or options.
    #[error("it has no key")]
    NoKey,
    /// The key is not usable.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// Certificates are not supported.
    #[error("`cert-authority` is not supported: certificates do not sign contracts")]
    CertAuthority,
    /// An option that OpenSSH does not have.
    #[error("`{name}` is not an option")]
    UnknownOption {
        /// The option.
        name: String,
    },
    /// The same option twice.
    #[error("the option `{name}` stands twice")]
    RepeatedOption {
        /// The option.
        name: &'static str,
    },
    /// A value outside double quotes.
    #[error("the value of `{name}` must stand in double quotes")]
    Unquoted {
        /// The option.
        name: &'static str,
    },
    /// A quote without its partner.
    #[error("a double quote is not closed")]
    OpenQuote,
    /// Not OpenSSH's form of a time.
    #[error("`{text}` is not a time: YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with Z for UTC")]
    Time {
        /// The text.
        text: String,
    },
    /// The window closes before it opens.
    #[error("`valid-before` is not later than `valid-after`")]
    EmptyWindow,
    /// A line of `revoked` that is neither key, fingerprint nor contract hash.
    #[error("it is neither a public key, nor a SHA256 fingerprint, nor a contract hash")]
    NotRevocable,
}

impl Failure for LineError {
    fn report(&self) -> Report {
        let (code, help) = match self.cause {
            LineCause::CertAuthority => ("cert_authority", "list each signer's own key: `alice ssh-ed25519 AAAA…`"),
            LineCause::NotRevocable => ("bad_trust_file", "write `ssh-ed25519 AAAA…`, `SHA256:…`, `sha256:…` or `blake3:…`"),
            LineCause::Key(_) => ("bad_trusted_key", "correct the key, or start the line with `#`"),
            _ => ("bad_trust_file", "write `alice namespaces=\"opal-plan\" ssh-ed25519 AAAA…`, or start the line with `#`"),
        };
        Report::new(code, exit::CONFIGURATION, help)
    }
}

/// Reads an `allowed_signers` file. Times without `Z` are in `zone`.
///
/// # Errors
/// The first [`LineError`].
pub fn parse(bytes: &[u8], file: &Path, zone: &TimeZone) -> Result<Vec<Signer>, LineError> {
    content_lines(bytes, file, |line| parse_line(line, zone))
}

/// Reads what is not blank and not a comment, a line at a time.
pub(super) fn content_lines<T>(bytes: &[u8], file: &Path, mut read: impl FnMut(&str) -> Result<T, LineCause>) -> Result<Vec<T>, LineError> {
    let mut found = Vec::new();
    for (line, number) in bytes.split(|b| *b == b'\n').zip(1..) {
        let fail = |cause| LineError { file: file.to_owned(), line: number, cause };
        let text = std::str::from_utf8(line).map_err(|_| fail(LineCause::NotText))?.trim();
        if !text.is_empty() && !text.starts_with('#') {
            found.push(read(text).map_err(fail)?);
        }
    }
    Ok(found)
}

fn parse_line(line: &str, zone: &TimeZone) -> Result<Signer, LineCause> {
    let (principals, rest) = split_field(line)?;
    // As OpenSSH's list of patterns: a negated one names nobody, and takes away what it matches.
    let list = unquoted(principals);
    let principals: Vec<String> =
        list.split(',').filter(|name| !name.starts_with('!') && list_accepts(list, name)).map(str::to_owned).collect();
    if principals.is_empty() {
        return Err(LineCause::NoPrincipal);
    }
    if rest.is_empty() {
        return Err(LineCause::NoKey);
    }
    let (first, key) = split_field(rest)?;
    let (options, key) = match rest.parse::<PublicKey>() {
        Ok(key) => (Options::default(), key),
        // No key here, so these are options. They are read first: one refused by name says more than a bad key does.
        Err(KeyError::PublicMalformed) if first != ALGORITHM => {
            let options = parse_options(first, zone)?;
            if key.is_empty() {
                return Err(LineCause::NoKey);
            }
            (options, key.parse()?)
        }
        Err(error) => return Err(error.into()),
    };
    let Options { namespaces, valid_after, valid_before } = options;
    Ok(Signer { principals, namespaces, valid_after, valid_before, key })
}

#[derive(Default)]
struct Options {
    namespaces: Option<String>,
    valid_after: Option<Timestamp>,
    valid_before: Option<Timestamp>,
}

fn parse_options(text: &str, zone: &TimeZone) -> Result<Options, LineCause> {
    let mut options = Options::default();
    for option in split_outside_quotes(text, ',')? {
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        match name.to_ascii_lowercase().as_str() {
            "cert-authority" => return Err(LineCause::CertAuthority),
            "namespaces" => set(&mut options.namespaces, "namespaces", value, |text| Ok(text.to_owned()))?,
            "valid-after" => set(&mut options.valid_after, "valid-after", value, |text| parse_time(text, zone))?,
            "valid-before" => set(&mut options.valid_before, "valid-before", value, |text| parse_time(text, zone))?,
            _ => return Err(LineCause::UnknownOption { name: name.to_owned() }),
        }
    }
    match (options.valid_after, options.valid_before) {
        (Some(after), Some(before)) if before <= after => Err(LineCause::EmptyWindow),
        _ => Ok(options),
    }
}

fn set<T>(
    slot: &mut Option<T>,
    name: &'static str,
    value: Option<&str>,
    read: impl FnOnce(&str) -> Result<T, LineCause>,
) -> Result<(), LineCause> {
    if slot.is_some() {
        return Err(LineCause::RepeatedOption { name });
    }
    let inner = value.and_then(|v| v.strip_prefix('"')).and_then(|v| v.strip_suffix('"'));
    *slot = Some(read(inner.ok_or(LineCause::Unquoted { name })?)?);
    Ok(())
}

/// Reads `YYYYMMDD[HHMM[SS]][Z]`.
fn parse_time(text: &str, zone: &TimeZone) -> Result<Timestamp, LineCause> {
    let bad = || LineCause::Time { text: text.to_owned() };
    let (digits, zone) = match text.strip_suffix('Z').or_else(|| text.strip_suffix("UTC")) {
        Some(digits) => (digits, &TimeZone::UTC),
        None => (text, zone),
    };
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let field = |from: usize, to: usize| digits.get(from..to).map_or(Some(0), |field| field.parse::<i8>().ok());
    let year = digits.get(..4).and_then(|year| year.parse::<i16>().ok());
    let date = (|| {
        let (month, day) = (field(4, 6)?, field(6, 8)?);
        DateTime::new(year?, month, day, field(8, 10)?, field(10, 12)?, field(12, 14)?, 0).ok()
    })();
    date.and_then(|date| zone.to_timestamp(date).ok()).ok_or_else(bad)
}

/// Splits off the first field, which ends at white space outside double quotes.
fn split_field(text: &str) -> Result<(&str, &str), LineCause> {
    let mut quoted = false;
    let end = text.find(|c| {
        quoted ^= c == '"';
        matches!(c, ' ' | '\t') && !quoted
    });
    if quoted {
        return Err(LineCause::OpenQuote);
    }
    let (field, rest) = end.and_then(|at| text.split_at_checked(at)).unwrap_or((text, ""));
    Ok((field, rest.trim_start()))
}

fn split_outside_quotes(text: &str, separator: char) -> Result<Vec<&str>, LineCause> {
    let mut quoted = false;
    let pieces = text.split(|c| {
        quoted ^= c == '"';
        c == separator && !quoted
    });
    let pieces = pieces.collect();
    if quoted { Err(LineCause::OpenQuote) } else { Ok(pieces) }
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opal_format::signature::NAMESPACE_PLAN;
    use proptest::prelude::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn read(text: &str) -> Result<Vec<Signer>, LineError> {
        parse(text.as_bytes(), Path::new("allowed_signers"), &TimeZone::UTC)
    }

    fn cause(text: &str) -> LineCause {
        read(text).expect_err("refused").cause
    }

    #[test]
    fn lines_hold_principals_options_and_a_key() {
        let text = format!(
            "# who\n\n alice@example.com,ops {KEY} a comment\n\"bob\" namespaces=\"git,opal-*\",VALID-AFTER=\"20260102\",valid-before=\"202601031530Z\" {KEY}\r\n"
        );
        let signers = read(&text).expect("reads");
        let key: PublicKey = KEY.parse().expect("key");
        assert_eq!(signers.first().map(|s| s.principals.clone()), Some(vec!["alice@example.com".to_owned(), "ops".to_owned()]));
        let second = signers.get(1).expect("two").clone();
        assert_eq!(
            second,
            Signer {
                principals: vec!["bob".to_owned()],
                namespaces: Some("git,opal-*".to_owned()),
                valid_after: Some("2026-01-02T00:00:00Z".parse().expect("time")),
                valid_before: Some("2026-01-03T15:30:00Z".parse().expect("time")),
                key,
            }
        );
    }

    #[test]
    fn a_negated_principal_names_nobody_and_takes_away_what_it_matches() {
        let names = |list: &str| read(&format!("{list} {KEY}")).expect("reads").first().map(|signer| signer.principals.join(","));
        assert_eq!(names("alice,!mallory").as_deref(), Some("alice"));
        assert_eq!(names("alice,bob,!b*").as_deref(), Some("alice"));
        assert_eq!(names("*@example.com,!eve@example.com").as_deref(), Some("*@example.com"));
    }

    #[test]
    fn each_defect_has_its_own_cause_and_the_line_is_named() {
        assert_eq!(cause(&format!("a cert-authority {KEY}")), LineCause::CertAuthority);
        assert_eq!(cause(&format!("a cert-authority,namespaces=\"x\" {KEY}")), LineCause::CertAuthority);
        assert_eq!(cause(&format!("a no-touch {KEY}")), LineCause::UnknownOption { name: "no-touch".to_owned() });
        assert_eq!(cause(&format!("a namespaces=x {KEY}")), LineCause::Unquoted { name: "namespaces" });
        assert_eq!(cause(&format!("a namespaces {KEY}")), LineCause::Unquoted { name: "namespaces" });
        assert_eq!(cause(&format!("a namespaces=\"x {KEY}")), LineCause::OpenQuote);
        assert_eq!(cause(&format!("a namespaces=\"x\",namespaces=\"y\" {KEY}")), LineCause::RepeatedOption { name: "namespaces" });
        assert_eq!(cause("alice"), LineCause::NoKey);
        assert_eq!(cause("alice namespaces=\"x\""), LineCause::NoKey);
        assert_eq!(cause(&format!(", {KEY}")), LineCause::NoPrincipal);
        for nobody in ["!a", "a,!a", "a,b,!*", "*@x,!*@x"] {
            assert_eq!(cause(&format!("{nobody} {KEY}")), LineCause::NoPrincipal, "{nobody}");
        }
        assert_eq!(cause("a ssh-ed25519 AAAA"), LineCause::Key(KeyError::PublicMalformed));
        assert!(matches!(cause("a ssh-rsa AAAAB3NzaC1yc2E="), LineCause::Key(KeyError::Unsupported { .. })));
        for time in ["", "2026", "20261301", "20260230", "2026010125", "202601012560", "20260101Q", "２０２６０１０１"] {
            assert!(matches!(cause(&format!("a valid-after=\"{time}\" {KEY}")), LineCause::Time { .. }), "{time}");
        }
        let window = format!("a valid-after=\"20260102\",valid-before=\"20260102\" {KEY}");
        assert_eq!(cause(&window), LineCause::EmptyWindow);
        assert_eq!(read(&format!("a {KEY}\n#\n\nb")).expect_err("refused").line, 4);
        let bytes = parse(b"\n\xff", Path::new("f"), &TimeZone::UTC).expect_err("refused");
        assert_eq!((bytes.line, bytes.cause.clone(), bytes.exit()), (2, LineCause::NotText, 78));
    }

    #[test]
    fn times_without_a_zone_are_the_host_s() {
        let zone = TimeZone::posix("EST5").expect("zone");
        let text = format!("a valid-after=\"20260101\" {KEY}");
        let signers = parse(text.as_bytes(), Path::new("f"), &zone).expect("reads");
        let after = signers.first().and_then(|s| s.valid_after);
        assert_eq!(after, Some("2026-01-01T05:00:00Z".parse().expect("time")));
    }

    #[test]
    fn an_entry_counts_in_its_window_and_namespace_only() {
        let at = |time: &str, options: &str| {
            let signers = read(&format!("a {options} {KEY}")).expect("reads");
            signers.first().expect("one").check_active(NAMESPACE_PLAN, time.parse().expect("time"))
        };
        let window = "valid-after=\"20260101Z\",valid-before=\"20260102Z\"";
        assert_eq!(at("2025-12-31T23:59:59.9Z", window), Err(Inactive::NotYet));
        assert_eq!(at("2026-01-01T00:00:00Z", window), Ok(()));
        assert_eq!(at("2026-01-02T00:00:00.9Z", window), Ok(()));
        assert_eq!(at("2026-01-02T00:00:01Z", window), Err(Inactive::Expired));
        assert_eq!(at("2026-01-01T00:00:00Z", "namespaces=\"git\""), Err(Inactive::Namespace(NAMESPACE_PLAN)));
        assert_eq!(at("2026-01-01T00:00:00Z", "namespaces=\"\""), Err(Inactive::Namespace(NAMESPACE_PLAN)));
        assert_eq!(at("2026-01-01T00:00:00Z", "namespaces=\"git,opal-plan\""), Ok(()));
    }

    #[test]
    fn ssh_keygen_gives_the_same_verdict_on_every_entry() {
        use opal_format::{identity::Identity, signature::SshSignature};
        use std::process::{Command, Stdio};

        let temp = tempfile::tempdir().expect("temp");
        let identity = Identity::generate("c").expect("random");
        let signature = SshSignature::sign(&identity.signing, NAMESPACE_PLAN, b"message").expect("signs");
        let (list, armor) = (temp.path().join("list"), temp.path().join("sig"));
        std::fs::write(&armor, signature.to_armor().expect("armor")).expect("written");
        std::fs::write(temp.path().join("message"), "message").expect("written");
        let times = ["20251231235959Z", "20260101000000Z", "20260101120000Z", "20260102000000Z", "20260102000001Z"];
        let options = [
            "",
            "namespaces=\"opal-plan\"",
            "namespaces=\"git,opal-*\"",
            "namespaces=\"opal-*,!opal-plan\"",
            "namespaces=\"opal-pla?\"",
            "Namespaces=\"git\"",
            "namespaces=opal-plan",
            "namespaces=\"\"",
            "valid-after=\"20260101Z\"",
            "valid-before=\"20260102Z\"",
            "valid-after=\"20260101Z\",valid-before=\"20260102Z\"",
            "valid-after=\"20260102Z\",valid-before=\"20260101Z\"",
            "valid-before=\"2026010112Z\"",
            "valid-before=\"202601011200Z\"",
            "valid-after=\"20260101115959Z\",namespaces=\"opal-plan\"",
            "no-such-option",
            "cert-authority",
        ];
        for option in options {
            let line = format!("a {option} {}\n", identity.public());
            std::fs::write(&list, &line).expect("written");
            for time in times {
                let now = parse_time(time, &TimeZone::UTC).expect("time");
                let ours = read(&line).is_ok_and(|signers| signers.iter().all(|signer| signer.check_active(NAMESPACE_PLAN, now).is_ok()));
                let verify = Command::new("ssh-keygen")
                    .args(["-Y", "verify", "-n", NAMESPACE_PLAN, "-I", "a", "-O", &format!("verify-time={time}")])
                    .args([std::ffi::OsStr::new("-f"), list.as_os_str(), std::ffi::OsStr::new("-s"), armor.as_os_str()])
                    .stdin(std::fs::File::open(temp.path().join("message")).expect("opens"))
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status();
                let Ok(verify) = verify else {
                    println!("skipped: ssh-keygen is not installed");
                    return;
                };
                assert_eq!(ours, verify.success(), "{line}at {time}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, Path::new("f"), &TimeZone::UTC);
        }

        #[test]
        fn any_options_are_read_without_panic(options in "[a-z=\",\\\\ -]{0,20}(namespaces=\"[^\n]{0,6}\")?(,valid-(after|before)=\"[0-9Z]{0,15}\")?") {
            let _ = read(&format!("a {options} {KEY}"));
        }

        #[test]
        fn any_digits_of_a_time_are_read_without_panic(digits in "([0-9]{8}|[0-9]{12}|[0-9]{14})Z?") {
            let _ = read(&format!("a valid-after=\"{digits}\" {KEY}"));
        }
    }
}
