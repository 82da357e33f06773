//! Sums of requests over the whole time, by code and by key.

use maud::{Markup, html};
use serde::Deserialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::api::{Refusal, with_query};
use crate::chart::{ALLOWED, Usage};
use crate::session::Session;
use crate::widgets::{badge, columns, number, number_columns, wide_table};

/// The number of keys in the table: those with the most requests.
const ROWS: &str = "50";

/// The requests of all keys by code.
pub(super) struct ByCode<'u>(BTreeMap<&'u str, u64>);

/// The requests of the keys with the most requests, in descending order.
pub(super) struct ByKey {
    rows: Vec<KeyRow>,
    /// The number of keys that are left out, as text.
    more: Option<String>,
    /// True if keys that are left out may have more requests than some in the list.
    is_estimate: bool,
}

/// The requests of a key.
struct KeyRow {
    key_id: String,
    key_name: Option<String>,
    allowed: u64,
    refused: BTreeMap<String, u64>,
}

/// The API's response about keys, those with the most requests first.
#[derive(Deserialize)]
struct KeyUsage {
    keys: u64,
    keys_is_estimate: bool,
    top_keys_is_estimate: bool,
    buckets: Vec<KeyBucket>,
}

/// The requests of one key and code.
#[derive(Deserialize)]
struct KeyBucket {
    key_id: String,
    /// The key's name, if the user may see keys.
    key_name: Option<String>,
    code: String,
    requests: u64,
}

impl<'u> ByCode<'u> {
    /// Sums up the requests of each code.
    pub(super) fn new(usage: &'u Usage) -> Self {
        let mut by_code: BTreeMap<&str, u64> = BTreeMap::new();
        for bucket in &usage.buckets {
            let count = by_code.entry(&bucket.code).or_default();
            *count = count.saturating_add(bucket.requests);
        }
        Self(by_code)
    }

    /// Renders the card with the table.
    pub(super) fn card(&self) -> Markup {
        let all = sum(self.0.values());
        let mut codes: Vec<_> = self.0.iter().collect();
        codes.sort_by_key(|(code, count)| (**code != ALLOWED, Reverse(**count)));

        let heads = html! {
            (columns(&["Code", "Outcome"]))
            (number_columns(&["Requests", "Share"]))
        };
        let rows = html! {
            @for (code, count) in codes {
                tr {
                    th scope="row" { (badge(if *code == ALLOWED { "good" } else { "bad" }, code)) }
                    td { (meaning(code)) }
                    td .number { (number(*count)) }
                    td .number { (share(*count, all)) }
                }
            }
            tr {
                th scope="row" colspan="2" { "All" }
                td .number { (number(all)) }
                td {}
            }
        };

        html! {
            section .card {
                h2 { "By code" }
                (wide_table("Requests by code", &heads, &rows))
            }
        }
    }
}

impl ByKey {
    /// Reads the requests by key for the time range of `usage`, even if the next hour has begun
    /// since.
    pub(super) async fn load(session: &Session, usage: &Usage) -> Result<Self, Refusal> {
        let parameters = [
            ("group_by", "key,code"),
            ("top_keys", ROWS),
            ("from", &usage.from),
            ("to", &usage.to),
        ];
        session
            .api
            .get(&with_query("/v1/usage", &parameters))
            .await
            .map(Self::from_response)
    }

    fn from_response(response: KeyUsage) -> Self {
        let mut rows: Vec<KeyRow> = Vec::new();
        for KeyBucket {
            key_id,
            key_name,
            code,
            requests,
        } in response.buckets
        {
            if rows.last().is_none_or(|row| row.key_id != key_id) {
                rows.push(KeyRow {
                    key_id,
                    key_name,
                    allowed: 0,
                    refused: BTreeMap::new(),
                });
            }
            let Some(row) = rows.last_mut() else { continue };

            if code == ALLOWED {
                row.allowed = requests;
            } else {
                row.refused.insert(code, requests);
            }
        }

        let shown = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let more = response.keys.saturating_sub(shown);
        let more = (more > 0).then(|| {
            format!(
                "{}{}",
                number(more),
                if response.keys_is_estimate { "+" } else { "" }
            )
        });

        Self {
            rows,
            more,
            is_estimate: response.top_keys_is_estimate,
        }
    }

    /// Renders the card with the table.
    pub(super) fn card(&self) -> Markup {
        let heads = html! {
            (columns(&["Key"]))
            (number_columns(&["Allowed", "Refused"]))
            (columns(&["Refused by code"]))
        };
        let rows = html! { @for row in &self.rows { (row.render()) } };

        html! {
            section .card {
                h2 { "By key" }
                (wide_table("Requests by key", &heads, &rows))
                @if let Some(more) = &self.more {
                    p .faint { "The " (ROWS) " keys with the most requests; there are " (more) " more." }
                }
                @if self.is_estimate {
                    p .faint { "Many keys have similar numbers of requests: some may have more \
                    than those shown." }
                }
            }
        }
    }
}

impl KeyRow {
    fn render(&self) -> Markup {
        html! {
            tr {
                th scope="row" {
                    @if let Some(name) = &self.key_name {
                        a href={ "/console/keys/" (self.key_id) } { (name) }
                        div .faint { (self.key_id) }
                    } @else { (self.key_id) }
                }
                td .number { (number(self.allowed)) }
                td .number { (number(sum(self.refused.values()))) }
                td {
                    @for (code, count) in &self.refused { div { code { (code) } " " (number(*count)) } }
                }
            }
        }
    }
}

fn sum<'c>(counts: impl Iterator<Item = &'c u64>) -> u64 {
    counts.fold(0, |sum, count| sum.saturating_add(*count))
}

fn share(count: u64, all: u64) -> String {
    let (count, all) = (u128::from(count), u128::from(all));
    let tenths = (count * 1_000 + all / 2)
        .checked_div(all)
        .unwrap_or_default();
    format!("{}.{} %", tenths / 10, tenths % 10)
}

fn meaning(code: &str) -> &'static str {
    match code {
        ALLOWED => "Passed.",
        "disabled_key" => "The key, its owner or its account is disabled.",
        "expired_key" => "The key has expired.",
        "ip_denied" => "The key's IP lists do not allow the client address.",
        "out_of_scope" => "The service is outside the key's scope.",
        "missing_permission" => "The key or its owner lacks the permission.",
        "subaccount_denied" => "The key may not act on the subaccount.",
        "rate_limited" => "A limit is used up.",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn requests_are_summed_up_by_code() {
        let bucket = |hour: u64, code: &str, requests: u64| json!({ "start": format!("2027-01-15T{hour:02}:00:00Z"), "code": code, "requests": requests });
        let usage: Usage = serde_json::from_value(json!({
            "from": "2027-01-15T08:00:00Z", "to": "2027-01-15T11:00:00Z", "bucket": "hour",
            "buckets": [bucket(8, "allowed", 5), bucket(8, "ip_denied", 4), bucket(9, "allowed", 7)],
        }))
        .unwrap();

        assert_eq!(
            ByCode::new(&usage).0,
            BTreeMap::from([("allowed", 12), ("ip_denied", 4)])
        );
        assert_eq!(
            (share(2, 3), share(4, 4), share(0, 0)),
            ("66.7 %".into(), "100.0 %".into(), "0.0 %".into())
        );
    }

    #[test]
    fn key_has_one_row_in_order() {
        let bucket = |key: &str, code: &str, requests: u64| json!({ "key_id": key, "key_name": "CI", "code": code, "requests": requests });
        let response = json!({
            "keys": 5, "keys_is_estimate": false, "top_keys_is_estimate": false,
            "buckets": [
                bucket("key_b", "allowed", 7), bucket("key_b", "ip_denied", 3), bucket("key_b", "rate_limited", 1),
                bucket("key_a", "ip_denied", 10),
            ],
        });

        let by_key = ByKey::from_response(serde_json::from_value(response).unwrap());
        let rows = by_key
            .rows
            .iter()
            .map(|row| (row.key_id.as_str(), row.allowed, sum(row.refused.values())));
        assert_eq!(
            rows.collect::<Vec<_>>(),
            [("key_b", 7, 4), ("key_a", 0, 10)]
        );
        assert_eq!(by_key.more.as_deref(), Some("3"));
    }
}
