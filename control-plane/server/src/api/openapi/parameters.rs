//! Parameters that several calls have, with the bounds that are kept where they are read.

use latchkey_model::role::Role;
use latchkey_model::schema::{matching, number, one_of, text};
use latchkey_store::{DeliveryState, KeyState};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::ObjectBuilder;
use utoipa::openapi::{RefOr, Required, Schema};
use utoipa::{IntoParams, PartialSchema as _};

use super::super::extract::{DEFAULT_LIMIT, DEFAULT_WAIT_MS, MAX_LIMIT, MAX_WAIT_MS};
use super::super::fields::{MAX_DAYS, SORTS};
use super::super::page::MAX_SEARCH_LEN;
use super::texts::{
    AccountId, DeliveryId, Environment, Instant, KeyId, SubaccountId, UserId, WebhookId, Word,
};

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
    /// Which part of a list: read by `page::Asked`.
    Page = [limit(), cursor(), search("some name, id, email address or description")];

    /// Which part of the keys: read by `key_list::list`.
    KeyPage = [
        limit(),
        cursor(),
        search("the name, the description or the masked key, or at the beginning of the id"),
        query("state", "What has become of them.", one_of(KeyState::ALL.map(|(word, _)| word))),
        query("role", "That have this role.", Role::schema()),
        query("tier", "Of this tier.", text()),
        query("environment", "Of this environment.", Environment::schema()),
        query("owner", "Of the user of this id or email address.", text()),
        query("expires_within_days", "That expire within so many days.", number(1).maximum(Some(MAX_DAYS))),
        query("unused", "That were never used, or were.", one_of(["true", "false"])),
        query(
            "sort",
            "What they are ordered by, with `-` before it downwards. Keys that have none come last.",
            one_of(SORTS.map(|(word, _)| word))
        ),
        query("include", "Adds `allowed_ips` and `denied_ips` to each key.", one_of(["ip_lists"]))
    ];

    /// Which part of the audit: read by `audit::list`.
    AuditPage = [
        limit(),
        query("cursor", "`next_cursor` of the answer before.", matching("^[0-9]{1,18}-[0-9]{1,18}$")),
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

    /// By what a repeated call is recognised: read by `Repeatable`.
    IdempotencyKey = [header(
        "Idempotency-Key",
        "Any text that no other call has. A call that is repeated with it and the same body has no second effect.",
        matching("^[!-~]{1,255}$")
    )];

    /// What the caller means to change: read with `Session`.
    IfMatch = [header(
        "If-Match",
        "`ETag` of what the caller has seen, or several, or `*`. If it has changed since, the call is refused.",
        matching(r#"^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$"#)
    )];

    /// `{key_id}`
    KeyPath = [path("key_id", "The API key's id.", KeyId::schema())];

    /// `{user_id}`
    UserPath = [path("user_id", "The user's id.", UserId::schema())];

    /// `{webhook_id}`
    WebhookPath = [path("webhook_id", "The webhook's id.", WebhookId::schema())];

    /// `{webhook_id}` and `{delivery_id}`
    DeliveryPath = [
        path("webhook_id", "The webhook's id.", WebhookId::schema()),
        path("delivery_id", "The delivery's id.", DeliveryId::schema())
    ];

    /// Which deliveries of a webhook: read by `webhooks::deliveries::list`.
    DeliveryPage =
        [query("state", "In this state.", one_of(DeliveryState::ALL.map(DeliveryState::as_str)))];

    /// `{account_id}`
    AccountPath = [path("account_id", "The account's id.", AccountId::schema())];

    /// `{name}` of a service
    ServicePath = [path("name", "The service's name.", Word::schema())];

    /// `{name}` of a node token
    NodeTokenPath = [path("name", "The node token's name.", Word::schema())];

    /// `{handle}` of a node
    NodePath = [path("handle", "The node's handle, or `unknown`.", matching("^([0-9a-f]{12}|unknown)$").into())];

    /// `{subaccount_id}`
    SubaccountPath = [path("subaccount_id", "The subaccount's id.", SubaccountId::schema())];
}

fn limit() -> Parameter {
    query(
        "limit",
        "How many entries there are in the answer at most.",
        whole(1, MAX_LIMIT, DEFAULT_LIMIT),
    )
}

fn cursor() -> Parameter {
    let description = "`next_cursor` of the answer before, which has to be to the same question.";
    query("cursor", description, matching("^[A-Za-z0-9_-]+$"))
}

fn search(places: &str) -> Parameter {
    let description = format!("Entries that have this text in {places}, in upper or lower case.");
    query(
        "search",
        &description,
        text().max_length(Some(MAX_SEARCH_LEN)),
    )
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

/// A header that can be left out.
fn header(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
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
    number(least)
        .maximum(Some(most))
        .default(Some(default.into()))
}
