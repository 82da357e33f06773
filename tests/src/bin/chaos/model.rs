//! The answers that each Envoy may give by now, according to the control plane's answers.
//!
//! The model does no I/O: requests and changes are reported to it with their times. A request that
//! started after a change was answered as complete has to be decided by that change. While a change
//! is in progress, either answer is right.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// The time for which Envoys may refuse a subject that is open again. No fault cuts them off for
/// this long.
const REOPEN: Duration = Duration::from_secs(40);

/// The width of a window of the limited key.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);

/// The number of violations of each kind that are described; all are counted.
const DESCRIBED: u64 = 12;

/// The expected decisions about a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// A change is in progress, or its result is not known.
    Unknown,
    /// The subject was opened at this time.
    Open(Instant),
    /// No request that starts after this is admitted.
    Closed(Instant),
    /// No change concerns the subject: it is always admitted.
    Untouched,
}

/// The subject of a request: a key, or a path without a key. An index of [`Model`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Subject(pub(crate) usize);

#[derive(Debug)]
struct State {
    name: String,
    expectation: Expectation,
    /// The latest start of a request that was admitted, and where.
    admitted: Option<(Instant, usize)>,
}

/// The kinds of violations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    /// A request that started after a complete answer was admitted in spite of it.
    Admitted,
    /// A key that nobody has changed was refused.
    GoodKeyRefused,
    /// A subject that was opened again was refused for longer than faults explain.
    NotReopened,
    /// A limit of the fleet admitted far more than its bound.
    LimitVoid,
    /// A complete revocation is missing from the database at the end.
    RevocationLost,
    /// The Envoys do not decide according to the last changes at the end.
    Differs,
    /// A change took longer than an update of listeners explains.
    SlowUpdate,
    /// A part failed in a way that ends the trial.
    Broken,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admitted => "admitted after a complete answer",
            Self::GoodKeyRefused => "good key refused",
            Self::NotReopened => "refused for long after it was opened again",
            Self::LimitVoid => "limit void",
            Self::RevocationLost => "revocation lost",
            Self::Differs => "wrong at the end",
            Self::SlowUpdate => "slow while listeners were updated",
            Self::Broken => "broken",
        })
    }
}

/// An Envoy's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision<'a> {
    /// The request passed.
    Admitted,
    /// The request was refused, with the verdict's code.
    Refused(&'a str),
}

/// The state of all subjects, and the violations.
#[derive(Debug)]
pub(crate) struct Model {
    subjects: Vec<State>,
    begin: Instant,
    /// The number of admitted requests of the limited key, by window.
    limited: BTreeMap<u64, u64>,
    violations: BTreeMap<Violation, u64>,
    described: Vec<String>,
}

impl Model {
    /// Creates an empty model.
    pub(crate) fn new(begin: Instant) -> Self {
        let (limited, violations) = (BTreeMap::new(), BTreeMap::new());
        Self {
            subjects: Vec::new(),
            begin,
            limited,
            violations,
            described: Vec::new(),
        }
    }

    /// Adds a subject.
    pub(crate) fn add(&mut self, name: String, expectation: Expectation) -> Subject {
        self.subjects.push(State {
            name,
            expectation,
            admitted: None,
        });
        Subject(self.subjects.len() - 1)
    }

    /// Returns the expectation about a subject.
    pub(crate) fn expectation(&self, subject: Subject) -> Expectation {
        self.subjects[subject.0].expectation
    }

    /// Returns the subject's name in messages.
    pub(crate) fn name(&self, subject: Subject) -> &str {
        &self.subjects[subject.0].name
    }

    /// Notes that a change of the subject is about to be sent.
    pub(crate) fn changing(&mut self, subject: Subject) {
        self.subjects[subject.0].expectation = Expectation::Unknown;
    }

    /// Notes that a change that opens the subject was answered as complete.
    pub(crate) fn opened(&mut self, subject: Subject, at: Instant) {
        self.subjects[subject.0].expectation = Expectation::Open(at);
    }

    /// Notes that a change that closes the subject was answered as complete.
    pub(crate) fn closed(&mut self, subject: Subject, at: Instant) {
        let state = &mut self.subjects[subject.0];
        state.expectation = Expectation::Closed(at);
        // The answer to the request was read before that to the change.
        if let Some((start, envoy)) = state.admitted.filter(|(start, _)| *start > at) {
            self.admitted_late(subject, start, at, envoy);
        }
    }

    /// Notes that the database was rolled back: changes since then are the operator's loss.
    pub(crate) fn forget_changes(&mut self) {
        for state in &mut self.subjects {
            if state.expectation != Expectation::Untouched {
                state.expectation = Expectation::Unknown;
            }
        }
    }

    /// Notes that a request about `subject` that started at `start` was decided by Envoy number
    /// `envoy`.
    pub(crate) fn decided(
        &mut self,
        subject: Subject,
        start: Instant,
        envoy: usize,
        decision: Decision<'_>,
    ) {
        let state = &mut self.subjects[subject.0];
        let (expectation, name) = (state.expectation, &state.name);
        match decision {
            Decision::Admitted => {
                if state.admitted.is_none_or(|(latest, _)| latest < start) {
                    state.admitted = Some((start, envoy));
                }
                if let Expectation::Closed(at) = expectation
                    && start > at
                {
                    self.admitted_late(subject, start, at, envoy);
                }
            }
            Decision::Refused(code) => match expectation {
                Expectation::Untouched => {
                    let text = format!("{name} got {code} at Envoy {envoy}");
                    self.violated(Violation::GoodKeyRefused, text);
                }
                Expectation::Open(at) if start > at + REOPEN => {
                    let text =
                        format!("{name} got {code} at Envoy {envoy}, {:?} after", start - at);
                    self.violated(Violation::NotReopened, text);
                }
                _ => {}
            },
        }
    }

    /// Notes that a request of the limited key was admitted in the window of the wall clock that
    /// has this number.
    pub(crate) fn counted(&mut self, window: u64) {
        *self.limited.entry(window).or_default() += 1;
    }

    /// Returns the number of admitted requests of the limited key, by window.
    pub(crate) fn limited(&self) -> &BTreeMap<u64, u64> {
        &self.limited
    }

    fn admitted_late(&mut self, subject: Subject, start: Instant, at: Instant, envoy: usize) {
        let late = start - at;
        let text = format!(
            "{} at Envoy {envoy}, {late:?} after the answer",
            self.name(subject)
        );
        self.violated(Violation::Admitted, text);
    }

    /// Notes a violation.
    pub(crate) fn violated(&mut self, violation: Violation, text: String) {
        let count = self.violations.entry(violation).or_default();
        *count += 1;
        if *count <= DESCRIBED {
            self.described.push(format!(
                "{:6.2} s: {violation}: {text}",
                self.begin.elapsed().as_secs_f64()
            ));
        }
    }

    /// Returns the time since the trial began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Returns the number of violations, by kind.
    pub(crate) fn violations(&self) -> &BTreeMap<Violation, u64> {
        &self.violations
    }

    /// Returns the first violations, each with its time.
    pub(crate) fn described(&self) -> &[String] {
        &self.described
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn model(expectation: Expectation) -> (Model, Subject, Instant) {
        let begin = Instant::now();
        let mut model = Model::new(begin);
        let subject = model.add("key".to_owned(), expectation);
        (model, subject, begin)
    }

    fn count(model: &Model, violation: Violation) -> u64 {
        model.violations().get(&violation).copied().unwrap_or(0)
    }

    #[test]
    fn only_requests_after_a_complete_answer_violate() {
        let (mut model, key, now) = model(Expectation::Open(Instant::now()));
        model.changing(key);
        model.decided(key, now + 5 * MS, 0, Decision::Admitted);
        model.closed(key, now + 10 * MS);
        model.decided(key, now + 10 * MS, 0, Decision::Admitted);
        model.decided(key, now + 20 * MS, 0, Decision::Refused("invalid_key"));
        assert!(model.violations().is_empty());
        model.decided(key, now + 11 * MS, 1, Decision::Admitted);
        assert_eq!(
            count(&model, Violation::Admitted),
            1,
            "{:?}",
            model.described()
        );
    }

    #[test]
    fn answer_read_before_the_change_counts_too() {
        let (mut model, key, now) = model(Expectation::Open(Instant::now()));
        model.decided(key, now + 11 * MS, 0, Decision::Admitted);
        model.closed(key, now + 10 * MS);
        assert_eq!(count(&model, Violation::Admitted), 1);
    }

    #[test]
    fn changes_lost_by_the_database_bind_nobody() {
        let (mut model, key, now) = model(Expectation::Closed(Instant::now()));
        model.forget_changes();
        model.decided(key, now + MS, 0, Decision::Admitted);
        assert!(model.violations().is_empty());
    }

    #[test]
    fn good_keys_survive_a_rollback() {
        let (mut model, key, now) = model(Expectation::Untouched);
        model.forget_changes();
        model.decided(key, now, 0, Decision::Refused("invalid_key"));
        assert_eq!(count(&model, Violation::GoodKeyRefused), 1);
    }

    #[test]
    fn unexplained_refusals_after_opening_are_violations() {
        let (mut model, key, now) = model(Expectation::Open(Instant::now()));
        model.decided(key, now + MS, 0, Decision::Refused("disabled_key"));
        assert!(model.violations().is_empty());
        model.decided(
            key,
            now + REOPEN + 100 * MS,
            0,
            Decision::Refused("disabled_key"),
        );
        assert_eq!(count(&model, Violation::NotReopened), 1);
    }
}
