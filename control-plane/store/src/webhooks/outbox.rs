//! The outbox: an event is written in the transaction of its change, so it is sent exactly if the
//! change is committed.
//!
//! For an account without a subscribed webhook, each change costs one look-up, however many keys it
//! concerns.

use latchkey_model::random;
use latchkey_policy::verdict::Code;
use sqlx::{FromRow, QueryBuilder, Sqlite, SqliteConnection};
use std::collections::{BTreeMap, BTreeSet};

use crate::revision::RevisionTx;
use crate::webhooks::event::{Event, EventType, KeyFacts, OldSecret};
use crate::{StoreError, to_json};

/// The maximum number of rows in one statement.
const ROWS: usize = 500;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Adds events for the keys that `change` has created, for the webhooks of `accounts`.
pub(crate) async fn created<'a>(
    change: &mut RevisionTx,
    accounts: impl Iterator<Item = &'a str>,
    now: i64,
) -> Result<(), StoreError> {
    for account_id in accounts.collect::<BTreeSet<_>>() {
        notify_of_changed(
            change,
            account_id,
            EventType::KeyCreated,
            Event::Created,
            now,
        )
        .await?;
    }
    Ok(())
}

/// Adds events for the keys that `change` has revoked, for the account's webhooks.
pub(crate) async fn revoked(
    change: &mut RevisionTx,
    account_id: &str,
    now: i64,
) -> Result<(), StoreError> {
    notify_of_changed(
        change,
        account_id,
        EventType::KeyRevoked,
        Event::Revoked,
        now,
    )
    .await
}

/// Adds events for the account's keys that `change` has stamped: for those that are revoked, or for
/// those that are not.
async fn notify_of_changed(
    change: &mut RevisionTx,
    account_id: &str,
    kind: EventType,
    event: fn(KeyFacts) -> Event,
    now: i64,
) -> Result<(), StoreError> {
    const WANTING: &str = "SELECT id FROM webhooks WHERE account_id = ? AND active \
         AND EXISTS (SELECT 1 FROM json_each(events) WHERE value = ?)";
    const CHANGED: &str = "SELECT * FROM key_facts \
         WHERE revision = ? AND account_id = ? AND (revoked_at IS NOT NULL) = ? ORDER BY seq";
    let query = sqlx::query_scalar(WANTING)
        .bind(account_id)
        .bind(kind.as_str());
    let webhooks: Vec<String> = query.fetch_all(change.connection()).await?;
    if webhooks.is_empty() {
        return Ok(());
    }
    let query = sqlx::query_as(CHANGED)
        .bind(change.revision())
        .bind(account_id)
        .bind(kind == EventType::KeyRevoked);
    let keys: Vec<KeyFacts> = query.fetch_all(change.connection()).await?;
    for keys in keys.chunks(ROWS) {
        let notify = |webhook: &String| {
            keys.iter()
                .map(|key| (webhook.clone(), event(key.clone())))
                .collect::<Vec<_>>()
        };
        let events: Vec<_> = webhooks.iter().flat_map(notify).collect();
        write(change.connection(), &events, now).await?;
    }
    Ok(())
}

/// Adds events for the keys that met a limit for the first time in this hour. `added` has the
/// requests by key and code that are about to be added to those of the hour.
pub(crate) async fn limits_reached(
    to: &mut SqliteConnection,
    added: &BTreeMap<(i64, &'static str), u64>,
    now: i64,
) -> Result<(), StoreError> {
    const FIRST: &str = "SELECT w.id AS webhook_id, k.* FROM json_each(?1) limited \
         CROSS JOIN key_facts k ON k.seq = limited.value AND k.revoked_at IS NULL \
         CROSS JOIN webhooks w ON w.account_id = k.account_id AND w.active \
         AND EXISTS (SELECT 1 FROM json_each(w.events) WHERE value = ?2) \
         WHERE NOT EXISTS (SELECT 1 FROM usage_buckets WHERE key_seq = k.seq AND hour = ?3 AND code = ?4)";
    let refused = Code::RateLimited.as_str();
    let limited: Vec<_> = added
        .keys()
        .filter(|(_, code)| *code == refused)
        .map(|(seq, _)| *seq)
        .collect();
    if limited.is_empty() {
        return Ok(());
    }
    let hour = now.div_euclid(HOUR);
    let query = sqlx::query_as(FIRST)
        .bind(to_json(&limited)?)
        .bind(EventType::KeyLimitReached.as_str());
    let first: Vec<Notification> = query.bind(hour).bind(refused).fetch_all(&mut *to).await?;
    let event = |notification: Notification| {
        (
            notification.webhook_id,
            Event::LimitReached(notification.key, hour.saturating_mul(HOUR)),
        )
    };
    let events: Vec<_> = first.into_iter().map(event).collect();
    for events in events.chunks(ROWS) {
        write(to, events, now).await?;
    }
    Ok(())
}

/// Adds events for secrets that were used after they were replaced, as far as they are still valid.
/// `keys` has the numbers of the keys. A secret is announced once, and again after each further day
/// on which it is used.
pub(crate) async fn old_secrets_used(
    to: &mut SqliteConnection,
    keys: &BTreeSet<i64>,
    now: i64,
) -> Result<(), StoreError> {
    // The current secret was created at the time of the replacement.
    const USED: &str = "SELECT w.id AS webhook_id, o.masked AS old_masked, \
         o.last_used_at AS old_used_at, o.last_used_ip AS old_used_ip, o.ends_at AS old_ends_at, k.* \
         FROM json_each(?1) used CROSS JOIN old_secrets o ON o.key_seq = used.value AND NOT o.removed \
         CROSS JOIN key_facts k ON k.seq = o.key_seq AND k.revoked_at IS NULL AND o.last_used_at >= k.secret_created_at \
         CROSS JOIN webhooks w ON w.account_id = k.account_id AND w.active \
         AND EXISTS (SELECT 1 FROM json_each(w.events) WHERE value = ?2) \
         WHERE o.told_at IS NULL OR o.told_at <= ?3";
    const NOTIFIED: &str = "UPDATE old_secrets SET told_at = ? \
         WHERE NOT removed AND key_seq IN (SELECT value FROM json_each(?))";
    let query = sqlx::query_as(USED)
        .bind(to_json(keys)?)
        .bind(EventType::KeyOldSecretUsed.as_str());
    let used: Vec<NotifiedOldSecret> = query
        .bind(now.saturating_sub(DAY))
        .fetch_all(&mut *to)
        .await?;
    if used.is_empty() {
        return Ok(());
    }
    let notified: BTreeSet<_> = used.iter().map(|used| used.notification.key.seq).collect();
    sqlx::query(NOTIFIED)
        .bind(now)
        .bind(to_json(&notified)?)
        .execute(&mut *to)
        .await?;
    let events: Vec<_> = used.into_iter().map(NotifiedOldSecret::event).collect();
    for events in events.chunks(ROWS) {
        write(to, events, now).await?;
    }
    Ok(())
}

/// A webhook, with the key and its old secret that it is notified of.
#[derive(FromRow)]
struct NotifiedOldSecret {
    #[sqlx(flatten)]
    notification: Notification,
    old_masked: String,
    old_used_at: i64,
    old_used_ip: Option<String>,
    old_ends_at: i64,
}

impl NotifiedOldSecret {
    fn event(self) -> (String, Event) {
        let secret = OldSecret {
            masked: self.old_masked,
            last_used_at: self.old_used_at,
            last_used_ip: self.old_used_ip,
            ends_at: self.old_ends_at,
        };
        (
            self.notification.webhook_id,
            Event::OldSecretUsed(self.notification.key, secret),
        )
    }
}

/// A webhook, with the key that it is notified of.
#[derive(FromRow)]
struct Notification {
    webhook_id: String,
    #[sqlx(flatten)]
    key: KeyFacts,
}

/// Writes events for webhooks, by the webhooks' ids. Returns the ids of the deliveries, in the same
/// order.
pub(super) async fn write(
    to: &mut SqliteConnection,
    events: &[(String, Event)],
    now: i64,
) -> Result<Vec<String>, StoreError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows = Vec::with_capacity(events.len());
    for (webhook_id, event) in events {
        let body = event
            .body(now)
            .map_err(|_| StoreError::Damaged("an event that is no JSON"))?;
        rows.push((random::id("msg")?, webhook_id, event.kind(), body));
    }
    for rows in rows.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO webhook_deliveries (id, webhook_id, event, body, created_at, next_at) ",
        );
        query.push_values(rows, |mut row, (id, webhook_id, kind, body)| {
            row.push_bind(id)
                .push_bind(webhook_id)
                .push_bind(kind.as_str())
                .push_bind(body);
            row.push_bind(now).push_bind(now);
        });
        query.build().execute(&mut *to).await?;
    }
    let webhooks: BTreeSet<_> = events.iter().map(|(webhook_id, _)| webhook_id).collect();
    set_due(to, webhooks, now).await?;
    Ok(rows.into_iter().map(|(id, ..)| id).collect())
}

/// Schedules deliveries to webhooks, by their ids, at `now` at the latest.
pub(super) async fn set_due<'a>(
    to: &mut SqliteConnection,
    webhooks: impl IntoIterator<Item = &'a String>,
    now: i64,
) -> Result<(), StoreError> {
    const DUE: &str = "UPDATE webhooks SET due_at = MIN(COALESCE(due_at, ?1), ?1) \
         WHERE id IN (SELECT value FROM json_each(?2))";
    let ids: Vec<_> = webhooks.into_iter().collect();
    sqlx::query(DUE)
        .bind(now)
        .bind(to_json(&ids)?)
        .execute(to)
        .await?;
    Ok(())
}
