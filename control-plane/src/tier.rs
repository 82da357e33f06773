//! The tiers, and what each admits.

use std::fmt;

/// How much a key may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// For trying things out.
    Free,
    /// An account's tier unless it was given another.
    Basic,
    /// Production use.
    Pro,
    /// High volume.
    Enterprise,
}

impl Tier {
    /// Every tier, the smallest first.
    pub const ALL: [Self; 4] = [Self::Free, Self::Basic, Self::Pro, Self::Enterprise];

    /// The name in the API, in the store and on the stream.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Basic => "basic",
            Self::Pro => "pro",
            Self::Enterprise => "enterprise",
        }
    }

    /// The inverse of [`as_str`](Self::as_str).
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == word)
    }

    /// Requests a minute.
    pub fn rate_limit(self) -> u32 {
        match self {
            Self::Free => 10,
            Self::Basic => 100,
            Self::Pro => 1_000,
            Self::Enterprise => 10_000,
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
