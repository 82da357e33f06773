//! A key as it is shown.

use latchkey_policy::limit::Window;
use serde::Serialize;

use crate::authority::{Authority, Grant};
use crate::clock::rfc3339;
use crate::ip_list::IpList;
use crate::limits::DeclaredLimits;
use crate::role::Role;
use crate::selection::Selection;
use crate::store::{Key, KeySettings};

/// Everything but the key itself.
#[derive(Serialize)]
pub(super) struct KeyView {
    key_id: String,
    name: String,
    description: Option<String>,
    key_prefix: String,
    environment: &'static str,
    tier: String,
    /// Requests a minute, if that is limited.
    rate_limit: Option<u32>,
    /// In force: the key's own, and else the tier's.
    limits: DeclaredLimits,
    scope: Selection,
    roles: Vec<Role>,
    permissions: Vec<Grant>,
    /// None is all that the owner may act on.
    allowed_subaccounts: Vec<String>,
    allowed_ips: IpList,
    denied_ips: IpList,
    expires_at: Option<String>,
    owner: String,
    active: bool,
    created_at: String,
    updated_at: String,
    /// When a request was admitted last, and from where as far as that is known.
    last_used_at: Option<String>,
    last_used_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

impl KeyView {
    pub(super) fn new(key: Key, now: i64) -> Self {
        let KeySettings { authority: Authority { roles, permissions }, .. } = key.settings;
        let expired = key.settings.expires_at.is_some_and(|second| second <= now);
        Self {
            active: key.revoked_at.is_none() && !key.disabled && !expired,
            key_id: key.id,
            name: key.settings.name,
            description: key.settings.description,
            key_prefix: key.masked,
            environment: key.settings.environment.as_str(),
            tier: key.settings.tier,
            rate_limit: key.limits.get(Window::Minute),
            limits: DeclaredLimits(key.limits),
            scope: key.settings.scope,
            roles,
            permissions,
            allowed_subaccounts: key.settings.subaccounts.listed().unwrap_or_default().to_vec(),
            allowed_ips: key.settings.allowed_ips,
            denied_ips: key.settings.denied_ips,
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
