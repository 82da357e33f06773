//! `POST /v1/keys/import`: imports existing keys by their SHA-256, all rows or none.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use latchkey_api_types::{self as types, Made};
use latchkey_model::json::{self, Object};
use latchkey_policy::key::KeyDigest;
use latchkey_store::{Caller, ImportCheck, ImportOptions, Key, KeySettings, NewKey, Outcome};
use std::sync::Arc;
use tracing::info;

use super::answer::Answer;
use super::caller::{self, Rules as _};
use super::error::{ApiError, MAX_FAULTS, Report};
use super::extract::{Params, Session};
use super::openapi::parameters::{IdempotencyKey, Wait};
use super::repeatable::{self, Repeatable};
use super::{App, key_view, new_key};

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
        settings: new_key::check(request, now, caller)?,
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

fn rows_view(keys: impl IntoIterator<Item = Key>, skipped: usize, now: i64) -> types::ImportedRows {
    let keys: Vec<_> = keys
        .into_iter()
        .map(|key| key_view::view(key, now))
        .collect();
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
    let patience = params.patience()?;
    params.finish()?;
    if !(1..=MAX_ROWS).contains(&request.keys.len()) {
        return Err(ApiError::field(
            "keys",
            format_args!("must have 1 to {MAX_ROWS} rows"),
        ));
    }
    let now = app.clock.now();
    let types::KeyImport {
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
            types::ImportCheckOrKeys::Check(check_view(check)),
        )
        .into_response());
    }
    let message = "API keys imported successfully";
    let data = move |keys: &[Key], skipped| {
        repeatable::recorded(&rows_view(keys.iter().cloned(), skipped, now))
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
            let rows = Made::New(rows_view(keys, skipped, now));
            Ok(Answer::created(
                message,
                types::ImportedKeys {
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
            let keys = types::ImportCheckOrKeys::Keys(types::ImportedKeys {
                rows,
                replayed: Some(true),
                enforcement,
            });
            Ok(Answer::ok(message, keys).into_response())
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
