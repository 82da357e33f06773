//! The outcomes of requests, as they are counted for each key.

/// The outcome of a request with a key that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The request passed.
    Allowed,
    /// The key, its owner or its account is disabled.
    DisabledKey,
    /// The key is past its expiry.
    ExpiredKey,
    /// The address is not one that the key's IP lists admit.
    IpDenied,
    /// The service is outside the key's scope.
    OutOfScope,
    /// The key or its owner does not have the permission.
    MissingPermission,
    /// The subaccount is not among the key's.
    SubaccountDenied,
    /// A limit is used up.
    RateLimited,
}

impl Outcome {
    /// All outcomes, in the order in which they are reported: `outcome as usize` is the index.
    pub const ALL: [Self; 8] = [
        Self::Allowed,
        Self::DisabledKey,
        Self::ExpiredKey,
        Self::IpDenied,
        Self::OutOfScope,
        Self::MissingPermission,
        Self::SubaccountDenied,
        Self::RateLimited,
    ];
}
