//! Edits the IP lists of a key.

use axum::http::Method;
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::html;
use serde_json::json;

use super::PATH;
use super::target_key::TargetKey;
use super::view::Key;
use crate::api::Refusal;
use crate::conflict;
use crate::error::PageError;
use crate::flash::{self, ChangeResponse};
use crate::ip_rows::{self, IpEntry};
use crate::layout;
use crate::session::{Session, VerifiedForm};
use crate::widgets::{csrf, general_error};

const ALLOW: &str = "allowed_ips";
const DENY: &str = "denied_ips";

/// Shows the form, or the key's page if the key is revoked.
pub(super) async fn page(session: Session, target: TargetKey) -> Result<Response, PageError> {
    session.require("account:apikeys:update", "edit API keys")?;
    let key = target.load(&session).await?.key;
    if key.revoked_at.is_some() {
        return Ok(Redirect::to(&target.page()).into_response());
    }
    Ok(form(&session, &key, &key.allowed_ips, &key.denied_ips, None).into_response())
}

/// Changes the lists, or shows the form with the error.
pub(super) async fn save(
    target: TargetKey,
    VerifiedForm { session, fields }: VerifiedForm,
) -> Result<Response, PageError> {
    session.require("account:apikeys:update", "edit API keys")?;
    let key = target.load(&session).await?.key;
    let (allowed, denied) = (ip_rows::read(ALLOW, &fields), ip_rows::read(DENY, &fields));

    let changed = match conflict::check(&fields, &(&key.allowed_ips, &key.denied_ips)) {
        Ok(()) => {
            let change = json!({ ALLOW: allowed, DENY: denied });
            target
                .call::<ChangeResponse>(&session, Method::PATCH, "", &change)
                .await?
        }
        Err(refusal) => Err(refusal),
    };

    Ok(match changed {
        Ok(ChangeResponse { enforcement }) => {
            flash::redirect(&target.page(), "saved", Some(enforcement))
        }
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
