//! Announces that keys will expire: for each number of days that a webhook lists, once for each
//! expiry of a key.
//!
//! The days of a webhook divide the time before an expiry. For example, with 30, 7 and 1, a key
//! that expires in three days is in the part of 7, and 7 is announced. This also holds if the key
//! was just created or edited, or the webhook was just added.

use sqlx::{FromRow, SqliteExecutor};

use super::outbox::write;
use crate::revision::run_to_completion;
use crate::webhooks::event::{Event, EventType, KeyFacts};
use crate::{Store, StoreError, from_json};

const DAY: i64 = 86_400;

/// The maximum number of keys that are announced in one transaction.
const KEYS: u32 = 500;

/// Selects keys of an account that expire in a given period, and have not been announced to a
/// webhook for a given number of days.
const UNANNOUNCED: &str = "SELECT * FROM key_facts k WHERE k.account_id = ?1 AND k.revoked_at IS NULL AND k.expires_at > ?2 AND k.expires_at <= ?3 \
         AND NOT EXISTS (SELECT 1 FROM webhook_expiries e WHERE e.webhook_id = ?4 AND e.key_seq = k.seq \
         AND e.expires_at = k.expires_at AND e.days = ?5) \
         AND EXISTS (SELECT 1 FROM webhooks w WHERE w.id = ?4 AND w.active) ORDER BY k.expires_at LIMIT ?6";

/// A webhook, and the keys that expire after `from` and not after `to`, which are to be announced
/// for the number `days`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    webhook_id: String,
    account_id: String,
    days: u32,
    from: i64,
    to: i64,
}

#[derive(FromRow)]
struct Wanting {
    id: String,
    account_id: String,
    expiring_days: String,
}

impl Store {
    /// Announces the expiries that are due by `now`.
    pub async fn announce_expiries(&self, now: i64) -> Result<(), StoreError> {
        const WANTING: &str = "SELECT id, account_id, expiring_days FROM webhooks WHERE active \
             AND EXISTS (SELECT 1 FROM json_each(events) WHERE value = ?)";
        let query = sqlx::query_as(WANTING).bind(EventType::KeyExpiring.as_str());
        let webhooks: Vec<Wanting> = query.fetch_all(&self.0.readers).await?;
        for Wanting {
            id,
            account_id,
            expiring_days,
        } in webhooks
        {
            let days: Vec<u32> = from_json(&expiring_days, "a webhook's days")?;
            for part in parts(&id, &account_id, days, now) {
                while !unannounced(&self.0.readers, &part, 1).await?.is_empty() {
                    self.announce(part.clone(), now).await?;
                }
            }
        }
        Ok(())
    }

    async fn announce(&self, part: Part, now: i64) -> Result<(), StoreError> {
        const ANNOUNCED: &str = "INSERT INTO webhook_expiries (webhook_id, key_seq, expires_at, days) VALUES (?, ?, ?, ?)";
        let store = self.clone();
        run_to_completion(async move {
            let mut transaction = store.0.begin().await?;
            // Another process may have announced them, or the webhook may have been deactivated.
            let keys = unannounced(&mut *transaction, &part, KEYS).await?;
            for key in &keys {
                let query = sqlx::query(ANNOUNCED)
                    .bind(&part.webhook_id)
                    .bind(key.seq)
                    .bind(key.expires_at);
                query.bind(part.days).execute(&mut *transaction).await?;
            }
            let event = |key| (part.webhook_id.clone(), Event::Expiring(key, part.days));
            let events: Vec<_> = keys.into_iter().map(event).collect();
            write(&mut transaction, &events, now).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }
}

/// Divides the time before an expiry into parts that do not overlap, in the order of their days.
fn parts(webhook_id: &str, account_id: &str, mut days: Vec<u32>, now: i64) -> Vec<Part> {
    days.sort_unstable();
    let ends = days.into_iter().map(|days| {
        (
            days,
            now.saturating_add(i64::from(days).saturating_mul(DAY)),
        )
    });
    let part = |from: &mut i64, (days, to)| {
        let (webhook_id, account_id) = (webhook_id.to_owned(), account_id.to_owned());
        Some(Part {
            webhook_id,
            account_id,
            days,
            from: std::mem::replace(from, to),
            to,
        })
    };
    ends.scan(now, part).collect()
}

async fn unannounced(
    from: impl SqliteExecutor<'_>,
    part: &Part,
    limit: u32,
) -> Result<Vec<KeyFacts>, StoreError> {
    let Part {
        webhook_id,
        account_id,
        days,
        from: after,
        to,
    } = part;
    let query = sqlx::query_as(UNANNOUNCED)
        .bind(account_id)
        .bind(after)
        .bind(to)
        .bind(webhook_id)
        .bind(days)
        .bind(limit);
    Ok(query.fetch_all(from).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenMode;
    use sqlx::AssertSqlSafe;

    #[test]
    fn days_divide_the_time() {
        let parts = parts("", "", vec![30, 1, 7], 1_000);
        let parts: Vec<_> = parts
            .into_iter()
            .map(|part| (part.days, part.from - 1_000, part.to - 1_000))
            .collect();
        assert_eq!(
            parts,
            [(1, 0, DAY), (7, DAY, 7 * DAY), (30, 7 * DAY, 30 * DAY)]
        );
    }

    #[tokio::test]
    async fn expiry_scan_reads_expiring_keys_only() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(
            &directory.path().join("latchkey.db"),
            OpenMode::CreateIfMissing,
        )
        .await
        .unwrap();
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {UNANNOUNCED}"));
        let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain)
            .fetch_all(&store.0.readers)
            .await
            .unwrap();
        let steps: Vec<_> = steps.iter().map(|(.., step)| step.as_str()).collect();
        let keys = "SEARCH keys USING INDEX keys_by_expiry (account_id=? AND expires_at>? AND expires_at<?)";
        assert_eq!(steps.first(), Some(&keys));
        assert!(
            !steps
                .iter()
                .any(|step| step.contains("SCAN ") || step.contains("B-TREE")),
            "{steps:?}"
        );
    }
}
