//! Usage: the account's requests by time, by code and by key. Each API response has a bounded
//! number of buckets, however many keys there are.

mod totals;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::civil::Date;
use latchkey_model::clock::rfc3339;
use maud::{Markup, html};
use serde::Deserialize;

use crate::ConsoleState;
use crate::api::{Refusal, with_query};
use crate::aria::{described, invalid};
use crate::chart::{self, Usage};
use crate::error::PageError;
use crate::form::Query;
use crate::layout;
use crate::session::Session;
use crate::widgets::{empty_list, error, general_error};
use totals::{ByCode, ByKey};

const PATH: &str = "/console/usage";

const DAY: i64 = 86_400;

/// The maximum number of days that are shown by hour.
const HOURLY_DAYS: i32 = 31;

/// The maximum number of days that are shown by day, each as a bar.
const DAILY_DAYS: i32 = chart::MAX_BARS as i32;

/// Returns the route of the page.
pub(super) fn router() -> Router<ConsoleState> {
    Router::new().route(PATH, get(page))
}

/// The first and last day, both included, and the bucket, as given in the address. By default the
/// last 24 hours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct UsageParams {
    from: String,
    to: String,
    bucket: String,
}

impl UsageParams {
    /// Returns the last `count` days, including the current one.
    fn days(count: i64, now: i64) -> Self {
        let first = now.saturating_sub(count.saturating_sub(1).saturating_mul(DAY));
        Self {
            from: day(first),
            to: day(now),
            bucket: "day".to_owned(),
        }
    }

    fn address(&self) -> String {
        with_query(
            PATH,
            &[
                ("from", &self.from),
                ("to", &self.to),
                ("bucket", &self.bucket),
            ],
        )
    }

    fn is_by_day(&self) -> bool {
        self.bucket == "day"
    }

    /// Returns the API's parameters `from` and `to`.
    fn times(&self, now: i64) -> Result<(String, String), Refusal> {
        let (from, to) = (date("from", &self.from)?, date("to", &self.to)?);
        // The last day is the current one by default.
        if let (Some(from), Some(last)) = (from, to.or_else(|| day(now).parse().ok())) {
            self.check((last - from).get_days())?;
        }

        let end = to
            .map(Date::tomorrow)
            .transpose()
            .map_err(|_| Refusal::for_field("to", "Choose an earlier day."))?;

        let midnight = |date: Option<Date>| {
            date.map(|date| format!("{date}T00:00:00Z"))
                .unwrap_or_default()
        };
        Ok((midnight(from), midnight(end)))
    }

    /// Refuses a range that cannot be drawn. `between` is the number of days from the first to the
    /// last.
    fn check(&self, between: i32) -> Result<(), Refusal> {
        let refused = |field, reason: &str| Err(Refusal::for_field(field, reason));
        if between < 0 {
            refused("from", "The first day must not be after the last day.")
        } else if !self.is_by_day() && between >= HOURLY_DAYS {
            refused(
                "bucket",
                &format!("By hour, at most {HOURLY_DAYS} days can be shown."),
            )
        } else if between >= DAILY_DAYS {
            refused("from", &format!("At most {DAILY_DAYS} days can be shown."))
        } else {
            Ok(())
        }
    }
}

/// Reads the usage by time and code.
async fn load_usage(session: &Session, params: &UsageParams) -> Result<Usage, Refusal> {
    let (from, to) = params.times(session.now)?;
    let parameters = [
        chart::BY_TIME,
        ("from", &from),
        ("to", &to),
        ("bucket", &params.bucket),
    ];
    session.api.get(&with_query("/v1/usage", &parameters)).await
}

/// Parses the day in a field, if it is not empty.
fn date(field: &str, text: &str) -> Result<Option<Date>, Refusal> {
    let refused = |_| Refusal::for_field(field, "Enter a day, such as 2027-01-31.");
    if text.is_empty() {
        Ok(None)
    } else {
        text.parse().map(Some).map_err(refused)
    }
}

fn day(second: i64) -> String {
    rfc3339(second).chars().take_while(|c| *c != 'T').collect()
}

async fn page(session: Session, Query(params): Query<UsageParams>) -> Result<Response, PageError> {
    let (status, totals, refusal) = match load_usage(&session, &params).await {
        Ok(usage) => (None, content(&session, &params, &usage).await?, None),
        Err(refusal) if refusal.status == StatusCode::BAD_REQUEST => {
            (Some(refusal.status), html! {}, Some(refusal))
        }
        Err(refusal) => return Err(refusal.into()),
    };

    let content = html! {
        h1 { "Usage" }
        p { "Requests with the account's API keys, as reported by the nodes. Requests that are \
        refused before a key is identified are not included." }
        (filters(&session, &params, refusal.as_ref()))
        (totals)
    };
    Ok((
        status.unwrap_or_default(),
        layout::page(&session, PATH, "Usage", &content),
    )
        .into_response())
}

fn filters(session: &Session, params: &UsageParams, refusal: Option<&Refusal>) -> Markup {
    let presets = [
        ("Last 24 hours", UsageParams::default()),
        ("Last 7 days", UsageParams::days(7, session.now)),
        ("Last 30 days", UsageParams::days(30, session.now)),
    ];
    let date = |name: &str, title: &str, value: &str| {
        html! {
            label { (title)
                input type="date" name=(name) value=(value)
                    aria-invalid=[invalid(refusal, name)] aria-describedby=[described(refusal, name, None)];
                (error(refusal, name))
            }
        }
    };

    html! {
        nav .presets aria-label="Times" {
            @for (title, preset) in presets {
                a href=(preset.address()) aria-current=[(preset == *params).then_some("true")] { (title) }
            }
        }
        (general_error(refusal, &["from", "to", "bucket"]))
        form .filters action=(PATH) {
            (date("from", "From (UTC)", &params.from))
            (date("to", "To (inclusive)", &params.to))
            label { "By"
                select name="bucket"
                    aria-invalid=[invalid(refusal, "bucket")] aria-describedby=[described(refusal, "bucket", None)] {
                    option value="hour" selected[!params.is_by_day()] { "Hour" }
                    option value="day" selected[params.is_by_day()] { "Day" }
                }
                (error(refusal, "bucket"))
            }
            button type="submit" { "Show" }
        }
    }
}

async fn content(
    session: &Session,
    params: &UsageParams,
    usage: &Usage,
) -> Result<Markup, Refusal> {
    if usage.buckets.is_empty() {
        return Ok(empty_list(
            "No requests in this period.",
            &html! {
                p { "Nodes report their verdicts every few seconds." }
                p { a href=(UsageParams::days(30, session.now).address()) { "Show the last 30 days" } }
            },
        ));
    }

    let by_key = ByKey::load(session, usage).await?;
    let title = if params.is_by_day() {
        "Requests by day"
    } else {
        "Requests by hour"
    };
    Ok(html! {
        section .card { h2 { "Over time" } (chart::requests(title, &usage.bars())) }
        (ByCode::new(usage).card())
        (by_key.card())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2027-01-15T08:00:00Z.
    const NOW: i64 = 1_800_000_000;

    fn params(from: &str, to: &str, bucket: &str) -> UsageParams {
        UsageParams {
            from: from.to_owned(),
            to: to.to_owned(),
            bucket: bucket.to_owned(),
        }
    }

    /// Returns the field that is refused.
    fn refused(from: &str, to: &str, bucket: &str) -> Option<String> {
        params(from, to, bucket)
            .times(NOW)
            .err()
            .and_then(|refusal| refusal.field)
    }

    #[test]
    fn both_days_are_included() {
        let times = |from, to| params(from, to, "hour").times(NOW).unwrap();
        let (begin, end) = (
            "2027-01-31T00:00:00Z".to_owned(),
            "2027-02-01T00:00:00Z".to_owned(),
        );

        assert_eq!(times("2027-01-31", "2027-01-31"), (begin, end.clone()));
        assert_eq!(times("", "2027-01-31"), (String::new(), end));
        // The range ends now, and not at the day's end.
        assert_eq!(
            times("2027-01-15", ""),
            ("2027-01-15T00:00:00Z".to_owned(), String::new())
        );
        assert_eq!(times("", ""), Default::default());
    }

    #[test]
    fn last_days_include_today() {
        assert_eq!(
            UsageParams::days(7, NOW),
            params("2027-01-09", "2027-01-15", "day")
        );
    }

    #[test]
    fn hourly_usage_covers_a_month() {
        assert_eq!(refused("2027-01-01", "2027-01-31", "hour"), None);
        assert_eq!(
            refused("2027-01-01", "2027-02-01", "").as_deref(),
            Some("bucket")
        );
        assert_eq!(refused("2027-01-01", "2027-02-01", "day"), None);
    }

    #[test]
    fn daily_usage_covers_a_thousand_days() {
        assert_eq!(refused("2024-04-21", "2027-01-15", "day"), None);
        assert_eq!(
            refused("2024-04-20", "2027-01-15", "day").as_deref(),
            Some("from")
        );
    }

    #[test]
    fn missing_last_day_is_today() {
        assert_eq!(refused("2026-12-16", "", "hour"), None);
        assert_eq!(refused("2026-12-15", "", "hour").as_deref(), Some("bucket"));
        assert_eq!(refused("2024-04-21", "", "day"), None);
        assert_eq!(refused("2024-04-20", "", "day").as_deref(), Some("from"));
    }

    /// Times that the API would accept are also refused: the range is bounded in days.
    #[test]
    fn only_days_are_accepted() {
        for text in [
            "tomorrow",
            "0",
            "1800000000",
            "2020-01-01T00:00:00Z",
            "2027-02-29",
            "9999-12-31",
        ] {
            assert_eq!(refused("", text, "day").as_deref(), Some("to"), "{text}");
        }
        assert_eq!(refused("0", "", "hour").as_deref(), Some("from"));
    }

    #[test]
    fn first_day_is_not_after_the_last() {
        for bucket in ["hour", "day"] {
            assert_eq!(
                refused("2027-01-16", "2027-01-15", bucket).as_deref(),
                Some("from")
            );
            assert_eq!(refused("2027-01-16", "", bucket).as_deref(), Some("from"));
        }
    }
}
