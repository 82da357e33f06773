//! Callers: resolves a credential to its holder, within any transaction. It reads only the columns
//! that describe a caller, so that it does not depend on the changes that a caller can make.

use latchkey_model::authority::{Authority, Grants};
use latchkey_model::secret::TokenHash;
use latchkey_model::selection::Selection;
use latchkey_policy::key::KeyDigest;
use latchkey_policy::verdict::Code;
use sqlx::{FromRow, SqliteConnection, SqliteExecutor};
use std::net::IpAddr;

use super::actors::{Actor, Caller, Credential, SERVICE};
use super::at_rest::AtRest;
use super::keys::{self, Found};
use super::restrictions::KeyRestrictions;
use super::{Store, StoreError, authority, selection, tiers};

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

/// A live session, with its user.
#[derive(FromRow)]
struct SessionRow {
    expires_at: i64,
    account_id: String,
    user_id: String,
    email: String,
    tier: String,
    operator: bool,
    roles: String,
    permissions: String,
    subaccounts: Option<String>,
}

/// The columns of an account that describe a caller.
#[derive(FromRow)]
struct AccountRow {
    tier: String,
    operator: bool,
    disabled: bool,
    closed: bool,
}

/// The columns of a key's owner that describe a caller.
#[derive(FromRow)]
struct OwnerRow {
    roles: String,
    permissions: String,
    subaccounts: Option<String>,
    disabled: bool,
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
        Credential::Session(token) => match session(from, token, now).await? {
            Some((caller, _)) => Ok(caller),
            None => Err(StoreError::SessionEnded),
        },
        Credential::Key(digest) => key(from, at_rest, digest, address, now).await,
    }
}

/// Returns the caller of a session that has not ended, and its end if it is not used again.
pub(super) async fn session(
    from: impl SqliteExecutor<'_>,
    token: &TokenHash,
    now: i64,
) -> Result<Option<(Caller, i64)>, StoreError> {
    const QUERY: &str = "SELECT s.expires_at, u.account_id, u.id AS user_id, u.email, a.tier, a.operator, u.roles, \
         u.permissions, u.subaccounts \
         FROM sessions s JOIN users u ON u.id = s.user_id JOIN accounts a ON a.id = u.account_id \
         WHERE s.token_hash = ? AND s.expires_at > ? AND u.deleted_at IS NULL AND NOT u.disabled AND NOT a.disabled \
         AND a.closed_at IS NULL";
    let found = sqlx::query_as(QUERY)
        .bind(token.as_bytes())
        .bind(now)
        .fetch_optional(from)
        .await?;
    let Some(row) = found else {
        return Ok(None);
    };
    let row: SessionRow = row;
    let caller = Caller {
        actor: Actor::User {
            id: row.user_id.clone(),
            email: row.email,
        },
        account_id: row.account_id,
        user_id: row.user_id,
        tier: row.tier,
        operator: row.operator,
        grants: Grants::new(&authority(&row.roles, &row.permissions)?),
        subaccounts: selection(row.subaccounts.as_deref())?,
        scope: Selection::All,
        restrictions: None,
    };
    Ok(Some((caller, row.expires_at)))
}

async fn account(from: &mut SqliteConnection, id: &str) -> Result<AccountRow, StoreError> {
    const ACCOUNT: &str = "SELECT tier, operator, disabled, closed_at IS NOT NULL AS closed FROM accounts WHERE id = ?";
    Ok(sqlx::query_as(ACCOUNT).bind(id).fetch_one(from).await?)
}

async fn owner(
    from: &mut SqliteConnection,
    account_id: &str,
    id: &str,
) -> Result<OwnerRow, StoreError> {
    const OWNER: &str = "SELECT * FROM user_details WHERE account_id = ? AND id = ?";
    let query = sqlx::query_as(OWNER).bind(account_id).bind(id);
    query
        .fetch_optional(from)
        .await?
        .ok_or(StoreError::UserNotFound)
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
    let owner = owner(&mut *from, &account_id, &key.user_id).await?;
    let owner_authority = authority(&owner.roles, &owner.permissions)?;
    let owner_subaccounts = selection(owner.subaccounts.as_deref())?;
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
        grants: Grants::new(&owner_authority).and(&Authority { roles, permissions }),
        subaccounts: owner_subaccounts.and(&key.settings.subaccounts),
        scope: key.settings.scope,
        restrictions: Some(restrictions),
    })
}
