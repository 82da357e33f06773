//! Parameters that several calls share, with the same bounds as the code that reads them.

use latchkey_model::role::Role;
use latchkey_model::schema::{matching, number, one_of, text};
use latchkey_store::{DeliveryState, KeyState};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::ObjectBuilder;
use utoipa::openapi::{RefOr, Required, Schema};
use utoipa::{IntoParams, PartialSchema as _};

use crate::extract::{DEFAULT_LIMIT, DEFAULT_WAIT_MS, MAX_LIMIT, MAX_WAIT_MS};
use crate::fields::{MAX_DAYS, SORTS};
use crate::page::MAX_SEARCH_LEN;
use latchkey_api_types::schemas::{
    AccountId, DeliveryId, Environment, Instant, KeyId, SubaccountId, UserId, WebhookId, Word,
};

/// Declares named groups of parameters for `params(…)` of calls.
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
    /// A page of a list: read by `page::PageParams`.
    Page = [limit(), cursor(), search("a name, id, email address or description")];

    /// A page of keys: read by `keys::list`.
    KeyPage = [
        limit(),
        cursor(),
        search("the name, the description or the masked key, or at the start of the id"),
        query("state", "Only keys in this state.", one_of(KeyState::ALL.map(|(word, _)| word))),
        query("role", "Only keys with this role.", Role::schema()),
        query("tier", "Only keys of this tier.", text()),
        query("environment", "Only keys of this environment.", Environment::schema()),
        query("owner", "Only keys owned by the user with this id or email address.", text()),
        query("expires_within_days", "Only keys that expire within this number of days.", number(1).maximum(Some(MAX_DAYS))),
        query("unused", "Only keys that were never used (`true`) or were used (`false`).", one_of(["true", "false"])),
        query(
            "sort",
            "The field to sort by; a leading `-` sorts in descending order. Keys without a value \
            come last.",
            one_of(SORTS.map(|(word, _)| word))
        ),
        query("include", "Adds `allowed_ips` and `denied_ips` to each key.", one_of(["ip_lists"]))
    ];

    /// A page of the audit: read by `audit::list`.
    AuditPage = [
        limit(),
        query("cursor", "`next_cursor` of the previous page.", matching("^[0-9]{1,18}-[0-9]{1,18}$")),
        query("since", "Only entries at or after this time.", Instant::schema()),
        query("until", "Only entries before this time.", Instant::schema()),
        query("actor", "The actor, by id, email address or name.", text()),
        query("action", "The action, such as `key.create`, or the kind of target, such as \
        `key`.", text()),
        query("target", "The target, by id or name.", text())
    ];

    /// The time to wait for enforcement: read by `Params::timeout`.
    Wait = [query(
        "wait_ms",
        "The longest time in milliseconds that the call waits until every connected Envoy \
        enforces the change.",
        whole(0, MAX_WAIT_MS, DEFAULT_WAIT_MS)
    )];

    /// Identifies a repeated call: read by `Repeatable`.
    IdempotencyKey = [header(
        "Idempotency-Key",
        "A text that is unique to this call. Repeating the call with the same text and the same \
        body has no second effect.",
        matching("^[!-~]{1,255}$")
    )];

    /// The version that the caller intends to change: read with `Session`.
    IfMatch = [header(
        "If-Match",
        "One or several `ETag` values, or `*`. The call is refused if the resource has changed \
        since.",
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

    /// Deliveries of a webhook: read by `webhooks::deliveries::list`.
    DeliveryPage =
        [query("state", "Only deliveries in this state.", one_of(DeliveryState::ALL.map(DeliveryState::as_str)))];

    /// `{account_id}`
    AccountPath = [path("account_id", "The account's id.", AccountId::schema())];

    /// `{name}` of a service
    ServicePath = [path("name", "The service's name.", Word::schema())];

    /// `{name}` of a node token
    NodeTokenPath = [path("name", "The node token's name.", Word::schema())];

    /// `{handle}` of a node
    NodePath = [path("handle", "The node's handle, or `unknown` for nodes that the database does \
    not know.", matching("^([0-9a-f]{12}|unknown)$").into())];

    /// `{subaccount_id}`
    SubaccountPath = [path("subaccount_id", "The subaccount's id.", SubaccountId::schema())];
}

fn limit() -> Parameter {
    query(
        "limit",
        "The maximum number of entries on the page.",
        whole(1, MAX_LIMIT, DEFAULT_LIMIT),
    )
}

fn cursor() -> Parameter {
    let description = "`next_cursor` of the previous page. All other parameters must stay the \
    same.";
    query("cursor", description, matching("^[A-Za-z0-9_-]+$"))
}

fn search(places: &str) -> Parameter {
    let description = format!("Only entries that contain this text in {places}, ignoring case.");
    query(
        "search",
        &description,
        text().max_length(Some(MAX_SEARCH_LEN)),
    )
}

/// An optional query parameter.
pub(crate) fn query(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

/// An optional header.
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
