//! Making keys. A batch is one transaction and one revision, all or nothing.

use latchkey_policy::key::{Environment, KeyDigest, PlainKey};
use sqlx::{QueryBuilder, Sqlite};
use std::collections::HashMap;

use super::change::{Change, to_its_end};
use super::{Key, Store, StoreError};
use crate::random;
use crate::tier::Tier;

/// Rows in one statement.
const ROWS: usize = 200;

/// A key that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Whose it is: `acc_…`
    pub account_id: String,
    /// The owner: `usr_…`
    pub user_id: String,
    /// All that is kept of the key itself.
    pub digest: KeyDigest,
    /// For people to recognise it by.
    pub masked: String,
    /// No other live key of the account has it.
    pub name: String,
    /// Whatever else there is to say.
    pub description: Option<String>,
    /// As in the key itself.
    pub environment: Environment,
    /// How much it may be used.
    pub tier: Tier,
    /// From this second on it is refused.
    pub expires_at: Option<i64>,
}

impl NewKey {
    /// A key without description and expiry, for `secret`.
    pub fn new(
        account_id: &str,
        user_id: &str,
        name: &str,
        secret: &PlainKey,
        tier: Tier,
        environment: Environment,
    ) -> Self {
        Self {
            account_id: account_id.to_owned(),
            user_id: user_id.to_owned(),
            digest: secret.digest(),
            masked: secret.masked(),
            name: name.to_owned(),
            description: None,
            environment,
            tier,
            expires_at: None,
        }
    }
}

/// What came of creating keys.
#[derive(Debug)]
pub struct Created {
    /// From this revision on nodes know them.
    pub revision: u64,
    /// In the order in which they were given.
    pub keys: Vec<Key>,
}

impl Store {
    /// Makes all of `keys`.
    pub async fn create_keys(&self, keys: &[NewKey], now: i64) -> Result<Created, StoreError> {
        let (store, keys) = (self.clone(), keys.to_vec());
        to_its_end(async move {
            let mut change = Change::begin(&store).await?;
            let mut policies = HashMap::new();
            let mut rows = Vec::with_capacity(keys.len());
            for key in keys {
                let shared = (key.account_id.clone(), key.user_id.clone(), key.tier, key.environment);
                let policy = match policies.get(&shared) {
                    Some(&policy) => policy,
                    None => {
                        let policy = policy(&mut change, &key).await?;
                        policies.insert(shared, policy);
                        policy
                    }
                };
                rows.push((random::id("key")?, policy, key));
            }
            for rows in rows.chunks(ROWS) {
                insert(&mut change, rows, now).await?;
            }
            let revision = change.commit().await?;
            let keys = rows.into_iter().map(|(id, _, key)| created(id, key, now)).collect();
            Ok(Created { revision, keys })
        })
        .await
    }
}

/// The policy of a key, made if it is the first of its kind.
async fn policy(change: &mut Change, key: &NewKey) -> Result<i64, StoreError> {
    const INSERT: &str = "INSERT INTO policies (account_id, user_id, tier, environment, revision) \
         VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
    const SELECT: &str =
        "SELECT id FROM policies WHERE account_id = ? AND user_id = ? AND tier = ? AND environment = ?";
    let revision = change.revision();
    let (tier, environment) = (key.tier.as_str(), key.environment.as_str());
    let insert = sqlx::query(INSERT).bind(&key.account_id).bind(&key.user_id).bind(tier).bind(environment);
    insert.bind(revision).execute(change.connection()).await?;
    let select = sqlx::query_scalar(SELECT).bind(&key.account_id).bind(&key.user_id).bind(tier).bind(environment);
    Ok(select.fetch_one(change.connection()).await?)
}

async fn insert(change: &mut Change, rows: &[(String, i64, NewKey)], now: i64) -> Result<(), StoreError> {
    let revision = change.revision();
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO keys (id, policy_id, account_id, user_id, digest, masked, name, description, environment, tier, \
         expires_at, created_at, updated_at, revision) ",
    );
    query.push_values(rows, |mut row, (id, policy, key)| {
        row.push_bind(id).push_bind(policy).push_bind(&key.account_id).push_bind(&key.user_id);
        row.push_bind(&key.digest.0[..]).push_bind(&key.masked).push_bind(&key.name).push_bind(&key.description);
        row.push_bind(key.environment.as_str()).push_bind(key.tier.as_str()).push_bind(key.expires_at);
        row.push_bind(now).push_bind(now).push_bind(revision);
    });
    query.build().execute(change.connection()).await?;
    Ok(())
}

fn created(id: String, key: NewKey, now: i64) -> Key {
    Key {
        id,
        user_id: key.user_id,
        masked: key.masked,
        name: key.name,
        description: key.description,
        environment: key.environment,
        tier: key.tier,
        expires_at: key.expires_at,
        disabled: false,
        created_at: now,
        updated_at: now,
        revoked_at: None,
    }
}
