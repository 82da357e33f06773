//! Lists of keys, page by page: their filters and orders.

mod filters;
mod search;
#[cfg(test)]
mod tests;

use latchkey_model::role::Role;
use latchkey_policy::key::Environment;
use sqlx::SqliteConnection;

use super::keys::{self, ListedKey};
use super::page::{Found, PageQuery, Paged, Total};
use super::walk::{Effort, Gathering, Segment, Sequence, Walk};
use super::{Store, StoreError};
use filters::Filters;

// Each order has an index of live keys and one of revoked keys, both ending with `seq`.
const CREATION: [Segment; 1] = [Segment {
    has: "TRUE",
    by: Some("created_at"),
}];
const NAME: [Segment; 1] = [Segment {
    has: "TRUE",
    by: Some("keys.name COLLATE NOCASE"),
}];
const EXPIRY: [Segment; 2] = [
    Segment {
        has: "expires_at IS NOT NULL",
        by: Some("expires_at"),
    },
    Segment {
        has: "expires_at IS NULL",
        by: None,
    },
];
const LAST_USE: [Segment; 2] = [
    Segment {
        has: "last_used_at IS NOT NULL",
        by: Some("last_used_at"),
    },
    Segment {
        has: "last_used_at IS NULL",
        by: None,
    },
];

/// The values for keys without a time: no real time is as late, or as early.
const LATEST: i64 = i64::MAX;
const EARLIEST: i64 = -1;

/// The state of a key, as far as it depends on the key only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyState {
    /// The key is not revoked.
    #[default]
    Live,
    /// The key is live, and neither disabled nor expired.
    Active,
    /// The key is live and disabled.
    Disabled,
    /// The key is live and expired.
    Expired,
    /// The key is revoked.
    Revoked,
    /// Any state.
    All,
}

impl KeyState {
    /// All states, with the words that select them.
    pub const ALL: [(&'static str, Self); 6] = [
        ("live", Self::Live),
        ("active", Self::Active),
        ("disabled", Self::Disabled),
        ("expired", Self::Expired),
        ("revoked", Self::Revoked),
        ("all", Self::All),
    ];
}

/// The attribute that keys are ordered by. Keys without it come last, in both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeySort {
    /// The time of creation.
    #[default]
    CreatedAt,
    /// The name, ignoring case.
    Name,
    /// The expiry.
    ExpiresAt,
    /// The time of the last use.
    LastUsedAt,
}

/// The filters of a list of an account's keys, and its order.
#[derive(Debug, Clone, Default)]
pub struct KeyQuery {
    /// The state of the keys.
    pub state: KeyState,
    /// A role that the keys have.
    pub role: Option<Role>,
    /// The tier of the keys.
    pub tier: Option<String>,
    /// The environment of the keys.
    pub environment: Option<Environment>,
    /// The id or email address of the owner.
    pub owner: Option<String>,
    /// The number of days within which the keys expire; they have not expired yet.
    pub expires_within_days: Option<u32>,
    /// `Some(true)` for keys that were never used, `Some(false)` for used ones.
    pub unused: Option<bool>,
    /// True to read the entries of their IP lists.
    pub ip_lists: bool,
    /// The order.
    pub sort: KeySort,
    /// True to reverse the order.
    pub descending: bool,
}

impl Store {
    /// Returns a page of the account's keys. It is shorter than `limit`, but has a next page, if
    /// more keys would be too much work or too many bytes.
    pub async fn keys(
        &self,
        account_id: &str,
        query: &KeyQuery,
        page: &PageQuery,
        now: i64,
    ) -> Result<Paged<ListedKey>, StoreError> {
        let mut transaction = self.0.lists.begin().await?;
        let (found, total) = find(
            &mut transaction,
            account_id,
            query,
            page,
            now,
            Effort::default(),
        )
        .await?;
        let rows = keys::numbered(&mut transaction, &found.seqs(), query.ip_lists).await?;
        // The page may have room for only some of them.
        let last = rows
            .len()
            .checked_sub(1)
            .filter(|_| rows.len() < found.rows.len());
        let last = last
            .and_then(|last| found.rows.get(last))
            .map(|(_, position)| position.clone());
        let next = last.or(found.next);
        let total = match total.is_estimate && query.is_of_all_live_keys() && page.search.is_none()
        {
            true => total.at_least(counted(&mut transaction, account_id).await?),
            false => total,
        };
        Ok(Paged { rows, total, next })
    }
}

/// Returns the number of the account's live keys that have not expired. The counter for it is
/// updated with every change.
async fn counted(on: &mut SqliteConnection, account_id: &str) -> Result<u64, StoreError> {
    const COUNTED: &str = "SELECT keys FROM account_details WHERE id = ?";
    let count: i64 = sqlx::query_scalar(COUNTED)
        .bind(account_id)
        .fetch_one(on)
        .await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

impl KeyQuery {
    fn is_of_all_live_keys(&self) -> bool {
        let Self {
            state,
            role,
            tier,
            environment,
            owner,
            expires_within_days,
            unused,
            ..
        } = self;
        *state == KeyState::Live
            && (role, tier, environment, owner) == (&None, &None, &None, &None)
            && (expires_within_days, unused) == (&None, &None)
    }
}

/// Finds the numbers of a page's keys, and the total on all pages.
async fn find(
    on: &mut SqliteConnection,
    account_id: &str,
    query: &KeyQuery,
    page: &PageQuery,
    now: i64,
    effort: Effort,
) -> Result<(Found, Total), StoreError> {
    let search = page.search.as_deref();
    let Some(filters) = Filters::read(on, account_id, query, search, now).await? else {
        return Ok((Found::default(), Total::counted(0, true)));
    };
    let (found, total) = match plan(on, filters, query, effort).await? {
        Plan::Gather(gathering) => {
            let found = gathering.page(on, page).await?;
            let total = if is_whole(page, &found) {
                None
            } else {
                Some(gathering.total(on).await?)
            };
            (found, total)
        }
        Plan::Walk { page: walk, count } => {
            let found = walk.page(on, page, effort).await?;
            let total = if is_whole(page, &found) {
                None
            } else {
                Some(count.total(on, effort).await?)
            };
            (found, total)
        }
    };
    let rows = u64::try_from(found.rows.len()).unwrap_or(u64::MAX);
    Ok((found, total.unwrap_or_else(|| Total::counted(rows, true))))
}

/// Returns whether the page is the whole list.
fn is_whole(page: &PageQuery, found: &Found) -> bool {
    page.after.is_none() && found.next.is_none()
}

/// The method by which a page is found.
enum Plan {
    /// Collects all keys that pass one of the filters, because they are few.
    Gather(Gathering),
    /// Tests key after key, because many pass each of the filters.
    Walk { page: Walk, count: Walk },
}

/// Chooses the method: the filter that the fewest keys pass, if they are few; otherwise the order
/// itself.
async fn plan(
    on: &mut SqliteConnection,
    filters: Filters,
    query: &KeyQuery,
    effort: Effort,
) -> Result<Plan, StoreError> {
    let Filters {
        base,
        drivers,
        tests,
    } = filters;
    let sequence = order(query.sort, query.descending);
    let mut fewest = None;
    if !drivers.is_empty() {
        let base_driver = filters::Driver::base(&base);
        for driver in drivers.iter().chain([&base_driver]) {
            let count = driver.count(on, effort.few).await?;
            if count <= effort.few && fewest.is_none_or(|(fewest, _)| count < fewest) {
                fewest = Some((count, driver));
            }
        }
        if let Some((_, driver)) = fewest {
            return Ok(Plan::Gather(Gathering {
                sequence,
                numbers: driver.numbers.clone(),
                tests,
            }));
        }
    }
    let ordered = drivers
        .into_iter()
        .map(|driver| driver.by_creation)
        .find(|runs| !runs.is_empty());
    let by_creation = order(KeySort::CreatedAt, query.descending);
    let walk = |sequence, runs| Walk {
        sequence,
        runs,
        tests: tests.clone(),
    };
    let count = match &ordered {
        Some(runs) => walk(by_creation, runs.clone()),
        None => walk(sequence, base.clone()),
    };
    let page = match ordered {
        Some(runs) if query.sort == KeySort::CreatedAt => walk(sequence, runs),
        _ => walk(sequence, base),
    };
    Ok(Plan::Walk { page, count })
}

/// Returns the order of keys by an attribute.
fn order(sort: KeySort, descending: bool) -> Sequence {
    let (value, segments): (_, &'static [Segment]) = match (sort, descending) {
        (KeySort::CreatedAt, _) => ("created_at", &CREATION),
        (KeySort::Name, _) => ("keys.name COLLATE NOCASE", &NAME),
        (KeySort::ExpiresAt, false) => ("COALESCE(expires_at, 9223372036854775807)", &EXPIRY),
        (KeySort::ExpiresAt, true) => ("COALESCE(expires_at, -1)", &EXPIRY),
        (KeySort::LastUsedAt, false) => ("COALESCE(last_used_at, 9223372036854775807)", &LAST_USE),
        (KeySort::LastUsedAt, true) => ("COALESCE(last_used_at, -1)", &LAST_USE),
    };
    Sequence {
        table: "keys",
        value,
        descending,
        segments,
        last: if descending { EARLIEST } else { LATEST },
    }
}
