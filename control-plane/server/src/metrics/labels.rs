//! The labels of metrics.

use prometheus_client::encoding::EncodeLabelSet;

/// The labels of a request. The route is the pattern, never the path, which can contain anything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The pattern of the path.
    pub route: String,
    /// The method, from a bounded set.
    pub method: &'static str,
    /// The status of the response.
    pub status: u16,
}

/// The endpoint of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndpointLabels {
    /// The pattern of the path.
    pub route: String,
    /// The method, from a bounded set.
    pub method: &'static str,
}

/// The kind of a stream's start.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StreamStart {
    kind: &'static str,
}

impl StreamStart {
    pub(crate) const FULL: Self = Self { kind: "full" };
    pub(crate) const RESUMED: Self = Self { kind: "resumed" };
}

/// The kind of credential that a stream was opened with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CredentialKind {
    credential: &'static str,
}

impl CredentialKind {
    pub(crate) const TOKEN: Self = Self {
        credential: "token",
    };
    pub(crate) const SHARED: Self = Self {
        credential: "shared_token",
    };
}

/// The reason why a stream's credential was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RefusedCredential {
    reason: &'static str,
}

impl RefusedCredential {
    /// The stream has no valid token.
    pub(crate) const TOKEN: Self = Self { reason: "token" };
    /// The token is not valid for the `node.id`.
    pub(crate) const NODE_ID: Self = Self { reason: "node_id" };
}

/// The outcome of a login. It does not reveal whether the user exists, because everybody can read
/// the metrics.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LoginOutcome {
    outcome: &'static str,
}

impl LoginOutcome {
    /// The login succeeded.
    pub const ACCEPTED: Self = Self {
        outcome: "accepted",
    };
    /// The email address or the password was wrong.
    pub const REFUSED: Self = Self { outcome: "refused" };
    /// There were too many wrong passwords before.
    pub const THROTTLED: Self = Self {
        outcome: "throttled",
    };
    /// Too many passwords were being verified.
    pub const BUSY: Self = Self { outcome: "busy" };

    /// Returns the value of the label.
    pub fn name(&self) -> &'static str {
        self.outcome
    }
}

/// A mismatch between `X-Forwarded-For` and the setting `trusted-hops`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ForwardedFor {
    problem: &'static str,
}

impl ForwardedFor {
    /// The header is present, and the setting is 0.
    pub const IGNORED: Self = Self { problem: "ignored" };
    /// The header does not contain the client's address.
    pub const MISSING: Self = Self { problem: "missing" };
}
