//! The limits of an account: its number of keys, only scopes of its services, and no key above its
//! tier. The operator's account is bound by no tier.

use latchkey_model::limits::DeclaredLimits;
use latchkey_model::tier::{Tier, Tiers};
use latchkey_policy::limit::{Limits, Window};
use std::collections::{HashMap, HashSet};

use super::actors::SERVICE;
use super::expired::KeyNumbers;
use super::revision::RevisionTx;
use super::{Key, NewKey, StoreError, services, tiers};

/// The limits of the accounts that one change has read so far.
pub(super) struct AccountQuotas {
    tiers: Tiers,
    accounts: HashMap<String, AccountQuota>,
    /// The present time, in Unix seconds.
    now: i64,
}

struct AccountQuota {
    keys: KeyNumbers,
    services: HashSet<String>,
    /// The position of its tier among the tiers. `None` if no tier binds it.
    tier: Option<usize>,
}

#[derive(sqlx::FromRow)]
struct AccountTierRow {
    tier: String,
    operator: bool,
}

impl AccountQuotas {
    pub(super) async fn new(change: &mut RevisionTx, now: i64) -> Result<Self, StoreError> {
        Ok(Self {
            tiers: tiers::with_retired(change.connection()).await?,
            accounts: HashMap::new(),
            now,
        })
    }

    /// Admits a new key, and returns its limits.
    pub(super) async fn admit(
        &mut self,
        change: &mut RevisionTx,
        key: &NewKey,
    ) -> Result<Limits, StoreError> {
        let settings = &key.settings;
        let (own_tier, own) = (
            tiers::position(&self.tiers, &settings.tier)?,
            settings.limits,
        );
        let issued_tier = settings
            .issues
            .as_ref()
            .and_then(|issues| issues.tier.as_deref());
        let issued_tier = issued_tier
            .map(|tier| tiers::position(&self.tiers, tier).map_err(of_issues))
            .transpose()?;
        let account = self.account(change, &key.account_id).await?;
        for (index, service) in settings
            .scope
            .listed()
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            if service != SERVICE && !account.services.contains(service) {
                return Err(StoreError::ServiceUnknown { index });
            }
        }
        account.keys.add(change, false).await?;
        let limits = self.tiers.of_key(&settings.tier, own, &settings.ceilings);
        let Some((place, tier)) = self.tier_of(&key.account_id) else {
            return Ok(limits);
        };
        if own_tier > place {
            return Err(StoreError::TierExceeded {
                field: "tier".to_owned(),
                tier: tier.name.clone(),
            });
        }
        within(tier, "limits", own, Window::ALL)?;
        if let Some(issues) = &settings.issues {
            within(
                tier,
                "issues.limits",
                issues.limits.unwrap_or_default(),
                Window::ALL,
            )?;
            if issued_tier.is_some_and(|issued| issued > place) {
                return Err(StoreError::TierExceeded {
                    field: "issues.tier".to_owned(),
                    tier: tier.name.clone(),
                });
            }
        }
        Ok(tier.limits.bound(limits))
    }

    /// Returns the number of keys that an account may still create, if that is bounded.
    pub(super) async fn room(
        &mut self,
        change: &mut RevisionTx,
        account_id: &str,
    ) -> Result<Option<u64>, StoreError> {
        self.account(change, account_id)
            .await?
            .keys
            .room(change)
            .await
    }

    /// Refuses an edit that raises one of the key's own limits above the account's tier.
    pub(super) async fn admit_edit(
        change: &mut RevisionTx,
        account_id: &str,
        before: &Key,
        after: &Key,
        now: i64,
    ) -> Result<(), StoreError> {
        let (was, is) = (before.settings.limits, after.settings.limits);
        if was == is {
            return Ok(());
        }
        let mut quotas = Self::new(change, now).await?;
        quotas.account(change, account_id).await?;
        let Some((_, tier)) = quotas.tier_of(account_id) else {
            return Ok(());
        };
        // No limit is less than any.
        let raised = |window: &Window| is.0.get(*window) > was.0.get(*window);
        within(tier, "limits", is, Window::ALL.into_iter().filter(raised))
    }

    async fn account(
        &mut self,
        change: &mut RevisionTx,
        id: &str,
    ) -> Result<&mut AccountQuota, StoreError> {
        if !self.accounts.contains_key(id) {
            self.accounts.insert(
                id.to_owned(),
                AccountQuota::find(change, id, &self.tiers, self.now).await?,
            );
        }
        self.accounts.get_mut(id).ok_or(StoreError::AccountNotFound)
    }

    /// Returns the tier that bounds an account, and its position.
    fn tier_of(&self, account_id: &str) -> Option<(usize, &Tier)> {
        let place = self.accounts.get(account_id)?.tier?;
        Some((place, self.tiers.current().get(place)?))
    }
}

impl AccountQuota {
    async fn find(
        change: &mut RevisionTx,
        id: &str,
        tiers: &Tiers,
        now: i64,
    ) -> Result<Self, StoreError> {
        const QUERY: &str = "SELECT tier, operator FROM accounts WHERE id = ?";
        let row = sqlx::query_as(QUERY)
            .bind(id)
            .fetch_optional(change.connection())
            .await?;
        let row: AccountTierRow = row.ok_or(StoreError::AccountNotFound)?;
        let tier = (!row.operator)
            .then(|| tiers::position(tiers, &row.tier))
            .transpose()?;
        let services = services::names(change.connection(), id).await?;
        Ok(Self {
            keys: KeyNumbers::read(change, id, now).await?,
            services,
            tier,
        })
    }
}

/// Changes the error to one about the tier of the keys that a key issues.
fn of_issues(error: StoreError) -> StoreError {
    match error {
        StoreError::TierNotFound { existing, .. } => StoreError::TierNotFound {
            field: "issues.tier",
            existing,
        },
        error => error,
    }
}

/// Refuses a key's own limits that are above those of the account's tier, for windows that the
/// tier limits.
fn within(
    tier: &Tier,
    field: &str,
    own: DeclaredLimits,
    windows: impl IntoIterator<Item = Window>,
) -> Result<(), StoreError> {
    for window in windows {
        let (own, most) = (own.0.get(window), tier.limits.0.get(window));
        if own.zip(most).is_some_and(|(own, most)| own > most) {
            let field = format!("{field}.{}", window.as_str());
            return Err(StoreError::TierExceeded {
                field,
                tier: tier.name.clone(),
            });
        }
    }
    Ok(())
}
