//! Refusals that disclose data of other accounts: that a user has an email address, or that a key
//! has a digest.
//!
//! They cannot be avoided, because email addresses and digests are unique among all accounts. So
//! their number is bounded by user, over all of the user's sessions and keys, and by account,
//! because a caller who may add users can have any number of them. Beyond that, calls are refused
//! before anything is looked up. Each refusal is in the audit.

use sqlx::SqliteConnection;

use super::audit::{Event, Target};
use super::{Caller, StoreError};

/// The maximum number of refusals in an hour.
const PER_USER: u32 = 20;
const PER_ACCOUNT: u32 = 100;

const HOUR: i64 = 60 * 60;

/// Returns whether a user of any account has the email address. If so, the refusal is recorded, and
/// must be committed with the event. Users of closed accounts, whose rows are still to be removed,
/// do not count.
///
/// # Errors
/// [`StoreError::TooManyDisclosures`], whether or not a user has the address.
pub(super) async fn of_email(
    on: &mut SqliteConnection,
    caller: &Caller,
    email: &str,
    now: i64,
) -> Result<Option<Event>, StoreError> {
    ensure_allowed(on, caller, now).await?;
    free_email(&mut *on, email).await?;
    let taken =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM users WHERE email = ?)").bind(email);
    if !taken.fetch_one(&mut *on).await? {
        return Ok(None);
    }
    record(on, caller, now).await?;
    Ok(Some(Event::done(
        "user.email_taken",
        Target::named("user", email),
    )))
}

/// Frees an email address that a user of a closed account still has, so that another user can have
/// it.
pub(super) async fn free_email(from: &mut SqliteConnection, email: &str) -> Result<(), StoreError> {
    const FREE: &str = "UPDATE users SET email = id WHERE email = ? \
         AND account_id IN (SELECT id FROM accounts WHERE closed_at IS NOT NULL)";
    sqlx::query(FREE).bind(email).execute(from).await?;
    Ok(())
}

/// Records refusals that disclose that other accounts have the keys that were to get these names.
/// Returns the events to commit, and the error if there are more refusals than the caller may get.
pub(super) async fn of_keys(
    on: &mut SqliteConnection,
    caller: &Caller,
    names: &[String],
    now: i64,
) -> Result<(Vec<Event>, Option<StoreError>), StoreError> {
    let mut events = Vec::new();
    for name in names {
        match ensure_allowed(on, caller, now).await {
            Err(error @ StoreError::TooManyDisclosures { .. }) => return Ok((events, Some(error))),
            allowed => allowed?,
        }
        record(on, caller, now).await?;
        events.push(Event::done("key.key_taken", Target::named("key", name)));
    }
    Ok((events, None))
}

/// Fails with [`StoreError::TooManyDisclosures`] if the caller has reached the maximum number of
/// refusals.
pub(super) async fn ensure_allowed(
    on: &mut SqliteConnection,
    caller: &Caller,
    now: i64,
) -> Result<(), StoreError> {
    const OF_USER: &str =
        "SELECT COUNT(*), MIN(at) FROM disclosures WHERE account_id = ? AND at > ? AND user_id = ?";
    const OF_ACCOUNT: &str =
        "SELECT COUNT(*), MIN(at) FROM disclosures WHERE account_id = ? AND at > ?";
    let since = now.saturating_sub(HOUR);
    let of_user = sqlx::query_as(OF_USER)
        .bind(&caller.account_id)
        .bind(since)
        .bind(&caller.user_id);
    let of_user: (u32, Option<i64>) = of_user.fetch_one(&mut *on).await?;
    let of_account = sqlx::query_as(OF_ACCOUNT)
        .bind(&caller.account_id)
        .bind(since);
    let of_account: (u32, Option<i64>) = of_account.fetch_one(on).await?;
    for ((count, oldest), most) in [(of_user, PER_USER), (of_account, PER_ACCOUNT)] {
        if count >= most {
            let wait = oldest
                .unwrap_or(now)
                .saturating_add(HOUR)
                .saturating_sub(now);
            return Err(StoreError::TooManyDisclosures {
                seconds: u32::try_from(wait).unwrap_or(1).max(1),
            });
        }
    }
    Ok(())
}

async fn record(on: &mut SqliteConnection, caller: &Caller, now: i64) -> Result<(), StoreError> {
    let old = sqlx::query("DELETE FROM disclosures WHERE account_id = ? AND at <= ?")
        .bind(&caller.account_id);
    old.bind(now.saturating_sub(HOUR)).execute(&mut *on).await?;
    let new = sqlx::query("INSERT INTO disclosures (account_id, user_id, at) VALUES (?, ?, ?)")
        .bind(&caller.account_id);
    new.bind(&caller.user_id).bind(now).execute(on).await?;
    Ok(())
}
