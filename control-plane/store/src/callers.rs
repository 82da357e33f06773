//! Who calls: what a credential stands for, in whichever transaction that is asked.

use latchkey_model::authority::{Authority, Grants};
use latchkey_model::secret::TokenHash;
use latchkey_model::selection::Selection;
use latchkey_policy::key::KeyDigest;
use latchkey_policy::verdict::Code;
use sqlx::SqliteConnection;
use std::net::IpAddr;

use super::at_rest::AtRest;
use super::keys::{self, Found};
use super::lasting::Lasting;
use super::restrictions::KeyRestrictions;
use super::{Store, StoreError, sessions, tiers, users};

/// The service that the management API is to a key's scope.
pub const SERVICE: &str = "latchkey";

/// What a request presents, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// The token of a session.
    Session(TokenHash),
    /// An API key.
    Key(KeyDigest),
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A user, in a session.
    User {
        /// `usr_…`
        id: String,
        /// Their address.
        email: String,
    },
    /// An API key.
    Key {
        /// `key_…`
        id: String,
        /// As people call it.
        name: String,
    },
    /// The control plane itself.
    System,
    /// Somebody without a credential.
    Unknown,
}

impl Actor {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::User { .. } => "user",
            Self::Key { .. } => "key",
            Self::System => "system",
            Self::Unknown => "unknown",
        }
    }

    /// What it is found by.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::User { id, .. } | Self::Key { id, .. } => Some(id),
            Self::System | Self::Unknown => None,
        }
    }

    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::User { email: name, .. } | Self::Key { name, .. } => Some(name),
            Self::System | Self::Unknown => None,
        }
    }
}

/// On whose behalf a request is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub actor: Actor,
    /// `acc_…`
    pub account_id: String,
    /// The user themselves, or the owner of the key: `usr_…`
    pub user_id: String,
    /// The account's, and so that of a key which names none.
    pub tier: String,
    /// Whether the account is the operator's.
    pub operator: bool,
    /// What they may do.
    pub grants: Grants,
    /// The subaccounts that they may act on.
    pub subaccounts: Selection,
    /// The services that they may act on: of a key, its scope.
    pub scope: Selection,
    /// What else restricts a key.
    pub restrictions: Option<KeyRestrictions>,
}

/// Permissions of this group are about what all accounts share.
const OPERATORS_GROUP: &str = "gateway:";

impl Caller {
    /// Whether they hold `permission`. What all accounts share is for the operator's account alone.
    pub fn holds(&self, permission: &str) -> bool {
        (self.operator || !permission.starts_with(OPERATORS_GROUP)) && self.grants.hold(permission)
    }

    /// The subaccounts of a key that they make and say nothing about: all that its owner may act
    /// on, and of a key that is kept to some, those.
    pub fn own_subaccounts(&self) -> Selection {
        match &self.restrictions {
            Some(KeyRestrictions {
                subaccounts: Selection::Listed(_),
                ..
            }) => self.subaccounts.clone(),
            Some(_) | None => Selection::All,
        }
    }

    /// What they are kept to, if they are a key that is, and `lasting` would not be.
    pub fn kept_to(&self, lasting: Lasting) -> Option<&'static str> {
        self.restrictions.as_ref()?.kept_to(&self.scope, lasting)
    }
}

impl Store {
    /// Who a credential stands for; this is also a use of it. Fails with
    /// [`StoreError::SessionEnded`] and [`StoreError::KeyRefused`] if that is nobody.
    pub async fn caller(
        &self,
        credential: &Credential,
        address: Option<IpAddr>,
        now: i64,
    ) -> Result<Caller, StoreError> {
        match credential {
            Credential::Session(token) => self
                .use_session(token, now)
                .await?
                .ok_or(StoreError::SessionEnded),
            Credential::Key(digest) => {
                let mut transaction = self.0.readers.begin().await?;
                let caller = key(&mut transaction, &self.0.at_rest, digest, address, now).await?;
                drop(transaction);
                self.use_secret(digest, address, now).await?;
                Ok(caller)
            }
        }
    }
}

/// What an account and a user have to say about who calls.
#[derive(sqlx::FromRow)]
struct AccountRow {
    tier: String,
    operator: bool,
    disabled: bool,
    closed: bool,
}

/// Who a credential stands for.
///
/// # Errors
/// [`StoreError::SessionEnded`] and [`StoreError::KeyRefused`] if it stands for nobody.
pub(super) async fn find(
    from: &mut SqliteConnection,
    at_rest: &AtRest,
    credential: &Credential,
    address: Option<IpAddr>,
    now: i64,
) -> Result<Caller, StoreError> {
    match credential {
        Credential::Session(token) => match sessions::find(from, token, now).await? {
            Some((caller, _)) => Ok(caller),
            None => Err(StoreError::SessionEnded),
        },
        Credential::Key(digest) => key(from, at_rest, digest, address, now).await,
    }
}

/// What a key may do, by the rules that the filter decides by.
async fn key(
    from: &mut SqliteConnection,
    at_rest: &AtRest,
    digest: &KeyDigest,
    address: Option<IpAddr>,
    now: i64,
) -> Result<Caller, StoreError> {
    const ACCOUNT: &str = "SELECT tier, operator, disabled, closed_at IS NOT NULL AS closed FROM accounts WHERE id = ?";
    let refused = |code| Err(StoreError::KeyRefused(code));
    let Some(Found {
        account_id,
        key,
        expires_at,
    }) = keys::by_digest(&mut *from, at_rest, digest).await?
    else {
        return refused(Code::InvalidKey);
    };
    let account: AccountRow = sqlx::query_as(ACCOUNT)
        .bind(&account_id)
        .fetch_one(&mut *from)
        .await?;
    // The key of somebody who no longer exists is revoked, also while its row says nothing of it.
    if account.closed || key.revoked_at.is_some() {
        return refused(Code::InvalidKey);
    }
    let owner = users::find(&mut *from, &account_id, &key.user_id).await?;
    if key.disabled || owner.disabled || account.disabled {
        return refused(Code::DisabledKey);
    }
    if expires_at.is_some_and(|second| second <= now) {
        return refused(Code::ExpiredKey);
    }
    let account_tier = (account.tier.clone(), !account.operator);
    let restrictions = KeyRestrictions::new(
        &key,
        expires_at,
        tiers::with_retired(&mut *from).await?,
        account_tier,
        now,
    );
    if !restrictions.admits(address) {
        return refused(Code::IpDenied);
    }
    if !key.settings.scope.has(SERVICE) {
        return refused(Code::OutOfScope);
    }
    let Authority { roles, permissions } = key.settings.authority;
    Ok(Caller {
        actor: Actor::Key {
            id: key.id,
            name: key.settings.name,
        },
        account_id,
        user_id: key.user_id,
        tier: account.tier,
        operator: account.operator,
        grants: Grants::of(&owner.authority).and(&Authority { roles, permissions }),
        subaccounts: owner.subaccounts.and(&key.settings.subaccounts),
        scope: key.settings.scope,
        restrictions: Some(restrictions),
    })
}
