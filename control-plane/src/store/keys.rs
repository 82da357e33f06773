//! Keys as they are told of.

use latchkey_policy::key::Environment;
use sqlx::FromRow;

use super::{Store, StoreError, from_json};
use crate::ip_list::IpList;
use crate::tier::Tier;

/// A key as it is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// `key_…`
    pub id: String,
    /// The owner: `usr_…`
    pub user_id: String,
    /// For people to recognise it by.
    pub masked: String,
    /// Unique among the account's live keys.
    pub name: String,
    /// Whatever else there is to say.
    pub description: Option<String>,
    /// As in the key itself.
    pub environment: Environment,
    /// How much it may be used.
    pub tier: Tier,
    /// From where it may be used.
    pub allowed_ips: IpList,
    /// From where it may not be used, while nothing is enabled in `allowed_ips`.
    pub denied_ips: IpList,
    /// From this second on it is refused.
    pub expires_at: Option<i64>,
    /// Switched off for now.
    pub disabled: bool,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub updated_at: i64,
    /// Unix seconds, once it was.
    pub revoked_at: Option<i64>,
}

/// Of the account's keys those for which the rest holds.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, user_id, masked, name, description, environment, tier, allowed_ips, denied_ips, expires_at, \
             disabled, created_at, updated_at, revoked_at FROM keys WHERE account_id = ? ",
            $rest
        )
    };
}

impl Store {
    /// One of the account's keys, revoked or not.
    pub async fn key(&self, account_id: &str, id: &str) -> Result<Key, StoreError> {
        const QUERY: &str = select!("AND id = ?");
        let row: Option<Row> = sqlx::query_as(QUERY).bind(account_id).bind(id).fetch_optional(&self.0.readers).await?;
        row.ok_or(StoreError::KeyNotFound)?.try_into()
    }

    /// The account's keys that are not revoked, the newest first, and how many there are.
    pub async fn keys(&self, account_id: &str, limit: u32, offset: u32) -> Result<(Vec<Key>, u64), StoreError> {
        const QUERY: &str = select!("AND revoked_at IS NULL ORDER BY seq DESC LIMIT ? OFFSET ?");
        let mut transaction = self.0.readers.begin().await?;
        let total: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM keys WHERE account_id = ? AND revoked_at IS NULL")
            .bind(account_id)
            .fetch_one(&mut *transaction)
            .await?;
        let page = sqlx::query_as(QUERY).bind(account_id).bind(limit).bind(offset);
        let rows: Vec<Row> = page.fetch_all(&mut *transaction).await?;
        let keys = rows.into_iter().map(Key::try_from).collect::<Result<_, _>>()?;
        Ok((keys, total.cast_unsigned()))
    }
}

#[derive(FromRow)]
struct Row {
    id: String,
    user_id: String,
    masked: String,
    name: String,
    description: Option<String>,
    environment: String,
    tier: String,
    allowed_ips: String,
    denied_ips: String,
    expires_at: Option<i64>,
    disabled: bool,
    created_at: i64,
    updated_at: i64,
    revoked_at: Option<i64>,
}

impl TryFrom<Row> for Key {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id,
            user_id: row.user_id,
            masked: row.masked,
            name: row.name,
            description: row.description,
            environment: Environment::parse(&row.environment).ok_or(StoreError::Damaged("an environment"))?,
            tier: Tier::parse(&row.tier).ok_or(StoreError::Damaged("a tier"))?,
            allowed_ips: from_json(&row.allowed_ips, "an IP list")?,
            denied_ips: from_json(&row.denied_ips, "an IP list")?,
            expires_at: row.expires_at,
            disabled: row.disabled,
            created_at: row.created_at,
            updated_at: row.updated_at,
            revoked_at: row.revoked_at,
        })
    }
}
