//! Limits: how many requests a key has in each window of the calendar, UTC; and those windows.

mod calendar;
#[cfg(test)]
pub(crate) mod reference;

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// The last second of the year 9999, beyond which RFC 3339 has no times and minutes no numbers.
const LAST_SECOND: i64 = 253_402_300_799;

/// `now` as the windows take it: Unix time in seconds, from 1970 to 9999.
pub(crate) fn clamped(now: i64) -> i64 {
    now.clamp(0, LAST_SECOND)
}

/// The windows that a limit can be for, the shortest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Window {
    /// From second 0 to second 59.
    Minute,
    /// From minute 0.
    Hour,
    /// From midnight.
    Day,
    /// From midnight on the first.
    Month,
}

impl Window {
    /// All of them, the shortest first.
    pub const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Month];

    /// The name in the API and in sentences.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The number of the window that a time is in: minutes, hours, days since the Unix epoch;
    /// months since year 0. `now` is Unix time in seconds; what is before 1970 or after 9999 is
    /// taken for the first or last second of that.
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

    /// When the window of this number is over: the first second behind it, Unix time.
    pub fn end(self, number: u32) -> i64 {
        self.begin(i64::from(number).saturating_add(1))
    }

    /// The length of the window of this number, in seconds.
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

/// A key's limits: requests a window, at least 1; `None` where there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Limits([Option<u32>; Window::ALL.len()]);

impl Limits {
    /// The limit for a window.
    pub fn get(&self, window: Window) -> Option<u32> {
        self.0.get(window as usize).copied().flatten()
    }

    /// The same with another limit for one window.
    #[must_use]
    pub fn with(mut self, window: Window, limit: Option<u32>) -> Self {
        if let Some(slot) = self.0.get_mut(window as usize) {
            *slot = limit;
        }
        self
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

#[cfg(test)]
mod tests;
