//! `allowed_signers` files, as `ssh-keygen -Y verify` reads them.
//!
//! A line holds principals, options and a key. What this reader does not honour it refuses by name: a line that
//! was meant to restrict never restricts less than its writer thought. Any error makes the whole file unusable.
//!
//! Read for: who is trusted, and what policy allows.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use opal_format::credential::{CERTIFICATE, Signatory, SigningParty};
use opal_format::identity::KeyError;

use super::pattern::{list_accepts, matches};
use opal_core::code::Code;
use opal_core::failure::{Failure, Report};

/// One line: a key and what its signatures are good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Who holds the key: names or patterns, at least one.
    pub principals: Vec<String>,
    /// Whether the key does not sign itself, but certifies those that do (`cert-authority`), for the principals of this pattern list.
    pub authority: Option<String>,
    /// The pattern list of `namespaces=`; without it, every namespace.
    pub namespaces: Option<String>,
    /// The first moment at which its signatures count.
    pub valid_after: Option<Timestamp>,
    /// The last second in which they do.
    pub valid_before: Option<Timestamp>,
    /// The key.
    pub key: SigningParty,
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
    /// The certificate does not hold yet.
    #[error("its certificate is not valid yet")]
    CertificateNotYet,
    /// The certificate holds no longer.
    #[error("its certificate has expired")]
    CertificateExpired,
    /// The certificate names nobody whom its authority may certify.
    #[error("its certificate names nobody that its authority may certify")]
    CertificatePrincipals,
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

    /// Whether the entry may be about a principal that a policy names, by a name or a pattern on either side.
    #[must_use]
    pub fn may_be(&self, policy: &str) -> bool {
        self.principals.iter().any(|name| matches(policy, name) || matches(name, policy))
    }

    /// The principals for which a signature counts as far as this entry goes. Nobody where the entry is not about it: as `ssh-keygen` has it, a
    /// signature that brings a certificate counts by that, and one that brings none by the key.
    ///
    /// # Errors
    /// Why a certificate by this authority does not hold.
    pub fn principals_of(&self, signatory: &Signatory, now: Timestamp) -> Result<Vec<String>, Inactive> {
        match (&self.authority, &signatory.certificate) {
            (None, None) if self.key == signatory.party => Ok(self.principals.clone()),
            (Some(list), Some(certificate)) if self.key == SigningParty::from(certificate.authority) => {
                let now = u64::try_from(now.as_second()).unwrap_or(0);
                if now < certificate.valid_after {
                    return Err(Inactive::CertificateNotYet);
                }
                if now >= certificate.valid_before {
                    return Err(Inactive::CertificateExpired);
                }
                let named: Vec<_> = certificate.principals.iter().filter(|name| list_accepts(list, name)).cloned().collect();
                if named.is_empty() { Err(Inactive::CertificatePrincipals) } else { Ok(named) }
            }
            _ => Ok(Vec::new()),
        }
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
    /// A certificate in the place of a key.
    #[error("it holds a certificate, not a key")]
    Certificate,
    /// Quotes that do not stand around the whole of the principals.
    #[error("a double quote stands inside the principals")]
    InnerQuote,
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
    /// A serial of `revoked` that is none.
    #[error("`{text}` is not a serial: a whole number from 1, without zeros before it")]
    Serial {
        /// The text.
        text: String,
    },
}

impl Failure for LineError {
    fn report(&self) -> Report {
        let (code, help) = match self.cause {
            LineCause::Certificate => {
                (Code::BadTrustedKey, "list the key of the authority: `*@example.com cert-authority ssh-ed25519 AAAA…`")
            }
            LineCause::Serial { .. } => (Code::BadTrustFile, "count the editions of the list: `serial 8` follows `serial 7`"),
            LineCause::NotRevocable => (Code::BadTrustFile, "write `ssh-ed25519 AAAA…`, `SHA256:…`, `sha256:…` or `blake3:…`"),
            LineCause::Key(_) => (Code::BadTrustedKey, "correct the key, or start the line with `#`"),
            _ => (Code::BadTrustFile, "write `alice namespaces=\"opal-plan\" ssh-ed25519 AAAA…`, or start the line with `#`"),
        };
        Report::new(code, help)
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
    let (list, rest) = split_principals(line)?;
    // As OpenSSH's list of patterns: a negated one names nobody, and takes away what it matches.
    let principals: Vec<String> =
        list.split(',').filter(|name| !name.starts_with('!') && list_accepts(list, name)).map(str::to_owned).collect();
    if principals.is_empty() {
        return Err(LineCause::NoPrincipal);
    }
    if rest.is_empty() {
        return Err(LineCause::NoKey);
    }
    let (first, key) = split_field(rest)?;
    let (options, key) = match rest.parse::<SigningParty>() {
        Ok(key) => (Options::default(), key),
        // No key here, so these are options. They are read first: one refused by name says more than a bad key does.
        Err(KeyError::PublicMalformed) if !first.starts_with("ssh-") && !first.starts_with("sk-") => {
            let options = parse_options(first, zone)?;
            if key.is_empty() {
                return Err(LineCause::NoKey);
            }
            (options, key.parse().map_err(|error| refused_key(key, error))?)
        }
        Err(error) => return Err(refused_key(rest, error)),
    };
    let Options { authority, namespaces, valid_after, valid_before } = options;
    let authority = authority.then(|| list.to_owned());
    Ok(Signer { principals, authority, namespaces, valid_after, valid_before, key })
}

fn refused_key(text: &str, error: KeyError) -> LineCause {
    if text.starts_with(CERTIFICATE) { LineCause::Certificate } else { LineCause::Key(error) }
}

/// Splits off the principals, which may stand in double quotes as a whole. `ssh-keygen` ends them at the second quote and takes what follows for
/// options, so anything else than white space there, and a quote anywhere else, is refused.
fn split_principals(line: &str) -> Result<(&str, &str), LineCause> {
    let (list, rest) = match line.strip_prefix('"') {
        Some(inner) => inner.split_once('"').ok_or(LineCause::OpenQuote)?,
        None => line.find([' ', '\t']).and_then(|at| line.split_at_checked(at)).unwrap_or((line, "")),
    };
    if list.contains('"') || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return Err(LineCause::InnerQuote);
    }
    Ok((list, rest.trim_start()))
}

#[derive(Default)]
struct Options {
    authority: bool,
    namespaces: Option<String>,
    valid_after: Option<Timestamp>,
    valid_before: Option<Timestamp>,
}

fn parse_options(text: &str, zone: &TimeZone) -> Result<Options, LineCause> {
    let mut options = Options::default();
    for option in split_outside_quotes(text, ',')? {
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        match name.to_ascii_lowercase().as_str() {
            "cert-authority" if value.is_none() && !options.authority => options.authority = true,
            "cert-authority" if value.is_none() => return Err(LineCause::RepeatedOption { name: "cert-authority" }),
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
    // A backslash would escape a quote for `ssh-keygen`.
    let inner = value.and_then(|v| v.strip_prefix('"')).and_then(|v| v.strip_suffix('"')).filter(|v| !v.contains(['"', '\\']));
    *slot = Some(read(inner.ok_or(LineCause::Unquoted { name })?)?);
    Ok(())
}

/// Reads `YYYYMMDD[HHMM[SS]][Z]`.
pub(super) fn parse_time(text: &str, zone: &TimeZone) -> Result<Timestamp, LineCause> {
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
        let key: SigningParty = KEY.parse().expect("key");
        assert_eq!(signers.first().map(|s| s.principals.clone()), Some(vec!["alice@example.com".to_owned(), "ops".to_owned()]));
        let second = signers.get(1).expect("two").clone();
        assert_eq!(
            second,
            Signer {
                principals: vec!["bob".to_owned()],
                authority: None,
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
        for list in ["\"a\",\"b\"", "\"a\"b", "a\"b\"", "a,\"b\"", "\"a\"\"b\""] {
            assert_eq!(cause(&format!("{list} {KEY}")), LineCause::InnerQuote, "{list}");
        }
        assert_eq!(cause(&format!("\"a {KEY}")), LineCause::OpenQuote);
        assert_eq!(cause(&format!("a cert-authority,cert-authority {KEY}")), LineCause::RepeatedOption { name: "cert-authority" });
        assert_eq!(cause(&format!("a cert-authority=\"x\" {KEY}")), LineCause::UnknownOption { name: "cert-authority".to_owned() });
        assert_eq!(cause(&format!("a namespaces=\"x\\\"y\" {KEY}")), LineCause::OpenQuote);
        assert_eq!(cause(&format!("a namespaces=\"x\\y\" {KEY}")), LineCause::Unquoted { name: "namespaces" });
        assert_eq!(cause(&format!("a {CERTIFICATE} AAAA")), LineCause::Certificate);
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
        std::fs::write(&armor, signature.to_armor()).expect("written");
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
        let heads = options.map(|option| (format!("a {option}"), true)).into_iter();
        let lists = ["\"a\",\"b\"", "\"a\"", "\"a\"b", "a\"b\"", "\"a,b\"", "b,\"a\"", "\"b a\"", "a,!a", "!b,a", "*", "", "\"\"", "a\\,b"];
        // Some quotes in the middle of the principals are taken there and refused here.
        for (head, exactly) in heads.chain(lists.map(|list| (list.to_owned(), false))) {
            let line = format!("{head} {}\n", identity.public());
            std::fs::write(&list, &line).expect("written");
            for time in times {
                let now = parse_time(time, &TimeZone::UTC).expect("time");
                let counts = |signer: &Signer| {
                    let named = signer.principals_of(&signature.signatory, now).unwrap_or_default();
                    named.iter().any(|name| matches(name, "a")) && signer.check_active(NAMESPACE_PLAN, now).is_ok()
                };
                let ours = read(&line).is_ok_and(|signers| signers.iter().all(counts));
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
                let theirs = verify.success();
                assert!(ours == theirs || (!exactly && !ours), "{line}at {time}: {ours}, ssh-keygen says {theirs}");
            }
        }
    }

    #[test]
    fn ssh_keygen_gives_the_same_verdict_on_certificates() {
        use opal_format::{identity::Identity, signature::SshSignature};
        use std::process::{Command, Stdio};

        let temp = tempfile::tempdir().expect("temp");
        let path = |name: &str| temp.path().join(name);
        let keys = [("ca", 1), ("other", 2), ("key", 3)].map(|(name, number)| {
            let identity = Identity::from_secret(&[number; 32], name).expect("key");
            std::fs::write(path(name), identity.to_openssh().expect("text").as_bytes()).expect("written");
            std::fs::set_permissions(path(name), std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("mode");
            std::fs::write(path(&format!("{name}.pub")), identity.to_public_line()).expect("written");
            identity.public()
        });
        let [ca, other, key] = keys;
        std::fs::write(path("message"), "message").expect("written");
        let run = |arguments: &[&std::ffi::OsStr], input: Stdio| {
            let mut command = Command::new("ssh-keygen");
            command.args(arguments).env_remove("SSH_AUTH_SOCK").stdin(input).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().map(|status| status.success())
        };
        for names in ["alice", "bob,alice", "eve", "alice@example.com"] {
            let certify = ["-q", "-s", "ca", "-I", "id", "-n", names, "-V", "20260101000000Z:20260103000000Z", "key.pub"];
            let certify = certify.map(|word| if word == "ca" || word == "key.pub" { path(word).into_os_string() } else { word.into() });
            let Ok(made) = run(&certify.iter().map(AsRef::as_ref).collect::<Vec<_>>(), Stdio::null()) else {
                println!("skipped: ssh-keygen is not installed");
                return;
            };
            assert!(made);
            let _ = std::fs::remove_file(path("message.sig"));
            let (cert, message, sig) = (path("key-cert.pub"), path("message"), path("message.sig"));
            assert!(
                run(
                    &[
                        "-Y".as_ref(),
                        "sign".as_ref(),
                        "-n".as_ref(),
                        NAMESPACE_PLAN.as_ref(),
                        "-f".as_ref(),
                        cert.as_ref(),
                        message.as_ref()
                    ],
                    Stdio::null()
                )
                .expect("runs")
            );
            let armor = std::fs::read_to_string(&sig).expect("reads");
            let signature = SshSignature::from_armor(&armor, NAMESPACE_PLAN).expect("a signature");
            assert_eq!(signature.verify(b"message"), Ok(()));
            for line in [
                format!("alice cert-authority {ca}"),
                format!("alice,!bob cert-authority {ca}"),
                format!("* cert-authority {ca}"),
                format!("*@example.com cert-authority {ca}"),
                format!("alice cert-authority {other}"),
                format!("alice {key}"),
                format!("alice cert-authority {key}"),
                format!("alice {ca}"),
                format!("alice cert-authority,namespaces=\"git\" {ca}"),
            ] {
                for (principal, time) in ["alice", "bob", "alice@example.com"]
                    .into_iter()
                    .flat_map(|name| ["20251231235959Z", "20260101000000Z", "20260102235959Z", "20260103000000Z"].map(|time| (name, time)))
                {
                    let now = parse_time(time, &TimeZone::UTC).expect("time");
                    let counts = |signer: &Signer| {
                        let named = signer.principals_of(&signature.signatory, now).unwrap_or_default();
                        named.iter().any(|name| name == principal) && signer.check_active(NAMESPACE_PLAN, now).is_ok()
                    };
                    let ours = read(&line).expect("reads").iter().any(counts);
                    std::fs::write(path("list"), format!("{line}\n")).expect("written");
                    let option = format!("verify-time={time}");
                    let (list, words) = (path("list"), ["-Y", "verify", "-n", NAMESPACE_PLAN, "-I", principal, "-O", &option]);
                    let mut arguments: Vec<&std::ffi::OsStr> = words.iter().map(AsRef::as_ref).collect();
                    arguments.extend(["-f".as_ref(), list.as_os_str(), "-s".as_ref(), sig.as_os_str()]);
                    let input = Stdio::from(std::fs::File::open(path("message")).expect("opens"));
                    assert_eq!(ours, run(&arguments, input).expect("runs"), "{line} for {principal} at {time}, certified for {names}");
                }
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
