//! Progress of long commands: one line on stderr, which is updated on a terminal.

use clap::Args;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::text::number;

/// The shortest time between two updates.
const INTERVAL: Duration = Duration::from_secs(1);

/// Controls whether progress is shown.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct ShowProgress {
    /// Show progress on stderr (default: only if stderr is a terminal and stdout is not)
    #[arg(long)]
    progress: bool,
}

/// The progress of a command.
pub(super) struct Progress {
    /// The noun of the counted entries, in the plural.
    things: &'static str,
    shown: bool,
    terminal: bool,
    last: Instant,
    line: String,
}

impl Progress {
    pub(super) fn new(show: ShowProgress, things: &'static str) -> Self {
        let terminal = io::stderr().is_terminal();
        let shown = show.progress || (terminal && !io::stdout().is_terminal());
        Self {
            things,
            shown,
            terminal,
            last: Instant::now(),
            line: String::new(),
        }
    }

    /// Shows that `done` of `total` entries are done, or of at least `total` if it is an estimate.
    /// Does nothing if the line was updated within [`INTERVAL`].
    pub(super) fn update(&mut self, done: usize, total: Option<u64>, is_estimate: bool) {
        if !self.shown {
            return;
        }
        let first = self.line.is_empty();
        self.line = line(done, total, is_estimate, self.things);
        if first || self.last.elapsed() >= INTERVAL {
            self.write();
        }
    }

    fn write(&mut self) {
        self.last = Instant::now();
        // stderr may be closed.
        let mut stderr = io::stderr().lock();
        let _ = if self.terminal {
            write!(stderr, "\r\u{1b}[K{}", self.line).and_then(|()| stderr.flush())
        } else {
            writeln!(stderr, "{}", self.line)
        };
    }

    /// Shows the final numbers.
    pub(super) fn end(mut self) {
        if self.shown && !self.line.is_empty() {
            self.write();
        }
    }
}

/// Ends the line on a terminal, also if the command fails, so that the error is on a separate line.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown && self.terminal && !self.line.is_empty() {
            let _ = writeln!(io::stderr().lock());
        }
    }
}

/// Formats the progress: `120,000 of about 1,000,000 keys`. The total does not follow entries that
/// are added or removed during the command.
fn line(done: usize, total: Option<u64>, is_estimate: bool, things: &str) -> String {
    let count = u64::try_from(done).unwrap_or(u64::MAX);
    let done = number(count);
    match total {
        Some(total) if is_estimate && total > count => {
            format!("latchkey: {done} of about {} {things}", number(total))
        }
        Some(total) if !is_estimate => {
            format!("latchkey: {done} of {} {things}", number(total.max(count)))
        }
        _ => format!("latchkey: {done} {things}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_shows_the_approximate_total() {
        assert_eq!(
            line(120_000, Some(1_000_000), true, "keys"),
            "latchkey: 120,000 of about 1,000,000 keys"
        );
        assert_eq!(
            line(2_000, Some(4_000), false, "keys"),
            "latchkey: 2,000 of 4,000 keys"
        );
        assert_eq!(
            line(3, Some(2), false, "keys"),
            "latchkey: 3 of 3 keys",
            "more came meanwhile"
        );
        assert_eq!(
            line(12_000, Some(10_000), true, "keys"),
            "latchkey: 12,000 keys",
            "nobody knows how many more"
        );
        assert_eq!(
            line(1_000, None, false, "entries"),
            "latchkey: 1,000 entries"
        );
    }
}
