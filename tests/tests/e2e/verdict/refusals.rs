//! The answers of refused requests, as the contract describes them.

use latchkey_tests::Answer;
use serde_json::json;

/// The expected content of a refusal with a code.
pub(super) struct Refusal {
    status: u16,
    pub(super) code: &'static str,
    challenge: Option<&'static str>,
    message: &'static str,
}

pub(super) const REFUSALS: [Refusal; 12] = [
    refusal(503, "not_ready", None, "Service unavailable"),
    refusal(
        401,
        "missing_key",
        Some(r#"Bearer realm="latchkey""#),
        "Missing API key",
    ),
    refusal(
        401,
        "ambiguous_key",
        Some(INVALID_TOKEN),
        "Ambiguous API key",
    ),
    refusal(
        401,
        "malformed_key",
        Some(INVALID_TOKEN),
        "Malformed API key",
    ),
    refusal(401, "invalid_key", Some(INVALID_TOKEN), "Invalid API key"),
    refusal(401, "disabled_key", Some(INVALID_TOKEN), "Disabled API key"),
    refusal(401, "expired_key", Some(INVALID_TOKEN), "Expired API key"),
    refusal(403, "ip_denied", None, "Address not allowed"),
    refusal(403, "out_of_scope", None, "Service not in scope"),
    refusal(403, "missing_permission", None, "Missing permission"),
    refusal(403, "subaccount_denied", None, "Subaccount not allowed"),
    refusal(429, "rate_limited", None, "Rate limit exceeded"),
];

pub(super) const INVALID_TOKEN: &str = r#"Bearer realm="latchkey", error="invalid_token""#;

pub(super) const fn refusal(
    status: u16,
    code: &'static str,
    challenge: Option<&'static str>,
    message: &'static str,
) -> Refusal {
    Refusal {
        status,
        code,
        challenge,
        message,
    }
}

/// Asserts that an answer is the one in the contract for `code`.
pub(super) fn assert_answer(rule: &str, answer: &Answer, code: &str) {
    let Some(refusal) = REFUSALS.iter().find(|refusal| refusal.code == code) else {
        assert_eq!(
            (answer.status, answer.code()),
            (200, ""),
            "{rule}: {}",
            answer.body
        );
        return;
    };
    assert_eq!(
        (answer.status, answer.code()),
        (refusal.status, code),
        "{rule}: {}",
        answer.body
    );
    let mut fields: Vec<_> = answer.body.as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["code", "error", "message", "status"], "{rule}");
    assert_eq!(
        (&answer.body["status"], &answer.body["message"]),
        (&json!("error"), &json!(refusal.message)),
        "{rule}"
    );
    assert!(
        answer.body["error"]
            .as_str()
            .is_some_and(|error| !error.is_empty()),
        "{rule}: {}",
        answer.body
    );
    assert_eq!(answer.headers["content-type"], "application/json", "{rule}");
    let challenge = answer
        .headers
        .get("www-authenticate")
        .map(|value| value.to_str().unwrap());
    assert_eq!(challenge, refusal.challenge, "{rule}");
    assert_eq!(
        answer.headers.contains_key("retry-after"),
        matches!(refusal.status, 429 | 503),
        "{rule}"
    );
}
