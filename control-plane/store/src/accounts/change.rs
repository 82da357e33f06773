//! Changes of accounts, by the operator. Closing an account is permanent; its row stays, because
//! other rows refer to it.

use latchkey_model::random;
use latchkey_model::role::Role;

use super::{Account, find};
use crate::audit::Event;
use crate::keys::KeyOwner;
use crate::policies::{self, PolicyScope};
use crate::revision::{RevisionTx, run_to_completion};
use crate::users::{self, NewUser, User};
use crate::{Authorized, StoreError, disclosures, tiers};

/// An account to create, with its first administrator.
pub struct NewAccount {
    /// The account's name.
    pub name: String,
    /// The name of its tier.
    pub tier: String,
    /// `None`: any number.
    pub max_keys: Option<u32>,
    /// The administrator's email address, in lower case.
    pub email: String,
    /// The hash of the password, as a PHC string.
    pub password_hash: String,
}

/// The fields of an account to change.
#[derive(Debug, Default)]
pub struct AccountChange {
    /// The new name.
    pub name: Option<String>,
    /// The name of the tier.
    pub tier: Option<String>,
    /// The maximum number of keys. `Some(None)` removes the maximum.
    pub max_keys: Option<Option<u32>>,
    /// The new disabled state. A disabled account's keys are refused.
    pub disabled: Option<bool>,
}

impl AccountChange {
    fn applied_to(self, account: &Account) -> Account {
        let account = account.clone();
        Account {
            name: self.name.unwrap_or(account.name),
            tier: self.tier.unwrap_or(account.tier),
            max_keys: self.max_keys.unwrap_or(account.max_keys),
            disabled: self.disabled.unwrap_or(account.disabled),
            ..account
        }
    }
}

impl Authorized {
    /// Adds an account and its first administrator. Fails with [`StoreError::TierNotFound`] and
    /// [`StoreError::EmailTaken`].
    pub async fn create_account(self, new: NewAccount) -> Result<(Account, User), StoreError> {
        run_to_completion(async move {
            let NewAccount { name, tier, max_keys, email, password_hash } = new;
            let mut authorized = self.begin_local().await?;
            // The administrator holds every permission.
            if !authorized.caller.grants.cover_role(Role::ADMIN) {
                return Err(StoreError::PermissionMissing("*"));
            }
            tiers::position(&tiers::with_retired(&mut authorized.tx).await?, &tier)?;
            if let Some(event) = disclosures::of_email(&mut authorized.tx, &authorized.caller, &email, self.now).await? {
                authorized.commit(&[event]).await?;
                return Err(StoreError::EmailTaken);
            }
            let id = random::id("acc")?;
            sqlx::query("INSERT INTO accounts (id, name, tier, max_keys, created_at) VALUES (?, ?, ?, ?, ?)")
                .bind(&id)
                .bind(name)
                .bind(tier)
                .bind(max_keys)
                .bind(self.now)
                .execute(&mut *authorized.tx)
                .await?;
            let admin =
                users::insert(&mut authorized.tx, &id, NewUser::administrator(email, password_hash), self.now).await?;
            let account = find(&mut authorized.tx, &id, self.now).await?;
            let events = [Event::created("account.create", &account), Event::created("user.create", &admin)];
            authorized.commit(&events).await?;
            Ok((account, admin))
        })
        .await
    }

    /// Changes an account. Returns it with the revision from which on its keys are decided by the
    /// change. Disabling an account logs its users out. Fails with [`StoreError::AccountNotFound`],
    /// [`StoreError::AccountClosed`], [`StoreError::TierNotFound`], and with
    /// [`StoreError::OperatorsAccount`] if it would disable the operator's account.
    pub async fn edit_account(
        self,
        id: String,
        change: AccountChange,
    ) -> Result<(Account, u64), StoreError> {
        run_to_completion(async move {
            let mut authorized = self.begin().await?;
            let before = find(authorized.tx.connection(), &id, self.now).await?;
            if before.closed_at.is_some() {
                return Err(StoreError::AccountClosed);
            }
            let after = change.applied_to(&before);
            if after == before {
                return Ok((after, authorized.revision_before()));
            }
            if after.disabled && after.operator {
                return Err(StoreError::OperatorsAccount);
            }
            tiers::position(
                &tiers::with_retired(authorized.tx.connection()).await?,
                &after.tier,
            )?;
            update(&mut authorized.tx, &after).await?;
            if after.disabled {
                users::log_out(authorized.tx.connection(), KeyOwner::Account(&id)).await?;
            }
            if (after.disabled, &after.tier) != (before.disabled, &before.tier) {
                policies::stamp(&mut authorized.tx, PolicyScope::Account(&id)).await?;
            }
            let revision = authorized
                .commit(&[Event::edited("account.update", &before, &after)])
                .await?;
            Ok((after, revision))
        })
        .await
    }

    /// Closes an account permanently, unless it is closed already. Its users are logged out, and
    /// nodes refuse its keys from the returned revision on; both are removed in steps. Fails with
    /// [`StoreError::AccountNotFound`] and [`StoreError::OperatorsAccount`].
    pub async fn close_account(self, id: String) -> Result<(Account, u64), StoreError> {
        run_to_completion(async move {
            let mut authorized = self.begin().await?;
            let before = find(authorized.tx.connection(), &id, self.now).await?;
            if before.operator {
                return Err(StoreError::OperatorsAccount);
            }
            if before.closed_at.is_some() {
                return Ok((before, authorized.revision_before()));
            }
            let close = sqlx::query("UPDATE accounts SET closed_at = ? WHERE id = ?")
                .bind(self.now)
                .bind(&id);
            close.execute(authorized.tx.connection()).await?;
            authorized
                .remove_keys_of(&id, KeyOwner::Account(&id))
                .await?;
            let closed = find(authorized.tx.connection(), &id, self.now).await?;
            let revision = authorized
                .commit(&[Event::deleted("account.delete", &before)])
                .await?;
            Ok((closed, revision))
        })
        .await
    }
}

async fn update(change: &mut RevisionTx, account: &Account) -> Result<(), StoreError> {
    sqlx::query("UPDATE accounts SET name = ?, tier = ?, max_keys = ?, disabled = ? WHERE id = ?")
        .bind(&account.name)
        .bind(&account.tier)
        .bind(account.max_keys)
        .bind(account.disabled)
        .bind(&account.id)
        .execute(change.connection())
        .await?;
    Ok(())
}
