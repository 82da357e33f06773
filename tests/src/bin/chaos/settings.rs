//! The length and intensity of a trial.

use std::time::Duration;

use clap::Parser;
use latchkey_tests::SeededRng;

/// Injects faults while keys change, and checks every request against the answers to the changes
#[derive(Debug, Clone, Parser)]
#[command(name = "latchkey-chaos")]
pub(crate) struct Arguments {
    /// Duration of the fault injection, in seconds
    #[arg(long, default_value_t = 600)]
    pub(crate) duration: u64,
    /// Random seed, to repeat a run [default: a new one for each run]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Number of Envoys [default: 3, or 2 in a trial of less than a minute]
    #[arg(long)]
    pub(crate) envoys: Option<usize>,
    /// Keeps the directory with all logs and databases, and prints its path
    #[arg(long)]
    pub(crate) keep: bool,
}

/// The settings that follow from the arguments.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) duration: Duration,
    pub(crate) seed: u64,
    pub(crate) envoys: usize,
    pub(crate) connections: usize,
    /// The shortest pause between two faults of one part; the longest is three times as long.
    pub(crate) pause: Duration,
    /// The longest time for which a process is stopped.
    pub(crate) stopped: Duration,
    /// `max_staleness_seconds` of the Envoys.
    pub(crate) staleness: Duration,
    /// The control plane's grace.
    pub(crate) grace: Duration,
    /// The time for which a replaced listener drains.
    pub(crate) drain: Duration,
}

impl Settings {
    /// Returns the settings. A short trial makes its faults in quick succession, so that each kind
    /// happens.
    pub(crate) fn new(arguments: &Arguments, seed: u64) -> Self {
        let short = arguments.duration < 60;
        Self {
            duration: Duration::from_secs(arguments.duration),
            seed,
            envoys: arguments.envoys.unwrap_or(if short { 2 } else { 3 }).max(1),
            connections: if short { 16 } else { 24 },
            pause: Duration::from_millis(if short { 250 } else { 1_500 }),
            stopped: Duration::from_millis(if short { 2_000 } else { 8_000 }),
            staleness: Duration::from_secs(if short { 3 } else { 6 }),
            grace: Duration::from_secs(if short { 2 } else { 4 }),
            drain: Duration::from_secs(1),
        }
    }

    /// Returns a pause between two faults.
    pub(crate) fn next_pause(&self, rng: &mut SeededRng) -> Duration {
        between(rng, self.pause, self.pause * 3)
    }

    /// Returns the time for which a process is suspended.
    pub(crate) fn next_stop(&self, rng: &mut SeededRng) -> Duration {
        between(rng, self.stopped / 8, self.stopped)
    }

    /// Returns the time for which an Envoy is cut off: longer than the grace, at times also than
    /// the staleness limit.
    pub(crate) fn next_outage(&self, rng: &mut SeededRng) -> Duration {
        between(rng, self.grace, self.staleness + self.grace)
    }
}

/// Returns a random duration.
pub(crate) fn between(rng: &mut SeededRng, least: Duration, most: Duration) -> Duration {
    let width = usize::try_from((most - least).as_millis()).unwrap_or(0) + 1;
    least + Duration::from_millis(u64::try_from(rng.below(width)).unwrap_or(0))
}

/// A deck that draws each kind once in a random order, and then again in another one.
#[derive(Debug)]
pub(crate) struct Deck<T> {
    kinds: Vec<T>,
    left: Vec<T>,
}

impl<T: Copy> Deck<T> {
    pub(crate) fn new(kinds: &[T]) -> Self {
        Self {
            kinds: kinds.to_vec(),
            left: Vec::new(),
        }
    }

    /// Returns the next one; none if the deck is empty.
    pub(crate) fn draw(&mut self, rng: &mut SeededRng) -> Option<T> {
        if self.left.is_empty() {
            self.left.clone_from(&self.kinds);
        }
        (!self.left.is_empty()).then(|| self.left.swap_remove(rng.below(self.left.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deck_deals_each_kind_before_repeating() {
        let (mut deck, mut rng) = (Deck::new(&[1, 2, 3, 4]), SeededRng(7));
        for _ in 0..3 {
            let mut dealt: Vec<_> = (0..4).filter_map(|_| deck.draw(&mut rng)).collect();
            dealt.sort_unstable();
            assert_eq!(dealt, [1, 2, 3, 4]);
        }
    }

    #[test]
    fn pauses_are_within_their_bounds() {
        let mut rng = SeededRng(1);
        let (least, most) = (Duration::from_millis(5), Duration::from_millis(9));
        assert!((0..100).all(|_| (least..=most).contains(&between(&mut rng, least, most))));
    }
}
