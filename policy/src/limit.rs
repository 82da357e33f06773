//! Limits: how many requests a key has in each window of the calendar, UTC; and those windows.

mod calendar;
#[cfg(test)]
pub(crate) mod reference;

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// The last second of the year 9999: RFC 3339 has no later times, and the minutes after it no
/// numbers.
const LAST_SECOND: i64 = 253_402_300_799;

/// Returns `now` within the range that windows have: Unix time in seconds, from 1970 to 9999.
pub(crate) fn clamped(now: i64) -> i64 {
    now.clamp(0, LAST_SECOND)
}

/// The windows that a limit can be for, the shortest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Window {
    /// A minute, from second 0 to second 59.
    Minute,
    /// An hour, from minute 0.
    Hour,
    /// A day, from midnight.
    Day,
    /// A month, from midnight on the first.
    Month,
}

impl Window {
    /// All windows, the shortest first.
    pub const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Month];

    /// Returns the name in the API and in sentences.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// Returns the number of the window that a time is in: minutes, hours, days since the Unix
    /// epoch; months since year 0. `now` is Unix time in seconds; a time before 1970 or after 9999
    /// is taken for the first or last second of that range.
    pub fn number(self, now: i64) -> u32 {
        let now = clamped(now);
        let number = match self {
            Self::Minute => now / MINUTE,
            Self::Hour => now / HOUR,
            Self::Day => now / DAY,
            Self::Month => calendar::month_of(now / DAY),
        };
        // The year 9999 has fewer than 2^32 minutes before it.
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// Returns the end of the window of this number: the first second after it, in Unix time.
    pub fn end(self, number: u32) -> i64 {
        self.begin(i64::from(number).saturating_add(1))
    }

    /// Returns the length of the window of this number, in seconds.
    pub fn seconds(self, number: u32) -> u32 {
        let seconds = self
            .end(number)
            .saturating_sub(self.begin(i64::from(number)));
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    fn begin(self, number: i64) -> i64 {
        match self {
            Self::Minute => number.saturating_mul(MINUTE),
            Self::Hour => number.saturating_mul(HOUR),
            Self::Day => number.saturating_mul(DAY),
            Self::Month => calendar::first_day_of(number).saturating_mul(DAY),
        }
    }
}

/// A key's limits: requests per window, at least 1; `None` if there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Limits([Option<u32>; Window::ALL.len()]);

impl Limits {
    /// Returns the limit for a window.
    pub fn get(&self, window: Window) -> Option<u32> {
        self.0.get(window as usize).copied().flatten()
    }

    /// Returns the same limits with another limit for one window.
    #[must_use]
    pub fn with(mut self, window: Window, limit: Option<u32>) -> Self {
        if let Some(slot) = self.0.get_mut(window as usize) {
            *slot = limit;
        }
        self
    }

    /// Returns whether there are no limits.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

#[cfg(test)]
mod tests;
