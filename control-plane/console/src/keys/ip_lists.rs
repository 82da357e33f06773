//! The IP lists of a key: the card on the key's page, and the page that edits them.

use axum::http::Method;
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde_json::json;

use super::PATH;
use super::target::Target;
use super::view::Key;
use crate::api::Refusal;
use crate::conflict;
use crate::done::{self, Changed};
use crate::failure::Failure;
use crate::ip_rows::{self, IpEntry};
use crate::layout;
use crate::session::{Sent, Session};
use crate::widgets::{csrf, general_error};

const ALLOW: &str = "allowed_ips";
const DENY: &str = "denied_ips";

/// Renders the card for the key's page.
pub(super) fn card(key: &Key, edits: bool) -> Markup {
    html! {
        section .card aria-labelledby="addresses" {
            div .title {
                h2 id="addresses" { "IP lists" }
                @if edits { a href={ (key.path()) "/ip-lists" } { "Edit the IP lists" } }
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

pub(super) async fn page(session: Session, target: Target) -> Result<Response, Failure> {
    session.require("account:apikeys:update", "edit API keys")?;
    let key = target.shown(&session).await?.key;
    if key.revoked_at.is_some() {
        return Ok(Redirect::to(&target.page()).into_response());
    }
    Ok(form(&session, &key, &key.allowed_ips, &key.denied_ips, None).into_response())
}

pub(super) async fn save(
    target: Target,
    Sent { session, fields }: Sent,
) -> Result<Response, Failure> {
    session.require("account:apikeys:update", "edit API keys")?;
    let key = target.shown(&session).await?.key;
    let (allowed, denied) = (ip_rows::read(ALLOW, &fields), ip_rows::read(DENY, &fields));
    let changed = match conflict::check(&fields, &(&key.allowed_ips, &key.denied_ips)) {
        Ok(()) => {
            let change = json!({ ALLOW: allowed, DENY: denied });
            target
                .call::<Changed>(&session, Method::PATCH, "", &change)
                .await?
        }
        Err(refusal) => Err(refusal),
    };
    Ok(match changed {
        Ok(Changed { enforcement }) => done::redirect(&target.page(), "saved", Some(enforcement)),
        Err(refusal) => (
            refusal.status,
            form(&session, &key, &allowed, &denied, Some(&refusal)),
        )
            .into_response(),
    })
}

fn form(
    session: &Session,
    key: &Key,
    allowed: &[IpEntry],
    denied: &[IpEntry],
    refusal: Option<&Refusal>,
) -> Html<String> {
    let title = format!("IP lists of {}", key.name);
    let content = html! {
        nav aria-label="Where this is" { a href=(key.path()) { (key.name) } }
        h1 { (title) }
        p {
            "With at least one enabled entry in the allow list, the key works only from those \
             addresses, and the deny list has no effect. Without one, it works from everywhere \
             except the enabled entries of the deny list."
        }
        p .help {
            "Enter IPv4 or IPv6 addresses, or ranges such as 192.0.2.0/24. Disabled entries have \
             no effect."
        }
        (general_error(refusal, &[ALLOW, DENY]))
        form method="post" action={ (key.path()) "/ip-lists" } {
            (csrf(session))
            (conflict::field(&(&key.allowed_ips, &key.denied_ips)))
            fieldset .card { legend .hidden { "Allow list" } h2 { "Allow list" } (ip_rows::editor(ALLOW, allowed, refusal)) }
            fieldset .card { legend .hidden { "Deny list" } h2 { "Deny list" } (ip_rows::editor(DENY, denied, refusal)) }
            div .buttons {
                button type="submit" { "Save the lists" }
                a href=(key.path()) { "Cancel" }
            }
        }
    };
    layout::page(session, PATH, &title, &content)
}
