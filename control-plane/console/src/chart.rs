//! Requests over time, as bars and as a table of the same numbers.

use jiff::Timestamp;
use latchkey_model::clock::rfc3339;
use maud::{Markup, html};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

use crate::widgets::{number, time, wide};

const WIDTH: u32 = 720;
const HEIGHT: u32 = 190;
/// The space above the bars, for the legend, and below them, for the times.
const TOP: u32 = 24;
const BOTTOM: u32 = 22;
/// The space left of the bars, for the scale.
const LEFT: u32 = 64;

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// The maximum number of bars that are drawn.
pub(super) const MAX_BARS: u16 = 1_000;

/// The parameter that groups by time and code, not by key, however many keys there are.
pub(super) const BY_TIME: (&str, &str) = ("group_by", "time,code");

/// The code of admitted requests.
pub(super) const ALLOWED: &str = "allowed";
const MIDNIGHT: &str = "T00:00:00Z";

/// The requests of an hour or a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bar {
    /// The start of the hour or day, as RFC 3339.
    pub(super) start: String,
    pub(super) allowed: u64,
    /// The refused requests by the code of the refusal.
    pub(super) refused: BTreeMap<String, u64>,
}

impl Bar {
    fn refused(&self) -> u64 {
        self.refused
            .values()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn total(&self) -> u64 {
        self.allowed.saturating_add(self.refused())
    }

    /// Describes the numbers of allowed and refused requests, without codes that have none.
    fn summary(&self) -> String {
        let refused = self
            .refused
            .iter()
            .map(|(code, count)| format!(", {} {code}", number(*count)));
        format!(
            "{} allowed{}",
            number(self.allowed),
            refused.collect::<String>()
        )
    }
}

/// The API's response about requests by time and code, grouped with [`BY_TIME`]. Buckets without
/// requests are left out.
#[derive(Debug, Deserialize)]
pub(super) struct Usage {
    pub(super) from: String,
    pub(super) to: String,
    bucket: String,
    pub(super) buckets: Vec<Bucket>,
}

/// The requests of one hour or day and code.
#[derive(Debug, Deserialize)]
pub(super) struct Bucket {
    start: String,
    pub(super) code: String,
    pub(super) requests: u64,
}

impl Usage {
    /// Returns a bar for each hour or day, including those without requests.
    pub(super) fn bars(&self) -> Vec<Bar> {
        let mut by_start: BTreeMap<&str, (u64, BTreeMap<String, u64>)> = BTreeMap::new();
        for bucket in &self.buckets {
            let (allowed, refused) = by_start.entry(&bucket.start).or_default();
            let count = if bucket.code == ALLOWED {
                allowed
            } else {
                refused.entry(bucket.code.clone()).or_default()
            };
            *count = count.saturating_add(bucket.requests);
        }

        let step = if self.bucket == "day" { DAY } else { HOUR };
        let (from, to) = (seconds(&self.from), seconds(&self.to));
        let starts = (0..).map(|index: i64| from.saturating_add(index.saturating_mul(step)));
        let starts = starts.take_while(|start| *start < to).take(MAX_BARS.into());

        let bar = |start| {
            let start = rfc3339(start);
            let (allowed, refused) = by_start.get(start.as_str()).cloned().unwrap_or_default();
            Bar {
                start,
                allowed,
                refused,
            }
        };
        starts.map(bar).collect()
    }
}

fn seconds(rfc3339: &str) -> i64 {
    rfc3339
        .parse::<Timestamp>()
        .map(Timestamp::as_second)
        .unwrap_or_default()
}

/// Renders the bars, the oldest first, under a heading.
pub(super) fn requests(title: &str, bars: &[Bar]) -> Markup {
    let sum = |count: fn(&Bar) -> u64| bars.iter().map(count).fold(0, u64::saturating_add);
    let summary = format!(
        "{} allowed, {} refused",
        number(sum(|bar| bar.allowed)),
        number(sum(Bar::refused))
    );

    html! {
        h3 { (title) }
        p .faint { (summary) }
        @if bars.iter().any(|bar| bar.total() > 0) {
            (drawing(&format!("{title}: {summary}"), bars))
            details {
                summary { "As a table" }
                (wide(title, &table(title, bars)))
            }
        }
    }
}

fn drawing(label: &str, bars: &[Bar]) -> Markup {
    let highest = bars.iter().map(Bar::total).max().unwrap_or_default().max(1);
    let (floor, room) = (HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP);
    let place = f64::from(WIDTH - LEFT) / bars.len().max(1) as f64;
    let width = (place * 0.8).min(24.0);
    let height = |count: u64| f64::from(room) * count as f64 / highest as f64;
    let middle = |index: usize| f64::from(LEFT) + place * (index as f64 + 0.5);
    let days = are_days(bars);

    html! {
        svg .chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(label) {
            rect .allowed x=(LEFT) y="4" width="10" height="10" {}
            text x=(LEFT + 15) y="13" { "allowed" }
            rect .refused x=(LEFT + 80) y="4" width="10" height="10" {}
            text x=(LEFT + 95) y="13" { "refused" }
            text x=(LEFT - 6) y=(TOP + 8) text-anchor="end" { (number(highest)) }
            text x=(LEFT - 6) y=(floor) text-anchor="end" { "0" }
            line .axis x1=(LEFT) x2=(WIDTH) y1=(TOP) y2=(TOP) {}
            @for (index, bar) in bars.iter().enumerate().filter(|(_, bar)| bar.total() > 0) {
                @let (allowed, all) = (height(bar.allowed), height(bar.total()));
                g {
                    title { (moment(&bar.start, days)) ": " (bar.summary()) }
                    (block("allowed", middle(index) - width / 2.0, f64::from(floor) - allowed, width, allowed))
                    (block("refused", middle(index) - width / 2.0, f64::from(floor) - all, width, all - allowed))
                }
            }
            line .axis x1=(LEFT) x2=(WIDTH) y1=(floor) y2=(floor) {}
            @for (index, anchor) in labels(bars.len()) {
                @if let Some(bar) = bars.get(index) {
                    text x=(format_args!("{:.1}", edge(anchor, middle(index), width))) y=(HEIGHT - 6) text-anchor=(anchor) {
                        (moment(&bar.start, days))
                    }
                }
            }
        }
    }
}

/// Renders a rectangle of a bar. One with requests is at least 0.5 units high, so that it is
/// visible.
fn block(class: &str, x: f64, y: f64, width: f64, height: f64) -> Markup {
    html! {
        @if height > 0.0 {
            rect class=(class) x=(format_args!("{x:.1}")) y=(format_args!("{y:.1}"))
                width=(format_args!("{width:.1}")) height=(format_args!("{:.1}", height.max(0.5))) {}
        }
    }
}

/// Returns the indexes of the bars with their time below them, and the anchors of these texts: each
/// bar of up to 4; the first, the middle and the last of more.
fn labels(bars: usize) -> Vec<(usize, &'static str)> {
    match bars {
        0..=4 => (0..bars).map(|bar| (bar, "middle")).collect(),
        _ => vec![(0, "start"), (bars / 2, "middle"), (bars - 1, "end")],
    }
}

/// Returns the horizontal position of a text with this anchor below a bar.
fn edge(anchor: &str, middle: f64, width: f64) -> f64 {
    match anchor {
        "start" => middle - width / 2.0,
        "end" => middle + width / 2.0,
        _ => middle,
    }
}

fn table(title: &str, bars: &[Bar]) -> Markup {
    let days = are_days(bars);
    let codes: BTreeSet<&String> = bars.iter().flat_map(|bar| bar.refused.keys()).collect();

    html! {
        table {
            caption .hidden { (title) }
            thead { tr {
                th scope="col" { @if days { "Day (UTC)" } @else { "Hour from" } }
                th .number scope="col" { "Allowed" }
                @for code in &codes { th .number scope="col" { code { (code) } } }
            } }
            tbody {
                @for bar in bars {
                    tr {
                        th scope="row" { @if days { (moment(&bar.start, days)) } @else { (time(&bar.start)) } }
                        td .number { (number(bar.allowed)) }
                        @for code in &codes { td .number { (number(bar.refused.get(*code).copied().unwrap_or_default())) } }
                    }
                }
            }
        }
    }
}

fn are_days(bars: &[Bar]) -> bool {
    bars.iter().all(|bar| bar.start.ends_with(MIDNIGHT))
}

/// Formats a time briefly: the date of a day, the date and minute of an hour.
fn moment(start: &str, days: bool) -> String {
    let (date, time) = start.split_once('T').unwrap_or((start, ""));
    if days {
        date.to_owned()
    } else {
        format!("{date} {} UTC", time.get(..5).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(start: &str, allowed: u64, refused: &[(&str, u64)]) -> Bar {
        let refused = refused
            .iter()
            .map(|(code, count)| ((*code).to_owned(), *count))
            .collect();
        Bar {
            start: start.to_owned(),
            allowed,
            refused,
        }
    }

    #[test]
    fn numbers_are_in_label_and_table() {
        let bars = [
            bar("2027-01-15T08:00:00Z", 3_000, &[]),
            bar(
                "2027-01-15T09:00:00Z",
                1,
                &[("ip_denied", 499), ("rate_limited", 1)],
            ),
        ];

        let chart = requests("By hour", &bars).into_string();
        assert!(
            chart.contains("aria-label=\"By hour: 3,001 allowed, 500 refused\""),
            "{chart}"
        );
        assert!(
            chart.contains("datetime=\"2027-01-15T09:00:00Z\""),
            "{chart}"
        );
        assert!(
            chart.contains(
                "<code>ip_denied</code></th><th class=\"number\" scope=\"col\"><code>rate_limited"
            ),
            "{chart}"
        );
        assert!(
            chart.contains("1</td><td class=\"number\">499</td><td class=\"number\">1</td>"),
            "{chart}"
        );
        assert!(
            chart.contains("09:00 UTC: 1 allowed, 499 ip_denied, 1 rate_limited</title>"),
            "{chart}"
        );

        // The highest bar takes the whole height, and bars of 0 requests are not drawn.
        assert!(chart.contains("height=\"144.0\""), "{chart}");
        assert_eq!(chart.matches("<rect").count(), 2 + 3);
        assert!(!chart.contains("style="));
    }

    #[test]
    fn days_are_dates() {
        let chart = requests("By day", &[bar("2027-01-15T00:00:00Z", 1, &[])]).into_string();
        assert!(
            chart.contains(">2027-01-15</th>") && !chart.contains("<time"),
            "{chart}"
        );
    }

    #[test]
    fn chart_without_requests_has_no_bars() {
        for bars in [&[][..], &[bar("2027-01-15T08:00:00Z", 0, &[])]] {
            let chart = requests("By hour", bars).into_string();
            assert!(
                chart.contains("0 allowed, 0 refused") && !chart.contains("<svg"),
                "{chart}"
            );
        }

        let most = requests(
            "By hour",
            &[bar(
                "2027-01-15T08:00:00Z",
                u64::MAX,
                &[("ip_denied", u64::MAX)],
            )],
        )
        .into_string();
        assert!(most.contains("18,446,744,073,709,551,615 allowed"));
    }

    #[test]
    fn hours_without_requests_have_a_bar() {
        let usage: Usage = serde_json::from_value(serde_json::json!({
            "from": "2027-01-15T08:00:00Z", "to": "2027-01-15T11:00:00Z", "bucket": "hour",
            "buckets": [
                { "start": "2027-01-15T09:00:00Z", "code": "allowed", "requests": 7 },
                { "start": "2027-01-15T09:00:00Z", "code": "ip_denied", "requests": 1 },
                { "start": "2027-01-15T09:00:00Z", "code": "rate_limited", "requests": 3 },
            ],
        }))
        .unwrap();

        let bars = [
            bar("2027-01-15T08:00:00Z", 0, &[]),
            bar(
                "2027-01-15T09:00:00Z",
                7,
                &[("ip_denied", 1), ("rate_limited", 3)],
            ),
            bar("2027-01-15T10:00:00Z", 0, &[]),
        ];
        assert_eq!(usage.bars(), bars);
    }
}
