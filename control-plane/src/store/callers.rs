//! Who calls: what a credential stands for, in whichever transaction that is asked.

use latchkey_policy::address::{AddressLists, AddressRule};
use latchkey_policy::key::KeyDigest;
use latchkey_policy::verdict::Code;
use sqlx::SqliteConnection;
use std::net::IpAddr;

use super::keys::{self, Found};
use super::{Key, KeySettings, Store, StoreError, sessions, users};
use crate::authority::{Authority, Grants};
use crate::ip_list::IpList;
use crate::secret::TokenHash;
use crate::selection::Selection;

/// The service that the management API is to a key's scope.
pub(crate) const SERVICE: &str = "latchkey";

/// What a request presents, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
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
}

impl Actor {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::User { .. } => "user",
            Self::Key { .. } => "key",
            Self::System => "system",
        }
    }

    /// What it is found by.
    pub(crate) fn id(&self) -> Option<&str> {
        match self {
            Self::User { id, .. } | Self::Key { id, .. } => Some(id),
            Self::System => None,
        }
    }

    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::User { email: name, .. } | Self::Key { name, .. } => Some(name),
            Self::System => None,
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
    /// What binds a key besides.
    pub bounds: Option<Bounds>,
}

/// What binds a key, and so what is made with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// The subaccounts that it names, of its owner's.
    pub subaccounts: Selection,
    /// From this second on it is refused.
    pub expires_at: Option<i64>,
    /// From where it may be used.
    pub allowed_ips: IpList,
    /// From where it may not be used.
    pub denied_ips: IpList,
}

impl Bounds {
    fn of(settings: &KeySettings) -> Self {
        Self {
            subaccounts: settings.subaccounts.clone(),
            expires_at: settings.expires_at,
            allowed_ips: settings.allowed_ips.clone(),
            denied_ips: settings.denied_ips.clone(),
        }
    }

    /// The first field by which `settings` are good for longer, or from elsewhere. Lists that differ may be good for
    /// other addresses.
    pub(crate) fn exceeded_by(&self, settings: &KeySettings) -> Option<&'static str> {
        let lasts = |second: Option<i64>| second.unwrap_or(i64::MAX);
        let differ = |own: &IpList, other: &IpList| !own.enabled().is_empty() && own.enabled() != other.enabled();
        if lasts(settings.expires_at) > lasts(self.expires_at) {
            Some("expires_at")
        } else if differ(&self.allowed_ips, &settings.allowed_ips) {
            Some("allowed_ips")
        } else if differ(&self.denied_ips, &settings.denied_ips) {
            Some("denied_ips")
        } else {
            None
        }
    }

    /// Gives `settings` that say nothing of time and addresses those of the key.
    pub(crate) fn default_to(&self, settings: &mut KeySettings) {
        settings.expires_at = settings.expires_at.or(self.expires_at);
        if settings.allowed_ips == IpList::default() && settings.denied_ips == IpList::default() {
            settings.allowed_ips = self.allowed_ips.clone();
            settings.denied_ips = self.denied_ips.clone();
        }
    }
}

/// Permissions of this group are about what all accounts share.
const OPERATORS_GROUP: &str = "gateway:";

impl Caller {
    /// Whether they hold `permission`. What all accounts share is for the operator's account alone.
    pub(crate) fn holds(&self, permission: &str) -> bool {
        (self.operator || !permission.starts_with(OPERATORS_GROUP)) && self.grants.hold(permission)
    }

    /// The subaccounts of a key that they make and say nothing about: all that its owner may act on, and of a key that
    /// is kept to some, those.
    pub(crate) fn own_subaccounts(&self) -> Selection {
        match &self.bounds {
            Some(Bounds { subaccounts: Selection::Listed(_), .. }) => self.subaccounts.clone(),
            Some(_) | None => Selection::All,
        }
    }

    /// Whether they are a key that is kept to services, a time or addresses, none of which binds a user.
    pub(crate) fn is_bound(&self) -> bool {
        let bounds = |bounds: &Bounds| {
            let lists = [&bounds.allowed_ips, &bounds.denied_ips];
            bounds.expires_at.is_some() || lists.iter().any(|list| !list.enabled().is_empty())
        };
        self.scope != Selection::All || self.bounds.as_ref().is_some_and(bounds)
    }
}

impl Store {
    /// Who a credential stands for; this is also a use of it. Fails with [`StoreError::SessionEnded`] and
    /// [`StoreError::KeyRefused`] if that is nobody.
    pub(crate) async fn caller(
        &self,
        credential: &Credential,
        address: Option<IpAddr>,
        now: i64,
    ) -> Result<Caller, StoreError> {
        match credential {
            Credential::Session(token) => self.use_session(token, now).await?.ok_or(StoreError::SessionEnded),
            Credential::Key(digest) => {
                let mut transaction = self.0.readers.begin().await?;
                let caller = key(&mut transaction, digest, address, now).await?;
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
}

/// Who a credential stands for.
///
/// # Errors
/// [`StoreError::SessionEnded`] and [`StoreError::KeyRefused`] if it stands for nobody.
pub(super) async fn find(
    from: &mut SqliteConnection,
    credential: &Credential,
    address: Option<IpAddr>,
    now: i64,
) -> Result<Caller, StoreError> {
    match credential {
        Credential::Session(token) => match sessions::find(from, token, now).await? {
            Some((caller, _)) => Ok(caller),
            None => Err(StoreError::SessionEnded),
        },
        Credential::Key(digest) => key(from, digest, address, now).await,
    }
}

/// What a key may do, by the rules that the filter decides by.
async fn key(
    from: &mut SqliteConnection,
    digest: &KeyDigest,
    address: Option<IpAddr>,
    now: i64,
) -> Result<Caller, StoreError> {
    let refused = |code| Err(StoreError::KeyRefused(code));
    let Some(Found { account_id, key, expires_at }) = keys::by_digest(&mut *from, digest).await? else {
        return refused(Code::InvalidKey);
    };
    let account: AccountRow = sqlx::query_as("SELECT tier, operator, disabled FROM accounts WHERE id = ?")
        .bind(&account_id)
        .fetch_one(&mut *from)
        .await?;
    let owner = users::find(&mut *from, &account_id, &key.user_id).await?;
    if key.disabled || owner.disabled || account.disabled {
        return refused(Code::DisabledKey);
    }
    if expires_at.is_some_and(|second| second <= now) {
        return refused(Code::ExpiredKey);
    }
    if !addresses(&key).admits(|| address) {
        return refused(Code::IpDenied);
    }
    if !key.settings.scope.has(SERVICE) {
        return refused(Code::OutOfScope);
    }
    let bounds = Some(Bounds { expires_at, ..Bounds::of(&key.settings) });
    let Authority { roles, permissions } = key.settings.authority;
    Ok(Caller {
        actor: Actor::Key { id: key.id, name: key.settings.name },
        account_id,
        user_id: key.user_id,
        tier: account.tier,
        operator: account.operator,
        grants: Grants::of(&owner.authority).and(&Authority { roles, permissions }),
        subaccounts: owner.subaccounts.and(&key.settings.subaccounts),
        scope: key.settings.scope,
        bounds,
    })
}

fn addresses(key: &Key) -> AddressRule {
    let (allow, deny) = (key.settings.allowed_ips.enabled(), key.settings.denied_ips.enabled());
    AddressRule::compile(&AddressLists { allow, deny })
}
