//! `/v1/audit`: the audit log of changes, with actor, time and client address.

use axum::extract::State;
use latchkey_api_types as types;
use latchkey_model::clock::rfc3339;
use latchkey_store::audit::{AuditEntry, AuditQuery};
use latchkey_store::{PageQuery, Position, StoreError};
use serde_json::value::RawValue;
use std::sync::Arc;

use super::App;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::Params;
use super::list_reads::ListSession;
use super::openapi::parameters;
use super::response::Answer;

/// List audit entries
///
/// Lists the account's changes, newest first. With several filters, a page can have fewer entries
/// than `limit`, even none, and still a `next_cursor`. The list ends with the page whose
/// `next_cursor` is null.
#[utoipa::path(get, path = "/v1/audit", operation_id = "listAudit", tag = "Audit",
    security(("credential" = ["account:audit:read"])),
    params(parameters::AuditPage),
    responses((status = 200, description = "A page of audit entries.", body = Answer<types::AuditList>)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ListSession {
        caller,
        turn: _turn,
    }: ListSession,
    mut params: Params,
) -> Result<Answer<types::AuditList>, ApiError> {
    caller.require("account:audit:read")?;
    let query = AuditQuery {
        since: params.time("since")?,
        until: params.time("until")?,
        actor: params.text("actor")?,
        action: params.text("action")?,
        target: params.text("target")?,
    };
    let after = params
        .text("cursor")?
        .map(|cursor| position(&cursor))
        .transpose()?;
    let page = PageQuery {
        limit: params.limit()?,
        after,
        search: None,
    };
    params.finish()?;

    let (entries, next) = app.store.audit(&caller.account_id, &query, &page).await?;
    let next_cursor = next
        .and_then(|next| next.numbers())
        .map(|(at, seq)| format!("{at}-{seq}"));
    let entries = entries.into_iter().map(view).collect::<Result<_, _>>()?;
    Ok(Answer::ok(
        "Audit retrieved successfully",
        types::AuditList {
            entries,
            next_cursor,
        },
    ))
}

/// Parses a cursor: a time and an entry's number.
fn position(cursor: &str) -> Result<Position, ApiError> {
    let number = |digits: &str| {
        digits
            .parse::<i64>()
            .ok()
            .filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let position = cursor
        .split_once('-')
        .and_then(|(at, seq)| Some(Position::new(number(at)?, number(seq)?)));
    position.ok_or_else(|| {
        ApiError::parameter("cursor", "must be the `next_cursor` of an earlier response")
    })
}

fn view(entry: AuditEntry) -> Result<types::AuditEntry, StoreError> {
    let json = |text: Option<String>| text.map(RawValue::from_string).transpose();
    let damaged = |_| StoreError::Damaged("an entry of the audit");
    Ok(types::AuditEntry {
        id: format!("aud_{}", entry.seq),
        at: rfc3339(entry.at),
        actor: types::AuditParty {
            kind: entry.actor_kind,
            id: entry.actor_id,
            name: entry.actor_name,
        },
        action: entry.action,
        target: types::AuditParty {
            kind: entry.target_kind,
            id: entry.target_id,
            name: entry.target_name,
        },
        before: json(entry.before).map_err(damaged)?,
        after: json(entry.after).map_err(damaged)?,
        source_address: entry.source_address,
        request_id: entry.request_id,
    })
}
