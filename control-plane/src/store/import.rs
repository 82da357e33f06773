//! Importing keys that were made elsewhere, by their digests. A batch is one transaction and one revision, all or nothing.

use std::collections::HashSet;

use super::audit::Event;
use super::change::{Change, to_its_end};
use super::creation::{self, Created, NewKey};
use super::{Acting, Caller, StoreError, secrets, subaccounts, to_json};

impl Acting {
    /// Makes the keys that `new` says, which sees the caller and the ids of the account's subaccounts, and makes none if
    /// that fails. Fails with [`StoreError::Row`] about one of them, for [`StoreError::TierNotFound`],
    /// [`StoreError::NameTaken`] or [`StoreError::SecretTaken`], also by another one of them.
    pub(crate) async fn import_keys<E: From<StoreError> + Send + 'static>(
        self,
        new: impl FnOnce(&Caller, &[String]) -> Result<Vec<NewKey>, E> + Send + 'static,
    ) -> Result<Created, E> {
        to_its_end(async move {
            let mut deed = self.begin().await?;
            let there_are = subaccounts::ids(deed.on.connection(), &deed.caller.account_id).await?;
            let keys = new(&deed.caller, &there_are)?;
            check(&mut deed.on, &deed.caller.account_id, &keys).await?;
            let keys = creation::create(&mut deed.on, keys, self.now).await?;
            let events: Vec<_> = keys.iter().map(|key| Event::created("key.import", key)).collect();
            Ok(Created { revision: deed.commit(&events).await?, keys })
        })
        .await
    }
}

/// That what the rows bring is not there yet.
async fn check(change: &mut Change, account_id: &str, keys: &[NewKey]) -> Result<(), StoreError> {
    let mut names = names(change, account_id, keys).await?;
    let digests: Vec<_> = keys.iter().map(|key| key.digest).collect();
    let mut digests = secrets::known(change, &digests).await?;
    for (index, NewKey { digest, settings, .. }) in keys.iter().enumerate() {
        if !names.insert(settings.name.clone()) {
            return Err(StoreError::NameTaken.of_row(index));
        }
        if !digests.insert(*digest) {
            return Err(StoreError::SecretTaken.of_row(index));
        }
    }
    Ok(())
}

/// Those of the keys' names that live keys of the account have.
async fn names(change: &mut Change, account_id: &str, keys: &[NewKey]) -> Result<HashSet<String>, StoreError> {
    const QUERY: &str = "SELECT name FROM keys WHERE account_id = ? AND revoked_at IS NULL \
         AND name IN (SELECT value FROM json_each(?))";
    let names: Vec<_> = keys.iter().map(|key| &key.settings.name).collect();
    let query = sqlx::query_scalar(QUERY).bind(account_id).bind(to_json(&names)?);
    Ok(query.fetch_all(change.connection()).await?.into_iter().collect())
}
