//! Replacing the tiers, by the operator. A removed tier is retired while it still bounds keys.

use latchkey_model::tier::Tier;

use super::audit::Event;
use super::policies::{self, PolicyScope};
use super::revision::{RevisionTx, run_to_completion};
use super::tiers::all;
use super::{Authorized, StoreError, to_json};

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
