//! The decision on a request, and what a client is told of it.
//!
//! The order of the checks is the product's contract: the first that applies ends it.

use crate::policy::Policy;
use crate::record::KeyRecord;
use std::net::IpAddr;

/// A verdict's stable name: in the error body, in metrics, in access logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// No snapshot yet, or one that cannot be trusted.
    NotReady,
    /// No credential.
    MissingKey,
    /// Two different credentials in one request.
    AmbiguousKey,
    /// Form or checksum wrong.
    MalformedKey,
    /// Unknown or revoked.
    InvalidKey,
    /// Disabled, or its owner or account is.
    DisabledKey,
    /// Past its expiry, at the very second.
    ExpiredKey,
    /// The client's address is not one that the key's IP lists allow.
    IpDenied,
    /// The request passes.
    Allowed,
}

/// The answer that a refused client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u32,
    /// The name under which Envoy's `%RESPONSE_CODE_DETAILS%` shows it.
    pub details: &'static str,
    /// JSON.
    pub body: &'static str,
    /// Headers besides `content-type`.
    pub headers: &'static [(&'static str, &'static str)],
}

macro_rules! refusal {
    ($status:literal, $code:literal, $message:literal, $error:literal, $headers:expr) => {
        Some(Refusal {
            status: $status,
            details: concat!("latchkey_", $code),
            body: concat!(
                r#"{"status":"error","code":""#,
                $code,
                r#"","message":""#,
                $message,
                r#"","error":""#,
                $error,
                r#""}"#
            ),
            headers: $headers,
        })
    };
}

/// RFC 6750, section 3: no error code where no credential was sent.
const CHALLENGE: &[(&str, &str)] = &[("www-authenticate", r#"Bearer realm="latchkey""#)];
const INVALID_TOKEN: &[(&str, &str)] = &[("www-authenticate", r#"Bearer realm="latchkey", error="invalid_token""#)];
const INVALID_REQUEST: &[(&str, &str)] = &[("www-authenticate", r#"Bearer realm="latchkey", error="invalid_request""#)];
const RETRY: &[(&str, &str)] = &[("retry-after", "1")];

impl Code {
    /// All of them, in the order of the checks.
    pub const ALL: [Self; 9] = [
        Self::NotReady,
        Self::MissingKey,
        Self::AmbiguousKey,
        Self::MalformedKey,
        Self::InvalidKey,
        Self::DisabledKey,
        Self::ExpiredKey,
        Self::IpDenied,
        Self::Allowed,
    ];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotReady => "not_ready",
            Self::MissingKey => "missing_key",
            Self::AmbiguousKey => "ambiguous_key",
            Self::MalformedKey => "malformed_key",
            Self::InvalidKey => "invalid_key",
            Self::DisabledKey => "disabled_key",
            Self::ExpiredKey => "expired_key",
            Self::IpDenied => "ip_denied",
            Self::Allowed => "allowed",
        }
    }

    /// Whether an operator can let the request pass all the same, to see what would be refused. Without a snapshot
    /// nothing would be.
    pub fn can_be_shadowed(self) -> bool {
        !matches!(self, Self::NotReady | Self::Allowed)
    }

    /// What the client gets; `None` for a verdict that passes.
    pub fn refusal(self) -> Option<Refusal> {
        match self {
            Self::NotReady => refusal!(
                503,
                "not_ready",
                "Service unavailable",
                "API keys cannot be checked yet. Please retry in 1 second.",
                RETRY
            ),
            Self::MissingKey => refusal!(
                401,
                "missing_key",
                "Missing API key",
                "The request carries no API key where one is looked for.",
                CHALLENGE
            ),
            Self::AmbiguousKey => refusal!(
                401,
                "ambiguous_key",
                "Ambiguous API key",
                "The request carries two different API keys. Send one.",
                INVALID_REQUEST
            ),
            Self::MalformedKey => refusal!(
                401,
                "malformed_key",
                "Malformed API key",
                "The API key's form or checksum is wrong. Was it copied whole?",
                INVALID_TOKEN
            ),
            Self::InvalidKey => refusal!(
                401,
                "invalid_key",
                "Invalid API key",
                "The API key is unknown or has been revoked.",
                INVALID_TOKEN
            ),
            Self::DisabledKey => refusal!(
                401,
                "disabled_key",
                "Disabled API key",
                "The API key, its owner or its account is disabled.",
                INVALID_TOKEN
            ),
            Self::ExpiredKey => {
                refusal!(401, "expired_key", "Expired API key", "The API key has expired.", INVALID_TOKEN)
            }
            Self::IpDenied => {
                refusal!(403, "ip_denied", "Address not allowed", "The API key may not be used from this address.", &[])
            }
            Self::Allowed => None,
        }
    }
}

/// What a verdict may want to know of a request. It is asked only for what this key's policy needs.
pub trait Request {
    /// The client's address, as the host trusts it; `None` if that is not known.
    fn source_address(&self) -> Option<IpAddr>;
}

/// What came of the checks on a key that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The first check that refuses, or [`Code::Allowed`].
    pub code: Code,
    /// The first check that would have refused, were it not shadowed.
    pub shadowed: Option<Code>,
}

/// Decides on a request with a key that exists. `now` is Unix time in seconds. A check that `is_shadowed` refuses
/// nothing, and those behind it count as ever.
pub fn decide(
    key: &KeyRecord<'_>,
    policy: &Policy,
    request: &impl Request,
    now: i64,
    is_shadowed: impl Fn(Code) -> bool,
) -> Decision {
    let mut shadowed = None;
    let mut refuses = |code| {
        if is_shadowed(code) {
            shadowed = shadowed.or(Some(code));
            return false;
        }
        true
    };
    let code = if (key.disabled || policy.disabled) && refuses(Code::DisabledKey) {
        Code::DisabledKey
    } else if key.expires_at.is_some_and(|expiry| now >= expiry) && refuses(Code::ExpiredKey) {
        Code::ExpiredKey
    } else if !policy.addresses.admits(|| request.source_address()) && refuses(Code::IpDenied) {
        Code::IpDenied
    } else {
        Code::Allowed
    };
    Decision { code, shadowed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::AddressLists;
    use crate::key::KeyDigest;
    use crate::record::PolicyRecord;
    use crate::test_util::policy;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const KEY: KeyRecord<'static> = KeyRecord {
        digest: KeyDigest([0; 32]),
        policy: 1,
        number: 1,
        slot: 0,
        expires_at: None,
        disabled: false,
        id: "abc123def456",
        name: "CI",
    };

    fn record() -> PolicyRecord {
        policy(1)
    }

    struct From(Option<&'static str>);

    impl Request for From {
        fn source_address(&self) -> Option<IpAddr> {
            self.0.map(|address| address.parse().unwrap())
        }
    }

    /// Of a request whose client's address nobody should ask for.
    fn verdict(key: &KeyRecord<'_>, record: &PolicyRecord, now: i64) -> Code {
        struct Unasked;
        impl Request for Unasked {
            fn source_address(&self) -> Option<IpAddr> {
                panic!("asked for the address")
            }
        }
        decide(key, &Policy::compile(record), &Unasked, now, |_| false).code
    }

    #[test]
    fn a_key_expires_at_the_very_second() {
        let key = KeyRecord { expires_at: Some(1000), ..KEY };
        assert_eq!(verdict(&key, &record(), 999), Code::Allowed);
        assert_eq!(verdict(&key, &record(), 1000), Code::ExpiredKey);
        assert_eq!(verdict(&KEY, &record(), i64::MAX), Code::Allowed);
    }

    #[test]
    fn key_owner_and_account_each_can_disable_and_do_so_before_expiry_is_looked_at() {
        let disabled = KeyRecord { disabled: true, expires_at: Some(0), ..KEY };
        assert_eq!(verdict(&disabled, &record(), 1), Code::DisabledKey);
        let owner = PolicyRecord { owner_disabled: true, ..record() };
        assert_eq!(verdict(&KEY, &owner, 1), Code::DisabledKey);
        let account = PolicyRecord { account_disabled: true, ..record() };
        assert_eq!(verdict(&KEY, &account, 1), Code::DisabledKey);
    }

    #[test]
    fn addresses_are_looked_at_last() {
        let lists = AddressLists { allow: vec!["10.0.0.0/8".parse().unwrap()], deny: Vec::new() };
        let record = PolicyRecord { addresses: lists, ..record() };
        let policy = Policy::compile(&record);
        let code = |source| decide(&KEY, &policy, &From(source), 0, |_| false).code;
        assert_eq!(code(Some("10.1.2.3")), Code::Allowed);
        assert_eq!(code(Some("11.1.2.3")), Code::IpDenied);
        assert_eq!(code(None), Code::IpDenied);
        let expired = KeyRecord { expires_at: Some(0), ..KEY };
        assert_eq!(verdict(&expired, &record, 0), Code::ExpiredKey);
    }

    #[test]
    fn a_shadowed_check_does_not_switch_off_those_behind_it() {
        let lists = AddressLists { allow: vec!["10.0.0.0/8".parse().unwrap()], deny: Vec::new() };
        let policy = Policy::compile(&PolicyRecord { addresses: lists, ..record() });
        let expired = KeyRecord { expires_at: Some(0), ..KEY };
        let decide =
            |source, shadow: &[Code]| decide(&expired, &policy, &From(Some(source)), 0, |code| shadow.contains(&code));
        let (inside, outside) = ("10.1.2.3", "11.1.2.3");
        let decision = |code, shadowed| Decision { code, shadowed };
        assert_eq!(decide(inside, &[Code::ExpiredKey]), decision(Code::Allowed, Some(Code::ExpiredKey)));
        assert_eq!(decide(outside, &[Code::ExpiredKey]), decision(Code::IpDenied, Some(Code::ExpiredKey)));
        assert_eq!(decide(outside, &[Code::IpDenied]), decision(Code::ExpiredKey, None));
        assert_eq!(
            decide(outside, &[Code::IpDenied, Code::ExpiredKey]),
            decision(Code::Allowed, Some(Code::ExpiredKey))
        );
    }

    #[test]
    fn every_refusal_is_json_of_the_contracts_shape() {
        for code in Code::ALL {
            let Some(refusal) = code.refusal() else {
                assert_eq!(code, Code::Allowed);
                continue;
            };
            let body: serde_json::Value = serde_json::from_str(refusal.body).unwrap();
            let mut fields: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
            fields.sort();
            assert_eq!(fields, ["code", "error", "message", "status"]);
            assert_eq!(body["status"], "error");
            assert_eq!(body["code"], code.as_str());
            assert_eq!(refusal.details, format!("latchkey_{}", code.as_str()));
            let challenged = refusal.headers.iter().any(|(name, _)| *name == "www-authenticate");
            assert_eq!(challenged, refusal.status == 401);
        }
    }
}
