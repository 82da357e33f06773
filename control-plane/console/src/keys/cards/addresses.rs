//! The card with the IP lists of a key.

use maud::{Markup, html};

use crate::ip_rows::IpEntry;
use crate::keys::view::Key;

/// Renders the card, with a link to edit the lists if the user may edit the key.
pub(in crate::keys) fn card(key: &Key, can_edit: bool) -> Markup {
    html! {
        section .card aria-labelledby="addresses" {
            div .title {
                h2 id="addresses" { "IP lists" }
                @if can_edit { a href={ (key.path()) "/ip-lists" } { "Edit the IP lists" } }
            }
            p { (effect(key)) }
            @if !key.allowed_ips.is_empty() { (entries("Allowed", &key.allowed_ips)) }
            @if !key.denied_ips.is_empty() { (entries("Denied", &key.denied_ips)) }
        }
    }
}

/// Returns a sentence that describes the effect of both lists.
fn effect(key: &Key) -> &'static str {
    let counts = |list: &[IpEntry]| list.iter().any(|entry| entry.enabled);
    match (counts(&key.allowed_ips), counts(&key.denied_ips)) {
        (true, false) => "The key works only from the allowed addresses.",
        (true, true) => {
            "The key works only from the allowed addresses. The deny list has no effect."
        }
        (false, true) => "The key works from everywhere except the denied addresses.",
        (false, false) => "The key works from everywhere.",
    }
}

fn entries(title: &str, list: &[IpEntry]) -> Markup {
    html! {
        h3 { (title) }
        ul {
            @for entry in list {
                li { code { (entry.cidr) } @if !entry.enabled { " " span .faint { "disabled" } } }
            }
        }
    }
}
