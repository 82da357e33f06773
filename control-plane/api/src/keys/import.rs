//! `POST /v1/keys/import`: imports existing keys by their SHA-256, all rows or none.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use latchkey_api_types::{self as types, Made};
use latchkey_model::json::{self, Object};
use latchkey_policy::key::KeyDigest;
use latchkey_store::{
    Caller, ImportCheck, ImportOptions, Imported, Key, KeySettings, NewKey, Outcome,
};
use std::sync::Arc;
use std::time::Duration;
use tracing::info;

use super::{create, view};
use crate::App;
use crate::caller::{self, Rules as _};
use crate::error::{ApiError, MAX_FAULTS, Report};
use crate::extract::{Params, Session};
use crate::openapi::parameters::{IdempotencyKey, Wait};
use crate::repeatable::{self, Repeatable};
use crate::response::Answer;

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

/// A row that has passed all checks without the store.
struct Checked {
    digest: KeyDigest,
    masked: String,
    settings: KeySettings,
}

fn check(row: types::ImportedKey, now: i64, caller: &Caller) -> Result<Checked, ApiError> {
    let digest = KeyDigest::from_hex(&row.sha256);
    let digest =
        digest.ok_or_else(|| ApiError::field("sha256", "must be 64 hexadecimal digits"))?;
    let masked = mask(&digest, row.key_prefix)?;
    let request = types::NewKey {
        name: row.name,
        description: row.description,
        environment: row.environment,
        tier: row.tier,
        scope: row.scope,
        roles: row.roles,
        permissions: row.permissions,
        allowed_subaccounts: row.allowed_subaccounts,
        limits: row.limits,
        expires_at: row.expires_at,
        allowed_ips: row.allowed_ips,
        denied_ips: row.denied_ips,
        issues: None,
    };
    Ok(Checked {
        digest,
        masked,
        settings: create::check(request, now, caller)?,
    })
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
    fn key(self, caller: &Caller, existing: &[String]) -> Result<NewKey, ApiError> {
        let Self {
            digest,
            masked,
            settings,
        } = self;
        let settings = caller.ensure_can_create(settings, existing)?;
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

fn rows_view(keys: impl IntoIterator<Item = Key>, skipped: usize, now: i64) -> types::ImportedRows {
    let keys: Vec<_> = keys.into_iter().map(|key| view::key(key, now)).collect();
    types::ImportedRows {
        imported: keys.len(),
        keys,
        skipped,
    }
}

fn check_view(check: ImportCheck<ApiError>) -> types::ImportCheck {
    let ImportCheck {
        importable,
        skipped,
        refused,
        room,
    } = check;
    let count = refused.len();
    let problem = |(row, error): (usize, ApiError)| {
        let Report { code, error, field } = error.report();
        types::ImportProblem {
            row,
            code: code.to_owned(),
            error,
            field,
        }
    };
    let problems = refused.into_iter().take(MAX_FAULTS).map(problem).collect();
    types::ImportCheck {
        dry_run: true,
        importable,
        skipped: skipped.len(),
        refused: count,
        problems,
        room,
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
    params(Wait, IdempotencyKey), request_body = types::KeyImport, security(("credential" = ["account:apikeys:create"])),
    responses(
        (status = 200, description = "The result of a dry run, or the keys of the repeated call.",
            body = Answer<types::ImportCheckOrKeys>),
        (status = 201, description = "The imported keys, in the order of the rows.", body = Answer<types::ImportedKeys>),
        (status = 409, description = "A key with this name or digest exists already (`field` \
        names the row), the `Idempotency-Key` was used with a different body, or the control \
        plane has no at-rest key."),
    ))]
pub(crate) async fn import(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    Repeatable { request, call }: Repeatable<types::KeyImport, MAX_BODY_LEN>,
) -> Result<Response, ApiError> {
    let acting = session.acting(&app, "account:apikeys:create")?;
    let timeout = params.timeout()?;
    params.finish()?;

    if !(1..=MAX_ROWS).contains(&request.keys.len()) {
        return Err(ApiError::field(
            "keys",
            format_args!("must have 1 to {MAX_ROWS} rows"),
        ));
    }

    let now = app.clock.now();
    let rows = check_each(request.keys, now, &session.caller);
    // Checks that need no store are made before the store is used.
    let rows = if request.dry_run {
        rows
    } else {
        each(rows)?.into_iter().map(Ok).collect()
    };
    let options = ImportOptions {
        skip_existing: request.skip_existing,
        reimport_unused: request.reimport_unused,
    };
    let new = move |caller: &Caller, existing: &[String]| {
        let key = |(index, row): (usize, Result<Checked, ApiError>)| {
            row.and_then(|row| row.key(caller, existing))
                .map_err(|error| error.in_row(index))
        };
        rows.into_iter().enumerate().map(key).collect()
    };

    if request.dry_run {
        let check = acting.check_import(options, new).await?;
        let check = types::ImportCheckOrKeys::Check(check_view(check));
        return Ok(Answer::ok("Nothing was imported", check).into_response());
    }
    let data = move |keys: &[Key], skipped| {
        repeatable::recorded(&rows_view(keys.iter().cloned(), skipped, now))
    };
    let imported = acting
        .repeatable(call)
        .import_keys(options, new, data)
        .await?;
    if let Outcome::New(imported) = &imported {
        info!(
            keys = imported.keys.len(),
            skipped = imported.skipped.len(),
            user = session.caller.user_id,
            revision = imported.revision,
            "keys imported"
        );
    }
    Ok(respond(&app, imported, timeout, now).await)
}

/// Returns the response once the keys are enforced or after `timeout`.
async fn respond(app: &App, imported: Outcome<Imported>, timeout: Duration, now: i64) -> Response {
    let message = "API keys imported successfully";
    match imported {
        Outcome::New(imported) => {
            let enforcement = app.enforced(imported.revision, timeout).await;
            let rows = rows_view(imported.keys, imported.skipped.len(), now);
            let keys = types::ImportedKeys {
                rows: Made::New(rows),
                replayed: None,
                enforcement,
            };
            Answer::created(message, keys).into_response()
        }
        Outcome::Repeated(recorded) => {
            let revision = recorded.revision.unwrap_or_default();
            let enforcement = app.enforced(revision, timeout).await;
            let keys = types::ImportCheckOrKeys::Keys(types::ImportedKeys {
                rows: Made::Repeated(recorded.data),
                replayed: Some(true),
                enforcement,
            });
            Answer::ok(message, keys).into_response()
        }
    }
}

/// Checks each row. Drops rows that exceed the common limit of IP list entries.
fn check_each(
    rows: Vec<Object<types::ImportedKey>>,
    now: i64,
    caller: &Caller,
) -> Vec<Result<Checked, ApiError>> {
    let mut entries = 0_u64;
    let check = |Object(row): Object<types::ImportedKey>| {
        let row = check(row, now, caller)?;
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
    let row: Result<Object<types::ImportedKey>, ApiError> =
        json::read(json).map_err(ApiError::from);
    let checked = row.and_then(|Object(row)| check(row, now, &caller::anybody()));
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
