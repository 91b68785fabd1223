//! Finding the processes of one test.
#![expect(unreachable_pub, reason = "a module of several test programs has no other way to share")]

use std::fs::File;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A marker that only the processes of one test carry in their environment. What still carries it
/// when the test ends is killed.
pub struct Marker(pub String);

impl Marker {
    pub fn new() -> Self {
        let mut random = [0u8; 16];
        std::io::Read::read_exact(&mut File::open("/dev/urandom").unwrap(), &mut random).unwrap();
        Self(format!("OPAL_TEST_MARK={:032x}", u128::from_ne_bytes(random)))
    }

    pub fn carriers(&self) -> Vec<i32> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            if environ.split(|b| *b == 0).any(|entry| entry == self.0.as_bytes()) {
                found.push(pid);
            }
        }
        found
    }

    /// Waits until nothing carries the marker, for at most ten seconds.
    pub fn assert_gone(&self, what: &str) {
        let patience = Instant::now() + Duration::from_secs(10);
        while !self.carriers().is_empty() {
            assert!(Instant::now() < patience, "{what}: survivors {:?}", self.carriers());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until `n` processes carry the marker.
    pub fn await_count(&self, n: usize) {
        let patience = Instant::now() + Duration::from_secs(10);
        while self.carriers().len() < n {
            assert!(Instant::now() < patience, "only {:?} came up", self.carriers());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        for pid in self.carriers() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
