//! The changes that the restrictions of a calling key refuse: to a key that would get more than the
//! calling key has, and to anything else that the restrictions would not apply to.

/// A field that exceeds what the calling key has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// The field's name in requests.
    pub field: String,
    /// The text that follows the field's name, such as "must be …".
    pub reason: String,
}

/// Returns the field that exceeds what the calling key has, with the reason.
pub(super) fn exceeded(field: impl Into<String>, reason: impl Into<String>) -> Option<Exceeded> {
    Some(Exceeded {
        field: field.into(),
        reason: reason.into(),
    })
}

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
