//! The forms of texts in bodies and answers, by name. Their bounds are those that [`fields`] keeps.

use latchkey_model::node_pattern;
use latchkey_model::schema::{formatted, matching, one_of, text};
use latchkey_model::selection;
use latchkey_model::text::{MAX_DESCRIPTION_LEN, MAX_EMAIL_LEN, MAX_NAME_LEN};
use latchkey_policy::key::Environment as KeyEnvironment;
use latchkey_policy::meter::Outcome;
use latchkey_policy::record::KEY_ID_LEN;
use latchkey_policy::verdict::Code;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat};

use super::super::fields;
use super::super::schemas::schemas;

/// What no name may have; escaped as JSON Schema's regular expressions are.
const NO_CONTROL: &str = r"[^\u0000-\u001f\u007f-\u009f]";

schemas! {
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

    /// Where a webhook is sent: `https://`, to a public address unless the operator allows others,
    /// without a user name, a password or a fragment.
    WebhookUrl = formatted("uri").max_length(Some(2_048));

    /// An account's id.
    AccountId = id("acc");

    /// An API key's id.
    KeyId = id("key");

    /// A user's id.
    UserId = id("usr");

    /// A subaccount's id.
    SubaccountId = id("sub");

    /// What people call it. It is stored and compared in Unicode's NFC, without the blanks around
    /// it. Control and format characters are refused, except joiners between letters; so is a name
    /// that has the form of an id, such as `key_1`.
    Name = matching(format!(r"^{NO_CONTROL}*[^\s\u0000-\u001f\u007f-\u009f]{NO_CONTROL}*$"))
        .min_length(Some(1))
        .max_length(Some(MAX_NAME_LEN));

    /// Whatever else there is to say. Of control characters only line breaks and tabs are accepted.
    Description = text().max_length(Some(MAX_DESCRIPTION_LEN));

    /// What machines call it: a service, a tier.
    Word = matching(format!("^[a-z0-9_-]{{1,{}}}$", fields::MAX_WORD_LEN));

    /// An email address. It is stored and compared in lower case and in Unicode's NFC; control and
    /// format characters are refused, except joiners between letters.
    Email = matching(r"^[^\s@\u0000-\u001f\u007f-\u009f]+@[^\s@\u0000-\u001f\u007f-\u009f]+$")
        .max_length(Some(MAX_EMAIL_LEN));

    /// Whether a key is for real or for trying things out.
    Environment = one_of([KeyEnvironment::Live, KeyEnvironment::Test].map(KeyEnvironment::as_str));

    /// A whole API key.
    ApiKey = matching("^[a-z][a-z0-9]*_(live|test)_[0-9A-Za-z]{32}$");

    /// An API key, for people to recognise it by; of one that was imported, what whoever imported
    /// it said.
    MaskedKey = matching(r"^([ -~]*\.\.\.[ -~]*|imported)$").max_length(Some(80));

    /// What people are shown of a key that is imported, and not the whole key. `imported` shows
    /// nothing of it.
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

    /// What the filter decides on a request.
    VerdictCode = one_of(Code::ALL.map(Code::as_str));

    /// What became of a request with an API key.
    OutcomeCode = one_of(Outcome::ALL.map(|outcome| Code::from(outcome).as_str()));

    /// `"all"`, or some services by name.
    Scope = selection::schema(Word::schema(), 1, fields::MAX_ENTRIES);

    /// `"all"`, or some subaccounts by their ids.
    Subaccounts = selection::schema(SubaccountId::schema(), 0, fields::MAX_ENTRIES);
}

fn id(kind: &str) -> ObjectBuilder {
    matching(format!("^{kind}_[0-9A-Za-z]{{{KEY_ID_LEN}}}$"))
}
