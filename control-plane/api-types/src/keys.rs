//! API keys: requests and responses.

use latchkey_model::authority::Grant;
use latchkey_model::ip_list::{Entry, IpList};
use latchkey_model::issues::Issues;
use latchkey_model::json::{Object, Whole, given};
use latchkey_model::limits::{DeclaredLimits, LimitsChange, Requests};
use latchkey_model::role::Role;
use latchkey_model::selection::Selection;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Enforcement, Expiry, KeyUsage, Made, schemas};

/// An API key without its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Key {
    #[schema(value_type = schemas::KeyId)]
    pub key_id: String,
    #[schema(value_type = schemas::Name)]
    pub name: String,
    #[schema(required, value_type = Option<schemas::Description>)]
    pub description: Option<String>,
    /// The masked form of the current secret.
    #[schema(value_type = schemas::MaskedKey)]
    pub key_prefix: String,
    /// The current secret, and the previous one while it is valid.
    #[schema(value_type = Vec<Secret>)]
    pub secrets: Vec<Secret>,
    #[schema(value_type = schemas::Environment)]
    pub environment: String,
    #[schema(value_type = schemas::Word)]
    pub tier: String,
    /// The limit of requests a minute, if any.
    #[schema(required, value_type = Option<Requests>)]
    pub rate_limit: Option<u32>,
    /// The limits in force: the key's own or its tier's.
    pub limits: DeclaredLimits,
    #[schema(value_type = schemas::Scope)]
    pub scope: Selection,
    pub roles: Vec<Role>,
    pub permissions: Vec<Grant>,
    /// Ids of subaccounts; empty for all that the owner may act on.
    #[schema(value_type = Vec<schemas::SubaccountId>)]
    pub allowed_subaccounts: Vec<String>,
    /// Absent in lists without `include=ip_lists`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Vec<Entry>>)]
    pub allowed_ips: Option<IpList>,
    /// Absent in lists without `include=ip_lists`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Vec<Entry>>)]
    pub denied_ips: Option<IpList>,
    /// The number of entries in `allowed_ips`, enabled or not.
    #[schema(minimum = 0)]
    pub allowed_ips_count: u64,
    /// The number of entries in `denied_ips`, enabled or not.
    #[schema(minimum = 0)]
    pub denied_ips_count: u64,
    /// The limits for keys that this key creates, if they differ from its own attributes.
    #[schema(required)]
    pub issues: Option<Issues>,
    #[schema(required, value_type = Option<schemas::Time>)]
    pub expires_at: Option<String>,
    #[schema(value_type = schemas::UserId)]
    pub owner: String,
    /// True if the key itself is usable: not revoked, expired or disabled.
    pub active: bool,
    /// True if the key is disabled.
    pub disabled: bool,
    #[schema(value_type = schemas::Time)]
    pub created_at: String,
    #[schema(value_type = schemas::Time)]
    pub updated_at: String,
    /// The time of the last admitted request with any of the key's secrets.
    #[schema(required, value_type = Option<schemas::Time>)]
    pub last_used_at: Option<String>,
    #[schema(required, value_type = Option<schemas::IpAddress>)]
    pub last_used_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<schemas::Time>)]
    pub revoked_at: Option<String>,
}

/// One of a key's secrets.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    #[schema(value_type = schemas::MaskedKey)]
    pub key_prefix: String,
    #[schema(value_type = schemas::Time)]
    pub created_at: String,
    /// The end of its validity; null for the current secret.
    #[schema(required, value_type = Option<schemas::Time>)]
    pub ends_at: Option<String>,
    #[schema(required, value_type = Option<schemas::Time>)]
    pub last_used_at: Option<String>,
    #[schema(required, value_type = Option<schemas::IpAddress>)]
    pub last_used_ip: Option<String>,
}

// Without Debug, so that no log shows the secret.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct GeneratedKey {
    #[serde(flatten)]
    #[schema(value_type = Key)]
    pub key: Made<Key>,
    /// The key with its secret, returned only once. Absent if the call was repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schemas::ApiKey>, nullable = false)]
    pub api_key: Option<String>,
    /// True if this call repeats an earlier one with the same `Idempotency-Key`. Nothing was
    /// changed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub replayed: Option<bool>,
    pub enforcement: Enforcement,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct KeyWithUsage {
    #[serde(flatten)]
    pub key: Key,
    pub usage: KeyUsage,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RevokedKey {
    #[schema(value_type = schemas::KeyId)]
    pub key_id: String,
    #[schema(value_type = schemas::Time)]
    pub revoked_at: String,
    pub enforcement: Enforcement,
}

/// A new API key.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    #[schema(value_type = schemas::Name)]
    pub name: String,
    #[schema(value_type = Option<schemas::Description>)]
    pub description: Option<String>,
    #[schema(value_type = Option<schemas::Environment>)]
    pub environment: Option<String>,
    #[schema(value_type = Option<schemas::Word>)]
    pub tier: Option<String>,
    /// Default: all services, or the calling key's scope.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<schemas::Scope>)]
    pub scope: Option<Selection>,
    #[serde(default)]
    #[schema(max_items = 256)]
    pub roles: Vec<Role>,
    #[serde(default)]
    #[schema(max_items = 256)]
    pub permissions: Vec<Grant>,
    /// Ids of subaccounts; empty for all that the creator may act on.
    #[serde(default)]
    #[schema(value_type = Vec<schemas::SubaccountId>, max_items = 256)]
    pub allowed_subaccounts: Vec<String>,
    pub limits: Option<LimitsChange>,
    pub expires_at: Option<Expiry>,
    #[serde(default)]
    pub allowed_ips: IpList,
    #[serde(default)]
    pub denied_ips: IpList,
    /// Limits for keys that the new key creates. Only a session may set it.
    pub issues: Option<Object<Issues>>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct KeyList {
    pub keys: Vec<Key>,
    /// The number of keys on all pages, exact up to 10,000.
    pub total: u64,
    /// True if there may be more than `total` keys: there are over 10,000, or counting them takes
    /// too long.
    pub total_is_estimate: bool,
    /// The cursor of the next page; null on the last page.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// A request for a new secret of a key.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Regeneration {
    /// The time for which the old secret stays valid.
    #[serde(default)]
    #[schema(value_type = u64, maximum = 2_592_000)]
    pub overlap_seconds: Whole,
    /// A new expiry of the key; null for none. Required if the key has expired.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Expiry>)]
    pub expires_at: Option<Option<Expiry>>,
}

/// Fields to change; omitted fields stay the same.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyEdit {
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<schemas::Name>)]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<schemas::Description>)]
    pub description: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Expiry>)]
    pub expires_at: Option<Option<Expiry>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub allowed_ips: Option<IpList>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub denied_ips: Option<IpList>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub active: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<LimitsChange>)]
    pub limits: Option<Option<LimitsChange>>,
    #[serde(
        default,
        rename = "scope",
        alias = "roles",
        alias = "permissions",
        alias = "allowed_subaccounts",
        alias = "environment",
        alias = "tier",
        alias = "issues",
        alias = "api_key",
        alias = "secret",
        alias = "sha256"
    )]
    #[schema(ignore)]
    pub _fixed: Fixed,
}

/// A field of a key that cannot be edited.
#[derive(Debug, Clone, Default)]
pub struct Fixed;

impl<'de> Deserialize<'de> for Fixed {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom(
            "it cannot be edited; revoke the key and create another one",
        ))
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EditedKey {
    #[serde(flatten)]
    pub key: Key,
    pub enforcement: Enforcement,
}
