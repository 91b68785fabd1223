//! What the planner asks for, and who answers it: value decorators, resolved against reality and the plan's seed.

use super::arithmetic::parse;
use super::error::Cause;
use super::reality::{FileFailure, Reality};
use super::value::{Scalar, Value};
use crate::decorators::{self as table, PUBLIC_ENV, looks_secret};
use opal_format::hash::HashAlgorithm;
use opal_format::kind::ValueType;
use opal_format::regen::{Regen, RegenName, SubKeys};
use opal_format::seed::{Drbg, Seed};
use std::cell::{Cell, RefCell};
use zeroize::Zeroizing;

/// One argument of a resolution, evaluated.
#[derive(Clone, Debug)]
pub struct Given {
    /// Parameter number in the decorator table.
    pub param: u8,
    /// Its value.
    pub value: Scalar,
    /// Whether the program computed it; else it is written out in the import table.
    pub computed: bool,
}

impl Given {
    /// The bytes of a String.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.value {
            Scalar::String(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn string(&self) -> Option<&str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

/// What a request stands for in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asked {
    /// An entry of the import table.
    Import(u32),
    /// A name that was promised to the steps.
    Promise(u32),
}

/// An argument of an import: as it goes into the key, and as it is asked with.
pub(super) struct Argument {
    pub value: Value,
    pub given: Given,
}

/// A question to reality: the only way out of the planner.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Where the program asks it.
    pub asked: Asked,
    /// Number of the value decorator.
    pub decorator: u16,
    /// Its arguments, by parameter.
    pub arguments: &'a [Given],
    /// Key of the slot.
    pub key: &'a str,
    /// Counts generated values without a `regen_key`.
    pub ordinal: u64,
}

/// The answer.
#[derive(Debug)]
pub struct Resolved {
    /// The value.
    pub value: Scalar,
    /// Fuel that it took beside its bytes.
    pub work: u64,
    /// How many requests were answered before.
    pub number: u32,
}

/// Who answers requests: this process from what it sees ([`Here`]), or, for a planner that is not believed, the process that asked it to plan.
pub trait Resolver {
    /// Resolves one value decorator.
    ///
    /// # Errors
    /// The cause for which there is no value.
    fn resolve(&self, request: &Request<'_>) -> Result<Resolved, Cause>;
}

/// Answers from reality, a seed and sub-keys, in this process.
pub struct Here<'a> {
    reality: &'a dyn Reality,
    seed: &'a Seed,
    regen: Regen<'a>,
    used: RefCell<SubKeys>,
    number: Cell<u32>,
}

impl<'a> Here<'a> {
    /// Generated values come from `seed`, those with a `regen_key` from `regen`.
    #[must_use]
    pub fn new(reality: &'a dyn Reality, seed: &'a Seed, regen: Regen<'a>) -> Self {
        Self { reality, seed, regen, used: RefCell::default(), number: Cell::new(0) }
    }

    /// The sub-keys that were used.
    #[must_use]
    pub fn into_sub_keys(self) -> SubKeys {
        self.used.into_inner()
    }
}

impl Resolver for Here<'_> {
    fn resolve(&self, request: &Request<'_>) -> Result<Resolved, Cause> {
        let number = self.number.get();
        self.number.set(number.saturating_add(1));
        let mut used = self.used.borrow_mut();
        let mut random = Random { request, seed: self.seed, regen: self.regen, used: &mut used };
        let (value, work) = resolve(request, self.reality, &mut random)?;
        Ok(Resolved { value, work, number })
    }
}

/// Whether the values of this decorator with these arguments may be shown.
///
/// # Errors
/// `public=true` on something that looks secret and was not allowed by name.
pub(super) fn is_public(decorator: u16, key: &str, args: &[Given], marked: bool, inputs: &super::Inputs<'_>) -> Result<bool, Cause> {
    let first = args.iter().find(|arg| arg.param == 0);
    let name = first.and_then(Given::string).unwrap_or_default();
    if inputs.no_public {
        return Ok(false);
    }
    if marked {
        if let Some(allowed) = inputs.public_names
            && looks_secret(name)
            && !allowed.iter().any(|allowed| allowed == name)
        {
            // What was computed may be made of secrets, which a key names and does not show.
            let written = first.is_some_and(|first| !first.computed).then(|| name.to_owned());
            return Err(Cause::PublicSecret { key: key.to_owned(), name: written });
        }
        return Ok(true);
    }
    Ok(matches!(decorator, table::ENV | table::PASS_ENV) && PUBLIC_ENV.contains(&name))
}

/// Fuel for the arithmetic of a key pair.
const KEY_PAIR: u64 = 4096;

/// What names a value that lasts from plan to plan, if it has such a name.
pub(super) fn regen_key<'a>(row: &table::ValueDecorator, args: &'a [Given]) -> Option<&'a [u8]> {
    let param = row.params.iter().zip(0..).find(|(param, _)| param.names.contains(&"regen_key"))?.1;
    args.iter().find(|arg| arg.param == param)?.bytes()
}

/// Where one resolution of a seeded decorator gets its random bytes.
struct Random<'a> {
    request: &'a Request<'a>,
    seed: &'a Seed,
    regen: Regen<'a>,
    /// Takes the sub-key.
    used: &'a mut SubKeys,
}

impl Random<'_> {
    /// A stream of its own: from the seed for each resolution, or, with a `regen_key`, from a root for each decorator, `regen_key` and arguments, whose
    /// defaults are filled.
    fn stream(&mut self, decorator: &str, arguments: &[&[u8]]) -> Result<Drbg, Cause> {
        let row = table::value_decorator(self.request.decorator).ok_or(Cause::Internal("a decorator that is not in the table"))?;
        let Some(regen_key) = regen_key(row, self.request.arguments) else {
            return Ok(self.seed.stream(decorator, self.request.key.as_bytes(), self.request.ordinal));
        };
        if regen_key.is_empty() {
            return Err(Cause::Argument("`regen_key` must not be empty: it names the value".to_owned()));
        }
        let name = RegenName::new(decorator, regen_key, arguments);
        let sub_key = self.regen.sub_key(name).ok_or(Cause::NoRegenRoot)?;
        let stream = Drbg::new(sub_key.as_bytes());
        self.used.insert(name, sub_key);
        Ok(stream)
    }
}

/// Resolves one decorator, and says what fuel that took beside the bytes of the value.
fn resolve(request: &Request<'_>, reality: &dyn Reality, random: &mut Random<'_>) -> Result<(Scalar, u64), Cause> {
    let args = request.arguments;
    let arg = |param: u8| args.iter().find(|arg| arg.param == param);
    let scalar = match request.decorator {
        table::ENV | table::PASS_ENV => {
            let name = arg(0).and_then(Given::string).unwrap_or_default();
            env(name, arg(table::ENV_DEFAULT), reality)?
        }
        table::FILE_READ | table::FILE_SHA256 => {
            let path = arg(0).and_then(Given::bytes).ok_or(Cause::Internal("a file without a path"))?;
            let failed = |FileFailure { missing, reason }| Cause::File { path: request.key.to_owned(), missing, reason };
            let bytes = Zeroizing::new(reality.read_file(path).map_err(failed)?);
            if request.decorator == table::FILE_SHA256 {
                let digest = HashAlgorithm::Sha256.plain(&bytes);
                let hex = crate::hex::encode(&digest.bytes);
                // Hashing is cheaper than keeping.
                return Ok((Scalar::String(Zeroizing::new(hex.into_bytes())), bytes.len() as u64 / 16));
            }
            Scalar::String(bytes)
        }
        table::RANDOM_PASSWORD => password(args, random)?,
        table::CRYPTO_GENERATE_KEY => return Ok((generate_key(args, random)?, KEY_PAIR)),
        _ => return Err(Cause::Internal("a decorator that is not in the table")),
    };
    Ok((scalar, 0))
}

fn env(name: &str, default: Option<&Given>, reality: &dyn Reality) -> Result<Scalar, Cause> {
    let key = format!("env.{name}");
    match (reality.env(name).map(Zeroizing::new), default) {
        (Some(bytes), Some(default)) if default.value.value_type() != ValueType::String => parse(&bytes, default.value.value_type(), &key),
        (Some(bytes), _) => Ok(Scalar::String(bytes)),
        (None, Some(default)) => Ok(default.value.clone()),
        (None, None) => Err(Cause::EnvUnset(name.to_owned())),
    }
}

/// Draws a password, each character uniformly from the alphabet.
fn password(args: &[Given], random: &mut Random<'_>) -> Result<Scalar, Cause> {
    let length = match args.iter().find(|arg| arg.param == 0).map(|arg| &arg.value) {
        None => 32,
        Some(Scalar::Int(length)) => usize::try_from(*length)
            .ok()
            .filter(|length| (1..=1024).contains(length))
            .ok_or(Cause::OutOfBounds { what: "the length of a password".to_owned(), expected: "1 to 1024" })?,
        Some(_) => return Err(Cause::Internal("a length that is no Int")),
    };
    let spec = args.iter().find(|arg| arg.param == 1).and_then(Given::bytes);
    let alphabet = alphabet(spec.unwrap_or(b"A-Za-z0-9"))?;
    let size = u32::try_from(alphabet.len()).map_err(|_| Cause::Internal("alphabet"))?;
    let mut stream = random.stream("random.password", &[&(length as u64).to_le_bytes(), &alphabet])?;
    let mut out = Zeroizing::new(Vec::with_capacity(length));
    for _ in 0..length {
        let at = stream.below(size).map_err(|_| Cause::Internal("the random stream ended"))?;
        out.push(*usize::try_from(at).ok().and_then(|at| alphabet.get(at)).ok_or(Cause::Internal("alphabet"))?);
    }
    Ok(Scalar::String(out))
}

/// Distinct characters of an alphabet: single ones and ranges such as `a-z`. A `-` first or last stands for itself.
fn alphabet(spec: &[u8]) -> Result<Vec<u8>, Cause> {
    let bad = || Cause::Argument("an alphabet holds 2 to 94 distinct printable ASCII characters and ranges such as `a-z`".to_owned());
    let mut present = [false; 128];
    let mut rest = spec;
    while let [first, tail @ ..] = rest {
        let (last, after) = match tail {
            [b'-', last, after @ ..] => (*last, after),
            _ => (*first, tail),
        };
        if !(0x21..=0x7e).contains(first) || !(0x21..=0x7e).contains(&last) || last < *first {
            return Err(bad());
        }
        for character in *first..=last {
            if let Some(entry) = present.get_mut(usize::from(character)) {
                *entry = true;
            }
        }
        rest = after;
    }
    let characters: Vec<u8> = (0x21..=0x7e_u8).filter(|character| present.get(usize::from(*character)) == Some(&true)).collect();
    if characters.len() < 2 { Err(bad()) } else { Ok(characters) }
}

/// A private key in OpenSSH format, the same for the same seed.
fn generate_key(args: &[Given], random: &mut Random<'_>) -> Result<Scalar, Cause> {
    if let Some(kind) = args.iter().find(|arg| arg.param == 0).and_then(Given::bytes)
        && kind != b"ed25519"
    {
        return Err(Cause::Argument("a key can be made of type `ed25519` only".to_owned()));
    }
    let mut stream = random.stream("crypto.generate_key", &[b"ed25519"])?;
    let mut secret = Zeroizing::new([0; 32]);
    stream.fill(secret.as_mut_slice()).map_err(|_| Cause::Internal("the random stream ended"))?;
    let identity = opal_format::identity::Identity::from_secret(&secret, "").map_err(|_| Cause::Internal("a weak key"))?;
    let text = identity.to_openssh().map_err(|_| Cause::Internal("a key that cannot be written"))?;
    Ok(Scalar::String(Zeroizing::new(text.as_bytes().to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Reality for Nothing {
        fn env(&self, _: &str) -> Option<Vec<u8>> {
            None
        }

        fn read_file(&self, _: &[u8]) -> Result<Vec<u8>, FileFailure> {
            Err(FileFailure { missing: true, reason: "there are none".to_owned() })
        }
    }

    fn drawn(seed: &Seed, alphabet: &str, ordinal: u64, length: i64) -> Vec<u8> {
        let given = |param, value| Given { param, value, computed: false };
        let arguments = [given(0, Scalar::Int(length)), given(1, Scalar::String(Zeroizing::new(alphabet.as_bytes().to_vec())))];
        let request = Request { asked: Asked::Import(0), decorator: table::RANDOM_PASSWORD, arguments: &arguments, key: "k", ordinal };
        match Here::new(&Nothing, seed, Regen::None).resolve(&request).expect("a password").value {
            Scalar::String(bytes) => bytes.to_vec(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn each_character_of_an_alphabet_is_as_likely_as_any_other() {
        for alphabet in ["ab", "a-c", "0-9", "A-Za-z0-9", "!-~"] {
            let seed = Seed::from_bytes([5; 32]);
            let mut counts = std::collections::BTreeMap::<u8, f64>::new();
            for ordinal in 0..200 {
                for character in drawn(&seed, alphabet, ordinal, 1024) {
                    *counts.entry(character).or_default() += 1.0;
                }
            }
            let size = super::alphabet(alphabet.as_bytes()).expect("an alphabet").len();
            assert_eq!(counts.len(), size, "{alphabet}");
            let expected = 200.0 * 1024.0 / size as f64;
            let chi_squared: f64 = counts.values().map(|count| (count - expected).powi(2) / expected).sum();
            // Mean n - 1 and deviation sqrt(2(n - 1)); bytes taken modulo 94 would give thousands.
            let freedom = size as f64 - 1.0;
            assert!(chi_squared < freedom + 6.0 * (2.0 * freedom).sqrt(), "{alphabet}: {chi_squared}");
        }
    }

    #[test]
    fn a_seed_gives_one_value_for_each_resolution() {
        let (a, b) = (Seed::from_bytes([1; 32]), Seed::from_bytes([2; 32]));
        let first = drawn(&a, "A-Z", 1, 32);
        assert_eq!(first, drawn(&a, "A-Z", 1, 32));
        assert_ne!(first, drawn(&a, "A-Z", 2, 32));
        assert_ne!(first, drawn(&b, "A-Z", 1, 32));
    }
}
