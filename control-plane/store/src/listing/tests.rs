//! Tests every list against a model, over random keys, and checks the plans of its queries.

use latchkey_model::role::Role;
use latchkey_policy::key::Environment;
use sqlx::AssertSqlSafe;

use super::*;
use crate::OpenMode;
use crate::page::Position;

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;
const KEYS: u64 = 400;

/// A key in the model.
#[derive(Debug, Clone)]
struct ModelKey {
    seq: i64,
    id: String,
    account: &'static str,
    owner: &'static str,
    name: String,
    description: Option<String>,
    masked: String,
    environment: Environment,
    tier: &'static str,
    roles: Vec<&'static str>,
    expires_at: Option<i64>,
    disabled: bool,
    created_at: i64,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
}

/// A generator of pseudo-random numbers, which are the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        let index = self.below(u64::try_from(all.len()).unwrap());
        all[usize::try_from(index).unwrap()].clone()
    }

    fn number(&mut self, bound: u64) -> i64 {
        self.below(bound).cast_signed()
    }

    fn key(&mut self, seq: i64) -> ModelKey {
        let word = self.one_of(&[
            "alpha",
            "Beta",
            "gamma 50%_off",
            "Édith",
            "Zoë \\o/",
            "api key",
        ]);
        let maybe = self.below(3) > 0;
        ModelKey {
            seq,
            id: format!("key_{}{seq:03}", self.one_of(&["Ab", "ab", "xY"])),
            account: if self.below(10) == 0 {
                "acc_2"
            } else {
                "acc_1"
            },
            owner: self.one_of(&["usr_1", "usr_1", "usr_1", "usr_2", "usr_gone"]),
            name: format!("{word} {}", self.below(60)),
            description: maybe
                .then(|| format!("Team {} \"quoted\"", self.one_of(&["red", "Blue"]))),
            masked: format!(
                "lk_live_{:04x}...{:04x}",
                self.below(65_536),
                self.below(65_536)
            ),
            environment: self.one_of(&[
                Environment::Live,
                Environment::Live,
                Environment::Live,
                Environment::Test,
            ]),
            tier: self.one_of(&["free", "free", "free", "free", "pro", "basic"]),
            roles: self.one_of(&[
                vec![],
                vec![],
                vec!["dns_manager"],
                vec!["cache_purger", "dns_manager"],
                vec!["admin"],
            ]),
            expires_at: (self.below(2) == 0).then(|| NOW - 20 * DAY + self.number(60) * DAY),
            disabled: self.below(20) == 0,
            created_at: NOW - 1_000 + self.number(100),
            last_used_at: (self.below(2) == 0).then(|| NOW - self.number(50)),
            revoked_at: (self.below(5) == 0).then_some(NOW - 5),
        }
    }
}

/// Creates a store with the keys.
async fn store(keys: &[ModelKey], removing: bool) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(
        &directory.path().join("latchkey.db"),
        OpenMode::CreateIfMissing,
    )
    .await
    .unwrap();
    let mut on = store.0.writer.acquire().await.unwrap();
    // The rows refer to others that do not exist here.
    sqlx::query("PRAGMA foreign_keys = OFF")
        .execute(&mut *on)
        .await
        .unwrap();
    for (user, account) in [
        ("usr_1", "acc_1"),
        ("usr_2", "acc_1"),
        ("usr_gone", "acc_1"),
    ] {
        let insert = "INSERT INTO users (id, account_id, email, password_hash, created_at) VALUES (?, ?, ?, '', 1)";
        let insert = sqlx::query(insert)
            .bind(user)
            .bind(account)
            .bind(format!("{user}@localhost"));
        insert.execute(&mut *on).await.unwrap();
    }
    if removing {
        let insert = "INSERT INTO removals (account_id, subject, removed_at, revision, keys_left, author_account_id, \
             actor_kind) VALUES ('acc_1', 'usr_gone', 1, 1, 1, 'acc_1', 'user')";
        sqlx::query(insert).execute(&mut *on).await.unwrap();
    }
    for key in keys {
        let insert = "INSERT INTO keys (seq, id, account_id, user_id, policy_id, digest, masked, name, description, \
             environment, tier, allowed_ips, denied_ips, roles, expires_at, disabled, created_at, updated_at, \
             last_used_at, revoked_at, revision) \
             VALUES (?, ?, ?, ?, 1, randomblob(32), ?, ?, ?, ?, ?, '[]', '[]', ?, ?, ?, ?, 1, ?, ?, 1)";
        let insert = sqlx::query(insert)
            .bind(key.seq)
            .bind(&key.id)
            .bind(key.account)
            .bind(key.owner);
        let insert = insert
            .bind(&key.masked)
            .bind(&key.name)
            .bind(&key.description)
            .bind(key.environment.as_str());
        let insert = insert
            .bind(key.tier)
            .bind(serde_json::to_string(&key.roles).unwrap())
            .bind(key.expires_at);
        let insert = insert
            .bind(key.disabled)
            .bind(key.created_at)
            .bind(key.last_used_at)
            .bind(key.revoked_at);
        insert.execute(&mut *on).await.unwrap();
    }
    drop(on);
    (directory, store)
}

impl ModelKey {
    fn is_in(&self, query: &KeyQuery, search: Option<&str>, removing: bool) -> bool {
        let revoked = self.revoked_at.is_some() || removing && self.owner == "usr_gone";
        let expired = self.expires_at.is_some_and(|end| end <= NOW);
        let of_state = match query.state {
            KeyState::Live => !revoked,
            KeyState::Active => !revoked && !self.disabled && !expired,
            KeyState::Disabled => !revoked && self.disabled,
            KeyState::Expired => !revoked && expired,
            KeyState::Revoked => revoked,
            KeyState::All => true,
        };
        let until = |days: u32| NOW + i64::from(days) * DAY;
        of_state
            && self.account == "acc_1"
            && query
                .role
                .is_none_or(|role| self.roles.contains(&role.as_str()))
            && query.tier.as_ref().is_none_or(|tier| tier == self.tier)
            && query
                .environment
                .is_none_or(|environment| environment == self.environment)
            && query.owner.as_ref().is_none_or(|owner| {
                owner == self.owner || *owner == format!("{}@localhost", self.owner)
            })
            && query.expires_within_days.is_none_or(|days| {
                self.expires_at
                    .is_some_and(|end| end > NOW && end <= until(days))
            })
            && query
                .unused
                .is_none_or(|unused| unused == self.last_used_at.is_none())
            && search.is_none_or(|text| self.has(text))
    }

    fn has(&self, text: &str) -> bool {
        let lower = |text: &str| text.to_ascii_lowercase();
        let texts = [
            Some(&self.name),
            self.description.as_ref(),
            Some(&self.masked),
        ];
        texts
            .into_iter()
            .flatten()
            .any(|place| lower(place).contains(&lower(text)))
            || self.id.starts_with(text)
    }

    /// Returns the value that the key is sorted by. Keys without one come last in both directions.
    fn place(&self, sort: KeySort, descending: bool) -> (String, i64) {
        let last = if descending { -1 } else { i64::MAX };
        match sort {
            KeySort::CreatedAt => (String::new(), self.created_at),
            KeySort::Name => (self.name.to_ascii_lowercase(), 0),
            KeySort::ExpiresAt => (String::new(), self.expires_at.unwrap_or(last)),
            KeySort::LastUsedAt => (String::new(), self.last_used_at.unwrap_or(last)),
        }
    }
}

fn expected(keys: &[ModelKey], query: &KeyQuery, search: Option<&str>, removing: bool) -> Vec<i64> {
    let mut found: Vec<_> = keys
        .iter()
        .filter(|key| key.is_in(query, search, removing))
        .collect();
    found.sort_by_key(|key| (key.place(query.sort, query.descending), key.seq));
    if query.descending {
        found.reverse();
    }
    found.into_iter().map(|key| key.seq).collect()
}

/// Returns the keys of all pages.
async fn listed(
    store: &Store,
    query: &KeyQuery,
    search: Option<&str>,
    limit: u32,
    effort: Effort,
) -> (Vec<i64>, Vec<Total>) {
    let (mut seqs, mut totals, mut after) = (Vec::new(), Vec::new(), None::<Position>);
    loop {
        let page = PageQuery {
            limit,
            after: after.clone(),
            search: search.map(str::to_owned),
        };
        let mut on = store.0.readers.acquire().await.unwrap();
        let (found, total) = find(&mut on, "acc_1", query, &page, NOW, effort)
            .await
            .unwrap();
        assert!(
            found.rows.len() <= usize::try_from(limit).unwrap(),
            "{query:?} {search:?}"
        );
        assert!(
            found.next.is_none() || found.next != after,
            "{query:?} {search:?}: a page leads to itself"
        );
        seqs.extend(found.seqs());
        totals.push(total);
        after = found.next;
        if after.is_none() {
            return (seqs, totals);
        }
    }
}

fn random_query(chance: &mut Chance) -> (KeyQuery, Option<&'static str>) {
    let rarely = |chance: &mut Chance| chance.below(4) == 0;
    let mut query = KeyQuery::default();
    (_, query.state) = chance.one_of(&KeyState::ALL);
    query.sort = chance.one_of(&[
        KeySort::CreatedAt,
        KeySort::Name,
        KeySort::ExpiresAt,
        KeySort::LastUsedAt,
    ]);
    query.descending = chance.below(2) == 0;
    query.role = rarely(chance)
        .then(|| Role::parse(chance.one_of(&["admin", "dns_manager", "traffic_manager"])).unwrap());
    query.tier = rarely(chance).then(|| chance.one_of(&["free", "pro", "gold"]).to_owned());
    query.environment =
        rarely(chance).then(|| chance.one_of(&[Environment::Live, Environment::Test]));
    query.owner = rarely(chance).then(|| {
        chance
            .one_of(&["usr_1", "usr_2@localhost", "usr_gone", "nobody"])
            .to_owned()
    });
    query.expires_within_days = rarely(chance).then(|| chance.one_of(&[1, 10, 1_000]));
    query.unused = rarely(chance).then(|| chance.below(2) == 0);
    let searches = [
        "alpha",
        "ALPHA 1",
        "key",
        "50%_",
        "\\o/",
        "\"quoted\" or",
        "é",
        "édith",
        "dith 2",
        "a",
        "7",
        "lk_",
        "key_Ab",
        "ab0",
        "team blue",
        "no such text",
        "am r",
        "*",
        "\"\"\"",
    ];
    let search = rarely(chance).then(|| chance.one_of(&searches));
    (query, search)
}

#[tokio::test]
async fn lists_match_a_plain_model() {
    let mut chance = Chance(7);
    let keys: Vec<_> = (1..=KEYS)
        .map(|seq| chance.key(seq.cast_signed()))
        .collect();
    for removing in [false, true] {
        let (_directory, store) = store(&keys, removing).await;
        let mut nonempty = 0;
        for _ in 0..150 {
            let (query, search) = random_query(&mut chance);
            let expected = expected(&keys, &query, search, removing);
            nonempty += u32::from(!expected.is_empty());
            // The limits imitate a store with many keys: nearly everything is walked, or nearly
            // everything is gathered; walks end early, or never.
            for (few, walk, limit) in [(10_000, 30_000, 50), (0, 30_000, 7), (20, 40, 7), (0, 9, 3)]
            {
                let (seqs, totals) =
                    listed(&store, &query, search, limit, Effort { few, walk }).await;
                let case = format!(
                    "{query:?}, search {search:?}, few {few}, walk {walk}, removing {removing}"
                );
                assert_eq!(seqs, expected, "{case}");
                let count = u64::try_from(expected.len()).unwrap();
                assert!(
                    totals.iter().all(|total| *total
                        == Total {
                            count,
                            is_estimate: false
                        }),
                    "{case}: {totals:?}"
                );
            }
        }
        assert!(nonempty > 50, "{nonempty} lists have keys");
    }
}

/// Returns the statements of a list without their values.
async fn statements(
    store: &Store,
    query: &KeyQuery,
    search: Option<&str>,
    effort: Effort,
) -> Vec<String> {
    let mut on = store.0.readers.acquire().await.unwrap();
    let filters = Filters::read(&mut on, "acc_1", query, search, NOW)
        .await
        .unwrap();
    let Some(filters) = filters else {
        return Vec::new();
    };
    let mut statements: Vec<_> = filters
        .drivers
        .iter()
        .map(filters::Driver::statement)
        .collect();
    match plan(&mut on, filters, query, effort).await.unwrap() {
        Plan::Gather(gathering) => statements.push(gathering.statement()),
        Plan::Walk { page, count } => {
            statements.extend(page.statements());
            statements.push(count.count_statement());
        }
    }
    statements
}

#[tokio::test]
async fn lists_search_an_index_for_keys() {
    let mut chance = Chance(11);
    let keys: Vec<_> = (1..=KEYS)
        .map(|seq| chance.key(seq.cast_signed()))
        .collect();
    let (_directory, store) = store(&keys, false).await;
    for _ in 0..150 {
        let (query, search) = random_query(&mut chance);
        for effort in [
            Effort::default(),
            Effort {
                few: 0,
                walk: 30_000,
            },
        ] {
            for statement in statements(&store, &query, search, effort).await {
                let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
                let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain)
                    .fetch_all(&store.0.readers)
                    .await
                    .unwrap();
                let steps: Vec<_> = steps.into_iter().map(|(.., step)| step).collect();
                let scans = steps
                    .iter()
                    .any(|step| step == "SCAN keys" || step.starts_with("SCAN keys USING"));
                assert!(!scans, "{query:?} {search:?}\n{statement}\n{steps:#?}");
            }
        }
    }
}

#[tokio::test]
async fn walks_read_rows_in_index_order() {
    let (_directory, store) = store(&[], false).await;
    for (_, state) in KeyState::ALL
        .into_iter()
        .filter(|(_, state)| *state != KeyState::All)
    {
        for sort in [
            KeySort::CreatedAt,
            KeySort::Name,
            KeySort::ExpiresAt,
            KeySort::LastUsedAt,
        ] {
            for descending in [false, true] {
                let query = KeyQuery {
                    state,
                    sort,
                    descending,
                    ..KeyQuery::default()
                };
                let mut on = store.0.readers.acquire().await.unwrap();
                let filters = Filters::read(&mut on, "acc_1", &query, None, NOW)
                    .await
                    .unwrap()
                    .unwrap();
                let sequence = order(sort, descending);
                let walk = Walk {
                    sequence,
                    runs: filters.base,
                    tests: filters.tests,
                };
                for statement in walk.met_statements() {
                    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
                    let steps: Vec<(i64, i64, i64, String)> =
                        sqlx::query_as(explain).fetch_all(&mut *on).await.unwrap();
                    let sorts = steps.iter().any(|(.., step)| step.contains("TEMP B-TREE"));
                    assert!(!sorts, "{query:?}\n{statement}\n{steps:#?}");
                }
            }
        }
    }
}
