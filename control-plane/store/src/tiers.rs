//! The tiers, in the operator's order.

use latchkey_model::limits::DeclaredLimits;
use latchkey_model::tier::{Tier, Tiers};
use sqlx::{SqliteConnection, SqliteExecutor};

use super::{Store, StoreError, from_json};

impl Store {
    /// Returns all tiers.
    pub async fn tiers(&self) -> Result<Vec<Tier>, StoreError> {
        all(&self.0.readers).await
    }
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

/// Returns the current tiers.
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
