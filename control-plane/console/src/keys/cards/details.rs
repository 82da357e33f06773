//! Cards of a key's page that only show its attributes.

use latchkey_model::issues::{Addresses, Issues};
use latchkey_model::json::Whole;
use latchkey_model::role::Role;
use latchkey_policy::limit::Window;
use maud::{Markup, html};
use serde::Deserialize;
use std::collections::HashMap;

use super::view::Key;
use crate::grants::{self, Grantable};
use crate::session::Session;
use crate::users;
use crate::widgets::{badge, ends, time, time_or};

#[derive(Deserialize)]
struct User {
    email: String,
    disabled: bool,
}

/// Renders the owner, the times and the other attributes of the key.
pub(super) async fn card(session: &Session, key: &Key) -> Markup {
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

/// Renders the scope, roles, permissions and subaccounts of the key.
pub(super) async fn access(session: &Session, key: &Key) -> Markup {
    let names = subaccounts(session, key).await;
    html! {
        section .card aria-labelledby="access" {
            h2 id="access" { "Access" }
            dl {
                dt { "Scope" } dd { (key.scope()) }
                dt { "Roles" } dd {
                    @if key.roles.is_empty() { span .faint { "none" } }
                    @for role in &key.roles { (role_with_patterns(role)) }
                }
                dt { "Permissions" } dd {
                    @if key.permissions.is_empty() { span .faint { "no additional permissions" } }
                    @for permission in &key.permissions { div { code { (permission) } } }
                }
                dt { "Subaccounts" } dd {
                    @if key.allowed_subaccounts.is_empty() { "all of the owner's subaccounts" }
                    @for id in &key.allowed_subaccounts {
                        div { @if let Some(name) = names.get(id) { (name) " " } code .faint { (id) } }
                    }
                }
                @if let Some(issues) = &key.issues {
                    dt { "Limits for keys it creates" }
                    dd { @for bound in bounds(issues) { div { (bound) } } }
                }
            }
            p .help {
                "The key can use its roles and permissions as long as its owner holds them too. " "These attributes cannot be changed: revoke the key and create another one."
            }
        }
    }
}

/// Describes the restrictions on keys that this key creates, except those that are its own
/// attributes.
fn bounds(issues: &Issues) -> Vec<String> {
    let tier = issues
        .tier
        .as_ref()
        .map(|tier| format!("at most tier {tier}"));
    let limit = |window: Window| {
        let limit = issues.limits?.0.get(window)?;
        Some(format!("at most {limit} requests a {}", window.as_str()))
    };
    let addresses = issues.addresses.as_ref().map(|addresses| match addresses {
        Addresses::All => "from all addresses".to_owned(),
        Addresses::Listed(list) => {
            let ranges: Vec<_> = list.enabled().iter().map(ToString::to_string).collect();
            format!("from {}", ranges.join(", "))
        }
    });
    let days = issues
        .expiry_days
        .map(|Whole(days)| format!("expires within {days} days"));
    let environments = issues
        .environments
        .as_ref()
        .map(|names| format!("environment {}", names.join(" or ")));
    let limits = Window::ALL.into_iter().map(limit);
    [tier]
        .into_iter()
        .chain(limits)
        .chain([addresses, days, environments])
        .flatten()
        .collect()
}

/// Renders the secrets of the key.
pub(super) fn secrets(key: &Key) -> Markup {
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

fn expiry(key: &Key, now: i64) -> Markup {
    html! {
        @match &key.expires_at {
            Some(end) => { (time(end)) " (" (ends(Some(end), now)) ")" },
            None => { span .faint { "never" } },
        }
    }
}

fn role_with_patterns(name: &str) -> Markup {
    let patterns = Role::parse(name).map(Role::patterns).unwrap_or_default();
    html! {
        details {
            summary { (name) }
            @for pattern in patterns { div { code { (pattern) } } }
        }
    }
}

/// Renders the owner's id and, for those who may see users, the email address and whether the user
/// is disabled. The keys of a disabled user are refused.
async fn owner(session: &Session, key: &Key) -> Markup {
    let mut found = None;
    if session.me.user_id == key.owner {
        found = Some(User {
            email: session.me.email.clone(),
            disabled: false,
        });
    } else if session.me.may("account:users:read") {
        found = session
            .api
            .get::<User>(&format!("/v1/users/{}", key.owner))
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

/// Returns the subaccounts' names by their ids; empty if the user may not list them.
async fn subaccounts(session: &Session, key: &Key) -> HashMap<String, String> {
    if key.allowed_subaccounts.is_empty() || !grants::lists_subaccounts(session) {
        return HashMap::new();
    }
    let all = grants::subaccounts(session, &Grantable::default())
        .await
        .unwrap_or_default();
    all.into_iter()
        .map(|subaccount| (subaccount.subaccount_id, subaccount.name))
        .collect()
}
