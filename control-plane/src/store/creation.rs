//! Making keys. A batch is one transaction and one revision, all or nothing.

use latchkey_policy::key::{Environment, KeyDigest, PlainKey};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqlx::{QueryBuilder, Sqlite};
use std::collections::HashMap;

use super::change::{Change, to_its_end};
use super::{Key, Store, StoreError};
use crate::ip_list::IpList;
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
    /// From where it may be used; takes precedence over `denied_ips` while an entry is enabled.
    pub allowed_ips: IpList,
    /// From where it may not be used.
    pub denied_ips: IpList,
}

impl NewKey {
    /// A key for `secret` without description, expiry and IP lists.
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
            allowed_ips: IpList::default(),
            denied_ips: IpList::default(),
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
                let content = Content::of(&key)?;
                let policy = match policies.get(&content.digest) {
                    Some(&policy) => policy,
                    None => {
                        let policy = policy(&mut change, &key, &content).await?;
                        policies.insert(content.digest, policy);
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

/// What makes a policy, in the form in which it is stored.
struct Content {
    allowed_ips: String,
    denied_ips: String,
    digest: [u8; 32],
}

impl Content {
    fn of(key: &NewKey) -> Result<Self, StoreError> {
        let allowed_ips = to_json(&key.allowed_ips.enabled())?;
        // An allow list leaves nothing for a deny list to say.
        let denied = if key.allowed_ips.enabled().is_empty() { key.denied_ips.enabled() } else { Vec::new() };
        let denied_ips = to_json(&denied)?;
        let parts =
            [&key.account_id, &key.user_id, key.tier.as_str(), key.environment.as_str(), &allowed_ips, &denied_ips];
        let mut digest = Sha256::new();
        for part in parts {
            // With their lengths, so that no two lists of parts read the same.
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
        Ok(Self { allowed_ips, denied_ips, digest: digest.finalize().into() })
    }
}

/// The policy of a key, made if it is the first of its kind. One that no live key had is sent to nodes again.
async fn policy(change: &mut Change, key: &NewKey, content: &Content) -> Result<i64, StoreError> {
    const INSERT: &str = "INSERT INTO policies \
         (account_id, user_id, tier, environment, allowed_ips, denied_ips, content, revision) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (content) DO UPDATE SET revision = excluded.revision \
         WHERE NOT EXISTS (SELECT 1 FROM keys WHERE policy_id = policies.id AND revoked_at IS NULL)";
    const SELECT: &str = "SELECT id FROM policies WHERE content = ?";
    let revision = change.revision();
    sqlx::query(INSERT)
        .bind(&key.account_id)
        .bind(&key.user_id)
        .bind(key.tier.as_str())
        .bind(key.environment.as_str())
        .bind(&content.allowed_ips)
        .bind(&content.denied_ips)
        .bind(&content.digest[..])
        .bind(revision)
        .execute(change.connection())
        .await?;
    Ok(sqlx::query_scalar(SELECT).bind(&content.digest[..]).fetch_one(change.connection()).await?)
}

fn to_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Damaged("a value that is no JSON"))
}

async fn insert(change: &mut Change, rows: &[(String, i64, NewKey)], now: i64) -> Result<(), StoreError> {
    let revision = change.revision();
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO keys (id, policy_id, account_id, user_id, digest, masked, name, description, environment, tier, \
         allowed_ips, denied_ips, expires_at, created_at, updated_at, revision) ",
    );
    let lists = rows.iter().map(|(_, _, key)| Ok((to_json(&key.allowed_ips)?, to_json(&key.denied_ips)?)));
    let lists = lists.collect::<Result<Vec<_>, StoreError>>()?;
    query.push_values(rows.iter().zip(lists), |mut row, ((id, policy, key), (allowed_ips, denied_ips))| {
        row.push_bind(id).push_bind(policy).push_bind(&key.account_id).push_bind(&key.user_id);
        row.push_bind(&key.digest.0[..]).push_bind(&key.masked).push_bind(&key.name).push_bind(&key.description);
        row.push_bind(key.environment.as_str()).push_bind(key.tier.as_str());
        row.push_bind(allowed_ips).push_bind(denied_ips).push_bind(key.expires_at);
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
        allowed_ips: key.allowed_ips,
        denied_ips: key.denied_ips,
        expires_at: key.expires_at,
        disabled: false,
        created_at: now,
        updated_at: now,
        revoked_at: None,
    }
}
