//! Resolves value decorators against reality.

use super::arithmetic::parse;
use super::error::Cause;
use super::reality::{FileFailure, Reality};
use super::value::{Data, Scalar, Value};
use crate::decorators::{self as table, PUBLIC_ENV, looks_secret};
use opal_format::hash::HashAlgorithm;
use opal_format::regen::{RegenName, SubKeys};
use opal_format::seed::Drbg;
use zeroize::Zeroizing;

/// One argument of a resolution, evaluated. Strings come as bytes in `text`.
pub(super) struct Argument {
    pub param: u8,
    pub value: Value,
    pub text: Option<Zeroizing<Vec<u8>>>,
}

impl Argument {
    fn string(&self) -> Option<&str> {
        std::str::from_utf8(self.text.as_deref()?).ok()
    }
}

/// Whether the values of this decorator with these arguments may be shown.
///
/// # Errors
/// `public=true` on something that looks secret and was not allowed by name.
pub(super) fn is_public(decorator: u16, args: &[Argument], marked: bool, options: &super::Options<'_>) -> Result<bool, Cause> {
    let name = args.iter().find(|arg| arg.param == 0).and_then(Argument::string).unwrap_or_default();
    if options.no_public {
        return Ok(false);
    }
    if marked {
        if let Some(allowed) = options.public_names
            && looks_secret(name)
            && !allowed.iter().any(|allowed| allowed == name)
        {
            return Err(Cause::PublicSecret(name.to_owned()));
        }
        return Ok(true);
    }
    Ok(matches!(decorator, table::ENV | table::PASS_ENV) && PUBLIC_ENV.contains(&name))
}

/// Fuel for the arithmetic of a key pair.
const KEY_PAIR: u64 = 4096;

/// What names a value that lasts from plan to plan, if it has such a name.
pub(super) fn regen_key<'a>(row: &table::ValueDecorator, args: &'a [Argument]) -> Option<&'a [u8]> {
    let param = row.params.iter().zip(0..).find(|(param, _)| param.names.contains(&"regen_key"))?.1;
    args.iter().find(|arg| arg.param == param)?.text.as_deref().map(Vec::as_slice)
}

/// Where one resolution of a seeded decorator gets its random bytes.
pub(super) struct Random<'a, 'o> {
    pub options: &'a super::Options<'o>,
    /// Key of the slot.
    pub key: &'a str,
    /// Counts resolutions without a `regen_key`.
    pub ordinal: u64,
    pub regen_key: Option<&'a [u8]>,
    /// Takes the sub-key.
    pub used: &'a mut SubKeys,
}

impl Random<'_, '_> {
    /// A stream of its own: from the seed for each resolution, or, with a `regen_key`, from a root for each decorator, `regen_key` and arguments, whose
    /// defaults are filled.
    fn stream(&mut self, decorator: &str, arguments: &[&[u8]]) -> Result<Drbg, Cause> {
        let Some(regen_key) = self.regen_key else {
            return Ok(self.options.seed.stream(decorator, self.key.as_bytes(), self.ordinal));
        };
        if regen_key.is_empty() {
            return Err(Cause::Argument("`regen_key` must not be empty: it names the value".to_owned()));
        }
        let name = RegenName::new(decorator, regen_key, arguments);
        let sub_key = self.options.regen.sub_key(name).ok_or(Cause::NoRegenRoot)?;
        let stream = Drbg::new(sub_key.as_bytes());
        self.used.insert(name, sub_key);
        Ok(stream)
    }
}

/// Resolves one decorator, and says what fuel that took beside the bytes of the value.
pub(super) fn resolve(
    decorator: u16,
    args: &[Argument],
    key: &str,
    reality: &dyn Reality,
    random: &mut Random<'_, '_>,
) -> Result<(Scalar, u64), Cause> {
    let arg = |param: u8| args.iter().find(|arg| arg.param == param);
    let scalar = match decorator {
        table::ENV | table::PASS_ENV => {
            let name = arg(0).and_then(Argument::string).unwrap_or_default();
            env(name, arg(table::ENV_DEFAULT), reality)?
        }
        table::FILE_READ | table::FILE_SHA256 => {
            let path = arg(0).and_then(|path| path.text.as_deref()).ok_or(Cause::Internal("a file without a path"))?;
            let failed = |FileFailure { missing, reason }| Cause::File { path: key.to_owned(), missing, reason };
            let bytes = Zeroizing::new(reality.read_file(path).map_err(failed)?);
            if decorator == table::FILE_SHA256 {
                let digest = HashAlgorithm::Sha256.plain(&bytes);
                let hex: String = digest.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
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

fn env(name: &str, default: Option<&Argument>, reality: &dyn Reality) -> Result<Scalar, Cause> {
    let key = format!("env.{name}");
    match (reality.env(name).map(Zeroizing::new), default) {
        (Some(bytes), None) => Ok(Scalar::String(bytes)),
        (Some(bytes), Some(default)) => {
            let to = default.value.value_type().ok_or(Cause::Internal("a default without a type"))?;
            parse(&bytes, to, &key)
        }
        (None, Some(default)) => match &default.text {
            Some(text) => Ok(Scalar::String(text.clone())),
            None => super::arithmetic::scalar(&default.value).ok_or(Cause::Internal("a default that is no scalar")),
        },
        (None, None) => Err(Cause::EnvUnset(name.to_owned())),
    }
}

/// Draws a password, each character uniformly from the alphabet.
fn password(args: &[Argument], random: &mut Random<'_, '_>) -> Result<Scalar, Cause> {
    let length = match args.iter().find(|arg| arg.param == 0).map(|arg| &arg.value.data) {
        None => 32,
        Some(Data::Int(length)) => usize::try_from(*length)
            .ok()
            .filter(|length| (1..=1024).contains(length))
            .ok_or(Cause::OutOfBounds { what: "the length of a password".to_owned(), expected: "1 to 1024" })?,
        Some(_) => return Err(Cause::Internal("a length that is no Int")),
    };
    let spec = args.iter().find(|arg| arg.param == 1).and_then(|arg| arg.text.as_deref());
    let alphabet = alphabet(spec.map_or(b"A-Za-z0-9", |bytes| bytes.as_slice()))?;
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
fn generate_key(args: &[Argument], random: &mut Random<'_, '_>) -> Result<Scalar, Cause> {
    if let Some(kind) = args.iter().find(|arg| arg.param == 0).and_then(|arg| arg.text.as_deref())
        && kind.as_slice() != b"ed25519"
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
    use super::super::{Mode, Options};
    use super::*;
    use opal_format::regen::Regen;
    use opal_format::seed::Seed;

    fn text(param: u8, text: &str) -> Argument {
        Argument { param, value: Value::bytes(text.as_bytes()), text: Some(Zeroizing::new(text.as_bytes().to_vec())) }
    }

    fn drawn(seed: &Seed, alphabet: &str, ordinal: u64, length: i64) -> Vec<u8> {
        let options = Options {
            mode: Mode::Resolve,
            seed,
            regen: Regen::None,
            arguments: &[],
            pass_env: &[],
            public_names: None,
            no_public: false,
            fuel: 0,
        };
        let mut used = SubKeys::default();
        let mut random = Random { options: &options, key: "k", ordinal, regen_key: None, used: &mut used };
        let length = Argument { param: 0, value: Value::plain(Data::Int(length)), text: None };
        match password(&[length, text(1, alphabet)], &mut random).expect("a password") {
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
