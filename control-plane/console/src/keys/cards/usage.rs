//! The card with the limits and the usage of a key.

use latchkey_policy::limit::Window;
use maud::{Markup, html};

use crate::api::{Refusal, with_query};
use crate::chart::{self, Usage};
use crate::error::PageError;
use crate::keys::target_key::{KeyDetails, KeyUsage, TargetKey};
use crate::session::Session;
use crate::widgets::number;

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// The number of hours and days in the charts.
const HOURS: i64 = 48;
const DAYS: i64 = 30;

/// Renders the card. Charts are only for those who may see the account's usage.
pub(in crate::keys) async fn card(
    session: &Session,
    target: &TargetKey,
    details: &KeyDetails,
) -> Result<Markup, PageError> {
    let shows_charts = session.user.may("account:usage:read");
    let usage = async |bucket, seconds: i64| -> Result<Markup, Refusal> {
        let from = session.now.saturating_sub(seconds).max(0).to_string();
        let parameters = [
            chart::BY_TIME,
            ("key_id", target.id()),
            ("bucket", bucket),
            ("from", &from),
        ];

        let path = with_query("/v1/usage", &parameters);
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
                div { (limits(details)) (by_code(&details.usage)) }
                @if shows_charts {
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

fn limits(details: &KeyDetails) -> Markup {
    let used = |window| match window {
        Window::Day => Some(details.usage.requests_today),
        Window::Month => Some(details.usage.requests_this_month),
        Window::Minute | Window::Hour => None,
    };

    html! {
        h3 { "Current" }
        dl {
            dt { "Admitted today" } dd { (number(details.usage.requests_today)) }
            dt { "Admitted this month" } dd { (number(details.usage.requests_this_month)) }
            @for window in Window::ALL {
                dt { "Limit per " (window.as_str()) }
                dd {
                    @match details.key.limits.get(window.as_str()).copied().map(u64::from) {
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
fn by_code(usage: &KeyUsage) -> Markup {
    let codes: Vec<_> = usage
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
