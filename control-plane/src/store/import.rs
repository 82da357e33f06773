//! Importing keys that were made elsewhere, by their digests. A batch is one transaction and one revision, all or nothing.

use super::audit::Event;
use super::change::to_its_end;
use super::creation::{self, Created, NewKey};
use super::{Acting, Caller, StoreError, subaccounts};

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
            let keys = creation::create(&mut deed.on, keys, self.now).await?;
            let events: Vec<_> = keys.iter().map(|key| Event::created("key.import", key)).collect();
            Ok(Created { revision: deed.commit(&events).await?, keys })
        })
        .await
    }
}
