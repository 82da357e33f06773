//! Regenerating a key: gives it another secret, and decides when its present secrets end.
//!
//! Without an overlap every older secret ends at once. With one, the secret in use is valid until
//! its end, which no later call moves. While the overlap runs, only the caller who created the
//! newest secret can replace it, and only if it was not used. This serves callers who have lost a
//! response. Whether it was used is decided in the transaction that replaces it, and only by its
//! own uses: those of the old secret do not count.

use latchkey_policy::key::PlainKey;
use serde_json::{Value, json};

use super::audit::Event;
use super::authorized::AuthorizedTx;
use super::expired::Held;
use super::policies::{self, Content};
use super::revision::{RevisionTx, run_to_completion};
use super::{Authorized, Caller, Key, Outcome, StoreError, keys, secrets, to_json};

/// The number of seconds within which a newest secret is replaced.
const RETRY_SECONDS: i64 = 600;

/// The parameters of a regeneration.
#[derive(Debug, Clone, Copy)]
pub struct Regeneration {
    /// The number of seconds for which the secret in use stays valid.
    pub overlap: u32,
    /// The new expiry of the key. `Some(None)` removes it.
    pub expires_at: Option<Option<i64>>,
    /// The uses that nodes have reported.
    pub reported: Reported,
}

/// The extent of the reports from nodes about uses of a key's secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// All uses: no node is connected.
    All,
    /// All uses of the secret with this number, and of the older ones, before the call.
    Secret(u32),
    /// Unknown: no reports were awaited.
    Unknown,
}

/// The result of a call to regenerate a key.
#[derive(Debug)]
pub enum Regenerated {
    /// The key has a new secret, which nodes know from this revision on.
    Done(Box<Outcome<(Key, PlainKey, u64)>>),
    /// Nothing was changed: nodes may have admitted requests with the secret of this number, which
    /// the call would replace, and may not have reported them yet.
    ReportsPending(u32),
}

impl Reported {
    /// Returns whether no use of the secret with this number is outstanding.
    fn covers(self, secret: u32) -> bool {
        match self {
            Self::All => true,
            Self::Secret(reported) => secret <= reported,
            Self::Unknown => false,
        }
    }
}

/// The decision on the present secrets of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Former {
    /// All of them end.
    End,
    /// The newest one is valid until this second.
    Overlap(i64),
    /// The newest one ends, and the one before it keeps its end.
    Replace,
}

impl Key {
    /// Returns whether its old secret is valid in addition to the newest one.
    fn overlaps(&self, now: i64) -> bool {
        let end = self.old_secret.as_ref().and_then(|secret| secret.ends_at);
        end.is_some_and(|end| now < end) && !self.has_expired(now)
    }

    /// Returns whether a repeated call may replace its newest secret, as far as that does not
    /// depend on the caller.
    fn is_replaceable(&self, now: i64) -> bool {
        let age = now.saturating_sub(self.secret.created_at);
        self.overlaps(now) && age <= RETRY_SECONDS && self.secret.last_used_at.is_none()
    }
}

impl Authorized {
    /// Gives one of the account's keys the secret that `new` creates. `new` gets the caller and the
    /// key as it will be, and may restrict it; if it fails, nothing changes. A repeatable call is
    /// recorded with the value that `data` returns for the key.
    ///
    /// # Errors
    /// [`StoreError::KeyRevoked`], [`StoreError::KeyExpired`] without a later expiry, and
    /// [`StoreError::OverlapRunning`]; where the key had expired also [`StoreError::NameTaken`],
    /// [`StoreError::KeyLimit`] and [`StoreError::HeldKeyLimit`].
    pub async fn regenerate_key<E: From<StoreError> + Send + 'static>(
        self,
        id: String,
        asked: Regeneration,
        new: impl FnOnce(&Caller, &mut Key) -> Result<PlainKey, E> + Send + 'static,
        data: impl FnOnce(&Key) -> Value + Send + 'static,
    ) -> Result<Regenerated, E> {
        run_to_completion(async move {
            let mut authorized = match self.begin_repeatable().await? {
                Outcome::New(authorized) => authorized,
                Outcome::Repeated(recorded) => {
                    return Ok(Regenerated::Done(Box::new(Outcome::Repeated(recorded))));
                }
            };
            let account_id = authorized.caller.account_id.clone();
            let before = keys::find(authorized.tx.connection(), &account_id, &id).await?;
            authorized.expect(&before)?;
            let change = &mut authorized.tx;
            if before.revoked_at.is_some() {
                return Err(StoreError::KeyRevoked.into());
            }
            let mut after = before.clone();
            after.settings.expires_at = asked.expires_at.unwrap_or(before.settings.expires_at);
            if after.has_expired(self.now) {
                return Err(StoreError::KeyExpired.into());
            }
            let secret = new(&authorized.caller, &mut after)?;
            let held = Held::find(change, &id).await?;
            held.admit(change, &account_id, (&before, &after), self.now)
                .await?;
            let former = former(&mut authorized, &before, &after, asked.overlap).await?;
            if former == Former::Replace && !asked.reported.covers(held.secret) {
                return Ok(Regenerated::ReportsPending(held.secret));
            }

            secrets::require_new(&mut authorized.tx, &[secret.digest()]).await?;
            keep(&mut authorized.tx, held, former, self.now).await?;
            replace(&mut authorized, held, (&before, &after), &secret).await?;
            let key = keys::find(authorized.tx.connection(), &account_id, &id).await?;
            let event = Event::edited("key.regenerate", &before, &key);
            let event = match former {
                Former::Replace => event.with("retry", json!(true)),
                _ => event.with("overlap_seconds", json!(asked.overlap)),
            };
            authorized.record(|| data(&key)).await?;
            let revision = authorized.commit(&[event]).await?;
            Ok(Regenerated::Done(Box::new(Outcome::New((
                key, secret, revision,
            )))))
        })
        .await
    }
}

/// Gives the key the secret, and the policy of `after`.
async fn replace(
    authorized: &mut AuthorizedTx<RevisionTx>,
    held: Held,
    (before, after): (&Key, &Key),
    secret: &PlainKey,
) -> Result<(), StoreError> {
    let (change, now) = (&mut authorized.tx, authorized.now);
    let policy = policy(change, held, (before, after), &authorized.caller.account_id).await?;
    let maker = authorized.caller.actor.id();
    give(change, (held, policy), secret, (after, maker), now).await?;
    held.return_to_snapshot(change, policy, after, now).await?;
    if policy != held.policy_id {
        policies::retire(change, [held.policy_id]).await?;
    }
    Ok(())
}

async fn former(
    authorized: &mut AuthorizedTx<RevisionTx>,
    before: &Key,
    after: &Key,
    overlap: u32,
) -> Result<Former, StoreError> {
    let now = authorized.now;
    // Secrets that were refused stay refused.
    if overlap == 0 || before.has_expired(now) {
        return Ok(Former::End);
    }
    if !before.overlaps(now) {
        let end = now.saturating_add(overlap.into());
        return Ok(Former::Overlap(
            after
                .settings
                .expires_at
                .map_or(end, |expiry| expiry.min(end)),
        ));
    }
    let maker = sqlx::query_scalar("SELECT secret_maker FROM keys WHERE id = ?").bind(&before.id);
    let maker: Option<String> = maker.fetch_one(authorized.tx.connection()).await?;
    let same = maker.is_some() && maker.as_deref() == authorized.caller.actor.id();
    if same && before.is_replaceable(now) {
        Ok(Former::Replace)
    } else {
        Err(StoreError::OverlapRunning)
    }
}

/// Returns the policy of the key, which is another one if the call gave it ceilings.
async fn policy(
    change: &mut RevisionTx,
    held: Held,
    keys: (&Key, &Key),
    account_id: &str,
) -> Result<i64, StoreError> {
    let (before, after) = keys;
    if after.settings.ceilings == before.settings.ceilings {
        return Ok(held.policy_id);
    }
    Content::new(account_id, &after.user_id, &after.settings)?
        .policy(change)
        .await
}

/// Moves the key's current secret to its old secrets.
async fn keep(
    change: &mut RevisionTx,
    held: Held,
    former: Former,
    now: i64,
) -> Result<(), StoreError> {
    const END: &str =
        "UPDATE old_secrets SET removed = TRUE, revision = ? WHERE NOT removed AND key_seq = ?";
    const KEEP: &str = "INSERT INTO old_secrets (digest, sealed, key_seq, secret, masked, imported, created_at, ends_at, \
         last_used_at, last_used_ip, removed, revision) \
         SELECT digest, sealed, seq, secret, masked, imported, secret_created_at, ?, secret_used_at, secret_used_ip, ?, ? \
         FROM keys WHERE seq = ?";
    let revision = change.revision();
    if former != Former::Replace {
        sqlx::query(END)
            .bind(revision)
            .bind(held.seq)
            .execute(change.connection())
            .await?;
    }
    let (end, removed) = if let Former::Overlap(end) = former {
        (end, false)
    } else {
        (now, true)
    };
    let keep = sqlx::query(KEEP)
        .bind(end)
        .bind(removed)
        .bind(revision)
        .bind(held.seq);
    keep.execute(change.connection()).await?;
    Ok(())
}

async fn give(
    change: &mut RevisionTx,
    (held, policy_id): (Held, i64),
    secret: &PlainKey,
    (after, maker): (&Key, Option<&str>),
    now: i64,
) -> Result<(), StoreError> {
    const GIVE: &str = "UPDATE keys SET digest = ?, sealed = NULL, masked = ?, secret = secret + 1, secret_maker = ?, imported = FALSE, \
         secret_created_at = ?, secret_used_at = NULL, secret_used_ip = NULL, expires_at = ?, updated_at = ?, \
         policy_id = ?, ceilings = ?, revision = ? WHERE seq = ?";
    let revision = change.revision();
    sqlx::query(GIVE)
        .bind(&secret.digest().0[..])
        .bind(secret.masked())
        .bind(maker)
        .bind(now)
        .bind(after.settings.expires_at)
        .bind(now)
        .bind(policy_id)
        .bind(to_json(&after.settings.ceilings)?)
        .bind(revision)
        .bind(held.seq)
        .execute(change.connection())
        .await?;
    Ok(())
}
