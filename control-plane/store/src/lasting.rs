//! The changes other than to keys that a key can make, and that its restrictions would not apply to.

/// Something other than a key that a key could change, and that either outlasts the restrictions of
/// the key or lifts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// A user, who could create keys.
    User,
    /// An account, whose administrator could create keys.
    Account,
    /// The tiers, from which limits of keys are calculated.
    Tiers,
    /// The route rules, which map a request to its service and subaccount.
    Routes,
    /// A webhook, which receives events about keys.
    Webhook,
    /// A node token, which serves all keys.
    NodeToken,
}

impl Lasting {
    /// Returns its name with an article, for sentences.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "a user",
            Self::Account => "an account",
            Self::Tiers => "a change of the tiers",
            Self::Routes => "a change of the route rules",
            Self::Webhook => "a webhook",
            Self::NodeToken => "a node token",
        }
    }
}
