//! Those who act: the credential of a request, the actor of a change, and the caller.

use latchkey_model::authority::Grants;
use latchkey_model::secret::TokenHash;
use latchkey_model::selection::Selection;
use latchkey_policy::key::KeyDigest;

use super::restricted::Lasting;
use super::restrictions::KeyRestrictions;

/// The service that a key's scope must contain for the management API.
pub const SERVICE: &str = "latchkey";

/// The credential of a request, in the form that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// The token of a session.
    Session(TokenHash),
    /// An API key.
    Key(KeyDigest),
}

/// The actor of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A user, in a session.
    User {
        /// The user's id: `usr_…`
        id: String,
        /// Their address.
        email: String,
    },
    /// An API key.
    Key {
        /// The key's id: `key_…`
        id: String,
        /// The name that people know it by.
        name: String,
    },
    /// The control plane itself.
    System,
    /// Somebody without a credential.
    Unknown,
}

impl Actor {
    /// Returns the name of its kind, as the audit has it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::User { .. } => "user",
            Self::Key { .. } => "key",
            Self::System => "system",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the actor's id.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::User { id, .. } | Self::Key { id, .. } => Some(id),
            Self::System | Self::Unknown => None,
        }
    }

    /// Returns the name that people know the actor by.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::User { email: name, .. } | Self::Key { name, .. } => Some(name),
            Self::System | Self::Unknown => None,
        }
    }
}

/// The caller on whose behalf a request is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The caller as an actor.
    pub actor: Actor,
    /// The account's id: `acc_…`
    pub account_id: String,
    /// The user themselves, or the owner of the key: `usr_…`
    pub user_id: String,
    /// The account's tier, which is also that of a key without its own.
    pub tier: String,
    /// True if the account is the operator's.
    pub operator: bool,
    /// The permissions that they hold.
    pub grants: Grants,
    /// The subaccounts that they may act on.
    pub subaccounts: Selection,
    /// The services that they may act on: of a key, its scope.
    pub scope: Selection,
    /// The further restrictions of a key.
    pub restrictions: Option<KeyRestrictions>,
}

/// The prefix of the permissions that are about what all accounts share.
const OPERATORS_GROUP: &str = "gateway:";

impl Caller {
    /// Returns whether the caller holds `permission`. Permissions about what all accounts share
    /// count only for the operator's account.
    pub fn holds(&self, permission: &str) -> bool {
        (self.operator || !permission.starts_with(OPERATORS_GROUP)) && self.grants.hold(permission)
    }

    /// Returns the subaccounts of a key that they create without listing any: all that its owner
    /// may act on, or those that the calling key is restricted to.
    pub fn own_subaccounts(&self) -> Selection {
        match &self.restrictions {
            Some(KeyRestrictions {
                subaccounts: Selection::Listed(_),
                ..
            }) => self.subaccounts.clone(),
            Some(_) | None => Selection::All,
        }
    }

    /// Returns the restriction of the calling key that would not apply to `lasting`, if any.
    pub fn kept_to(&self, lasting: Lasting) -> Option<&'static str> {
        self.restrictions.as_ref()?.kept_to(&self.scope, lasting)
    }
}
