//! The faults of rows that cannot be imported.

use super::file::KeyFile;
use crate::text::count;

/// The maximum number of faulty rows that are reported.
const REPORTED: usize = 20;

/// The maximum number of places reported for one fault.
const PLACES: usize = 10;

/// The faults of rows, with their places.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Faults {
    /// The places and reasons of the first faults.
    reported: Vec<(String, String)>,
    /// The faults that many rows share, each reported once.
    groups: Vec<(String, String)>,
    in_groups: usize,
    all: usize,
}

impl Faults {
    pub(super) fn add(&mut self, place: String, reason: String) {
        self.all = self.all.saturating_add(1);
        if self.reported.len() < REPORTED {
            self.reported.push((place, reason));
        }
    }

    /// Adds a fault that these rows share, which is reported once.
    pub(super) fn group(&mut self, file: &KeyFile, rows: &[usize], reason: &str) {
        let places = rows.iter().take(PLACES);
        let places: Vec<_> = places.map(|row| file.place(*row)).collect();
        if places.is_empty() {
            return;
        }

        let more = match rows.len().saturating_sub(places.len()) {
            0 => String::new(),
            more => format!(" and {} more", count(more)),
        };
        self.groups
            .push((format!("{}{more}", places.join(", ")), reason.to_owned()));
        self.all = self.all.saturating_add(rows.len());
        self.in_groups = self.in_groups.saturating_add(rows.len());
    }

    /// Counts faults that are not reported.
    pub(super) fn count(&mut self, more: usize) {
        self.all = self.all.saturating_add(more);
    }

    /// Returns the number of all faulty rows.
    pub(super) fn all(&self) -> usize {
        self.all
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all == 0
    }

    /// Describes the faults of `file`, one per line.
    pub(super) fn describe(&self, file: &str) -> String {
        let mut text = String::new();
        for (place, reason) in self.groups.iter().chain(&self.reported) {
            text.push_str(&format!("\n  {file}, {place}: {reason}"));
        }

        let more = self
            .all
            .saturating_sub(self.in_groups)
            .saturating_sub(self.reported.len());
        if more > 0 {
            text.push_str(&format!("\n  and {} more", count(more)));
        }

        text
    }
}
