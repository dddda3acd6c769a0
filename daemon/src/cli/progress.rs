//! How far something is that goes through a stretch of event time: a bar on a terminal, a line now and then otherwise.
//!
//! In: event times. Out: text on stderr.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

/// Lines printed where there is no terminal.
const LINES: i64 = 8;

/// Progress through a stretch of event time.
pub struct Progress {
    bar: Option<ProgressBar>,
    start: Timestamp,
    minutes: i64,
    done: &'static str,
    messages: u64,
    lines: i64,
}

impl Progress {
    /// From `start` to `end` of the history; `done` says what is done with a message: `sent`.
    pub fn new(start: Timestamp, end: Timestamp, done: &'static str) -> Self {
        let minutes = end.duration_since(start).as_mins().max(1);
        let bar = std::io::stderr().is_terminal().then(|| bar(minutes as u64));
        Self { bar, start, minutes, done, messages: 0, lines: 0 }
    }

    /// One more message is done with.
    pub fn passed(&mut self, at: Timestamp) {
        self.messages += 1;
        if !self.messages.is_multiple_of(256) {
            return;
        }
        let passed = at.duration_since(self.start).as_mins().clamp(0, self.minutes);
        match &self.bar {
            Some(bar) => {
                bar.set_position(passed as u64);
                bar.set_message(self.text(passed));
            }
            None if passed * LINES / self.minutes > self.lines => {
                self.lines = passed * LINES / self.minutes;
                eprintln!("{} {}", self.done, self.text(passed));
            }
            None => {}
        }
    }

    /// Takes the bar away and says how many messages there were.
    pub fn finish(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("{} {} messages, {} days of event time", self.done, self.messages, self.minutes / 1_440);
    }

    fn text(&self, passed: i64) -> String {
        format!("day {} of {}, {} messages", passed / 1_440 + 1, self.minutes / 1_440, self.messages)
    }
}

fn bar(minutes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:32} {msg} {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(minutes).with_style(style)
}
