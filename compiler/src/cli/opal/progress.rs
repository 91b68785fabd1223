//! The steps that are running, as lines at the bottom of a terminal that are redrawn in place, above which everything else is written.
//!
//! The cursor is never hidden and rests below the lines, so that whatever ends this process leaves a usable terminal. Lines are drawn by a
//! timer: a step pays for no more than a lock. Nothing is drawn while output stands in the middle of a line, while a step has the terminal
//! itself, or in the background.

use opal_core::duration;
use opal_core::event::{At, Event};
use opal_core::plan::Plan;
use opal_exec::clean::Clean;
use opal_exec::run::progress::{Lines, Progress, Told, first_line, painted};
use opal_exec::scrub::Secrets;
use opal_exec::supervise::lane::Stream;
use opal_format::kind::NodeKind;
use opal_format::tree::Tree;
use opal_vm::cli::ends::Terminal;
use opal_vm::cli::output::Output;
use std::io::{self, IsTerminal as _};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Time between two drawings.
const TICK: Duration = Duration::from_millis(100);

/// Lines that are older are not taken back: the process was stopped meanwhile, and others have written below them.
const STALE: Duration = Duration::from_secs(1);

/// Follows runs by live lines where standard error is a terminal that a person looks at; as `opal-vm` does elsewhere.
pub(super) fn follow(mut out: Output) -> Output {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "false" && value != "0");
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
    if io::stderr().is_terminal()
        && !dumb
        && !set("CI")
        && let Some(terminal) = Terminal::stderr()
    {
        out.progress = Some(Arc::new(Live::new(terminal, out.colored(), Arc::clone(&out.secrets))));
    }
    out
}

/// Live lines on a terminal.
#[derive(Debug)]
struct Live {
    /// The line for each step that has ended.
    ended: Lines,
    shared: Arc<Shared>,
    /// Standard output is a terminal too.
    joined: bool,
    timer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    terminal: Terminal,
    color: bool,
    secrets: Arc<Secrets>,
    state: Mutex<State>,
    over: Condvar,
}

#[derive(Debug)]
struct State {
    running: Vec<Running>,
    counted: (u64, u64),
    started: Instant,
    /// The lines that stand on the terminal.
    drawn: Vec<String>,
    drawn_at: Instant,
    /// The last output did not end its line.
    mid_line: bool,
    /// Nodes inside `@tty` blocks.
    lent: Vec<Range<usize>>,
    over: bool,
}

/// A step that is running.
#[derive(Debug)]
struct Running {
    node: usize,
    text: String,
    since: Instant,
    lent: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    fn new(terminal: Terminal, color: bool, secrets: Arc<Secrets>) -> Self {
        let now = Instant::now();
        let state = State {
            running: Vec::new(),
            counted: (0, 0),
            started: now,
            drawn: Vec::new(),
            drawn_at: now,
            mid_line: false,
            lent: Vec::new(),
            over: false,
        };
        let shared = Arc::new(Shared { terminal, color, secrets, state: Mutex::new(state), over: Condvar::new() });
        Self { ended: Lines::new(false), shared, joined: io::stdout().is_terminal(), timer: Mutex::default() }
    }

    fn begin(&self, plan: &Plan) {
        let nodes = &plan.steps.nodes;
        let tree = Tree::new(nodes);
        let lent = |at: &usize| tree.kind(*at) == Some(NodeKind::Tty);
        let mut state = locked(&self.shared.state);
        state.lent = (0..nodes.len()).filter(lent).map(|at| at..tree.end(at)).collect();
        state.started = Instant::now();
        let shared = Arc::clone(&self.shared);
        *locked(&self.timer) = std::thread::Builder::new().name("progress".to_owned()).spawn(move || shared.tick()).ok();
    }

    fn end(&self) {
        let mut state = locked(&self.shared.state);
        state.over = true;
        self.shared.take_back(&mut state);
        drop(state);
        self.shared.over.notify_all();
        if let Some(timer) = locked(&self.timer).take() {
            let _ = timer.join();
        }
    }
}

impl Progress for Live {
    fn event(&self, told: &Told<'_>) -> Option<String> {
        let line = self.ended.event(told).map(|line| {
            let line = cut(&line, self.shared.size().1);
            if self.shared.color { painted(&line) } else { line }
        });
        match told.event {
            Event::RunStarts(_) => {
                self.begin(told.plan);
                locked(&self.shared.state).counted = self.ended.counted();
            }
            Event::RunDone(_) => self.end(),
            Event::StepStarts { at: At { node, path } } => {
                let text = format!("{path} {}", first_line(&(told.text)(), 400));
                let mut state = locked(&self.shared.state);
                let lent = state.lent.iter().any(|nodes| nodes.contains(node));
                if lent {
                    self.shared.take_back(&mut state);
                }
                state.running.push(Running { node: *node, text, since: Instant::now(), lent });
            }
            Event::StepDone { at, .. } => {
                let mut state = locked(&self.shared.state);
                state.running.retain(|running| running.node != at.node);
                state.counted = self.ended.counted();
            }
            _ => {}
        }
        line
    }

    fn output(&self, stream: Stream, mid_line: bool, write: &mut dyn FnMut(&Clean, &Clean) -> io::Result<()>) -> io::Result<()> {
        if stream == Stream::Stdout && !self.joined {
            return write(&Clean::default(), &Clean::default());
        }
        let mut state = locked(&self.shared.state);
        state.mid_line = mid_line;
        let before = self.shared.erasing(&mut state);
        let after = if before.is_empty() { String::new() } else { self.shared.drawing(&mut state) };
        let clean = |text: &String| Clean::new(&self.shared.secrets, text.as_bytes());
        write(&clean(&before), &clean(&after))
    }
}

impl Shared {
    /// Draws until the run is over.
    fn tick(&self) {
        let mut state = locked(&self.state);
        loop {
            let waited = self.over.wait_timeout(state, TICK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.over {
                return;
            }
            if !self.writable() {
                continue;
            }
            let old = state.drawn.clone();
            let stale = state.drawn_at.elapsed() > STALE;
            let before = self.erasing(&mut state);
            let after = self.drawing(&mut state);
            if state.drawn != old || (stale && !after.is_empty()) {
                self.write(&format!("{before}{after}"));
            }
        }
    }

    fn write(&self, text: &str) {
        self.terminal.draw(&Clean::new(&self.secrets, text.as_bytes()));
    }

    /// Whether a write would neither wait nor stop this process.
    fn writable(&self) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut fds = [PollFd::new(self.terminal.fd(), PollFlags::POLLOUT)];
        let ready = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready == 1) && fds[0].any() == Some(true);
        // Where there is no controlling terminal, nobody can be in its background.
        ready && nix::unistd::tcgetpgrp(self.terminal.fd()).map_or(true, |group| group == nix::unistd::getpgrp())
    }

    /// Takes the lines off the terminal.
    fn take_back(&self, state: &mut State) {
        let text = self.erasing(state);
        if !text.is_empty() && self.writable() {
            self.write(&text);
        }
    }

    /// What takes the lines back, to which nothing on the terminal corresponds any longer.
    fn erasing(&self, state: &mut State) -> String {
        let lines = std::mem::take(&mut state.drawn);
        if lines.is_empty() || state.drawn_at.elapsed() > STALE {
            return String::new();
        }
        // A terminal that has become narrower has broken them.
        let columns = self.size().1.max(1);
        let rows: usize = lines.iter().map(|line| line.width().div_ceil(columns).max(1)).sum();
        format!("\x1b[{rows}A\r\x1b[J")
    }

    /// What draws the lines as they are now.
    fn drawing(&self, state: &mut State) -> String {
        if state.mid_line || state.over || state.running.is_empty() || state.running.iter().any(|running| running.lent) {
            return String::new();
        }
        let (rows, columns) = self.size();
        let (now, width) = (Instant::now(), columns.saturating_sub(1));
        let most = rows.saturating_sub(3).clamp(1, 16);
        let mut lines: Vec<String> = Vec::new();
        for running in state.running.iter().take(most) {
            let took = seconds(now.duration_since(running.since));
            let room = width.saturating_sub(took.width() + 4);
            // Before it is cut, so that no start of a secret is left.
            let text = Clean::new(&self.secrets, running.text.as_bytes());
            lines.push(cut(&format!("▸ {}  {took}", cut(text.as_str(), room)), width));
        }
        let more = state.running.len().saturating_sub(most);
        let more = if more > 0 { format!(", {more} more running") } else { String::new() };
        let (done, total) = state.counted;
        lines.push(cut(&format!("  {done}/{total} done{more}, {}", seconds(now.duration_since(state.started))), width));
        let painted = |line: &String| if self.color { format!("\x1b[2m{line}\x1b[0m\n") } else { format!("{line}\n") };
        let text = lines.iter().map(painted).collect();
        (state.drawn, state.drawn_at) = (lines, now);
        text
    }

    /// Rows and columns.
    fn size(&self) -> (usize, usize) {
        let size = rustix::termios::tcgetwinsize(self.terminal.fd()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        size.map_or((24, 80), |size| (usize::from(size.ws_row), usize::from(size.ws_col)))
    }
}

/// Whole seconds.
fn seconds(length: Duration) -> String {
    duration::format(i64::try_from(length.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000_000_000))
}

/// A text of at most so many columns; an ellipsis stands for the rest.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut width = 1;
    for character in text.chars() {
        width += character.width().unwrap_or(0);
        if width > columns {
            break;
        }
        out.push(character);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}
