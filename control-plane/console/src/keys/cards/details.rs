//! The card with the owner, the times and the other attributes of a key.

use maud::{Markup, html};
use serde::Deserialize;

use crate::keys::view::Key;
use crate::session::Session;
use crate::users;
use crate::widgets::{badge, time, time_left, time_or};

/// The owner of a key, as the API returns the user.
#[derive(Deserialize)]
struct Owner {
    email: String,
    disabled: bool,
}

/// Renders the card with the key's attributes.
pub(in crate::keys) async fn card(session: &Session, key: &Key) -> Markup {
    let owner = owner(session, key).await;

    html! {
        section .card aria-labelledby="details" {
            h2 id="details" { "Details" }
            dl {
                dt { "Id" }
                dd {
                    code id="key-id" { (key.key_id) } " "
                    button .quiet .small .scripted type="button" data-copy="key-id" { "Copy" span .hidden { " the id" } }
                }
                dt { "Description" }
                dd .lines { @match &key.description { Some(text) => (text), None => { span .faint { "none" } } } }
                dt { "Owner" } dd { (owner) }
                dt { "Environment" } dd { (key.environment) }
                dt { "Tier" } dd { (key.tier) }
                dt { "Created" } dd { (time(&key.created_at)) }
                dt { "Updated" } dd { (time(&key.updated_at)) }
                @if let Some(revoked_at) = &key.revoked_at { dt { "Revoked" } dd { (time(revoked_at)) } }
                dt { "Expires" } dd { (expiry(key, session.now)) }
                dt { "Last used" } dd {
                    (time_or(key.last_used_at.as_deref(), "never"))
                    @if let Some(address) = &key.last_used_ip { " from " code { (address) } }
                }
            }
        }
    }
}

fn expiry(key: &Key, now: i64) -> Markup {
    html! {
        @match &key.expires_at {
            Some(end) => { (time(end)) " (" (time_left(Some(end), now)) ")" },
            None => { span .faint { "never" } },
        }
    }
}

/// Renders the owner's id and, for those who may see users, the email address and whether the user
/// is disabled. The keys of a disabled user are refused.
async fn owner(session: &Session, key: &Key) -> Markup {
    let mut found = None;
    if session.user.user_id == key.owner {
        found = Some(Owner {
            email: session.user.email.clone(),
            disabled: false,
        });
    } else if session.user.may("account:users:read") {
        found = session
            .api
            .get::<Owner>(&format!("/v1/users/{}", key.owner))
            .await
            .ok();
    }

    html! {
        @if let Some(user) = found {
            a href={ (users::PATH) "/" (key.owner) } { (user.email) } " "
            @if user.disabled { (badge("bad", "disabled")) " so the key is refused " }
        }
        code .faint { (key.owner) }
    }
}
