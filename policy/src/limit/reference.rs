//! The calendar that tests compare with: a list of days, each found from the one before by the
//! usual rules.

use super::Window;

/// The days from 1970 to 2200, each with its year, its month from 0 and its day of the month from
/// 1.
pub(crate) struct Calendar {
    days: Vec<(u32, u32, u32)>,
}

/// A window, with its first second and the first one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) number: u32,
    pub(crate) begin: i64,
    pub(crate) end: i64,
}

impl Calendar {
    pub(crate) fn new() -> Self {
        let (mut days, mut day) = (Vec::new(), (1970, 0, 1));
        while day.0 <= 2200 {
            days.push(day);
            let (year, month, of_month) = day;
            let is_leap = year % 400 == 0 || year % 4 == 0 && year % 100 != 0;
            let last = match month {
                1 if is_leap => 29,
                1 => 28,
                3 | 5 | 8 | 10 => 30,
                _ => 31,
            };
            day = match (month, of_month) {
                (11, 31) => (year + 1, 0, 1),
                (_, of_month) if of_month == last => (year, month + 1, 1),
                _ => (year, month, of_month + 1),
            };
        }

        Self { days }
    }

    /// Returns the number of days.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.days.len()).unwrap()
    }

    /// Returns the window that the second `now` is in.
    pub(crate) fn span(&self, window: Window, now: i64) -> Span {
        let even = |length: i64| {
            let number = now / length;
            Span {
                number: u32::try_from(number).unwrap(),
                begin: number * length,
                end: (number + 1) * length,
            }
        };

        match window {
            Window::Minute => even(60),
            Window::Hour => even(60 * 60),
            Window::Day => even(24 * 60 * 60),
            Window::Month => {
                let day = usize::try_from(now / 86_400).unwrap();
                let (year, month, _) = self.days[day];
                let is_in = |day: &&(u32, u32, u32)| (day.0, day.1) == (year, month);
                let before = self.days[..day].iter().rev().take_while(is_in).count();
                let after = self.days[day..].iter().take_while(is_in).count();
                let second = |day: usize| i64::try_from(day).unwrap() * 86_400;
                Span {
                    number: year * 12 + month,
                    begin: second(day - before),
                    end: second(day + after),
                }
            }
        }
    }
}
