//! The secrets of keys, current and old ones.
//!
//! A key's row has its current secret. The one before it is in `old_secrets`, and valid until its
//! overlap ends. Then, or when its key is revoked or regenerated again, it is removed, and its row
//! stays. **A digest is accepted only once**, also after its key was revoked or deleted, except for
//! unused imports ([`unused_imports`]).

use latchkey_model::random;
use latchkey_policy::key::KeyDigest;
use sqlx::{QueryBuilder, Sqlite};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::revision::{RevisionTx, run_to_completion};
use super::{Store, StoreError, clock};

/// The number of seconds after its end for which nodes keep an old secret: until then they refuse
/// it as expired, and not as an unknown key.
const KEPT: i64 = 24 * 60 * 60;

/// The minimum number of seconds between two recorded uses at the management API.
const GRANULARITY_SECONDS: i64 = 30;

/// The number of secrets that are removed in one change.
const STEP: u32 = 5_000;

/// The maximum number of digests in one statement.
const ROWS: usize = 200;

/// The number of seconds after its import within which a digest may be imported again, if no
/// request was ever admitted with it: a week.
const REIMPORT_SECONDS: i64 = 7 * 24 * 60 * 60;

/// Returns those of `digests` that a secret has or had, including keys whose details are deleted.
pub(super) async fn known(
    change: &mut RevisionTx,
    digests: &[KeyDigest],
) -> Result<HashSet<KeyDigest>, StoreError> {
    let of_keys = || QueryBuilder::new("SELECT digest FROM keys WHERE TRUE");
    let old = || QueryBuilder::new("SELECT digest FROM old_secrets WHERE TRUE");
    let mut known = among(change, digests, of_keys).await?;
    known.extend(among(change, digests, old).await?);
    let tombstones = || QueryBuilder::new("SELECT digest FROM tombstones WHERE TRUE");
    known.extend(among(change, digests, tombstones).await?);
    Ok(known)
}

/// Returns those of `digests` that a secret of another account's key has or had.
pub(super) async fn of_other_accounts(
    change: &mut RevisionTx,
    account_id: &str,
    digests: &[KeyDigest],
) -> Result<HashSet<KeyDigest>, StoreError> {
    let begin = |select: &str| {
        let mut query = QueryBuilder::new(select);
        query.push_bind(account_id.to_owned());
        query
    };
    let of_keys = || begin("SELECT digest FROM keys WHERE account_id <> ");
    let old = || {
        begin(
            "SELECT digest FROM old_secrets WHERE (SELECT account_id FROM keys WHERE seq = old_secrets.key_seq) <> ",
        )
    };
    let mut found = among(change, digests, of_keys).await?;
    found.extend(among(change, digests, old).await?);
    Ok(found)
}

/// Returns those of `digests` that are the current secrets of live keys of the account.
pub(super) async fn live_of_account(
    change: &mut RevisionTx,
    account_id: &str,
    digests: &[KeyDigest],
) -> Result<HashSet<KeyDigest>, StoreError> {
    let live = || {
        let mut query =
            QueryBuilder::new("SELECT digest FROM keys WHERE revoked_at IS NULL AND account_id = ");
        query.push_bind(account_id.to_owned());
        query
    };
    among(change, digests, live).await
}

/// Returns those of `digests` that the account imported within [`REIMPORT_SECONDS`] and revoked
/// before any request was admitted with them, according to the reports of nodes.
pub(super) async fn unused_imports(
    change: &mut RevisionTx,
    account_id: &str,
    digests: &[KeyDigest],
    now: i64,
) -> Result<HashSet<KeyDigest>, StoreError> {
    let unused = || {
        let mut query = QueryBuilder::new(
            "SELECT digest FROM keys WHERE imported AND secret = 1 AND revoked_at IS NOT NULL AND last_used_at IS NULL \
             AND secret_used_at IS NULL AND account_id = ",
        );
        query
            .push_bind(account_id.to_owned())
            .push(" AND created_at > ")
            .push_bind(now.saturating_sub(REIMPORT_SECONDS));
        query
    };
    among(change, digests, unused).await
}

/// Takes the digests of unused imports from the revoked keys that have them, so that other keys can
/// have them. Those keys get random ones instead. So a node that does not know of their revocation
/// yet is instructed to forget random digests; in the same changes it receives the key that has the
/// digest now.
pub(super) async fn release_unused_imports(
    change: &mut RevisionTx,
    account_id: &str,
    digests: &[KeyDigest],
    now: i64,
) -> Result<(), StoreError> {
    const FIND: &str = "SELECT id FROM keys WHERE digest IN (?, ?)";
    const RELEASE: &str = "UPDATE keys SET digest = ?, sealed = ? WHERE id = ?";
    for digest in unused_imports(change, account_id, digests, now).await? {
        let mut random = [0; KeyDigest::LEN];
        random::fill(&mut random)?;
        let [plain, keyed] = change.at_rest().forms(&digest);
        let find = sqlx::query_scalar(FIND).bind(&plain[..]).bind(&keyed[..]);
        let id: String = find.fetch_one(change.connection()).await?;
        let stored = change.at_rest().seal(&KeyDigest(random), &id)?;
        let release = sqlx::query(RELEASE)
            .bind(&stored.digest[..])
            .bind(stored.sealed)
            .bind(id);
        release.execute(change.connection()).await?;
    }
    Ok(())
}

/// Returns those of `digests` that a query finds. `select` returns the query's beginning.
async fn among(
    change: &mut RevisionTx,
    digests: &[KeyDigest],
    select: impl Fn() -> QueryBuilder<Sqlite>,
) -> Result<HashSet<KeyDigest>, StoreError> {
    let mut found = HashSet::new();
    for digests in digests.chunks(ROWS) {
        let of_forms = |digest| {
            change
                .at_rest()
                .forms(digest)
                .map(|form| (form.to_vec(), *digest))
        };
        let forms: HashMap<_, _> = digests.iter().flat_map(of_forms).collect();
        let mut query = select();
        query.push(" AND digest IN (");
        let mut list = query.separated(", ");
        forms.keys().for_each(|form| {
            list.push_bind(form.clone());
        });
        query.push(")");
        let rows: Vec<Vec<u8>> = query
            .build_query_scalar()
            .fetch_all(change.connection())
            .await?;
        found.extend(rows.iter().filter_map(|row| forms.get(row)));
    }
    Ok(found)
}

/// Fails with [`StoreError::SecretTaken`] if a secret has or had one of `digests`.
pub(super) async fn require_new(
    change: &mut RevisionTx,
    digests: &[KeyDigest],
) -> Result<(), StoreError> {
    if known(change, digests).await?.is_empty() {
        Ok(())
    } else {
        Err(StoreError::SecretTaken)
    }
}

impl Store {
    /// Records that a key was used with this secret, other than at a node.
    pub(super) async fn use_secret(
        &self,
        digest: &KeyDigest,
        address: Option<IpAddr>,
        now: i64,
    ) -> Result<(), StoreError> {
        const DUE: &str = "SELECT EXISTS (SELECT 1 FROM keys WHERE digest IN (?1, ?2) AND COALESCE(secret_used_at, 0) < ?3 \
             UNION ALL SELECT 1 FROM old_secrets WHERE digest IN (?1, ?2) AND COALESCE(last_used_at, 0) < ?3)";
        const OF_CURRENT: &str = "UPDATE keys SET secret_used_at = ?1, secret_used_ip = ?2 \
             WHERE digest IN (?3, ?4) AND COALESCE(secret_used_at, 0) < ?1";
        const OF_OLD: &str = "UPDATE old_secrets SET last_used_at = ?1, last_used_ip = ?2 \
             WHERE digest IN (?3, ?4) AND COALESCE(last_used_at, 0) < ?1";
        const OF_KEY: &str = "UPDATE keys SET last_used_at = ?1, last_used_ip = ?2 \
             WHERE seq IN (SELECT seq FROM keys WHERE digest IN (?3, ?4) UNION ALL \
             SELECT key_seq FROM old_secrets WHERE digest IN (?3, ?4)) AND COALESCE(last_used_at, 0) < ?1";
        let [plain, keyed] = self.0.at_rest.forms(digest);
        let due = sqlx::query_scalar(DUE)
            .bind(&plain[..])
            .bind(&keyed[..])
            .bind(now.saturating_sub(GRANULARITY_SECONDS));
        if due.fetch_one(&self.0.readers).await? {
            let address = address.map(|address| address.to_string());
            let mut transaction = self.0.begin().await?;
            for statement in [OF_CURRENT, OF_OLD, OF_KEY] {
                let query = sqlx::query(statement)
                    .bind(now)
                    .bind(&address)
                    .bind(&plain[..])
                    .bind(&keyed[..]);
                query.execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
        }
        Ok(())
    }

    /// Removes old secrets that ended long ago. A wrong clock must not cause a removal, because a
    /// removed secret could not be restored.
    pub async fn clean_up_secrets(&self, now: i64) -> Result<(), StoreError> {
        const ENDED: &str =
            "SELECT EXISTS (SELECT 1 FROM old_secrets WHERE NOT removed AND ends_at <= ?)";
        const REMOVE: &str = "UPDATE old_secrets SET removed = TRUE, revision = ? WHERE digest IN \
             (SELECT digest FROM old_secrets WHERE NOT removed AND ends_at <= ? LIMIT ?)";
        let before = now.saturating_sub(KEPT);
        if !clock::trusts(&self.0.readers, now).await? {
            return Ok(());
        }
        while sqlx::query_scalar(ENDED)
            .bind(before)
            .fetch_one(&self.0.readers)
            .await?
        {
            let store = self.clone();
            let step = async move {
                let mut change = RevisionTx::begin(&store).await?;
                let remove = sqlx::query(REMOVE)
                    .bind(change.revision())
                    .bind(before)
                    .bind(STEP);
                remove.execute(change.connection()).await?;
                change.commit().await
            };
            run_to_completion(step).await?;
        }
        Ok(())
    }
}
