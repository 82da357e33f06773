//! Callers: resolves a credential to its holder, within any transaction.

use latchkey_model::authority::{Authority, Grants};
use latchkey_policy::key::KeyDigest;
use latchkey_policy::verdict::Code;
use sqlx::SqliteConnection;
use std::net::IpAddr;

use super::actors::{Actor, Caller, Credential, SERVICE};
use super::at_rest::AtRest;
use super::keys::{self, Found};
use super::restrictions::KeyRestrictions;
use super::{Store, StoreError, sessions, tiers, users};

impl Store {
    /// Resolves a credential to its caller, and records the use. Fails with
    /// [`StoreError::SessionEnded`] and [`StoreError::KeyRefused`] if the credential is not valid.
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

/// The columns of an account and a user that describe a caller.
#[derive(sqlx::FromRow)]
struct AccountRow {
    tier: String,
    operator: bool,
    disabled: bool,
    closed: bool,
}

/// Resolves a credential to its caller.
///
/// # Errors
/// [`StoreError::SessionEnded`] and [`StoreError::KeyRefused`] if the credential is not valid.
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

async fn account(from: &mut SqliteConnection, id: &str) -> Result<AccountRow, StoreError> {
    const ACCOUNT: &str = "SELECT tier, operator, disabled, closed_at IS NOT NULL AS closed FROM accounts WHERE id = ?";
    Ok(sqlx::query_as(ACCOUNT).bind(id).fetch_one(from).await?)
}

/// Resolves a key to its caller, by the same rules as the filter.
async fn key(
    from: &mut SqliteConnection,
    at_rest: &AtRest,
    digest: &KeyDigest,
    address: Option<IpAddr>,
    now: i64,
) -> Result<Caller, StoreError> {
    let refused = |code| Err(StoreError::KeyRefused(code));
    let Some(Found {
        account_id,
        key,
        expires_at,
    }) = keys::by_digest(&mut *from, at_rest, digest).await?
    else {
        return refused(Code::InvalidKey);
    };
    let account = account(&mut *from, &account_id).await?;
    // The key of a deleted owner is revoked, even before its row says so.
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
        grants: Grants::new(&owner.authority).and(&Authority { roles, permissions }),
        subaccounts: owner.subaccounts.and(&key.settings.subaccounts),
        scope: key.settings.scope,
        restrictions: Some(restrictions),
    })
}
