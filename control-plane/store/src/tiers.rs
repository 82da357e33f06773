//! The tiers, in the operator's order.

use latchkey_model::limits::DeclaredLimits;
use latchkey_model::tier::{Tier, Tiers};
use sqlx::{SqliteConnection, SqliteExecutor};

use super::audit::Event;
use super::policies::{self, PolicyScope};
use super::revision::{RevisionTx, run_to_completion};
use super::{Authorized, Store, StoreError, from_json, to_json};

impl Store {
    /// Returns all tiers.
    pub async fn tiers(&self) -> Result<Vec<Tier>, StoreError> {
        all(&self.0.readers).await
    }
}

impl Authorized {
    /// Replaces the tiers by `tiers`, and returns the revision from which on keys have their
    /// limits. Fails with [`StoreError::TierInUse`] if an open account or a live key has a tier
    /// that would be removed, and with [`StoreError::KeyExceeded`] if the change would raise the
    /// limits of the calling key.
    pub async fn put_tiers(self, tiers: Vec<Tier>) -> Result<u64, StoreError> {
        run_to_completion(async move {
            let mut authorized = self.begin().await?;
            let before = all(authorized.tx.connection()).await?;
            authorized.expect(before.as_slice())?;
            let change = &mut authorized.tx;
            let restrictions = authorized.caller.restrictions.as_ref();
            if let Some(exceeded) =
                restrictions.and_then(|restrictions| restrictions.exceeded_by_tiers(&tiers))
            {
                return Err(StoreError::KeyExceeded(exceeded));
            }
            for before in &before {
                if !tiers.iter().any(|tier| tier.name == before.name) {
                    require_unused(change, &before.name).await?;
                    retire(change, before).await?;
                }
            }
            for tier in tiers.iter().filter(|tier| !before.contains(tier)) {
                policies::stamp(change, PolicyScope::Tier(&tier.name)).await?;
            }
            sqlx::query("DELETE FROM tiers")
                .execute(change.connection())
                .await?;
            for (position, tier) in (0_i64..).zip(&tiers) {
                sqlx::query("INSERT INTO tiers (name, limits, position) VALUES (?, ?, ?)")
                    .bind(&tier.name)
                    .bind(to_json(&tier.limits)?)
                    .bind(position)
                    .execute(change.connection())
                    .await?;
            }
            forget_retired(change).await?;
            authorized
                .commit(&[Event::edited("tiers.update", &before, &tiers)])
                .await
        })
        .await
    }
}

async fn require_unused(change: &mut RevisionTx, name: &str) -> Result<(), StoreError> {
    const QUERY: &str = "SELECT EXISTS (SELECT 1 FROM accounts WHERE tier = ?1 AND closed_at IS NULL) \
         OR EXISTS (SELECT 1 FROM policies p WHERE tier = ?1 \
         AND EXISTS (SELECT 1 FROM keys WHERE policy_id = p.id AND revoked_at IS NULL))";
    let used: bool = sqlx::query_scalar(QUERY)
        .bind(name)
        .fetch_one(change.connection())
        .await?;
    if used {
        Err(StoreError::TierInUse(name.to_owned()))
    } else {
        Ok(())
    }
}

/// Keeps the limits of a tier that is removed.
async fn retire(change: &mut RevisionTx, tier: &Tier) -> Result<(), StoreError> {
    let query = sqlx::query("INSERT INTO retired_tiers (name, limits) VALUES (?, ?)");
    query
        .bind(&tier.name)
        .bind(to_json(&tier.limits)?)
        .execute(change.connection())
        .await?;
    Ok(())
}

/// Deletes the retired tiers that exist again, and those that bound no key.
async fn forget_retired(change: &mut RevisionTx) -> Result<(), StoreError> {
    const FORGET: &str = "DELETE FROM retired_tiers WHERE name IN (SELECT name FROM tiers) OR NOT EXISTS (SELECT 1 \
         FROM policies AS p, json_each(p.ceilings) AS w, json_each(w.value) AS t \
         WHERE p.ceilings <> '{}' AND t.value = retired_tiers.name)";
    sqlx::query(FORGET).execute(change.connection()).await?;
    Ok(())
}

/// Returns all tiers, including those that only bound keys.
pub(super) async fn with_retired(from: &mut SqliteConnection) -> Result<Tiers, StoreError> {
    let current = all(&mut *from).await?;
    let rows: Vec<(String, String)> = sqlx::query_as("SELECT name, limits FROM retired_tiers")
        .fetch_all(from)
        .await?;
    let limits = |(name, limits): (_, String)| {
        let limits: DeclaredLimits = from_json(&limits, "a tier's limits")?;
        Ok::<_, StoreError>((name, limits))
    };
    Ok(Tiers::new(
        current,
        rows.into_iter().map(limits).collect::<Result<_, _>>()?,
    ))
}

pub(super) async fn all(from: impl SqliteExecutor<'_>) -> Result<Vec<Tier>, StoreError> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT name, limits FROM tiers ORDER BY position")
            .fetch_all(from)
            .await?;
    let tier = |(name, limits): (_, String)| {
        Ok(Tier {
            name,
            limits: from_json(&limits, "a tier's limits")?,
        })
    };
    rows.into_iter().map(tier).collect()
}

/// Returns the position of the tier of that name among `tiers`.
pub(super) fn position(tiers: &Tiers, name: &str) -> Result<usize, StoreError> {
    let existing = || {
        tiers
            .current()
            .iter()
            .map(|tier| tier.name.clone())
            .collect()
    };
    tiers
        .position(name)
        .ok_or_else(|| StoreError::TierNotFound {
            field: "tier",
            existing: existing(),
        })
}
