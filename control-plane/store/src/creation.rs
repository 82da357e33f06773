//! Creating keys. A batch is one transaction and one revision, all or nothing.

use latchkey_model::random;
use latchkey_policy::limit::Limits;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::at_rest::{self, StoredDigest};
use super::audit::Event;
use super::insert::insert;
use super::keys::NewKeyRow;
use super::policies::Content;
use super::quotas::AccountQuotas;
use super::revision::{RevisionTx, run_to_completion};
use super::webhooks::outbox;
use super::{Authorized, Caller, Key, NewKey, Outcome, Store, StoreError};
use super::{expired, secrets, slots, subaccounts};

/// The maximum number of rows in one statement.
const ROWS: usize = 200;

/// The maximum number of names in one statement.
const NAMES: usize = 5_000;

/// The keys that were created.
#[derive(Debug)]
pub struct Created {
    /// The revision from which on nodes know the keys.
    pub revision: u64,
    /// The keys, in the order of the request.
    pub keys: Vec<Key>,
}

impl Store {
    /// Creates all of `keys`. Fails with [`StoreError::TierNotFound`] if one has a tier that does
    /// not exist, with [`StoreError::ServiceUnknown`] if one names a service that its account does
    /// not have, and with [`StoreError::TierExceeded`] and [`StoreError::KeyLimit`] beyond the
    /// account's limits.
    pub async fn create_keys(&self, keys: &[NewKey], now: i64) -> Result<Created, StoreError> {
        let (store, keys) = (self.clone(), keys.to_vec());
        run_to_completion(async move {
            let mut change = RevisionTx::begin(&store).await?;
            let keys = create(&mut change, keys, now)
                .await
                .map_err(StoreError::of_any_row)?;
            Ok(Created {
                revision: change.commit().await?,
                keys,
            })
        })
        .await
    }
}

impl Authorized {
    /// Creates the key that `new` returns. `new` gets the caller and the ids of the account's
    /// subaccounts; if it fails, no key is created. Returns the key with the revision from which on
    /// nodes know it. A repeatable call is recorded with the value that `data` returns for the key.
    /// Fails as [`create_keys`](Store::create_keys) does.
    pub async fn create_key<E: From<StoreError> + Send + 'static>(
        self,
        new: impl FnOnce(&Caller, &[String]) -> Result<NewKey, E> + Send + 'static,
        data: impl FnOnce(&Key) -> Value + Send + 'static,
    ) -> Result<Outcome<(Key, u64)>, E> {
        run_to_completion(async move {
            let mut authorized = match self.begin_repeatable().await? {
                Outcome::New(authorized) => authorized,
                Outcome::Repeated(recorded) => return Ok(Outcome::Repeated(recorded)),
            };
            let existing =
                subaccounts::ids(authorized.tx.connection(), &authorized.caller.account_id).await?;
            let key = new(&authorized.caller, &existing)?;
            let keys = create(&mut authorized.tx, vec![key], self.now)
                .await
                .map_err(StoreError::of_any_row)?;
            let key = keys
                .into_iter()
                .next()
                .ok_or(StoreError::Damaged("a key that was created"))?;
            authorized.record(|| data(&key)).await?;
            let revision = authorized
                .commit(&[Event::created("key.create", &key)])
                .await?;
            Ok(Outcome::New((key, revision)))
        })
        .await
    }
}

/// Creates `keys` within `change`. Fails with [`StoreError::Row`] about one of them.
/// [`StoreError::NameTaken`] and [`StoreError::SecretTaken`] can also be due to another one of
/// `keys`.
pub(super) async fn create(
    change: &mut RevisionTx,
    keys: Vec<NewKey>,
    now: i64,
) -> Result<Vec<Key>, StoreError> {
    require_owners(change, &keys).await?;
    require_new(change, &keys, now).await?;
    let (rows, limits) = prepare(change, keys, now).await?;

    if rows.iter().any(|row| row.key.imported) {
        at_rest::record_use(change.connection()).await?;
    }
    for rows in rows.chunks(ROWS) {
        insert(change.connection(), rows).await?;
    }
    let accounts = rows.iter().map(|row| row.key.account_id.as_str());
    outbox::created(change, accounts, now).await?;
    let rows = rows.into_iter().zip(limits);
    Ok(rows.map(|(row, limits)| row.into_key(limits)).collect())
}

/// Returns the rows of `keys`, and the keys' effective limits. Fails with [`StoreError::Row`] about
/// one that exceeds what its account may have.
async fn prepare(
    change: &mut RevisionTx,
    keys: Vec<NewKey>,
    now: i64,
) -> Result<(Vec<NewKeyRow>, Vec<Limits>), StoreError> {
    let mut quotas = AccountQuotas::new(change, now).await?;
    let mut policies = HashMap::new();
    let mut rows = Vec::with_capacity(keys.len());
    let mut limits = Vec::with_capacity(keys.len());
    let slots = slots::take(change, keys.len(), now).await?;

    for (index, (key, slot)) in keys.into_iter().zip(slots).enumerate() {
        let admitted = quotas.admit(change, &key).await;
        limits.push(admitted.map_err(|error| error.of_row(index))?);
        let policy_id = policy_id(change, &mut policies, &key).await?;
        let id = random::id("key")?;
        let digest = if key.imported {
            change.at_rest().seal(&key.digest, &id)?
        } else {
            StoredDigest {
                digest: key.digest.0,
                sealed: None,
            }
        };
        rows.push(NewKeyRow {
            id,
            policy_id,
            slot,
            digest,
            key,
            now,
            revision: change.revision(),
        });
    }
    Ok((rows, limits))
}

/// Returns the id of the key's policy. `known` has the ids of those that were looked up, by the
/// digests of their contents.
async fn policy_id(
    change: &mut RevisionTx,
    known: &mut HashMap<[u8; 32], i64>,
    key: &NewKey,
) -> Result<i64, StoreError> {
    let content = Content::new(&key.account_id, &key.user_id, &key.settings)?;
    if let Some(&id) = known.get(&content.digest()) {
        return Ok(id);
    }
    let id = content.policy(change).await?;
    known.insert(content.digest(), id);
    Ok(id)
}

/// Refuses keys with a name that another key has, or with a secret that a key has or had.
async fn require_new(change: &mut RevisionTx, keys: &[NewKey], now: i64) -> Result<(), StoreError> {
    let mut of_accounts = BTreeMap::<_, Vec<_>>::new();
    for key in keys {
        of_accounts
            .entry(key.account_id.as_str())
            .or_default()
            .push(key.settings.name.as_str());
    }
    let mut taken = HashSet::new();
    for (account_id, names) in of_accounts {
        for names in names.chunks(NAMES) {
            let names =
                expired::taken_names(change.connection(), account_id, names, None, now).await?;
            taken.extend(names.into_iter().map(|name| (account_id.to_owned(), name)));
        }
    }
    let digests: Vec<_> = keys.iter().map(|key| key.digest).collect();
    let mut digests = secrets::known(change, &digests).await?;
    for (
        index,
        NewKey {
            account_id,
            digest,
            settings,
            ..
        },
    ) in keys.iter().enumerate()
    {
        if !taken.insert((account_id.clone(), settings.name.clone())) {
            return Err(StoreError::NameTaken.of_row(index));
        }
        if !digests.insert(*digest) {
            return Err(StoreError::SecretTaken.of_row(index));
        }
    }
    Ok(())
}

/// Refuses keys of owners who no longer exist. Callers who create keys for themselves do exist, but
/// these keys can be for another user.
async fn require_owners(change: &mut RevisionTx, keys: &[NewKey]) -> Result<(), StoreError> {
    const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM users u JOIN accounts a ON a.id = u.account_id \
         WHERE u.id = ? AND a.id = ? AND u.deleted_at IS NULL AND a.closed_at IS NULL)";
    let owners: BTreeSet<_> = keys
        .iter()
        .map(|key| (&key.user_id, &key.account_id))
        .collect();
    for (user_id, account_id) in owners {
        let exists = sqlx::query_scalar(EXISTS).bind(user_id).bind(account_id);
        if !exists.fetch_one(change.connection()).await? {
            return Err(StoreError::UserNotFound);
        }
    }
    Ok(())
}
