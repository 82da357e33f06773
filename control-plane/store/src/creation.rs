//! Creating keys. A batch is one transaction and one revision, all or nothing.

use latchkey_model::authority::Authority;
use latchkey_model::ceilings::Ceilings;
use latchkey_model::ip_list::IpList;
use latchkey_model::limits::DeclaredLimits;
use latchkey_model::random;
use latchkey_model::selection::Selection;
use latchkey_policy::key::{Environment, KeyDigest, PlainKey};
use serde_json::Value;
use sqlx::{QueryBuilder, Sqlite};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::at_rest::{self, StoredDigest};
use super::audit::Event;
use super::bounds::Bounds;
use super::change::{Change, to_its_end};
use super::policies::Content;
use super::webhooks::outbox;
use super::{Acting, Caller, Key, KeySettings, Outcome, Secret, Store, StoreError};
use super::{expired, listed_to_json, secrets, slots, subaccounts, to_json};

/// The maximum number of rows in one statement.
const ROWS: usize = 200;

/// The maximum number of names in one statement.
const NAMES: usize = 5_000;

/// A key to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The account's id: `acc_…`
    pub account_id: String,
    /// The owner's id: `usr_…`
    pub user_id: String,
    /// The digest, which is all that is kept of the secret.
    pub digest: KeyDigest,
    /// The masked form, by which people recognise the key.
    pub masked: String,
    /// The key was made elsewhere, so that its format is unknown.
    pub imported: bool,
    /// The attributes that its owner sets.
    pub settings: KeySettings,
}

impl NewKey {
    /// Returns a key for `secret` without further attributes: it is admitted where any valid key is
    /// enough.
    pub fn new(
        account_id: &str,
        user_id: &str,
        name: &str,
        secret: &PlainKey,
        tier: &str,
        environment: Environment,
    ) -> Self {
        Self {
            account_id: account_id.to_owned(),
            user_id: user_id.to_owned(),
            digest: secret.digest(),
            masked: secret.masked(),
            imported: false,
            settings: KeySettings {
                name: name.to_owned(),
                description: None,
                environment,
                tier: tier.to_owned(),
                scope: Selection::All,
                authority: Authority::default(),
                subaccounts: Selection::All,
                limits: DeclaredLimits::default(),
                expires_at: None,
                allowed_ips: IpList::default(),
                denied_ips: IpList::default(),
                issues: None,
                ceilings: Ceilings::default(),
                issued: false,
            },
        }
    }
}

/// The keys that were created.
#[derive(Debug)]
pub struct Created {
    /// The revision from which on nodes know the keys.
    pub revision: u64,
    /// The keys, in the order of the request.
    pub keys: Vec<Key>,
}

/// A key with the values that the store assigns.
struct Row {
    id: String,
    policy_id: i64,
    slot: u32,
    digest: StoredDigest,
    key: NewKey,
}

impl Store {
    /// Creates all of `keys`. Fails with [`StoreError::TierNotFound`] if one has a tier that does
    /// not exist, with [`StoreError::ServiceUnknown`] if one names a service that its account does
    /// not have, and with [`StoreError::TierExceeded`] and [`StoreError::KeyLimit`] beyond the
    /// account's limits.
    pub async fn create_keys(&self, keys: &[NewKey], now: i64) -> Result<Created, StoreError> {
        let (store, keys) = (self.clone(), keys.to_vec());
        to_its_end(async move {
            let mut change = Change::begin(&store).await?;
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

impl Acting {
    /// Creates the key that `new` returns. `new` gets the caller and the ids of the account's
    /// subaccounts; if it fails, no key is created. Returns the key with the revision from which on
    /// nodes know it. A repeatable call is recorded with the value that `data` returns for the key.
    /// Fails as [`create_keys`](Store::create_keys) does.
    pub async fn create_key<E: From<StoreError> + Send + 'static>(
        self,
        new: impl FnOnce(&Caller, &[String]) -> Result<NewKey, E> + Send + 'static,
        data: impl FnOnce(&Key) -> Value + Send + 'static,
    ) -> Result<Outcome<(Key, u64)>, E> {
        to_its_end(async move {
            let mut deed = match self.begin_repeatable().await? {
                Outcome::New(deed) => deed,
                Outcome::Repeated(recorded) => return Ok(Outcome::Repeated(recorded)),
            };
            let there_are = subaccounts::ids(deed.on.connection(), &deed.caller.account_id).await?;
            let key = new(&deed.caller, &there_are)?;
            let keys = create(&mut deed.on, vec![key], self.now)
                .await
                .map_err(StoreError::of_any_row)?;
            let key = keys
                .into_iter()
                .next()
                .ok_or(StoreError::Damaged("a key that was created"))?;
            deed.record(|| data(&key)).await?;
            let revision = deed.commit(&[Event::created("key.create", &key)]).await?;
            Ok(Outcome::New((key, revision)))
        })
        .await
    }
}

/// Creates `keys` within `change`. Fails with [`StoreError::Row`] about one of them.
/// [`StoreError::NameTaken`] and [`StoreError::SecretTaken`] can also be due to another one of
/// `keys`.
pub(super) async fn create(
    change: &mut Change,
    keys: Vec<NewKey>,
    now: i64,
) -> Result<Vec<Key>, StoreError> {
    require_owners(change, &keys).await?;
    require_new(change, &keys, now).await?;
    let mut bounds = Bounds::new(change, now).await?;
    let mut policies = HashMap::new();
    let (mut rows, mut limits) = (
        Vec::with_capacity(keys.len()),
        Vec::with_capacity(keys.len()),
    );
    let slots = slots::take(change, keys.len(), now).await?;
    for (index, (key, slot)) in keys.into_iter().zip(slots).enumerate() {
        limits.push(
            bounds
                .admit(change, &key)
                .await
                .map_err(|error| error.of_row(index))?,
        );
        let content = Content::of(&key.account_id, &key.user_id, &key.settings)?;
        let policy_id = match policies.get(&content.digest()) {
            Some(&policy_id) => policy_id,
            None => {
                let policy_id = content.policy(change).await?;
                policies.insert(content.digest(), policy_id);
                policy_id
            }
        };
        let id = random::id("key")?;
        let digest = if key.imported {
            change.at_rest().seal(&key.digest, &id)?
        } else {
            StoredDigest {
                digest: key.digest.0,
                sealed: None,
            }
        };
        rows.push(Row {
            id,
            policy_id,
            slot,
            digest,
            key,
        });
    }
    if rows.iter().any(|row| row.key.imported) {
        at_rest::record_use(change.connection()).await?;
    }
    for rows in rows.chunks(ROWS) {
        insert(change, rows, now).await?;
    }
    outbox::created(
        change,
        rows.iter().map(|row| row.key.account_id.as_str()),
        now,
    )
    .await?;
    let created = |(row, limits): (Row, _)| Key {
        id: row.id,
        user_id: row.key.user_id,
        secret: Secret {
            masked: row.key.masked,
            created_at: now,
            ends_at: None,
            last_used_at: None,
            last_used_ip: None,
        },
        old_secret: None,
        settings: row.key.settings,
        limits,
        disabled: false,
        created_at: now,
        updated_at: now,
        last_used_at: None,
        last_used_ip: None,
        revoked_at: None,
    };
    Ok(rows.into_iter().zip(limits).map(created).collect())
}

/// Refuses keys with a name that another key has, or with a secret that a key has or had.
async fn require_new(change: &mut Change, keys: &[NewKey], now: i64) -> Result<(), StoreError> {
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
async fn require_owners(change: &mut Change, keys: &[NewKey]) -> Result<(), StoreError> {
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

async fn insert(change: &mut Change, rows: &[Row], now: i64) -> Result<(), StoreError> {
    let revision = change.revision();
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO keys (id, policy_id, slot, account_id, user_id, digest, sealed, masked, imported, name, description, environment, \
         tier, scope, roles, permissions, subaccounts, limits, allowed_ips, denied_ips, issues, ceilings, issued, expires_at, \
         created_at, updated_at, secret_created_at, revision) ",
    );
    let encoded = rows.iter().map(
        |Row {
             key: NewKey { settings, .. },
             ..
         }| {
            let Authority { roles, permissions } = &settings.authority;
            let selections = [
                listed_to_json(&settings.scope)?,
                listed_to_json(&settings.subaccounts)?,
            ];
            let lists = [
                to_json(roles)?,
                to_json(permissions)?,
                to_json(&settings.limits)?,
            ];
            let issues = settings.issues.as_ref().map(to_json).transpose()?;
            let bounds = (issues, to_json(&settings.ceilings)?);
            Ok((
                selections,
                lists,
                (
                    [
                        to_json(&settings.allowed_ips)?,
                        to_json(&settings.denied_ips)?,
                    ],
                    bounds,
                ),
            ))
        },
    );
    let encoded = encoded.collect::<Result<Vec<_>, StoreError>>()?;
    query.push_values(
        rows.iter().zip(encoded),
        |mut to, (row, (selections, lists, addresses))| {
            let Row {
                id,
                policy_id,
                slot,
                digest,
                key,
            } = row;
            let NewKey {
                account_id,
                user_id,
                masked,
                imported,
                settings,
                ..
            } = key;
            let ([scope, subaccounts], [roles, permissions, limits]) = (selections, lists);
            let ([allowed_ips, denied_ips], (issues, ceilings)) = addresses;
            to.push_bind(id)
                .push_bind(policy_id)
                .push_bind(slot)
                .push_bind(account_id)
                .push_bind(user_id);
            to.push_bind(&digest.digest[..])
                .push_bind(digest.sealed.as_deref())
                .push_bind(masked)
                .push_bind(imported);
            to.push_bind(&settings.name)
                .push_bind(&settings.description);
            to.push_bind(settings.environment.as_str())
                .push_bind(&settings.tier)
                .push_bind(scope)
                .push_bind(roles);
            to.push_bind(permissions)
                .push_bind(subaccounts)
                .push_bind(limits)
                .push_bind(allowed_ips);
            to.push_bind(denied_ips)
                .push_bind(issues)
                .push_bind(ceilings)
                .push_bind(settings.issued)
                .push_bind(settings.expires_at)
                .push_bind(now)
                .push_bind(now)
                .push_bind(now);
            to.push_bind(revision);
        },
    );
    query.build().execute(change.connection()).await?;
    Ok(())
}
