//! Limits: how many requests a key has in each window of the calendar, UTC.

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
