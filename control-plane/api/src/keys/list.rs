//! `GET /v1/keys`: lists the account's keys, paged, filtered and sorted.

use axum::extract::State;
use latchkey_api_types as types;
use latchkey_model::role::Role;
use latchkey_policy::key::Environment;
use latchkey_store::{KeyQuery, KeySort, KeyState, Total};
use std::sync::Arc;

use super::view;
use crate::App;
use crate::caller::Rules as _;
use crate::error::ApiError;
use crate::extract::Params;
use crate::fields::{MAX_DAYS, SORTS};
use crate::list_reads::ListSession;
use crate::openapi::parameters::KeyPage;
use crate::page::PageParams;
use crate::response::Answer;

/// List API keys
///
/// Lists the account's keys, by default those that are not revoked, newest first. Entries are
/// summaries; `include=ip_lists` adds `allowed_ips` and `denied_ips`.
///
/// A page can have fewer keys than `limit`, even none, and still a `next_cursor`, because a page
/// ends after about 1 MB or after many thousand keys were examined. The list ends with the page
/// whose `next_cursor` is null.
#[utoipa::path(get, path = "/v1/keys", operation_id = "listKeys", tag = "Keys",
    params(KeyPage), security(("credential" = ["account:apikeys:read"])),
    responses((status = 200, description = "A page of keys, and the total number.", body = Answer<types::KeyList>)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ListSession {
        caller,
        turn: _turn,
    }: ListSession,
    mut params: Params,
) -> Result<Answer<types::KeyList>, ApiError> {
    caller.require("account:apikeys:read")?;
    let query = query(&mut params)?;
    let page = PageParams::take(&mut params, &format!("keys {query:?}"))?;
    params.finish()?;

    let now = app.clock.now();
    let found = app
        .store
        .keys(&caller.account_id, &query, &page.query, now)
        .await?;

    let next_cursor = page.cursor(found.next.as_ref());
    let keys = found
        .rows
        .into_iter()
        .map(|key| view::listed(key, now))
        .collect();
    let Total {
        count: total,
        is_estimate: total_is_estimate,
    } = found.total;
    Ok(Answer::ok(
        "API keys retrieved successfully",
        types::KeyList {
            keys,
            total,
            total_is_estimate,
            next_cursor,
        },
    ))
}

fn query(params: &mut Params) -> Result<KeyQuery, ApiError> {
    let roles: Vec<_> = Role::all().map(|role| (role.as_str(), role)).collect();
    let environments = [Environment::Live, Environment::Test]
        .map(|environment| (environment.as_str(), environment));
    let (sort, descending) = params
        .word("sort", &SORTS)?
        .unwrap_or((KeySort::CreatedAt, true));
    let days = params.optional_number("expires_within_days", 1..=MAX_DAYS)?;
    Ok(KeyQuery {
        state: params.word("state", &KeyState::ALL)?.unwrap_or_default(),
        role: params.word("role", &roles)?,
        tier: params.text("tier")?,
        environment: params.word("environment", &environments)?,
        owner: params.text("owner")?,
        expires_within_days: days,
        unused: params.word("unused", &[("true", true), ("false", false)])?,
        ip_lists: params
            .word("include", &[("ip_lists", true)])?
            .unwrap_or_default(),
        sort,
        descending,
    })
}
