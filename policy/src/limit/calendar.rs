//! The Gregorian calendar's months, as days since 1970-01-01.
//!
//! After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days` and
//! `days_from_civil` (<https://howardhinnant.github.io/date_algorithms.html>): years are taken to
//! begin in March, so that the leap day is their last and each month begins on the same day of
//! every year.

/// The number of days from 1 March of year 0 to 1 January 1970.
const DAYS_BEFORE_1970: i64 = 719_468;

/// The number of days in 400 years, after which the calendar repeats itself.
const DAYS_IN_ERA: i64 = 146_097;

/// The number of months from January of year 0 to its March, where the algorithms begin to count.
const MONTHS_BEFORE_MARCH: i64 = 2;

/// Returns the month that `day` is in, counted since January of year 0.
pub(super) fn month_of(day: i64) -> i64 {
    let day = day.saturating_add(DAYS_BEFORE_1970);
    let (era, day) = (day.div_euclid(DAYS_IN_ERA), day.rem_euclid(DAYS_IN_ERA));

    // Without the leap days before it: one in 4 years, but for one in 100, but for one in 400.
    let plain = day
        .saturating_sub(day / 1_460)
        .saturating_add(day / 36_524)
        .saturating_sub(day / 146_096);
    let year = plain / 365;
    let day_of_year = day.saturating_sub(days_in_years(year));
    let month = day_of_year.saturating_mul(5).saturating_add(2) / 153;
    let year = era.saturating_mul(400).saturating_add(year);
    year.saturating_mul(12)
        .saturating_add(month)
        .saturating_add(MONTHS_BEFORE_MARCH)
}

/// Returns the first day of a month that is counted since January of year 0.
pub(super) fn first_day_of(month: i64) -> i64 {
    let month = month.saturating_sub(MONTHS_BEFORE_MARCH);
    let (year, month) = (month.div_euclid(12), month.rem_euclid(12));
    let day_of_year = month.saturating_mul(153).saturating_add(2) / 5;
    days_in_years(year)
        .saturating_add(day_of_year)
        .saturating_sub(DAYS_BEFORE_1970)
}

/// Returns the number of days in the years from March of year 0 to March of `year`.
fn days_in_years(year: i64) -> i64 {
    let with_leap_days = year.saturating_mul(365).saturating_add(year.div_euclid(4));
    with_leap_days
        .saturating_sub(year.div_euclid(100))
        .saturating_add(year.div_euclid(400))
}
