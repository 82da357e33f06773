//! `POST /v1/keys/import`: imports existing keys by their SHA-256, all rows or none.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use latchkey_model::authority::Grant;
use latchkey_model::ip_list::IpList;
use latchkey_model::json::{self, Object, given};
use latchkey_model::limits::LimitsChange;
use latchkey_model::role::Role;
use latchkey_model::selection::Selection;
use latchkey_policy::key::KeyDigest;
use latchkey_store::{Caller, ImportCheck, ImportOptions, Key, KeySettings, NewKey, Outcome};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tracing::info;
use utoipa::ToSchema;

use super::answer::Answer;
use super::caller::{self, Rules as _};
use super::error::{ApiError, MAX_FAULTS, Report};
use super::expiry::Expiry;
use super::extract::{Params, Session};
use super::key_view::KeyView;
use super::openapi::parameters::{IdempotencyKey, Wait};
use super::openapi::texts;
use super::repeatable::{self, Made, Repeatable};
use super::{App, new_key};
use latchkey_server::Enforcement;

const MAX_ROWS: usize = 1_000;

/// The maximum number of IP list entries of all rows. Rows without lists inherit those of the
/// calling key, so the body's size does not limit them.
const MAX_ENTRIES: u64 = 1_000_000;

/// The maximum length of a body, in bytes: 8 kB for each row.
const MAX_BODY_LEN: usize = 8 * 1024 * 1024;

const MAX_PREFIX_LEN: usize = 40;

/// The default mask of an imported key.
const IMPORTED: &str = "imported";

/// Replaces the hidden part of a key in a mask.
const ELLIPSIS: &str = "...";

/// Existing keys to import.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyImport)]
pub(crate) struct Request {
    #[schema(value_type = Vec<Row>, min_items = 1, max_items = 1000)]
    keys: Vec<Object<Row>>,
    /// Report the result and all problems without importing anything.
    #[serde(default)]
    dry_run: bool,
    /// Skip rows whose `sha256` belongs to a key of the account that is not revoked.
    #[serde(default)]
    skip_existing: bool,
    /// Accept keys again that the account imported at most 7 days ago and revoked before any
    /// request was admitted with them.
    #[serde(default)]
    reimport_unused: bool,
}

/// The fields of a new key, and the digest in place of a secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ImportedKey)]
struct Row {
    /// The SHA-256 of the key as clients send it, in hexadecimal.
    #[schema(value_type = texts::Sha256)]
    sha256: String,
    /// The masked form to show; `imported` by default.
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

/// A row that has passed all checks without the store.
struct Checked {
    digest: KeyDigest,
    masked: String,
    settings: KeySettings,
}

impl Row {
    fn check(self, now: i64, caller: &Caller) -> Result<Checked, ApiError> {
        let digest = KeyDigest::from_hex(&self.sha256);
        let digest =
            digest.ok_or_else(|| ApiError::field("sha256", "must be 64 hexadecimal digits"))?;
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
        Ok(Checked {
            digest,
            masked,
            settings: request.check(now, caller)?,
        })
    }
}

/// Returns the key's masked form. No part of the digest is shown: 32 bits of it suffice to find a
/// key of low entropy.
fn mask(digest: &KeyDigest, key_prefix: Option<String>) -> Result<String, ApiError> {
    // Exports contain the default mask for keys that were imported without one.
    let Some(prefix) = key_prefix.filter(|prefix| prefix != IMPORTED) else {
        return Ok(IMPORTED.to_owned());
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
        let reason =
            format_args!("must not be the whole key: replace a part of it by `{ELLIPSIS}`");
        return Err(ApiError::field("key_prefix", reason));
    }
    Ok(prefix)
}

impl Checked {
    fn key(self, caller: &Caller, there_are: &[String]) -> Result<NewKey, ApiError> {
        let Self {
            digest,
            masked,
            settings,
        } = self;
        let settings = caller.may_make(settings, there_are)?;
        let (account_id, user_id) = (caller.account_id.clone(), caller.user_id.clone());
        Ok(NewKey {
            account_id,
            user_id,
            digest,
            masked,
            imported: true,
            settings,
        })
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = ImportedKeys)]
pub(crate) struct Imported {
    #[serde(flatten)]
    #[schema(value_type = ImportedRows)]
    rows: Made<ImportedRows>,
    /// True if this call repeats an earlier one with the same `Idempotency-Key`. Nothing was
    /// changed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    replayed: Option<bool>,
    enforcement: Enforcement,
}

#[derive(Serialize, ToSchema)]
struct ImportedRows {
    /// The imported keys, in the order of the rows, without skipped ones.
    keys: Vec<KeyView>,
    imported: usize,
    /// The number of rows whose keys existed already.
    skipped: usize,
}

impl ImportedRows {
    fn new(keys: impl IntoIterator<Item = Key>, skipped: usize, now: i64) -> Self {
        let keys: Vec<_> = keys.into_iter().map(|key| KeyView::new(key, now)).collect();
        Self {
            imported: keys.len(),
            keys,
            skipped,
        }
    }
}

/// The result of a dry run, or the keys of the repeated call.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = ImportCheckOrKeys)]
pub(crate) enum CheckOrKeys {
    Check(Check),
    Keys(Imported),
}

/// The result of a dry run.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportCheck)]
pub(crate) struct Check {
    /// Always true: nothing was imported.
    dry_run: bool,
    /// The number of rows that would be imported.
    importable: usize,
    /// The number of rows whose keys exist already.
    skipped: usize,
    /// The number of refused rows. With any of them, nothing is imported.
    refused: usize,
    /// The problems of the first 20 refused rows.
    #[schema(max_items = 20)]
    problems: Vec<Problem>,
    /// The number of keys that the account can still create or import; null for no limit.
    #[schema(required)]
    room: Option<u64>,
}

/// A problem with a row.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportProblem)]
struct Problem {
    /// The index of the row in `keys`, from 0.
    row: usize,
    /// The error code that the import would return.
    #[schema(pattern = "^[a-z][a-z0-9_]*$", example = "name_taken")]
    code: &'static str,
    /// The cause, as a sentence.
    error: String,
    /// The field that caused the error, if it is a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<String>,
}

impl Check {
    fn new(check: ImportCheck<ApiError>) -> Self {
        let ImportCheck {
            importable,
            skipped,
            refused,
            room,
        } = check;
        let count = refused.len();
        let problem = |(row, error): (usize, ApiError)| {
            let Report { code, error, field } = error.report();
            Problem {
                row,
                code,
                error,
                field,
            }
        };
        let problems = refused.into_iter().take(MAX_FAULTS).map(problem).collect();
        Self {
            dry_run: true,
            importable,
            skipped: skipped.len(),
            refused: count,
            problems,
            room,
        }
    }
}

/// Import API keys
///
/// Imports existing keys by their SHA-256, so that clients keep their keys. The keys can have any
/// format. Either all rows are imported or none. A calling API key limits them like keys that it
/// generates.
///
/// Repeating the call with the same `Idempotency-Key` within 24 hours imports nothing again and
/// returns 200.
#[utoipa::path(post, path = "/v1/keys/import", operation_id = "importKeys", tag = "Keys",
    params(Wait, IdempotencyKey), request_body = Request, security(("credential" = ["account:apikeys:create"])),
    responses(
        (status = 200, description = "The result of a dry run, or the keys of the repeated call.",
            body = Answer<CheckOrKeys>),
        (status = 201, description = "The imported keys, in the order of the rows.", body = Answer<Imported>),
        (status = 409, description = "A key with this name or digest exists already (`field` \
        names the row), the `Idempotency-Key` was used with a different body, or the control \
        plane has no at-rest key."),
    ))]
pub(crate) async fn import(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    Repeatable { request, call }: Repeatable<Request, MAX_BODY_LEN>,
) -> Result<Response, ApiError> {
    let acting = session.acting(&app, "account:apikeys:create")?;
    let patience = params.patience()?;
    params.finish()?;
    if !(1..=MAX_ROWS).contains(&request.keys.len()) {
        return Err(ApiError::field(
            "keys",
            format_args!("must have 1 to {MAX_ROWS} rows"),
        ));
    }
    let now = app.clock.now();
    let Request {
        keys,
        dry_run,
        skip_existing,
        reimport_unused,
    } = request;
    let rows = check_each(keys, now, &session.caller);
    // Checks that need no store are made before the store is used.
    let rows = if dry_run {
        rows
    } else {
        each(rows)?.into_iter().map(Ok).collect()
    };
    let options = ImportOptions {
        skip_existing,
        reimport_unused,
    };
    let new = move |caller: &Caller, there_are: &[String]| {
        let key = |(index, row): (usize, Result<Checked, ApiError>)| {
            row.and_then(|row| row.key(caller, there_are))
                .map_err(|error| error.in_row(index))
        };
        rows.into_iter().enumerate().map(key).collect()
    };
    if dry_run {
        let check = acting.check_import(options, new).await?;
        return Ok(Answer::ok(
            "Nothing was imported",
            CheckOrKeys::Check(Check::new(check)),
        )
        .into_response());
    }
    let message = "API keys imported successfully";
    let data = move |keys: &[Key], skipped| {
        repeatable::recorded(&ImportedRows::new(keys.iter().cloned(), skipped, now))
    };
    match acting
        .repeatable(call)
        .import_keys(options, new, data)
        .await?
    {
        Outcome::New(latchkey_store::Imported {
            revision,
            keys,
            skipped,
        }) => {
            let skipped = skipped.len();
            info!(
                keys = keys.len(),
                skipped,
                user = session.caller.user_id,
                revision,
                "keys imported"
            );
            let enforcement = app.enforced(revision, patience).await;
            let rows = Made::New(ImportedRows::new(keys, skipped, now));
            Ok(Answer::created(
                message,
                Imported {
                    rows,
                    replayed: None,
                    enforcement,
                },
            )
            .into_response())
        }
        Outcome::Repeated(recorded) => {
            let enforcement = app
                .enforced(recorded.revision.unwrap_or_default(), patience)
                .await;
            let rows = Made::Repeated(recorded.data);
            let keys = CheckOrKeys::Keys(Imported {
                rows,
                replayed: Some(true),
                enforcement,
            });
            Ok(Answer::ok(message, keys).into_response())
        }
    }
}

/// Checks each row. Drops rows that exceed the common limit of IP list entries.
fn check_each(rows: Vec<Object<Row>>, now: i64, caller: &Caller) -> Vec<Result<Checked, ApiError>> {
    let mut entries = 0_u64;
    let check = |Object(row): Object<Row>| {
        let row = row.check(now, caller)?;
        entries = entries
            .saturating_add(row.settings.allowed_ips.len())
            .saturating_add(row.settings.denied_ips.len());
        if entries > MAX_ENTRIES {
            let reason = format_args!(
                "exceeds the limit of IP list entries: all rows together, with the lists that \
                rows inherit from the calling key, must have at most {MAX_ENTRIES}"
            );
            return Err(ApiError::field("allowed_ips", reason));
        }
        Ok(row)
    };
    rows.into_iter().map(check).collect()
}

/// Checks a row without the store, like the rows of a request. Returns its digest and its
/// normalized name.
///
/// Fails with a sentence.
pub fn check_row(json: &[u8], now: i64) -> Result<(KeyDigest, String), String> {
    let row: Result<Object<Row>, ApiError> = json::read(json).map_err(ApiError::from);
    let checked = row.and_then(|Object(row)| row.check(now, &caller::anybody()));
    let sentence = |error: ApiError| error.report().error;
    checked
        .map(|checked| (checked.digest, checked.settings.name))
        .map_err(sentence)
}

/// Returns the rows, or the error of the first faulty one.
fn each(rows: Vec<Result<Checked, ApiError>>) -> Result<Vec<Checked>, ApiError> {
    rows.into_iter()
        .enumerate()
        .map(|(index, row)| row.map_err(|error| error.in_row(index)))
        .collect()
}
