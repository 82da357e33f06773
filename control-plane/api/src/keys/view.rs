//! The public view of a key.

use latchkey_api_types as types;
use latchkey_model::authority::Authority;
use latchkey_model::clock::rfc3339;
use latchkey_model::limits::DeclaredLimits;
use latchkey_policy::limit::Window;
use latchkey_store::{Key, KeySettings, ListedKey, Secret};

/// Returns the view of a key in lists: without the entries of its IP lists, unless the list has
/// read them.
pub(crate) fn listed(listed: ListedKey, now: i64) -> types::Key {
    let ListedKey {
        key,
        allowed_ips,
        denied_ips,
        with_ip_lists,
    } = listed;
    let mut view = self::key(key, now);
    (view.allowed_ips_count, view.denied_ips_count) = (allowed_ips, denied_ips);
    if !with_ip_lists {
        (view.allowed_ips, view.denied_ips) = (None, None);
    }
    view
}

/// Returns the view of a key as of `now`.
pub(crate) fn key(key: Key, now: i64) -> types::Key {
    let KeySettings {
        authority: Authority { roles, permissions },
        ..
    } = key.settings;
    let expired = key.settings.expires_at.is_some_and(|second| second <= now);
    types::Key {
        active: key.revoked_at.is_none() && !key.disabled && !expired,
        disabled: key.disabled,
        key_id: key.id,
        name: key.settings.name,
        description: key.settings.description,
        key_prefix: key.secret.masked.clone(),
        secrets: secrets(key.secret, key.old_secret, now),
        environment: key.settings.environment.as_str().to_owned(),
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

/// Returns the secrets, newest first.
fn secrets(current: Secret, old: Option<Secret>, now: i64) -> Vec<types::Secret> {
    let good = |secret: &Secret| secret.ends_at.is_some_and(|end| now < end);
    let secrets = [current].into_iter().chain(old.filter(good));
    let view = |secret: Secret| types::Secret {
        key_prefix: secret.masked,
        created_at: rfc3339(secret.created_at),
        ends_at: secret.ends_at.map(rfc3339),
        last_used_at: secret.last_used_at.map(rfc3339),
        last_used_ip: secret.last_used_ip,
    };
    secrets.map(view).collect()
}
