//! The data that a verdict on one request depends on, as of one moment.

use latchkey_model::explain::{ExplainInput, ExplainKey};
use latchkey_policy::key::KeyDigest;
use latchkey_policy::limit::Window;
use latchkey_policy::meter::{Meter, Owner};
use sqlx::{Sqlite, Transaction};

use super::{Store, StoreError, export, routes, usage};

impl Store {
    /// Returns the digest of the current secret of one of the account's keys, revoked or not.
    pub async fn key_digest(&self, account_id: &str, id: &str) -> Result<KeyDigest, StoreError> {
        let query =
            sqlx::query_as("SELECT digest, sealed FROM keys WHERE account_id = ? AND id = ?");
        let row: Option<(Vec<u8>, Option<Vec<u8>>)> = query
            .bind(account_id)
            .bind(id)
            .fetch_optional(&self.0.readers)
            .await?;
        let (digest, sealed) = row.ok_or(StoreError::KeyNotFound)?;
        self.0.at_rest.open_digest(&digest, sealed.as_deref(), id)
    }

    /// Returns the data for a verdict on a request with the keys of these digests. A key of another
    /// account is treated as unknown, so that the caller learns nothing about it.
    pub async fn facts(
        &self,
        account_id: &str,
        digests: &[KeyDigest],
        now: i64,
    ) -> Result<ExplainInput, StoreError> {
        let mut transaction = self.0.readers.begin().await?;
        let settings = routes::changed(&mut *transaction, 0)
            .await?
            .unwrap_or_default();
        let mut keys = Vec::new();
        for digest in digests {
            keys.extend(
                self.key_facts(&mut transaction, account_id, digest, now)
                    .await?,
            );
        }
        Ok(ExplainInput {
            settings,
            keys,
            now,
        })
    }

    async fn key_facts(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        account_id: &str,
        digest: &KeyDigest,
        now: i64,
    ) -> Result<Option<ExplainKey>, StoreError> {
        let Some(exported) =
            export::live_key(&mut *transaction, &self.0.at_rest, account_id, digest).await?
        else {
            return Ok(None);
        };
        let mut meter = Meter::new(Owner::new(&self.epoch(), exported.number));
        for window in Window::ALL {
            let key = Some(exported.number.cast_signed());
            let counted = usage::admitted(&mut *transaction, key, window, now).await?;
            meter.elsewhere(
                window,
                window.number(now),
                u32::try_from(counted).unwrap_or(u32::MAX),
                now,
            );
        }
        Ok(Some(ExplainKey {
            record: exported.record,
            policy: exported.policy,
            meter,
        }))
    }
}
