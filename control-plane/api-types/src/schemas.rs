//! The schemas of texts in requests and responses. Their bounds are those that
//! the API checks.

use latchkey_model::node_pattern;
use latchkey_model::schema::{formatted, matching, one_of, text};
use latchkey_model::selection;
use latchkey_model::text::{MAX_DESCRIPTION_LEN, MAX_EMAIL_LEN, MAX_NAME_LEN};
use latchkey_policy::key::Environment as KeyEnvironment;
use latchkey_policy::meter::Outcome;
use latchkey_policy::record::KEY_ID_LEN;
use latchkey_policy::verdict::Code;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat};

use crate::named::named_schemas;
use crate::{MAX_ENTRIES, MAX_WORD_LEN};

/// A character allowed in names; escaped as in JSON Schema's regular expressions.
const NO_CONTROL: &str = r"[^\u0000-\u001f\u007f-\u009f]";

named_schemas! {
    /// RFC 3339 in UTC, to the second.
    Time = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));

    /// A time as RFC 3339, or in whole Unix seconds.
    Instant = OneOfBuilder::new()
        .item(text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))))
        .item(matching("^[0-9]{1,11}$"));

    /// A webhook's id.
    WebhookId = id("whk");

    /// The id of a webhook's delivery.
    DeliveryId = id("msg");

    /// A webhook's URL: `https://`, with a public address unless the operator allows others,
    /// without user name, password or fragment.
    WebhookUrl = formatted("uri").max_length(Some(2_048));

    /// An account's id.
    AccountId = id("acc");

    /// An API key's id.
    KeyId = id("key");

    /// A user's id.
    UserId = id("usr");

    /// A subaccount's id.
    SubaccountId = id("sub");

    /// A name for people. It is stored and compared in Unicode NFC, without surrounding spaces.
    /// Control and format characters are refused, except joiners between letters, as are names that
    /// look like an id, such as `key_1`.
    Name = matching(format!(r"^{NO_CONTROL}*[^\s\u0000-\u001f\u007f-\u009f]{NO_CONTROL}*$"))
        .min_length(Some(1))
        .max_length(Some(MAX_NAME_LEN));

    /// A description. Line breaks and tabs are the only control characters accepted.
    Description = text().max_length(Some(MAX_DESCRIPTION_LEN));

    /// A name for machines, of a service, tier or node token.
    Word = matching(format!("^[a-z0-9_-]{{1,{MAX_WORD_LEN}}}$"));

    /// An email address. It is stored and compared in lower case and in Unicode NFC. Control and
    /// format characters are refused, except joiners between letters.
    Email = matching(r"^[^\s@\u0000-\u001f\u007f-\u009f]+@[^\s@\u0000-\u001f\u007f-\u009f]+$")
        .max_length(Some(MAX_EMAIL_LEN));

    /// The environment of a key: production or testing.
    Environment = one_of([KeyEnvironment::Live, KeyEnvironment::Test].map(KeyEnvironment::as_str));

    /// A complete API key.
    ApiKey = matching("^[a-z][a-z0-9]*_(live|test)_[0-9A-Za-z]{32}$");

    /// The masked form of an API key. For an imported key, the form given at import.
    MaskedKey = matching(r"^([ -~]*\.\.\.[ -~]*|imported)$").max_length(Some(80));

    /// The masked form of an imported key, never the whole key. `imported` shows nothing of it.
    Mask = matching(r"^([ -~]*\.\.\.[ -~]*|imported)$").max_length(Some(40));

    /// The identity of a database's history, in hexadecimal.
    EpochId = matching("^[0-9A-Fa-f]{32}$");

    /// A SHA-256, in hexadecimal.
    Sha256 = matching("^[0-9A-Fa-f]{64}$");

    /// A session's token.
    SessionToken = matching("^lks_[0-9A-Za-z]{43}$");

    /// The secret of a node token.
    NodeTokenSecret = matching("^lkn_[0-9A-Za-z]{43}$");

    /// A pattern of Envoy's `node.id`: `*` stands for any characters. An empty `node.id` needs the
    /// pattern `*`.
    NodePattern = matching(format!("^{NO_CONTROL}*$")).min_length(Some(1)).max_length(Some(node_pattern::NodePattern::MAX_LEN));

    /// An IPv4 or an IPv6 address.
    IpAddress = OneOfBuilder::new().item(formatted("ipv4")).item(formatted("ipv6"));

    /// The filter's verdict on a request.
    VerdictCode = one_of(Code::ALL.map(Code::as_str));

    /// The outcome of a request with an API key.
    OutcomeCode = one_of(Outcome::ALL.map(|outcome| Code::from(outcome).as_str()));

    /// `"all"`, or a list of service names.
    Scope = selection::schema(Word::schema(), 1, MAX_ENTRIES);

    /// `"all"`, or a list of subaccount ids.
    Subaccounts = selection::schema(SubaccountId::schema(), 0, MAX_ENTRIES);
}

fn id(kind: &str) -> ObjectBuilder {
    matching(format!("^{kind}_[0-9A-Za-z]{{{KEY_ID_LEN}}}$"))
}
