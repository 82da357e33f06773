//! The verdicts' codes, and the answers to refused clients.

use crate::meter::{Exhausted, Outcome};
use std::borrow::Cow;

/// A verdict's stable name: in the error body, in metrics, in access logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The route rule requires no key.
    Public,
    /// There is no snapshot yet, or it cannot be trusted.
    NotReady,
    /// The request has no credential.
    MissingKey,
    /// The request has two different credentials.
    AmbiguousKey,
    /// The form or the checksum of the key is wrong.
    MalformedKey,
    /// The key is unknown or revoked.
    InvalidKey,
    /// The key, its owner or its account is disabled.
    DisabledKey,
    /// The key is past its expiry, from that very second on.
    ExpiredKey,
    /// The client's address is not one that the key's IP lists admit.
    IpDenied,
    /// The service is outside the key's scope, or the request is for none that is known.
    OutOfScope,
    /// The key or its owner lacks the permission.
    MissingPermission,
    /// The subaccount is not among the key's.
    SubaccountDenied,
    /// A limit is used up.
    RateLimited,
    /// The request passes.
    Allowed,
}

/// The answer that a refused client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u32,
    /// The name under which Envoy's `%RESPONSE_CODE_DETAILS%` shows it.
    pub details: &'static str,
    /// The JSON body.
    pub body: Cow<'static, str>,
    /// The challenge, which every 401 has (RFC 9110, section 11.6.1).
    pub challenge: Option<Challenge>,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<i64>,
    /// The status of the answer to a gRPC request.
    pub grpc_status: GrpcStatus,
}

/// The parameters of `WWW-Authenticate` after the scheme (RFC 6750, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// No error, because no credential was sent.
    Missing,
    /// The credential does not pass. The RFC's `invalid_request` would have to come with 400.
    InvalidToken,
}

impl Challenge {
    /// Returns the header's value, for the scheme `Bearer` or, if that is not accepted, for
    /// `ApiKey`. Errors are only defined for `Bearer`.
    pub fn header(self, bearer: bool) -> &'static str {
        match (bearer, self) {
            (true, Self::Missing) => r#"Bearer realm="latchkey""#,
            (true, Self::InvalidToken) => r#"Bearer realm="latchkey", error="invalid_token""#,
            (false, _) => r#"ApiKey realm="latchkey""#,
        }
    }
}

/// A gRPC status, with its number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrpcStatus {
    /// `PERMISSION_DENIED`, with 403.
    PermissionDenied = 7,
    /// `RESOURCE_EXHAUSTED`, with 429: clients do not take it for an outage.
    ResourceExhausted = 8,
    /// `UNAVAILABLE`, with 503.
    Unavailable = 14,
    /// `UNAUTHENTICATED`, with 401.
    Unauthenticated = 16,
}

const fn grpc_status(status: u32) -> GrpcStatus {
    match status {
        401 => GrpcStatus::Unauthenticated,
        403 => GrpcStatus::PermissionDenied,
        429 => GrpcStatus::ResourceExhausted,
        _ => GrpcStatus::Unavailable,
    }
}

/// The constant part of every answer with a code, which is in the binary as it is sent.
macro_rules! refusal {
    ($status:literal, $code:literal, $message:literal, $error:literal) => {
        Refusal {
            status: $status,
            details: concat!("latchkey_", $code),
            body: Cow::Borrowed(concat!(
                r#"{"status":"error","code":""#,
                $code,
                r#"","message":""#,
                $message,
                r#"","error":""#,
                $error,
                r#""}"#
            )),
            challenge: None,
            retry_after: None,
            grpc_status: const { grpc_status($status) },
        }
    };
}

impl Code {
    /// All codes, in the order of the checks.
    pub const ALL: [Self; 14] = [
        Self::Public,
        Self::NotReady,
        Self::MissingKey,
        Self::AmbiguousKey,
        Self::MalformedKey,
        Self::InvalidKey,
        Self::DisabledKey,
        Self::ExpiredKey,
        Self::IpDenied,
        Self::OutOfScope,
        Self::MissingPermission,
        Self::SubaccountDenied,
        Self::RateLimited,
        Self::Allowed,
    ];

    /// Returns the stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::NotReady => "not_ready",
            Self::MissingKey => "missing_key",
            Self::AmbiguousKey => "ambiguous_key",
            Self::MalformedKey => "malformed_key",
            Self::InvalidKey => "invalid_key",
            Self::DisabledKey => "disabled_key",
            Self::ExpiredKey => "expired_key",
            Self::IpDenied => "ip_denied",
            Self::OutOfScope => "out_of_scope",
            Self::MissingPermission => "missing_permission",
            Self::SubaccountDenied => "subaccount_denied",
            Self::RateLimited => "rate_limited",
            Self::Allowed => "allowed",
        }
    }

    /// Returns whether the request passes.
    pub fn passes(self) -> bool {
        matches!(self, Self::Public | Self::Allowed)
    }

    /// Returns whether an operator can let the request pass, to see what would be refused. Without
    /// a snapshot nothing would be.
    pub fn can_be_shadowed(self) -> bool {
        !matches!(self, Self::Public | Self::NotReady | Self::Allowed)
    }

    /// Returns the outcome that a verdict on a key is counted as; `None` if the verdict is not
    /// about a key.
    pub fn outcome(self) -> Option<Outcome> {
        Outcome::ALL
            .into_iter()
            .find(|outcome| Self::from(*outcome) == self)
    }

    /// Returns the answer to the client; `None` for a verdict that passes. `exhausted` is the
    /// limit, if that is the reason.
    pub fn refusal(self, exhausted: Option<Exhausted>) -> Option<Refusal> {
        Some(match self {
            Self::Public | Self::Allowed => return None,
            Self::NotReady => Refusal {
                retry_after: Some(1),
                ..refusal!(
                    503,
                    "not_ready",
                    "Service unavailable",
                    "API keys cannot be checked yet. Please retry in 1 second."
                )
            },
            Self::MissingKey => Refusal {
                challenge: Some(Challenge::Missing),
                ..refusal!(
                    401,
                    "missing_key",
                    "Missing API key",
                    "The request carries no API key where one is looked for."
                )
            },
            Self::AmbiguousKey => Refusal {
                challenge: Some(Challenge::InvalidToken),
                ..refusal!(
                    401,
                    "ambiguous_key",
                    "Ambiguous API key",
                    "The request carries two different API keys. Send one."
                )
            },
            Self::MalformedKey => Refusal {
                challenge: Some(Challenge::InvalidToken),
                ..refusal!(
                    401,
                    "malformed_key",
                    "Malformed API key",
                    "The API key's form or checksum is wrong. Was it copied whole?"
                )
            },
            Self::InvalidKey => Refusal {
                challenge: Some(Challenge::InvalidToken),
                ..refusal!(
                    401,
                    "invalid_key",
                    "Invalid API key",
                    "The API key is unknown or has been revoked."
                )
            },
            Self::DisabledKey => Refusal {
                challenge: Some(Challenge::InvalidToken),
                ..refusal!(
                    401,
                    "disabled_key",
                    "Disabled API key",
                    "The API key, its owner or its account is disabled."
                )
            },
            Self::ExpiredKey => Refusal {
                challenge: Some(Challenge::InvalidToken),
                ..refusal!(
                    401,
                    "expired_key",
                    "Expired API key",
                    "The API key has expired."
                )
            },
            Self::IpDenied => {
                refusal!(
                    403,
                    "ip_denied",
                    "Address not allowed",
                    "The API key may not be used from this address."
                )
            }
            Self::OutOfScope => refusal!(
                403,
                "out_of_scope",
                "Service not in scope",
                "The request is for no service that the API key is good for."
            ),
            Self::MissingPermission => refusal!(
                403,
                "missing_permission",
                "Missing permission",
                "The API key or its owner lacks the permission that the request needs."
            ),
            Self::SubaccountDenied => refusal!(
                403,
                "subaccount_denied",
                "Subaccount not allowed",
                "The request names no subaccount that the API key may act on."
            ),
            Self::RateLimited => {
                let refusal = refusal!(
                    429,
                    "rate_limited",
                    "Rate limit exceeded",
                    "You have exceeded your rate limit."
                );
                match exhausted {
                    Some(limit) => Refusal {
                        body: Cow::Owned(refusal.body.replace("rate limit.", &sentence(limit))),
                        retry_after: Some(limit.retry_after),
                        ..refusal
                    },
                    None => refusal,
                }
            }
        })
    }
}

impl From<Outcome> for Code {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Allowed => Self::Allowed,
            Outcome::DisabledKey => Self::DisabledKey,
            Outcome::ExpiredKey => Self::ExpiredKey,
            Outcome::IpDenied => Self::IpDenied,
            Outcome::OutOfScope => Self::OutOfScope,
            Outcome::MissingPermission => Self::MissingPermission,
            Outcome::SubaccountDenied => Self::SubaccountDenied,
            Outcome::RateLimited => Self::RateLimited,
        }
    }
}

impl Refusal {
    /// Returns the answer for a malformed key with a word before it: clients often write the scheme
    /// of `Authorization` there.
    #[must_use]
    pub fn naming(self, word: Option<&str>) -> Self {
        match word {
            // In other refusals nothing is replaced.
            Some(word) => Self {
                body: Cow::Owned(self.body.replace(
                    "form or checksum is wrong. Was it copied whole?",
                    &format!("form is wrong: send the key without the word {word} before it."),
                )),
                ..self
            },
            None => self,
        }
    }
}

/// Returns the rest of the contract's sentence.
fn sentence(
    Exhausted {
        window,
        limit,
        retry_after,
    }: Exhausted,
) -> String {
    let of =
        |count: i64, unit: &str| format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
    format!(
        "rate limit of {} per {}. Please wait {} before retrying.",
        of(limit.into(), "request"),
        window.as_str(),
        of(retry_after, "second")
    )
}

#[cfg(test)]
mod tests;
