//! The commit that a source lies in, for provenance: read from the files of the checkout, never by running anything. It informs, so nothing here fails.

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::path::Path;

/// Largest file of a checkout that is read; `packed-refs` of a large repository fits.
const SIZE_MAX: u64 = 16 << 20;
/// References that lead to references, at most.
const REFERENCES_MAX: usize = 8;

/// What `HEAD` of the checkout around `source` leads to, or `None` where there is no checkout or no commit in it.
pub(super) fn of(source: &Path) -> Option<String> {
    let source = std::fs::canonicalize(source).ok()?;
    let (top, git) = source.ancestors().skip(1).map(|top| (top, top.join(".git"))).find(|(_, git)| git.symlink_metadata().is_ok())?;
    // A worktree or submodule has a file there that names the directory.
    let directory = if git.symlink_metadata().is_ok_and(|data| data.is_dir()) {
        git
    } else {
        top.join(text(top, ".git")?.strip_prefix("gitdir:")?.trim())
    };
    let common = text(&directory, "commondir").map_or_else(|| directory.clone(), |common| directory.join(common.trim()));
    let mut name = "HEAD".to_owned();
    for _ in 0..REFERENCES_MAX {
        let found = value(&directory, &common, &name)?;
        match found.strip_prefix("ref:") {
            Some(next) => name = next.trim().to_owned(),
            None => return is_commit(&found).then_some(found),
        }
    }
    None
}

/// What a reference holds: a commit, or `ref:` and another name.
fn value(directory: &Path, common: &Path, name: &str) -> Option<String> {
    if Path::new(name).is_absolute() || name.split('/').any(|part| part.is_empty() || part == "..") {
        return None;
    }
    let loose = text(directory, name).or_else(|| text(common, name));
    let packed = || {
        let all = text(common, "packed-refs")?;
        let line = all.lines().find(|line| line.split_once(' ').is_some_and(|(_, other)| other == name))?;
        line.split_once(' ').map(|(commit, _)| commit.to_owned())
    };
    loose.map(|text| text.trim().to_owned()).or_else(packed)
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What a file in a directory of the checkout holds. No link in there is followed: whoever prepares a checkout must not choose which file is read.
fn text(directory: &Path, name: &str) -> Option<String> {
    let mut named = File::open(directory).ok()?;
    for part in name.split('/') {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        named = File::from(openat(&named, part, flags, Mode::empty()).ok()?);
    }
    let size = named.metadata().ok().filter(|data| data.is_file() && data.len() <= SIZE_MAX)?.len();
    let file = File::open(format!("/proc/self/fd/{}", named.as_raw_fd())).ok()?;
    let mut text = String::new();
    file.take(size).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    /// A tree of files, `name => text`, and the commit of `ops/deploy.opl` in it.
    fn found(files: &[(&str, &str)]) -> Option<String> {
        let top = tempfile::tempdir().expect("a directory");
        for (name, text) in [&[("ops/deploy.opl", "")], files].concat() {
            let path = top.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        of(&top.path().join("ops/deploy.opl"))
    }

    #[test]
    fn the_commit_is_found_wherever_a_checkout_keeps_it() {
        let packed = format!("# pack-refs with: peeled\n{B} refs/heads/other\n{A} refs/heads/main\n^{B}\n");
        for files in [
            &[(".git/HEAD", A)][..],
            &[(".git/HEAD", "ref: refs/heads/main\n"), (".git/refs/heads/main", &format!("{A}\n"))],
            &[(".git/HEAD", "ref: refs/heads/main\n"), (".git/packed-refs", &packed)],
            &[("ops/.git", "gitdir: ../store/w\n"), ("store/w/HEAD", A)],
            &[
                (".git", "gitdir: store/worktrees/w\n"),
                ("store/worktrees/w/HEAD", "ref: refs/heads/main\n"),
                ("store/worktrees/w/commondir", "../..\n"),
                ("store/refs/heads/main", A),
            ],
        ] {
            assert_eq!(found(files).as_deref(), Some(A), "{files:?}");
        }
    }

    #[test]
    fn what_is_no_checkout_or_no_commit_gives_none() {
        for files in [
            &[][..],
            &[(".git/HEAD", "")],
            &[(".git/HEAD", "ref: refs/heads/new\n")],
            &[(".git/HEAD", "ref: ../../secret\n"), ("secret", A)],
            &[(".git/HEAD", "ref: HEAD\n")],
            &[(".git/HEAD", "../../../etc/passwd")],
            &[(".git", "no directory")],
            &[(".git/HEAD", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")],
        ] {
            assert_eq!(found(files), None, "{files:?}");
        }
        assert_eq!(of(Path::new("-")), None);
    }

    #[test]
    fn no_link_in_a_checkout_is_followed() {
        use std::os::unix::fs::symlink;
        for (link, file) in [(".git/HEAD", "secret/HEAD"), (".git", "secret"), (".git/refs", "secret")] {
            let top = tempfile::tempdir().expect("a directory");
            let at = |name: &str| top.path().join(name);
            for directory in ["secret/heads", "real"] {
                fs::create_dir_all(at(directory)).expect("a directory");
            }
            fs::write(at("secret/HEAD"), A).expect("a file");
            fs::write(at("secret/heads/main"), A).expect("a file");
            fs::write(at("deploy.opl"), "").expect("a file");
            if link != ".git" {
                fs::create_dir(at(".git")).expect("a directory");
            }
            if link == ".git/refs" {
                fs::write(at(".git/HEAD"), "ref: refs/heads/main").expect("a file");
            }
            symlink(at(file), at(link)).expect("a link");
            assert_eq!(of(&at("deploy.opl")), None, "{link}");
        }
    }
}
