//! The card with the secrets of a key.

use maud::{Markup, html};

use crate::keys::view::Key;
use crate::widgets::{time, time_or};

/// Renders the card with a row for each secret.
pub(in crate::keys) fn card(key: &Key) -> Markup {
    html! {
        section .card aria-labelledby="secrets" {
            h2 id="secrets" { "Secrets" }
            div .wide tabindex="0" role="region" aria-labelledby="secrets" {
                table {
                    thead { tr {
                        th scope="col" { "Secret" }
                        th scope="col" { "Created" }
                        th scope="col" { "Ends" }
                        th scope="col" { "Last used" }
                        th scope="col" { "From" }
                    } }
                    tbody {
                        @for secret in &key.secrets {
                            tr {
                                th scope="row" { code { (secret.key_prefix) } }
                                td { (time(&secret.created_at)) }
                                td { (time_or(secret.ends_at.as_deref(), "with the key")) }
                                td { (time_or(secret.last_used_at.as_deref(), "never")) }
                                td { @if let Some(address) = &secret.last_used_ip { code { (address) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}
