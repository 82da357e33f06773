//! `PATCH /v1/keys/{id}`: the editable fields of a key and who may edit them. Narrowing a key
//! requires only the permission. Widening it requires everything that creating it would. Other
//! fields are refused.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use latchkey_model::entity_tag::Tagged as _;
use latchkey_model::ip_list::IpList;
use latchkey_model::json::given;
use latchkey_model::limits::LimitsChange;
use latchkey_store::{Caller, Key, KeyChange};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tracing::info;
use utoipa::ToSchema;

use super::App;
use super::answer::Answer;
use super::caller::Rules as _;
use super::error::ApiError;
use super::expiry::Expiry;
use super::extract::{Body, Params, Session};
use super::fields;
use super::key_view::KeyView;
use super::openapi::parameters::{IfMatch, KeyPath, Wait};
use super::openapi::texts;
use latchkey_server::Enforcement;

/// Fields to change; omitted fields stay the same.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyEdit)]
pub(crate) struct Request {
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<texts::Name>)]
    name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<texts::Description>)]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Expiry>)]
    expires_at: Option<Option<Expiry>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    allowed_ips: Option<IpList>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    denied_ips: Option<IpList>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    active: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<LimitsChange>)]
    limits: Option<Option<LimitsChange>>,
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
    _fixed: Fixed,
}

/// A field of a key that cannot be edited.
#[derive(Default)]
struct Fixed;

impl<'de> Deserialize<'de> for Fixed {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom(
            "it cannot be edited; revoke the key and create another one",
        ))
    }
}

impl Request {
    fn check(self, now: i64) -> Result<KeyChange, ApiError> {
        let expires_at = self.expires_at.map(|expiry| {
            expiry
                .map(|expiry| expiry.check("expires_at", now))
                .transpose()
        });
        Ok(KeyChange {
            name: self
                .name
                .map(|name| fields::name("name", &name))
                .transpose()?,
            description: self.description.map(fields::description).transpose()?,
            expires_at: expires_at.transpose()?,
            allowed_ips: self.allowed_ips,
            denied_ips: self.denied_ips,
            disabled: self.active.map(|active| !active),
            limits: self.limits,
        })
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = EditedKey)]
pub(crate) struct Edited {
    #[serde(flatten)]
    key: KeyView,
    enforcement: Enforcement,
}

/// Edit an API key
///
/// Omitted fields stay the same. Narrowing a key requires only the permission. Widening a key
/// requires everything that creating it would require. If the caller is an API key, the edited key
/// must stay within the calling key's bounds, and a key cannot widen itself. Scope, roles,
/// permissions, subaccounts, environment, tier and `issues` cannot be edited. Repeating the call
/// changes nothing and waits for enforcement again.
#[utoipa::path(patch, path = "/v1/keys/{key_id}", operation_id = "editKey", tag = "Keys",
    params(KeyPath, Wait, IfMatch), request_body = Request, security(("credential" = ["account:apikeys:update"])),
    responses(
        (status = 200, description = "The updated key, and enforcement progress.", body = Answer<Edited>,
            headers(("ETag" = String, description = "Identifies this version of the key's \
            editable fields, for `If-Match`."))),
        (status = 409, description = "Another key that has not expired has the name, or the key \
        is revoked."),
    ))]
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    id: Result<Path<String>, PathRejection>,
    Body(request): Body<Request>,
) -> Result<Answer<Edited>, ApiError> {
    let acting = session.acting(&app, "account:apikeys:update")?;
    let patience = params.patience()?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::KeyNotFound)?;
    let now = app.clock.now();
    let change = request.check(now)?;
    let edit = move |caller: &Caller, key: &mut Key| {
        let (before, limited) = (key.clone(), change.limited_windows());
        change.apply(key);
        caller.may_edit(&before, key, &limited)
    };
    let (key, revision) = acting.edit_key(id, edit).await?;
    info!(
        key = key.id,
        user = session.caller.user_id,
        revision,
        "key edited"
    );
    let enforcement = app.enforced(revision, patience).await;
    let tag = key.entity_tag();
    Ok(Answer::ok(
        "API key updated successfully",
        Edited {
            key: KeyView::new(key, now),
            enforcement,
        },
    )
    .tagged(tag))
}
