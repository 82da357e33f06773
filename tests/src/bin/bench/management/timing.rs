//! Timings of repeated actions.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// The duration of each repetition, and of all of them together.
#[derive(Debug, Default)]
pub(crate) struct Timings {
    each: Vec<Duration>,
    all: Duration,
}

impl Timings {
    /// Adds a repetition that followed those before.
    pub(crate) fn add(&mut self, took: Duration) {
        self.each.push(took);
        self.all += took;
    }

    /// Adds the timings of a client that ran at the same time.
    pub(crate) fn beside(&mut self, others: Self) {
        self.each.extend(others.each);
        self.all = self.all.max(others.all);
    }

    /// Adds the timings of a later period.
    pub(crate) fn extend(&mut self, others: Self) {
        self.each.extend(others.each);
        self.all += others.all;
    }

    fn per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "there are not that many")]
        let count = self.each.len() as f64;
        count / self.all.as_secs_f64()
    }

    /// Returns the results as a row.
    pub(crate) fn row(&self, what: &str) -> Row {
        let mut sorted = self.each.clone();
        sorted.sort_unstable();
        let at = |percent: usize| {
            sorted
                .get(sorted.len() * percent / 100)
                .copied()
                .unwrap_or_default()
                .as_secs_f64()
                * 1e3
        };
        Row {
            what: what.to_owned(),
            per_second: self.per_second(),
            median_ms: at(50),
            p99_ms: at(99),
        }
    }
}

/// A row of a table.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) per_second: f64,
    pub(crate) median_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Repeats `what` for `time`. Its argument is the number of earlier repetitions.
pub(crate) async fn repeated<F: Future<Output = Result<()>>>(
    time: Duration,
    mut what: impl FnMut(usize) -> F,
) -> Result<Timings> {
    let began = Instant::now();
    let mut timings = Timings::default();
    for n in 0.. {
        let this = Instant::now();
        what(n).await?;
        timings.each.push(this.elapsed());
        if began.elapsed() >= time {
            break;
        }
    }
    timings.all = began.elapsed();
    Ok(timings)
}
