//! The filters of a list of keys. Each is a test of a key; if an index has the keys that pass, it
//! is also a driver.

use latchkey_model::role::Role;
use latchkey_model::text;
use sqlx::{QueryBuilder, SqliteConnection};

use super::{KeyQuery, KeyState, search};
use crate::StoreError;
use crate::condition::Condition;
use crate::removals::NOT_ENDED;

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// The maximum number of combinations of roles that are looked up one by one.
const MAX_ROLE_SETS: u32 = 64;

/// The condition that the key was revoked, or its owner was deleted.
const OWNER_DELETED: &str =
    "(revoked_at IS NOT NULL OR keys.user_id IN (SELECT subject FROM removals))";

/// The keys that pass a filter, as found in an index.
pub(super) struct Driver {
    /// A query for their numbers, in a column `number`.
    pub(super) numbers: Condition,
    /// The ranges of the index, if it has the keys in the order of creation. No key is in two
    /// ranges.
    pub(super) by_creation: Vec<Condition>,
}

impl Driver {
    fn ordered(runs: Vec<Condition>) -> Self {
        Self {
            numbers: numbers(&runs, "", ""),
            by_creation: runs,
        }
    }

    fn unordered(runs: &[Condition]) -> Self {
        Self {
            numbers: numbers(runs, "", ""),
            by_creation: Vec::new(),
        }
    }

    /// Returns the driver for all keys of the account and state. The order selects an index that
    /// has nothing else.
    pub(super) fn base(runs: &[Condition]) -> Self {
        Self {
            numbers: numbers(runs, "SELECT * FROM (", " ORDER BY created_at)"),
            by_creation: Vec::new(),
        }
    }

    /// Counts the keys, up to one more than `few`.
    pub(super) async fn count(
        &self,
        on: &mut SqliteConnection,
        few: u32,
    ) -> Result<u32, StoreError> {
        let mut query = QueryBuilder::new("SELECT COUNT(*) FROM (");
        self.numbers.push(&mut query);
        query
            .push(" LIMIT ")
            .push_bind(few.saturating_add(1))
            .push(")");
        Ok(query.build_query_scalar().fetch_one(on).await?)
    }
}

#[cfg(test)]
impl Driver {
    /// Returns the SQL of its query.
    pub(super) fn statement(&self) -> String {
        let mut query = QueryBuilder::<sqlx::Sqlite>::new("");
        self.numbers.push(&mut query);
        query.sql().as_str().to_owned()
    }
}

fn numbers(runs: &[Condition], before: &'static str, behind: &'static str) -> Condition {
    let mut numbers = Condition::default();
    for run in runs {
        let union = if numbers.is_empty() {
            ""
        } else {
            " UNION ALL "
        };
        numbers = numbers
            .sql(union)
            .sql(before)
            .sql("SELECT seq AS number FROM keys WHERE ")
            .then(run)
            .sql(behind);
    }
    numbers
}

/// The filters of a query.
pub(super) struct Filters {
    /// The ranges of the index of each order, with all keys of the state.
    pub(super) base: Vec<Condition>,
    pub(super) drivers: Vec<Driver>,
    /// The condition that keys of `base` and of drivers have to meet.
    pub(super) tests: Condition,
}

impl Filters {
    /// Reads the filters of a query. Returns `None` if no key can pass.
    pub(super) async fn read(
        on: &mut SqliteConnection,
        account_id: &str,
        query: &KeyQuery,
        text: Option<&str>,
        now: i64,
    ) -> Result<Option<Self>, StoreError> {
        let removing = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM removals)")
            .fetch_one(&mut *on)
            .await?;
        let owner = match &query.owner {
            None => None,
            Some(owner) => match find_owner(on, account_id, owner).await? {
                None => return Ok(None),
                found => found,
            },
        };
        let role_sets = match query.role {
            Some(role) => Some((role, role_sets(on, account_id, role).await?)),
            None => None,
        };
        if matches!(&role_sets, Some((_, Some(sets))) if sets.is_empty()) {
            return Ok(None);
        }
        let mut filters = Self {
            base: base(account_id, query.state, removing),
            drivers: Vec::new(),
            tests: Condition::default(),
        };
        filters.of_state(account_id, query.state, removing, now);
        filters.of_columns(account_id, query, owner);
        filters.of_times(query, now);
        if let Some((role, sets)) = role_sets {
            filters.of_role(account_id, role, sets);
        }
        if let Some(text) = text {
            filters.test(search::test(text));
            if let Some(numbers) = search::numbers(text) {
                filters.drivers.push(Driver {
                    numbers,
                    by_creation: Vec::new(),
                });
            }
        }
        // Drivers also have keys of other accounts and states.
        if !filters.drivers.is_empty() {
            filters.test(Condition::new("account_id = ").text(account_id));
            match query.state {
                KeyState::All => {}
                KeyState::Revoked if removing => {}
                KeyState::Revoked => filters.test(Condition::new("revoked_at IS NOT NULL")),
                _ => filters.test(Condition::new("revoked_at IS NULL")),
            }
        }
        Ok(Some(filters))
    }

    fn test(&mut self, test: Condition) {
        self.tests = std::mem::take(&mut self.tests).and(&test);
    }

    fn of_state(&mut self, account_id: &str, state: KeyState, removing: bool, now: i64) {
        match state {
            KeyState::All => {}
            KeyState::Revoked if removing => self.test(Condition::new(OWNER_DELETED)),
            KeyState::Revoked => {}
            _ if removing => self.test(Condition::new(NOT_ENDED)),
            _ => {}
        }
        match state {
            KeyState::Active => {
                let active =
                    Condition::new("NOT disabled AND (expires_at IS NULL OR expires_at > ")
                        .number(now);
                self.test(active.sql(")"));
            }
            KeyState::Disabled => {
                self.test(Condition::new("disabled"));
                self.drivers.push(Driver::ordered(vec![
                    of_account(account_id).sql(" AND disabled"),
                ]));
            }
            KeyState::Expired => {
                let expired = Condition::new("expires_at <= ").number(now);
                self.drive_by(&expired);
                self.test(expired);
            }
            KeyState::Live | KeyState::Revoked | KeyState::All => {}
        }
    }

    fn of_columns(&mut self, account_id: &str, query: &KeyQuery, owner: Option<String>) {
        if let Some(owner) = owner {
            let owned = Condition::new("user_id = ").text(owner);
            self.drivers.push(Driver::ordered(vec![owned.clone()]));
            self.test(owned);
        }
        let tier = query
            .tier
            .as_ref()
            .map(|tier| Condition::new("keys.tier = ").text(tier));
        let environment = query
            .environment
            .map(|environment| Condition::new("environment = ").text(environment.as_str()));
        for test in [tier, environment].into_iter().flatten() {
            self.drivers
                .push(Driver::ordered(vec![of_account(account_id).and(&test)]));
            self.test(test);
        }
    }

    fn of_times(&mut self, query: &KeyQuery, now: i64) {
        if let Some(days) = query.expires_within_days {
            let until = now.saturating_add(i64::from(days).saturating_mul(SECONDS_PER_DAY));
            let expiring = Condition::new("expires_at > ")
                .number(now)
                .sql(" AND expires_at <= ")
                .number(until);
            self.drive_by(&expiring);
            self.test(expiring);
        }
        if let Some(unused) = query.unused {
            let used = Condition::new(if unused {
                "last_used_at IS NULL"
            } else {
                "last_used_at >= 0"
            });
            self.drive_by(&used);
            self.test(used);
        }
    }

    fn of_role(&mut self, account_id: &str, role: Role, sets: Option<Vec<String>>) {
        let has = Condition::new("EXISTS (SELECT 1 FROM json_each(roles) WHERE value = ")
            .text(role.as_str())
            .sql(")");
        self.test(has);
        if let Some(sets) = sets {
            let run = |set| of_account(account_id).sql(" AND roles = ").text(set);
            self.drivers
                .push(Driver::ordered(sets.into_iter().map(run).collect()));
        }
    }

    /// Adds a driver with the keys of all states for which `range` holds. Each state has an index
    /// for it.
    fn drive_by(&mut self, range: &Condition) {
        let runs: Vec<_> = self
            .base
            .iter()
            .map(|base| base.clone().and(range))
            .collect();
        self.drivers.push(Driver::unordered(&runs));
    }
}

fn of_account(account_id: &str) -> Condition {
    Condition::new("account_id = ").text(account_id)
}

fn base(account_id: &str, state: KeyState, removing: bool) -> Vec<Condition> {
    let live = of_account(account_id).sql(" AND revoked_at IS NULL");
    let revoked = of_account(account_id).sql(" AND revoked_at IS NOT NULL");
    match state {
        KeyState::All => vec![live, revoked],
        KeyState::Revoked if removing => vec![live, revoked],
        KeyState::Revoked => vec![revoked],
        _ => vec![live],
    }
}

async fn find_owner(
    on: &mut SqliteConnection,
    account_id: &str,
    owner: &str,
) -> Result<Option<String>, StoreError> {
    const QUERY: &str =
        "SELECT id FROM users WHERE account_id = ? AND (id = ? OR email = ?) LIMIT 1";
    let query = sqlx::query_scalar(QUERY)
        .bind(account_id)
        .bind(owner)
        .bind(text::normalized_email(owner));
    Ok(query.fetch_optional(on).await?)
}

/// Returns the combinations of roles that keys of the account have and that contain `role`. Returns
/// `None` if there are too many. One look-up leads from one combination to the next.
async fn role_sets(
    on: &mut SqliteConnection,
    account_id: &str,
    role: Role,
) -> Result<Option<Vec<String>>, StoreError> {
    const SETS: &str = "WITH RECURSIVE sets (roles) AS (SELECT MIN(roles) FROM keys WHERE account_id = ?1 UNION ALL \
         SELECT (SELECT MIN(roles) FROM keys WHERE account_id = ?1 AND roles > sets.roles) FROM sets \
         WHERE sets.roles IS NOT NULL) SELECT roles, EXISTS (SELECT 1 FROM json_each(roles) WHERE value = ?2) \
         FROM sets WHERE roles IS NOT NULL LIMIT ?3";
    let query = sqlx::query_as(SETS)
        .bind(account_id)
        .bind(role.as_str())
        .bind(MAX_ROLE_SETS.saturating_add(1));
    let sets: Vec<(String, bool)> = query.fetch_all(on).await?;
    let few = sets.len() <= usize::try_from(MAX_ROLE_SETS).unwrap_or(usize::MAX);
    Ok(few.then(|| {
        sets.into_iter()
            .filter(|(_, has)| *has)
            .map(|(roles, _)| roles)
            .collect()
    }))
}
