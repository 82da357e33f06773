//! Parses times and spans from arguments.

use latchkey_model::clock::{Clock as _, SystemClock, rfc3339};
use std::str::FromStr;

/// A time, or a span before or after the current time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timestamp {
    /// Unix seconds.
    At(i64),
    /// Seconds before or after the current time, depending on the argument.
    Relative(i64),
}

impl FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let what = "must be RFC 3339, Unix seconds, or a span such as 30d, 12h, 15m";
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let parsed = if digits {
            text.parse().ok().map(Self::At)
        } else if let Ok(Span(seconds)) = text.parse() {
            Some(Self::Relative(seconds))
        } else {
            text.parse()
                .ok()
                .map(|time: jiff::Timestamp| Self::At(time.as_second()))
        };

        parsed.ok_or_else(|| what.to_owned())
    }
}

impl Timestamp {
    /// Returns the time as RFC 3339; spans lie in the future.
    pub(super) fn in_future(self) -> String {
        self.after(now())
    }

    /// Returns the time as RFC 3339; spans lie in the past.
    pub(super) fn in_past(self) -> String {
        self.before(now())
    }

    fn after(self, now: i64) -> String {
        match self {
            Self::At(second) => rfc3339(second),
            Self::Relative(seconds) => rfc3339(now.saturating_add(seconds)),
        }
    }

    fn before(self, now: i64) -> String {
        match self {
            Self::At(second) => rfc3339(second),
            Self::Relative(seconds) => rfc3339(now.saturating_sub(seconds).max(0)),
        }
    }
}

/// A span in seconds, written as `90s`, `15m`, `12h`, `30d` or `2w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) i64);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || "must be a whole number and one of s, m, h, d, w, as in 30d".to_owned();
        let unit = text.chars().next_back().ok_or_else(refused)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(refused()),
        };
        let number = &text[..text.len() - unit.len_utf8()];
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let number: Option<i64> = number.parse().ok().filter(|_| digits);

        number
            .and_then(|number| number.checked_mul(seconds))
            .map(Self)
            .ok_or_else(refused)
    }
}

/// Returns the current time, in Unix seconds.
pub(super) fn now() -> i64 {
    SystemClock.now()
}

/// Parses a time in a response and returns it in Unix seconds.
pub(super) fn second(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(time.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_is_a_time_or_a_span() {
        for (text, ahead) in [
            ("1800000000", "2027-01-15T08:00:00Z"),
            ("2027-01-15T09:00:00+01:00", "2027-01-15T08:00:00Z"),
            ("30d", "2027-02-14T08:00:00Z"),
            ("12h", "2027-01-15T20:00:00Z"),
            ("2w", "2027-01-29T08:00:00Z"),
        ] {
            assert_eq!(
                text.parse::<Timestamp>().unwrap().after(1_800_000_000),
                ahead,
                "{text}"
            );
        }

        assert_eq!(
            "15m".parse::<Timestamp>().unwrap().before(1_800_000_000),
            "2027-01-15T07:45:00Z"
        );
        assert_eq!(
            "900000w"
                .parse::<Timestamp>()
                .unwrap()
                .before(1_800_000_000),
            "1970-01-01T00:00:00Z"
        );
        for refused in [
            "",
            "d",
            "-1d",
            "1.5h",
            "tomorrow",
            "2027-01-15",
            "30 d",
            "9999999999999999d",
            "5é",
        ] {
            assert!(refused.parse::<Timestamp>().is_err(), "{refused}");
            assert!(refused.parse::<Span>().is_err(), "{refused}");
        }
    }
}
