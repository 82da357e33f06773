//! Editing keys: the attributes that can be changed. Other attributes need a new key.

use latchkey_model::ip_list::IpList;
use latchkey_model::limits::{DeclaredLimits, LimitsChange};
use latchkey_policy::limit::Window;

use super::audit::Event;
use super::expired::Held;
use super::policies::{self, Content};
use super::quotas::AccountQuotas;
use super::revision::{RevisionTx, run_to_completion};
use super::{Authorized, Caller, Key, StoreError, keys, to_json};

/// The fields of a key to change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// The new name.
    pub name: Option<String>,
    /// The new description. `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// The new expiry. `Some(None)` removes it.
    pub expires_at: Option<Option<i64>>,
    /// The new list of addresses from which it may be used.
    pub allowed_ips: Option<IpList>,
    /// The new list of addresses from which it may not be used.
    pub denied_ips: Option<IpList>,
    /// The new disabled state.
    pub disabled: Option<bool>,
    /// The key's new limits for some windows. `Some(None)` removes all of them.
    pub limits: Option<Option<LimitsChange>>,
}

impl KeyChange {
    /// Returns the windows whose limits it sets or removes.
    pub fn limited_windows(&self) -> Vec<Window> {
        match self.limits {
            None => Vec::new(),
            Some(None) => Window::ALL.to_vec(),
            Some(Some(change)) => change.windows().collect(),
        }
    }

    /// Applies the change to `key`, except for its effective limits with those of the tier.
    pub fn apply(self, key: &mut Key) {
        let settings = &mut key.settings;
        replace(&mut settings.name, self.name);
        replace(&mut settings.description, self.description);
        replace(&mut settings.expires_at, self.expires_at);
        replace(&mut settings.allowed_ips, self.allowed_ips);
        replace(&mut settings.denied_ips, self.denied_ips);
        replace(&mut key.disabled, self.disabled);
        match self.limits {
            None => {}
            Some(None) => settings.limits = DeclaredLimits::default(),
            Some(Some(change)) => settings.limits = change.applied_to(settings.limits),
        }
    }
}

fn replace<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

impl Authorized {
    /// Edits one of the account's keys. `edit` gets the caller and the present key; if it fails,
    /// nothing changes. Returns the key with the revision from which on nodes decide by the edit.
    /// If the edit makes no difference, nothing changes, and the revision is that of the key's last
    /// change. Fails with [`StoreError::KeyRevoked`], [`StoreError::NameTaken`],
    /// [`StoreError::TierExceeded`], and for an expired key that gets a later expiry with
    /// [`StoreError::KeyLimit`] and [`StoreError::HeldKeyLimit`].
    pub async fn edit_key<E: From<StoreError> + Send + 'static>(
        self,
        id: String,
        edit: impl FnOnce(&Caller, &mut Key) -> Result<(), E> + Send + 'static,
    ) -> Result<(Key, u64), E> {
        run_to_completion(async move {
            let mut authorized = self.begin().await?;
            let before = keys::find(
                authorized.tx.connection(),
                &authorized.caller.account_id,
                &id,
            )
            .await?;
            authorized.expect(&before)?;
            let (change, caller) = (&mut authorized.tx, &authorized.caller);
            let account_id = &caller.account_id;
            if before.revoked_at.is_some() {
                return Err(StoreError::KeyRevoked.into());
            }
            let held = Held::find(change, &id).await?;
            let mut key = before.clone();
            edit(caller, &mut key)?;
            if key == before {
                return Ok((key, held.revision.cast_unsigned()));
            }
            held.admit(change, account_id, (&before, &key), self.now)
                .await?;
            AccountQuotas::admit_edit(change, account_id, &before, &key, self.now).await?;
            let policy = Content::new(account_id, &key.user_id, &key.settings)?
                .policy(change)
                .await?;
            update(change, &key, policy, self.now).await?;
            held.return_to_snapshot(change, policy, &key, self.now)
                .await?;
            if policy != held.policy_id {
                policies::retire(change, [held.policy_id]).await?;
            }
            let edited = keys::find(change.connection(), account_id, &id).await?;
            let revision = authorized
                .commit(&[Event::edited("key.update", &before, &edited)])
                .await?;
            Ok((edited, revision))
        })
        .await
    }
}

async fn update(
    change: &mut RevisionTx,
    key: &Key,
    policy_id: i64,
    now: i64,
) -> Result<(), StoreError> {
    const UPDATE: &str = "UPDATE keys SET policy_id = ?, name = ?, description = ?, expires_at = ?, allowed_ips = ?, \
         denied_ips = ?, disabled = ?, limits = ?, ceilings = ?, updated_at = ?, revision = ? WHERE id = ?";
    let revision = change.revision();
    sqlx::query(UPDATE)
        .bind(policy_id)
        .bind(&key.settings.name)
        .bind(&key.settings.description)
        .bind(key.settings.expires_at)
        .bind(to_json(&key.settings.allowed_ips)?)
        .bind(to_json(&key.settings.denied_ips)?)
        .bind(key.disabled)
        .bind(to_json(&key.settings.limits)?)
        .bind(to_json(&key.settings.ceilings)?)
        .bind(now)
        .bind(revision)
        .bind(&key.id)
        .execute(change.connection())
        .await?;
    Ok(())
}
