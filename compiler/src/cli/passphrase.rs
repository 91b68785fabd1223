//! Asking for a passphrase, on the terminal and nowhere else.

use super::failure::Failure;
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};
use opal_core::code::Code;
use opal_core::show::escape;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use zeroize::Zeroizing;

/// Longest passphrase, in bytes.
const LENGTH_MAX: usize = 1024;

/// The terminal of this process.
pub(crate) struct Terminal(File);

impl Terminal {
    /// `/dev/tty`; `None` where this process has no terminal. Standard input is not asked, so that nothing that is piped in is taken for an answer.
    pub(crate) fn open() -> Option<Self> {
        let file = OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_NOCTTY).open("/dev/tty").ok()?;
        tcgetattr(&file).ok()?;
        Some(Self(file))
    }

    /// Shows a text.
    pub(crate) fn tell(&self, text: &str) {
        let _ = (&self.0).write_all(escape(text.as_bytes(), true).as_bytes());
    }

    /// Shows `prompt` and reads a line without showing it.
    pub(crate) fn ask(&self, prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let quiet = Quiet::new(&self.0).ok_or_else(unusable)?;
        self.tell(prompt);
        let line = read_line(&mut &self.0);
        drop(quiet);
        self.tell("\n");
        line
    }
}

fn unusable() -> Failure {
    Failure::new(Code::TerminalLost, "the terminal cannot be read from").with_help("run it on a terminal that stays open")
}

/// Reads bytes up to the end of the line. The keys that a terminal otherwise looks after are looked after here: it hands over each as it comes.
fn read_line(terminal: &mut &File) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Room for all of it, since a buffer that grew would leave pieces behind.
    let mut line = Zeroizing::new(Vec::with_capacity(LENGTH_MAX));
    let mut byte = Zeroizing::new([0]);
    loop {
        match terminal.read(byte.as_mut_slice()) {
            Ok(1) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            _ => return Err(unusable()),
        }
        match byte[0] {
            b'\n' | b'\r' => return Ok(line),
            // Interrupt, and the end of input on an empty line.
            3 => return Err(cancelled()),
            4 if line.is_empty() => return Err(cancelled()),
            8 | 127 => {
                line.pop();
            }
            // Kill the line.
            21 => line.clear(),
            byte if line.len() < LENGTH_MAX => line.push(byte),
            _ => {}
        }
    }
}

fn cancelled() -> Failure {
    Failure::new(Code::Cancelled, "no passphrase was given").with_help("start it again, or sign with another key: `--key K`")
}

/// A terminal that echoes nothing and sends no signals until this is dropped.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn new(terminal: &'a File) -> Option<Self> {
        let before = tcgetattr(terminal).ok()?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO | LocalFlags::ECHONL | LocalFlags::ICANON | LocalFlags::ISIG);
        for (index, value) in [(SpecialCharacterIndices::VMIN, 1), (SpecialCharacterIndices::VTIME, 0)] {
            *quiet.control_chars.get_mut(index as usize)? = value;
        }
        // What was typed before the question is no answer to it.
        tcsetattr(terminal, SetArg::TCSAFLUSH, &quiet).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, SetArg::TCSADRAIN, &self.before);
    }
}
