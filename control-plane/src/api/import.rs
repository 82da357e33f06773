//! `POST /v1/keys/import`: keys that were made elsewhere, by their SHA-256 alone. All rows or none.

use axum::extract::State;
use latchkey_policy::key::KeyDigest;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tracing::info;
use utoipa::ToSchema;

use super::answer::Answer;
use super::error::ApiError;
use super::expiry::Expiry;
use super::extract::{Body, Params, Session};
use super::key_view::KeyView;
use super::openapi::parameters::Wait;
use super::openapi::texts;
use super::{App, new_key};
use crate::authority::Grant;
use crate::enforcement::Enforcement;
use crate::ip_list::IpList;
use crate::json::{Object, given};
use crate::limits::LimitsChange;
use crate::role::Role;
use crate::selection::Selection;
use crate::store::{Caller, KeySettings, NewKey};

const MAX_ROWS: usize = 1_000;

/// Entries in the IP lists of all rows. A row without lists has those of the calling key, so its body does not bound them.
const MAX_ENTRIES: u64 = 1_000_000;

/// Bytes in a body: 8 kB for each row.
const MAX_BODY_LEN: usize = 8 * 1024 * 1024;

const MAX_PREFIX_LEN: usize = 40;

/// Stands for what a mask leaves out.
const ELLIPSIS: &str = "...";

/// Keys that were made elsewhere.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyImport)]
pub(super) struct Request {
    #[schema(value_type = Vec<Row>, min_items = 1, max_items = 1000)]
    keys: Vec<Object<Row>>,
}

/// What [`new_key::Request`] takes, and what there is in place of a secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ImportedKey)]
struct Row {
    /// Of the key as clients send it, in hexadecimal.
    #[schema(value_type = texts::Sha256)]
    sha256: String,
    /// What people are shown of it; without, the beginning of `sha256`.
    #[schema(value_type = Option<texts::Mask>)]
    key_prefix: Option<String>,
    #[schema(value_type = texts::Name)]
    name: String,
    #[schema(value_type = Option<texts::Description>)]
    description: Option<String>,
    #[schema(value_type = Option<texts::Environment>)]
    environment: Option<String>,
    #[schema(value_type = Option<texts::Word>)]
    tier: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<texts::Scope>)]
    scope: Option<Selection>,
    #[serde(default)]
    #[schema(max_items = 256)]
    roles: Vec<Role>,
    #[serde(default)]
    #[schema(max_items = 256)]
    permissions: Vec<Grant>,
    #[serde(default)]
    #[schema(value_type = Vec<texts::SubaccountId>, max_items = 256)]
    allowed_subaccounts: Vec<String>,
    limits: Option<LimitsChange>,
    expires_at: Option<Expiry>,
    #[serde(default)]
    allowed_ips: IpList,
    #[serde(default)]
    denied_ips: IpList,
}

/// A row that says what it may say.
struct Checked {
    digest: KeyDigest,
    masked: String,
    settings: KeySettings,
}

impl Row {
    fn check(self, now: i64, caller: &Caller) -> Result<Checked, ApiError> {
        let digest = KeyDigest::from_hex(&self.sha256);
        let digest = digest.ok_or_else(|| ApiError::field("sha256", "must be 64 hexadecimal digits"))?;
        let masked = mask(&digest, self.key_prefix)?;
        let request = new_key::Request {
            name: self.name,
            description: self.description,
            environment: self.environment,
            tier: self.tier,
            scope: self.scope,
            roles: self.roles,
            permissions: self.permissions,
            allowed_subaccounts: self.allowed_subaccounts,
            limits: self.limits,
            expires_at: self.expires_at,
            allowed_ips: self.allowed_ips,
            denied_ips: self.denied_ips,
            issues: None,
        };
        Ok(Checked { digest, masked, settings: request.check(now, caller)? })
    }
}

/// What people recognise the key by; of a key of which they say nothing, the beginning of its digest.
fn mask(digest: &KeyDigest, key_prefix: Option<String>) -> Result<String, ApiError> {
    let Some(prefix) = key_prefix else {
        return Ok(format!("sha256:{}{ELLIPSIS}", format!("{digest:?}").get(..8).unwrap_or_default()));
    };
    let plain = prefix.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if !plain || prefix.len() > MAX_PREFIX_LEN {
        let reason = format_args!("must have 1 to {MAX_PREFIX_LEN} printable ASCII characters");
        return Err(ApiError::field("key_prefix", reason));
    }
    let shows_all = |text: &str| KeyDigest::of(text.as_bytes()) == *digest;
    let parts = || prefix.split(ELLIPSIS);
    if !prefix.contains(ELLIPSIS)
        || shows_all(&prefix)
        || parts().any(shows_all)
        || shows_all(&parts().collect::<String>())
    {
        let reason = format_args!("must not be the whole key: `{ELLIPSIS}` stands for what it leaves out");
        return Err(ApiError::field("key_prefix", reason));
    }
    Ok(prefix)
}

impl Checked {
    fn key(self, caller: &Caller, there_are: &[String]) -> Result<NewKey, ApiError> {
        let Self { digest, masked, settings } = self;
        let settings = caller.may_make(settings, there_are)?;
        let (account_id, user_id) = (caller.account_id.clone(), caller.user_id.clone());
        Ok(NewKey { account_id, user_id, digest, masked, imported: true, settings })
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = ImportedKeys)]
pub(super) struct Imported {
    /// In the order of the rows.
    keys: Vec<KeyView>,
    imported: usize,
    enforcement: Enforcement,
}

/// Import API keys
///
/// By their SHA-256 alone, so that nobody needs another key. They need not look like ours. All rows or none. A key that
/// calls bounds them as it bounds keys that it generates.
#[utoipa::path(post, path = "/v1/keys/import", operation_id = "importKeys", tag = "Keys",
    params(Wait), request_body = Request, security(("credential" = ["account:apikeys:create"])),
    responses(
        (status = 201, description = "The keys, in the order of the rows.", body = Answer<Imported>),
        (status = 409, description = "A key of that name or digest is there already; `field` says whose."),
    ))]
pub(super) async fn import(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    Body(request): Body<Request, MAX_BODY_LEN>,
) -> Result<Answer<Imported>, ApiError> {
    let acting = session.acting(&app, "account:apikeys:create")?;
    let patience = params.patience()?;
    params.finish()?;
    if !(1..=MAX_ROWS).contains(&request.keys.len()) {
        return Err(ApiError::field("keys", format_args!("must have 1 to {MAX_ROWS} rows")));
    }
    let now = app.clock.now();
    let mut entries = 0_u64;
    let rows = each(request.keys, |Object(row)| {
        let row = row.check(now, &session.caller)?;
        entries = entries.saturating_add(row.settings.allowed_ips.len()).saturating_add(row.settings.denied_ips.len());
        if entries > MAX_ENTRIES {
            let reason = format_args!(
                "is one entry too many: the IP lists of all rows, with those that the calling key gives to rows without \
                 any, must have at most {MAX_ENTRIES} entries"
            );
            return Err(ApiError::field("allowed_ips", reason));
        }
        Ok(row)
    })?;
    let new = move |caller: &Caller, there_are: &[String]| each(rows, |row| row.key(caller, there_are));
    let created = acting.import_keys(new).await?;
    let (revision, imported) = (created.revision, created.keys.len());
    info!(keys = imported, user = session.caller.user_id, revision, "keys imported");
    let enforcement = app.enforced(revision, patience).await;
    let keys = created.keys.into_iter().map(|key| KeyView::new(key, now)).collect();
    Ok(Answer::created("API keys imported successfully", Imported { keys, imported, enforcement }))
}

/// What becomes of each row; or what is wrong with the first one with which something is.
fn each<T, U>(rows: Vec<T>, mut check: impl FnMut(T) -> Result<U, ApiError>) -> Result<Vec<U>, ApiError> {
    let rows = rows.into_iter().enumerate();
    rows.map(|(index, row)| check(row).map_err(|error| error.of_row(index))).collect()
}
