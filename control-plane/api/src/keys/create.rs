//! `POST /v1/keys/generate`: creates a key, after checks of its fields.

use axum::extract::State;
use latchkey_api_types as types;
use latchkey_model::authority::Authority;
use latchkey_model::ceilings::Ceilings;
use latchkey_model::ip_list::IpList;
use latchkey_model::issues::Issues;
use latchkey_model::json::Object;
use latchkey_model::limits::DeclaredLimits;
use latchkey_model::random;
use latchkey_policy::key::Environment;
use latchkey_store::{Caller, Key, KeyRestrictions, KeySettings, NewKey, Outcome};
use std::sync::Arc;
use tracing::info;

use super::{secret, view};
use crate::caller::Rules as _;
use crate::error::ApiError;
use crate::extract::{Params, Session};
use crate::openapi::parameters::{IdempotencyKey, Wait};
use crate::repeatable::{self, Repeatable};
use crate::response::Answer;
use crate::{App, fields};

/// Generate an API key
///
/// `data.api_key` is returned only once. You can give a key only what you hold. A calling API key
/// can give only what it has itself or what its `issues` settings allow: environment, tier, limits,
/// services, subaccounts, expiry and addresses. With a calling API key, omitted environment, tier,
/// limits, scope, expiry and IP lists default to its own or to its `issues` settings.
///
/// Repeating the call with the same `Idempotency-Key` within 24 hours creates no second key and
/// returns 200 without `api_key`.
#[utoipa::path(post, path = "/v1/keys/generate", operation_id = "generateKey", tag = "Keys",
    params(Wait, IdempotencyKey), request_body = types::NewKey,
    security(("credential" = ["account:apikeys:create"])),
    responses(
        (status = 201, description = "The new key.", body = Answer<types::GeneratedKey>,
            headers(("ETag" = String, description = "For `If-Match`."))),
        (status = 200, description = "The key of the repeated call.", body = Answer<types::GeneratedKey>),
        (status = 409, description = "Another key that has not expired has the name, or the \
        `Idempotency-Key` was used with a different body."),
    ))]
pub(crate) async fn generate(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    Repeatable { request, call }: Repeatable<types::NewKey>,
) -> Result<Answer<types::GeneratedKey>, ApiError> {
    let acting = session.acting(&app, "account:apikeys:create")?;
    let timeout = params.timeout()?;
    params.finish()?;

    let now = app.clock.now();
    let settings = check(request, now, &session.caller)?;
    let api_key = app
        .key_format
        .generate(settings.environment, random::fill)?;
    let (digest, masked) = (api_key.digest(), api_key.masked());
    let new = move |caller: &Caller, existing: &[String]| {
        let settings = caller.ensure_can_create(settings, existing)?;
        let (account_id, user_id) = (caller.account_id.clone(), caller.user_id.clone());
        Ok::<_, ApiError>(NewKey {
            account_id,
            user_id,
            digest,
            masked,
            imported: false,
            settings,
        })
    };
    let data = move |key: &Key| repeatable::recorded(&view::key(key.clone(), now));
    let outcome = acting.repeatable(call).create_key(new, data).await?;
    if let Outcome::New((key, revision)) = &outcome {
        info!(key = key.id, user = key.user_id, revision, "key generated");
    }
    let outcome = outcome.map(|(key, revision)| (key, api_key, revision));
    let (data, tag) = secret::generated(&app, outcome, timeout, now).await;
    Ok(Answer::with_status(
        repeatable::status(&data.key),
        "API key generated successfully",
        data,
    )
    .tagged(tag))
}

/// Checks every field that can be checked without the store. An omitted field defaults to the
/// account's tier, or to what a calling key has or can give.
pub(crate) fn check(
    request: types::NewKey,
    now: i64,
    caller: &Caller,
) -> Result<KeySettings, ApiError> {
    let own = caller.restrictions.as_ref();
    let environment = match request.environment {
        None => own.map_or(Environment::Live, KeyRestrictions::default_environment),
        Some(word) => Environment::parse(&word)
            .ok_or_else(|| ApiError::field("environment", "must be one of live, test"))?,
    };
    let scope = request.scope.unwrap_or_else(|| caller.scope.clone());
    fields::scope("scope", &scope)?;
    fields::bounded("roles", &request.roles)?;
    fields::bounded("permissions", &request.permissions)?;
    fields::bounded("allowed_subaccounts", &request.allowed_subaccounts)?;
    let listed = (!request.allowed_subaccounts.is_empty()).then_some(request.allowed_subaccounts);
    let default_tier = || own.map_or_else(|| caller.tier.clone(), KeyRestrictions::default_tier);
    let tier = request.tier.unwrap_or_else(default_tier);
    let given = request
        .limits
        .unwrap_or_default()
        .applied_to(DeclaredLimits::default());
    let (limits, ceilings) = own.map_or_else(
        || (given, Ceilings::default()),
        |own| own.default_limits(&tier, given),
    );
    let expires_at = request
        .expires_at
        .map(|expiry| fields::expiry("expires_at", expiry, now))
        .transpose()?;
    let mut lists = (request.allowed_ips, request.denied_ips);
    if let Some(own) = own.filter(|_| lists == <(IpList, IpList)>::default()) {
        lists = own.default_lists();
    }
    Ok(KeySettings {
        name: fields::name("name", &request.name)?,
        description: fields::description(request.description)?,
        environment,
        limits,
        tier,
        scope,
        authority: Authority {
            roles: request.roles,
            permissions: request.permissions,
        },
        subaccounts: listed.into(),
        expires_at: expires_at.or_else(|| own?.default_expiry()),
        allowed_ips: lists.0,
        denied_ips: lists.1,
        issues: request
            .issues
            .map(|Object(issues)| checked(issues))
            .transpose()?,
        ceilings,
        issued: false,
    })
}

fn checked(issues: Issues) -> Result<Issues, ApiError> {
    match issues.check() {
        Ok(()) => Ok(issues),
        Err((field, reason)) => Err(ApiError::field(field, reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::anybody;
    use latchkey_model::selection::Selection;

    fn check(json: &str) -> Result<KeySettings, String> {
        let request: types::NewKey =
            serde_json::from_str(json).map_err(|error| error.to_string())?;
        let caller = Caller {
            tier: "basic".to_owned(),
            ..anybody()
        };
        super::check(request, 1_800_000_000, &caller).map_err(|error| match error {
            ApiError::Invalid { error, .. } => error,
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn omitted_fields_have_defaults() {
        let checked = check(r#"{"name":"  CI\u00e9  ","description":null}"#).unwrap();
        assert_eq!(checked.name, "CIé");
        assert_eq!(checked.environment, Environment::Live);
        assert_eq!(
            (
                checked.description,
                checked.tier.as_str(),
                checked.expires_at
            ),
            (None, "basic", None)
        );
        assert_eq!(
            (checked.scope, checked.subaccounts),
            (Selection::All, Selection::All)
        );
        assert_eq!(
            (checked.authority, checked.limits),
            (Authority::default(), DeclaredLimits::default())
        );
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        let name = |len| check(&format!(r#"{{"name":"{}"}}"#, "é".repeat(len)));
        assert!(name(100).is_ok());
        assert_eq!(
            name(101).unwrap_err(),
            "Field `name` must have 1 to 100 characters."
        );
        let description = |len| {
            check(&format!(
                r#"{{"name":"CI","description":"{}"}}"#,
                "é".repeat(len)
            ))
        };
        assert!(description(500).is_ok());
        assert_eq!(
            description(501).unwrap_err(),
            "Field `description` must have at most 500 characters."
        );
    }
}
