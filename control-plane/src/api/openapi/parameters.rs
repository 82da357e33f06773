//! Parameters that several calls have, with the bounds that are kept where they are read.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::ObjectBuilder;
use utoipa::openapi::{RefOr, Required, Schema};
use utoipa::{IntoParams, PartialSchema as _};

use super::super::extract::{DEFAULT_LIMIT, DEFAULT_WAIT_MS, MAX_LIMIT, MAX_WAIT_MS};
use super::texts::{Instant, KeyId, SubaccountId, UserId, WebhookId};
use crate::schema::{matching, number, text};

/// Declares parameters by a name each, for `params(…)` of calls.
macro_rules! parameters {
    ($($(#[doc = $doc:literal])+ $name:ident = [$($parameter:expr),+];)+) => {$(
        $(#[doc = $doc])+
        pub(crate) enum $name {}

        impl IntoParams for $name {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                vec![$($parameter),+]
            }
        }
    )+};
}

parameters! {
    /// Which part of a list: read by `Params::page`.
    Page = [
        query("limit", "How many entries there are in the answer at most.", whole(1, MAX_LIMIT, DEFAULT_LIMIT)),
        query("offset", "How many entries are skipped before them.", whole(0, u32::MAX, 0))
    ];

    /// Which part of the audit: read by `audit::list`.
    AuditPage = [
        query("limit", "How many entries there are in the answer at most.", whole(1, MAX_LIMIT, DEFAULT_LIMIT)),
        query("cursor", "`next_cursor` of the answer before.", matching("^[0-9]{1,18}$")),
        query("since", "No entry from before.", Instant::schema()),
        query("until", "No entry from then on.", Instant::schema()),
        query("actor", "Who did it, by id, email address or name.", text()),
        query("action", "What was done, such as `key.create`, or to what, such as `key`.", text()),
        query("target", "What it was done to, by id or name.", text())
    ];

    /// How long to wait for enforcement: read by `Params::patience`.
    Wait = [query(
        "wait_ms",
        "The answer waits until every connected Envoy decides by the change, but no longer than so many milliseconds.",
        whole(0, MAX_WAIT_MS, DEFAULT_WAIT_MS)
    )];

    /// `{key_id}`
    KeyPath = [path("key_id", "The API key's id.", KeyId::schema())];

    /// `{user_id}`
    UserPath = [path("user_id", "The user's id.", UserId::schema())];

    /// `{webhook_id}`
    WebhookPath = [path("webhook_id", "The webhook's id.", WebhookId::schema())];

    /// `{subaccount_id}`
    SubaccountPath = [path("subaccount_id", "The subaccount's id.", SubaccountId::schema())];
}

/// A parameter that can be left out.
pub(crate) fn query(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

fn path(name: &str, description: &str, schema: RefOr<Schema>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

fn whole(least: u32, most: u32, default: u32) -> ObjectBuilder {
    number(least).maximum(Some(most)).default(Some(default.into()))
}
