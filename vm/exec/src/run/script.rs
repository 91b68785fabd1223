//! From the parts of a command to what is executed: a script for `bash`, or the words of a plain command.
//!
//! Read for: everything in the process that runs a contract.

use std::ffi::{CStr, CString, OsStr};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::AtFlags;
use nix::unistd::{AccessFlags, faccessat};
use opal_format::kind::Position;
use opal_format::steps::{Arg, Piece, Pieces};
use zeroize::{Zeroize as _, Zeroizing};

use super::environment::VALUE_PREFIX;
use super::report::FailureCause;
use opal_core::plan::{Plan, Word, ends_in_colon, ends_in_name, holds_marks, quoted, starts_document};

/// A command as `bash` gets it.
pub(super) struct Script {
    /// The text, wholly readable: it holds no secret.
    pub(super) text: Vec<u8>,
    /// `NAME=value` of the values that travel in the environment.
    pub(super) values: Vec<CString>,
}

impl Drop for Script {
    fn drop(&mut self) {
        for value in self.values.drain(..) {
            value.into_bytes().zeroize();
        }
    }
}

/// Renders a command. `binding` gives the value of a runtime binding; fails where a value is missing or holds NUL, or where one
/// would make a redirection open a network connection.
pub(super) fn render(plan: &Plan, pieces: Pieces<'_>, binding: impl Fn(u32) -> Option<Zeroizing<Vec<u8>>>) -> Result<Script, FailureCause> {
    let missing = || FailureCause::NoValue;
    let index = |number: u32| usize::try_from(number).ok();
    let mut body = Vec::new();
    let mut script = Script { text: Vec::new(), values: Vec::new() };
    let mut known: Vec<(bool, u32)> = Vec::new();
    let mut word = Word::default();
    // In the body of a here-document, and in what may be a brace expansion, quotes are no protection.
    let document = has_document(pieces.clone());
    for piece in pieces {
        let (is_slot, first, position) = match piece {
            Piece::Text(text) => {
                word.text(text);
                body.extend_from_slice(text);
                continue;
            }
            Piece::Slot(slot, position) => (true, slot, position),
            Piece::Binding(node, position) => (false, node, position),
            Piece::Missing => return Err(missing()),
        };
        let value = if is_slot {
            index(first).and_then(|slot| plan.values.get(slot)?.as_ref()).ok_or_else(missing)?.text()
        } else {
            binding(first).ok_or_else(missing)?
        };
        if position == Position::Redirect {
            word.value(&value);
            if word.opens_network() {
                return Err(FailureCause::NetworkRedirect);
            }
        }
        let public = is_slot && index(first).and_then(|slot| plan.slots.slots.get(slot)).ok_or_else(missing)?.is_public();
        let travels = document || word.braces() || holds_marks(&value) || (position == Position::Integer && ends_in_colon(&body, &value));
        if public && !travels {
            if position == Position::DoubleQuoted && ends_in_name(&body) {
                body.extend_from_slice(b"\"\"");
            }
            body.extend_from_slice(&quoted(&value, position, false));
            continue;
        }
        let number = match known.iter().position(|one| *one == (is_slot, first)) {
            Some(number) => number,
            None => {
                let mut entry = format!("{VALUE_PREFIX}{}=", known.len()).into_bytes();
                entry.extend_from_slice(&value);
                script.values.push(CString::new(entry).map_err(|_| missing())?);
                known.push((is_slot, first));
                known.len().saturating_sub(1)
            }
        };
        let reference = match position {
            Position::Word | Position::CommandWord | Position::Assignment | Position::Redirect => {
                format!("\"${{{VALUE_PREFIX}{number}}}\"")
            }
            Position::DoubleQuoted | Position::HereDocument | Position::Integer | Position::Argument => {
                format!("${{{VALUE_PREFIX}{number}}}")
            }
        };
        body.extend_from_slice(reference.as_bytes());
    }
    if !known.is_empty() {
        // The shell keeps the values; the programs that it starts do not get them.
        script.text.extend_from_slice(b"export -n");
        for number in 0..known.len() {
            script.text.extend_from_slice(format!(" {VALUE_PREFIX}{number}").as_bytes());
        }
        script.text.push(b'\n');
    }
    script.text.extend_from_slice(&body);
    Ok(script)
}

/// Whether a text starts a here-document. Texts that follow one another are one: `plan_hash` does not say where one ends.
fn has_document(pieces: Pieces<'_>) -> bool {
    let mut text = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Text(more) => text.extend_from_slice(more),
            Piece::Slot(..) | Piece::Binding(..) | Piece::Missing => {
                if starts_document(&text) {
                    return true;
                }
                text.clear();
            }
        }
    }
    starts_document(&text)
}

/// A String argument of a decorator: verbatim text and values, no shell involved.
pub(super) fn argument_text(plan: &Plan, arg: &Arg) -> Option<Zeroizing<Vec<u8>>> {
    if !arg.is_text() {
        return None;
    }
    let mut out = Zeroizing::new(Vec::new());
    for piece in plan.steps.view().text_of(arg) {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Slot(slot, _) => out.extend_from_slice(&plan.values.get(usize::try_from(slot).ok()?)?.as_ref()?.text()),
            Piece::Binding(..) | Piece::Missing => return None,
        }
    }
    Some(out)
}

/// Words that `bash` does not look up in PATH: its builtins and keywords.
const OWN_WORDS: &str = " . : [ alias bg bind break builtin caller cd command compgen complete compopt continue declare dirs disown echo \
enable eval exec exit export false fc fg getopts hash help history jobs kill let local logout mapfile popd printf pushd pwd read readarray \
readonly return set shift shopt source suspend test times trap true type typeset ulimit umask unalias unset wait ! [[ ]] { } case coproc do \
done elif else esac fi for function if in select then time until while ";

/// The words of a command, if it is nothing but literal words: no expansion, operator, assignment, builtin or keyword.
pub(super) fn plain_words(text: &[u8]) -> Option<Vec<CString>> {
    let mut words: Vec<CString> = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' => words.extend(word.take().map(CString::new).transpose().ok()?),
            // In single quotes everything is literal; in double quotes, what the shell does not look at.
            b'\'' | b'"' => {
                let word = word.get_or_insert_default();
                loop {
                    match bytes.next()? {
                        end if end == byte => break,
                        b'$' | b'`' | b'\\' | b'!' if byte == b'"' => return None,
                        other => word.push(other),
                    }
                }
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'/' | b'+' => word.get_or_insert_default().push(byte),
            // Nothing special in an argument, but perhaps in the first word.
            b'=' | b':' | b'@' | b'%' | b',' if !words.is_empty() => word.get_or_insert_default().push(byte),
            _ => return None,
        }
    }
    words.extend(word.map(CString::new).transpose().ok()?);
    let first = std::str::from_utf8(words.first()?.to_bytes()).ok()?;
    let plain = !first.is_empty() && !first.contains(char::is_whitespace) && !OWN_WORDS.contains(&format!(" {first} "));
    plain.then_some(words)
}

/// Where `bash` would find a program, if the kernel can execute that file itself.
pub(super) fn find_program(name: &CStr, path: &[u8], directory: &Path) -> Option<CString> {
    let name = OsStr::from_bytes(name.to_bytes());
    let executable = |file: &Path| {
        let found = directory.join(file);
        let mode = found.metadata().ok().filter(|metadata| metadata.is_file())?.mode();
        (mode & 0o111 != 0 && faccessat(nix::fcntl::AT_FDCWD, &found, AccessFlags::X_OK, AtFlags::AT_EACCESS).is_ok()).then_some(found)
    };
    let (file, found) = if name.as_bytes().contains(&b'/') {
        (PathBuf::from(name), executable(Path::new(name))?)
    } else {
        path.split(|byte| *byte == b':').find_map(|entry| {
            let file = Path::new(OsStr::from_bytes(entry)).join(name);
            Some((file.clone(), executable(&file)?))
        })?
    };
    let mut magic = [0; 4];
    let read = std::fs::File::open(&found).and_then(|mut file| file.read(&mut magic)).unwrap_or(0);
    let known = magic.get(..read).is_some_and(|magic| magic == b"\x7fELF" || magic.starts_with(b"#!"));
    // An entry that is relative depends on where one stands; the shell knows best.
    let settled = file.is_absolute() || name.as_bytes().contains(&b'/');
    (known && settled).then(|| CString::new(file.as_os_str().as_bytes()).ok()).flatten()
}

/// `SHLVL` as a program sees it that `bash -c` has started in place of itself.
pub(super) fn shell_level(inherited: Option<&[u8]>) -> CString {
    let level =
        inherited.and_then(|value| std::str::from_utf8(value).ok()?.trim().parse::<u32>().ok()).filter(|level| *level < 999).unwrap_or(0);
    CString::new(format!("SHLVL={level}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Option<Vec<String>> {
        plain_words(text.as_bytes()).map(|words| words.into_iter().map(|word| word.into_string().expect("text")).collect())
    }

    #[test]
    fn plain_commands_are_split_as_the_shell_splits_them() {
        assert_eq!(words("kubectl get  pods -o=name"), Some(vec!["kubectl".into(), "get".into(), "pods".into(), "-o=name".into()]));
        assert_eq!(
            words("git commit -m 'two $words' \"a b\"c ''"),
            Some(["git", "commit", "-m", "two $words", "a bc", ""].map(String::from).to_vec())
        );
    }

    #[test]
    fn whatever_the_shell_might_treat_specially_is_left_to_it() {
        for text in [
            "", " ", "A=b cmd", "a*", "echo hi", "cd /", "if x", "x; y", "x | y", "x > y", "x $Y", "x ~", "x {a,b}", "x # y", "x\ny",
            "x \\y", "x \"$Y\"", "x 'open", "! x", "x !y", "%1", "x `y`", "x [a]", "time x", "a=b", "x\ty&", "'' x", "(x)", "x ?", "größe",
        ] {
            assert_eq!(words(text), None, "{text}");
        }
    }

    #[test]
    fn programs_are_found_as_the_shell_finds_them() {
        let find =
            |name: &CStr, path: &str| find_program(name, path.as_bytes(), Path::new("/")).map(|found| found.into_string().expect("text"));
        assert_eq!(find(c"sh", "/nowhere:/bin"), Some("/bin/sh".to_owned()));
        assert_eq!(find(c"/bin/sh", ""), Some("/bin/sh".to_owned()));
        assert_eq!(find(c"bin/sh", ""), Some("bin/sh".to_owned()));
        for (name, path) in [(c"sh", ""), (c"sh", "bin"), (c"passwd", "/etc"), (c"/etc", ""), (c"no-such-program", "/bin")] {
            assert_eq!(find(name, path), None, "{name:?} in {path}");
        }
    }
}
