//! Reading from paths.

use super::sample::Sample;
use crate::read::limits::FILE_SIZE;
use crate::read::read_file::{ReadFileError, read_path};
use std::path::{Path, PathBuf};

/// A directory of this test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("opal-format-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn verdict(path: &Path, max: usize) -> &'static str {
    match read_path(path, max) {
        Ok(plan) => match plan.authenticate() {
            Ok(_) => "ok",
            Err(error) => error.code(),
        },
        Err(error) => error.code(),
    }
}

#[test]
fn a_plan_is_read_through_a_link_and_within_its_size() {
    let folder = Folder::new("plain");
    let bytes = Sample::new().signed(&[1]);
    let (path, link) = (folder.0.join("a.plan"), folder.0.join("b.plan"));
    std::fs::write(&path, &bytes).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(verdict(&link, bytes.len()), "ok");
    assert_eq!(verdict(&path, bytes.len() - 1), "plan_too_large");
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let folder = Folder::new("odd");
    let fifo = folder.0.join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for path in [fifo.as_path(), &folder.0, Path::new("/dev/zero")] {
        assert_eq!(verdict(path, FILE_SIZE), "plan_not_regular", "{}", path.display());
    }
    assert!(matches!(read_path(&folder.0.join("none"), FILE_SIZE), Err(ReadFileError::NotFound)));
    let below = folder.0.join("file/below");
    std::fs::write(folder.0.join("file"), b"").unwrap();
    assert_eq!(verdict(&below, FILE_SIZE), "plan_unreadable");
    assert_eq!(verdict(&folder.0.join("file"), FILE_SIZE), "plan_truncated");
}
