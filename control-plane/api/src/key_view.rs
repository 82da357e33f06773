//! The public view of a key.

use latchkey_model::authority::{Authority, Grant};
use latchkey_model::clock::rfc3339;
use latchkey_model::ip_list::{Entry, IpList};
use latchkey_model::issues::Issues;
use latchkey_model::limits::{DeclaredLimits, Requests};
use latchkey_model::role::Role;
use latchkey_model::selection::Selection;
use latchkey_policy::limit::Window;
use latchkey_store::{Key, KeySettings, ListedKey, Secret};
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::texts;

/// An API key without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Key)]
pub(crate) struct KeyView {
    #[schema(value_type = texts::KeyId)]
    key_id: String,
    #[schema(value_type = texts::Name)]
    name: String,
    #[schema(required, value_type = Option<texts::Description>)]
    description: Option<String>,
    /// The masked form of the current secret.
    #[schema(value_type = texts::MaskedKey)]
    key_prefix: String,
    /// The current secret, and the previous one while it is valid.
    #[schema(value_type = Vec<SecretView>)]
    secrets: Vec<SecretView>,
    #[schema(value_type = texts::Environment)]
    environment: &'static str,
    #[schema(value_type = texts::Word)]
    tier: String,
    /// The limit of requests a minute, if any.
    #[schema(required, value_type = Option<Requests>)]
    rate_limit: Option<u32>,
    /// The limits in force: the key's own or its tier's.
    limits: DeclaredLimits,
    #[schema(value_type = texts::Scope)]
    scope: Selection,
    roles: Vec<Role>,
    permissions: Vec<Grant>,
    /// Ids of subaccounts; empty for all that the owner may act on.
    #[schema(value_type = Vec<texts::SubaccountId>)]
    allowed_subaccounts: Vec<String>,
    /// Absent in lists without `include=ip_lists`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Vec<Entry>>)]
    allowed_ips: Option<IpList>,
    /// Absent in lists without `include=ip_lists`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Vec<Entry>>)]
    denied_ips: Option<IpList>,
    /// The number of entries in `allowed_ips`, enabled or not.
    #[schema(minimum = 0)]
    allowed_ips_count: u64,
    /// The number of entries in `denied_ips`, enabled or not.
    #[schema(minimum = 0)]
    denied_ips_count: u64,
    /// The limits for keys that this key creates, if they differ from its own attributes.
    #[schema(required)]
    issues: Option<Issues>,
    #[schema(required, value_type = Option<texts::Time>)]
    expires_at: Option<String>,
    #[schema(value_type = texts::UserId)]
    owner: String,
    /// True if the key itself is usable: not revoked, expired or disabled.
    active: bool,
    /// True if the key is disabled.
    disabled: bool,
    #[schema(value_type = texts::Time)]
    created_at: String,
    #[schema(value_type = texts::Time)]
    updated_at: String,
    /// The time of the last admitted request with any of the key's secrets.
    #[schema(required, value_type = Option<texts::Time>)]
    last_used_at: Option<String>,
    #[schema(required, value_type = Option<texts::IpAddress>)]
    last_used_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<texts::Time>)]
    revoked_at: Option<String>,
}

impl KeyView {
    /// Returns the view of a key in lists: without the entries of its IP lists, unless the list has
    /// read them.
    pub(crate) fn listed(listed: ListedKey, now: i64) -> Self {
        let ListedKey {
            key,
            allowed_ips,
            denied_ips,
            with_ip_lists,
        } = listed;
        let mut view = Self::new(key, now);
        (view.allowed_ips_count, view.denied_ips_count) = (allowed_ips, denied_ips);
        if !with_ip_lists {
            (view.allowed_ips, view.denied_ips) = (None, None);
        }
        view
    }

    pub(crate) fn new(key: Key, now: i64) -> Self {
        let KeySettings {
            authority: Authority { roles, permissions },
            ..
        } = key.settings;
        let expired = key.settings.expires_at.is_some_and(|second| second <= now);
        Self {
            active: key.revoked_at.is_none() && !key.disabled && !expired,
            disabled: key.disabled,
            key_id: key.id,
            name: key.settings.name,
            description: key.settings.description,
            key_prefix: key.secret.masked.clone(),
            secrets: secrets(key.secret, key.old_secret, now),
            environment: key.settings.environment.as_str(),
            tier: key.settings.tier,
            rate_limit: key.limits.get(Window::Minute),
            limits: DeclaredLimits(key.limits),
            scope: key.settings.scope,
            roles,
            permissions,
            allowed_subaccounts: key
                .settings
                .subaccounts
                .listed()
                .unwrap_or_default()
                .to_vec(),
            allowed_ips_count: key.settings.allowed_ips.len(),
            denied_ips_count: key.settings.denied_ips.len(),
            allowed_ips: Some(key.settings.allowed_ips),
            denied_ips: Some(key.settings.denied_ips),
            issues: key.settings.issues,
            expires_at: key.settings.expires_at.map(rfc3339),
            owner: key.user_id,
            created_at: rfc3339(key.created_at),
            updated_at: rfc3339(key.updated_at),
            last_used_at: key.last_used_at.map(rfc3339),
            last_used_ip: key.last_used_ip,
            revoked_at: key.revoked_at.map(rfc3339),
        }
    }
}

/// One of a key's secrets.
#[derive(Serialize, ToSchema)]
#[schema(as = Secret)]
struct SecretView {
    #[schema(value_type = texts::MaskedKey)]
    key_prefix: String,
    #[schema(value_type = texts::Time)]
    created_at: String,
    /// The end of its validity; null for the current secret.
    #[schema(required, value_type = Option<texts::Time>)]
    ends_at: Option<String>,
    #[schema(required, value_type = Option<texts::Time>)]
    last_used_at: Option<String>,
    #[schema(required, value_type = Option<texts::IpAddress>)]
    last_used_ip: Option<String>,
}

/// Returns the secrets, newest first.
fn secrets(current: Secret, old: Option<Secret>, now: i64) -> Vec<SecretView> {
    let good = |secret: &Secret| secret.ends_at.is_some_and(|end| now < end);
    let secrets = [current].into_iter().chain(old.filter(good));
    let view = |secret: Secret| SecretView {
        key_prefix: secret.masked,
        created_at: rfc3339(secret.created_at),
        ends_at: secret.ends_at.map(rfc3339),
        last_used_at: secret.last_used_at.map(rfc3339),
        last_used_ip: secret.last_used_ip,
    };
    secrets.map(view).collect()
}
