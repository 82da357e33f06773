//! The card with the scope, roles, permissions and subaccounts of a key.

use latchkey_model::issues::{Addresses, Issues};
use latchkey_model::json::Whole;
use latchkey_model::role::Role;
use latchkey_policy::limit::Window;
use maud::{Markup, html};
use std::collections::HashMap;

use crate::grants::{self, Grantable};
use crate::keys::view::Key;
use crate::session::Session;

/// Renders the card with the key's scope, roles, permissions and subaccounts.
pub(in crate::keys) async fn card(session: &Session, key: &Key) -> Markup {
    let names = subaccount_names(session, key).await;

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
                    dd { @for line in restrictions(issues) { div { (line) } } }
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
fn restrictions(issues: &Issues) -> Vec<String> {
    let tier = issues
        .tier
        .as_ref()
        .map(|tier| format!("at most tier {tier}"));

    let limit = |window: Window| {
        let limit = issues.limits?.0.get(window)?;
        Some(format!("at most {limit} requests a {}", window.as_str()))
    };
    let limits = Window::ALL.into_iter().map(limit);

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

    [tier]
        .into_iter()
        .chain(limits)
        .chain([addresses, days, environments])
        .flatten()
        .collect()
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

/// Returns the names of the key's subaccounts by their ids; empty if the user may not list them.
async fn subaccount_names(session: &Session, key: &Key) -> HashMap<String, String> {
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
