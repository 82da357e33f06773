//! Shows a key's limits and usage.

use latchkey_policy::limit::Window;
use maud::{Markup, html};

use super::target::{Shown, Target, Used};
use crate::api::{Refusal, with_query};
use crate::chart::{self, Usage};
use crate::failure::Failure;
use crate::session::Session;
use crate::widgets::number;

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// The number of hours and days in the charts.
const HOURS: i64 = 48;
const DAYS: i64 = 30;

/// Renders the card. Charts are only for those who may see the account's usage.
pub(super) async fn card(
    session: &Session,
    target: &Target,
    shown: &Shown,
) -> Result<Markup, Failure> {
    let charts = session.me.may("account:usage:read");
    let usage = async |bucket, seconds: i64| -> Result<Markup, Refusal> {
        let from = session.now.saturating_sub(seconds).max(0).to_string();
        let asked = [
            chart::BY_TIME,
            ("key_id", target.id()),
            ("bucket", bucket),
            ("from", &from),
        ];
        let path = with_query("/v1/usage", &asked);
        let usage: Usage = session.api.get(&path).await?;
        let title = if bucket == "hour" {
            "The last 48 hours"
        } else {
            "The last 30 days"
        };
        Ok(chart::requests(title, &usage.bars()))
    };
    Ok(html! {
        section .card aria-labelledby="usage" {
            h2 id="usage" { "Limits and usage" }
            div .columns {
                div { (limits(shown)) (by_code(&shown.usage)) }
                @if charts {
                    div {
                        // The current hour and day count as whole ones.
                        (usage("hour", (HOURS - 1) * HOUR).await?)
                        (usage("day", (DAYS - 1) * DAY).await?)
                    }
                }
            }
        }
    })
}

fn limits(shown: &Shown) -> Markup {
    let used = |window| match window {
        Window::Day => Some(shown.usage.requests_today),
        Window::Month => Some(shown.usage.requests_this_month),
        Window::Minute | Window::Hour => None,
    };
    html! {
        h3 { "Current" }
        dl {
            dt { "Admitted today" } dd { (number(shown.usage.requests_today)) }
            dt { "Admitted this month" } dd { (number(shown.usage.requests_this_month)) }
            @for window in Window::ALL {
                dt { "Limit per " (window.as_str()) }
                dd {
                    @match shown.key.limits.get(window.as_str()).copied().map(u64::from) {
                        None => { span .faint { "none" } },
                        Some(limit) => {
                            (number(limit))
                            @if let Some(used) = used(window) { span .faint { ", " (number(limit.saturating_sub(used))) " left" } }
                        },
                    }
                }
            }
        }
        p .help { "Days and months start at midnight UTC." }
    }
}

/// Renders this month's requests by code, without codes that have none.
fn by_code(used: &Used) -> Markup {
    let codes: Vec<_> = used
        .by_code
        .iter()
        .filter(|(_, requests)| **requests > 0)
        .collect();
    html! {
        h3 { "This month by code" }
        @if codes.is_empty() {
            p .faint { "No requests yet." }
        } @else {
            table {
                thead { tr { th scope="col" { "Code" } th .number scope="col" { "Requests" } } }
                tbody {
                    @for (code, requests) in codes {
                        tr {
                            th scope="row" { code { (code) } }
                            td .number { (number(*requests)) }
                        }
                    }
                }
            }
        }
    }
}
