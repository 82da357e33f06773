//! Editing keys: what may be edited. Anything else takes another key.

use latchkey_model::ip_list::IpList;
use latchkey_model::limits::{DeclaredLimits, LimitsChange};
use latchkey_policy::limit::Window;

use super::audit::Event;
use super::bounds::Bounds;
use super::change::{Change, to_its_end};
use super::expired::Held;
use super::policies::{self, Content};
use super::{Acting, Caller, Key, StoreError, keys, to_json};

/// Parts of a key that are to be different.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// Another name.
    pub name: Option<String>,
    /// Another description, or none.
    pub description: Option<Option<String>>,
    /// Another expiry, or none.
    pub expires_at: Option<Option<i64>>,
    /// Other addresses from where it may be used.
    pub allowed_ips: Option<IpList>,
    /// Other addresses from where it may not be used.
    pub denied_ips: Option<IpList>,
    /// Switches it off, or on again.
    pub disabled: Option<bool>,
    /// Limits of its own for some windows, or none at all.
    pub limits: Option<Option<LimitsChange>>,
}

impl KeyChange {
    /// The windows whose limits it sets or removes.
    pub fn limited_windows(&self) -> Vec<Window> {
        match self.limits {
            None => Vec::new(),
            Some(None) => Window::ALL.to_vec(),
            Some(Some(change)) => change.windows().collect(),
        }
    }

    /// Makes `key` what it will be, other than for its limits with the tier's.
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

impl Acting {
    /// Edits one of the account's keys as `edit` says, which sees the caller and the key as they
    /// are, and changes nothing if that fails. Returns it with the revision from which on nodes go
    /// by it. If the edit makes no difference nothing changes, and the revision is that of the
    /// key's last change. Fails with [`StoreError::KeyRevoked`], [`StoreError::NameTaken`],
    /// [`StoreError::TierExceeded`], and for a key that had expired and no longer has with
    /// [`StoreError::KeyLimit`] and [`StoreError::HeldKeyLimit`].
    pub async fn edit_key<E: From<StoreError> + Send + 'static>(
        self,
        id: String,
        edit: impl FnOnce(&Caller, &mut Key) -> Result<(), E> + Send + 'static,
    ) -> Result<(Key, u64), E> {
        to_its_end(async move {
            let mut deed = self.begin().await?;
            let before = keys::find(deed.on.connection(), &deed.caller.account_id, &id).await?;
            deed.expect(&before)?;
            let (change, caller) = (&mut deed.on, &deed.caller);
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
            Bounds::admit_edit(change, account_id, &before, &key, self.now).await?;
            let policy = Content::of(account_id, &key.user_id, &key.settings)?
                .policy(change)
                .await?;
            update(change, &key, policy, self.now).await?;
            held.return_to_snapshot(change, policy, &key, self.now)
                .await?;
            if policy != held.policy_id {
                policies::retire(change, [held.policy_id]).await?;
            }
            let edited = keys::find(change.connection(), account_id, &id).await?;
            let revision = deed
                .commit(&[Event::edited("key.update", &before, &edited)])
                .await?;
            Ok((edited, revision))
        })
        .await
    }
}

async fn update(
    change: &mut Change,
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
