//! The labels of metrics.

use prometheus_client::encoding::EncodeLabelSet;

/// The route is the pattern, never the path: a path can hold anything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Request {
    pub(crate) route: String,
    pub(crate) method: &'static str,
    pub(crate) status: u16,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Endpoint {
    pub(crate) route: String,
    pub(crate) method: &'static str,
}

/// How a stream began.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Snapshot {
    kind: &'static str,
}

impl Snapshot {
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

/// Why a stream's credential was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RefusedCredential {
    reason: &'static str,
}

impl RefusedCredential {
    /// There is no valid token.
    pub(crate) const TOKEN: Self = Self { reason: "token" };
    /// The token is not valid for the `node.id`.
    pub(crate) const NODE_ID: Self = Self { reason: "node_id" };
}

/// What became of a log-in. Whether there is such a user is not told: everybody may read metrics.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct LoginOutcome {
    outcome: &'static str,
}

impl LoginOutcome {
    pub(crate) const ACCEPTED: Self = Self {
        outcome: "accepted",
    };
    /// Email address or password was wrong.
    pub(crate) const REFUSED: Self = Self { outcome: "refused" };
    /// There had been too many wrong ones.
    pub(crate) const THROTTLED: Self = Self {
        outcome: "throttled",
    };
    /// Too many passwords were being verified.
    pub(crate) const BUSY: Self = Self { outcome: "busy" };

    pub(crate) fn name(&self) -> &'static str {
        self.outcome
    }
}

/// What is wrong with `X-Forwarded-For`, given the setting `trusted-hops`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ForwardedFor {
    problem: &'static str,
}

impl ForwardedFor {
    /// It is there, and the setting is 0.
    pub(crate) const IGNORED: Self = Self { problem: "ignored" };
    /// It does not have the client's address.
    pub(crate) const MISSING: Self = Self { problem: "missing" };
}
