//! Importing keys that were made elsewhere, by their digests. A batch is one transaction and one
//! revision, all or nothing.
//!
//! **A digest is accepted once** (`secrets.rs`). There is one exception, so that a failed import
//! can be repeated: on request, a digest is accepted again that the same account imported at most a
//! week ago and revoked before any request was admitted with it.

use serde_json::Value;
use std::collections::HashSet;

use super::audit::Event;
use super::authorized::AuthorizedTx;
use super::creation;
use super::quotas::AccountQuotas;
use super::revision::{RevisionTx, run_to_completion};
use super::{
    Authorized, Caller, Key, NewKey, Outcome, StoreError, disclosures, expired, secrets,
    subaccounts,
};

/// The options of an import for rows whose keys are known already.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImportOptions {
    /// Skips rows whose keys are live keys of the account.
    pub skip_existing: bool,
    /// Accepts digests of unused imports again.
    pub reimport_unused: bool,
}

/// The result of an import.
#[derive(Debug)]
pub struct Imported {
    /// The revision from which on nodes know the keys.
    pub revision: u64,
    /// The imported keys, in the order of the rows, without skipped ones.
    pub keys: Vec<Key>,
    /// The indexes of the rows that were skipped.
    pub skipped: Vec<usize>,
}

/// The result of a dry run.
#[derive(Debug)]
pub struct ImportCheck<E> {
    /// The number of rows that would be imported.
    pub importable: usize,
    /// The indexes of the rows that would be skipped.
    pub skipped: Vec<usize>,
    /// The refused rows with their errors, by their indexes.
    pub refused: Vec<(usize, E)>,
    /// The number of keys that the account may still create, before the import, if that is bounded.
    pub room: Option<u64>,
}

/// The decision on a row: a key, `None` if it is skipped, or a refusal.
type Judged<E> = Result<Option<NewKey>, Refused<E>>;

/// The reason why a row is refused.
struct Refused<E> {
    error: E,
    /// The name in the row, if another account has its digest.
    elsewhere: Option<String>,
}

impl<E: From<StoreError>> Refused<E> {
    fn of_row(error: StoreError, index: usize) -> Self {
        Self {
            error: error.of_row(index).into(),
            elsewhere: None,
        }
    }
}

impl<E: From<StoreError>> ImportCheck<E> {
    /// Counts a row as importable, or as refused if its account may not have the key.
    ///
    /// # Errors
    /// When the database failed.
    fn add(&mut self, index: usize, admitted: Result<(), StoreError>) -> Result<(), StoreError> {
        match admitted {
            Ok(()) => self.importable = self.importable.saturating_add(1),
            Err(error @ (StoreError::Unavailable(_) | StoreError::Database(_))) => {
                return Err(error);
            }
            Err(error) => self.refused.push((index, error.of_row(index).into())),
        }
        Ok(())
    }
}

impl Authorized {
    /// Creates the keys that `new` returns. `new` gets the caller and the ids of the account's
    /// subaccounts; no key is created if one of the rows is refused. Fails with [`StoreError::Row`]
    /// about one of them. [`StoreError::TierNotFound`], [`StoreError::NameTaken`] and
    /// [`StoreError::SecretTaken`] can also be due to another one of them. A repeatable call is
    /// recorded with the value that `data` returns for the keys and the number of skipped rows.
    pub async fn import_keys<E: From<StoreError> + Send + 'static>(
        self,
        options: ImportOptions,
        new: impl FnOnce(&Caller, &[String]) -> Vec<Result<NewKey, E>> + Send + 'static,
        data: impl FnOnce(&[Key], usize) -> Value + Send + 'static,
    ) -> Result<Outcome<Imported>, E> {
        run_to_completion(async move {
            let mut authorized = match self.begin_repeatable().await? {
                Outcome::New(authorized) => authorized,
                Outcome::Repeated(recorded) => return Ok(Outcome::Repeated(recorded)),
            };
            ensure_possible(&authorized.tx)?;
            let existing =
                subaccounts::ids(authorized.tx.connection(), &authorized.caller.account_id).await?;
            let rows = new(&authorized.caller, &existing);
            disclosures::ensure_allowed(authorized.tx.connection(), &authorized.caller, self.now)
                .await?;
            let judged = judge(
                &mut authorized.tx,
                &authorized.caller.account_id,
                rows,
                options,
                self.now,
            )
            .await?;
            let sorted = match Sorted::new(judged) {
                Ok(sorted) => sorted,
                Err(Refused { error, elsewhere }) => {
                    if let Some(name) = elsewhere {
                        let on = authorized.tx.connection();
                        let (events, _) =
                            disclosures::of_keys(on, &authorized.caller, &[name], self.now).await?;
                        authorized.commit(&events).await?;
                    }
                    return Err(error);
                }
            };
            Ok(Outcome::New(
                create(authorized, sorted, options, data).await?,
            ))
        })
        .await
    }

    /// Decides on each row as [`import_keys`](Self::import_keys) does, and creates no key.
    pub async fn check_import<E: From<StoreError> + Send + 'static>(
        self,
        options: ImportOptions,
        new: impl FnOnce(&Caller, &[String]) -> Vec<Result<NewKey, E>> + Send + 'static,
    ) -> Result<ImportCheck<E>, E> {
        run_to_completion(async move {
            // It is committed only to record its disclosures about other accounts.
            let mut authorized = self.begin().await?;
            ensure_possible(&authorized.tx)?;
            let account_id = &authorized.caller.account_id.clone();
            let existing = subaccounts::ids(authorized.tx.connection(), account_id).await?;
            let rows = new(&authorized.caller, &existing);
            disclosures::ensure_allowed(authorized.tx.connection(), &authorized.caller, self.now)
                .await?;
            let judged = judge(&mut authorized.tx, account_id, rows, options, self.now).await?;
            let mut elsewhere = Vec::new();
            let mut quotas = AccountQuotas::new(&mut authorized.tx, self.now).await?;
            let room = quotas.room(&mut authorized.tx, account_id).await?;
            let mut check = ImportCheck {
                importable: 0,
                skipped: Vec::new(),
                refused: Vec::new(),
                room,
            };
            for (index, row) in judged.into_iter().enumerate() {
                match row {
                    Ok(None) => check.skipped.push(index),
                    Err(Refused {
                        error,
                        elsewhere: name,
                    }) => {
                        elsewhere.extend(name);
                        check.refused.push((index, error));
                    }
                    Ok(Some(key)) => {
                        let admitted = quotas.admit(&mut authorized.tx, &key).await;
                        check.add(index, admitted.map(drop))?;
                    }
                }
            }

            let shown = disclosures::of_keys(
                authorized.tx.connection(),
                &authorized.caller,
                &elsewhere,
                self.now,
            )
            .await?;
            let (events, beyond) = shown;
            if !events.is_empty() {
                authorized.commit(&events).await?;
            }
            match beyond {
                Some(error) => Err(error.into()),
                None => Ok(check),
            }
        })
        .await
    }
}

/// The rows to create and those to skip.
#[derive(Default)]
struct Sorted {
    keys: Vec<NewKey>,
    /// The row of each of `keys`.
    indexes: Vec<usize>,
    /// The rows of keys that exist already.
    skipped: Vec<usize>,
}

impl Sorted {
    /// Sorts the rows by what was decided on them.
    ///
    /// # Errors
    /// The first refused row.
    fn new<E>(judged: Vec<Judged<E>>) -> Result<Self, Refused<E>> {
        let mut sorted = Self::default();
        for (index, row) in judged.into_iter().enumerate() {
            match row? {
                Some(key) => {
                    sorted.keys.push(key);
                    sorted.indexes.push(index);
                }
                None => sorted.skipped.push(index),
            }
        }
        Ok(sorted)
    }
}

/// Creates the keys of the sorted rows, and commits.
async fn create(
    mut authorized: AuthorizedTx<RevisionTx>,
    rows: Sorted,
    options: ImportOptions,
    data: impl FnOnce(&[Key], usize) -> Value,
) -> Result<Imported, StoreError> {
    let Sorted {
        keys,
        indexes,
        skipped,
    } = rows;
    if keys.is_empty() {
        return Ok(Imported {
            revision: authorized.revision_before(),
            keys: Vec::new(),
            skipped,
        });
    }

    let now = authorized.now;
    if options.reimport_unused {
        let digests: Vec<_> = keys.iter().map(|key| key.digest).collect();
        let account_id = &authorized.caller.account_id;
        secrets::release_unused_imports(&mut authorized.tx, account_id, &digests, now).await?;
    }
    let created = creation::create(&mut authorized.tx, keys, now).await;
    let keys = created.map_err(|error| of_original_row(error, &indexes))?;
    let events: Vec<_> = keys
        .iter()
        .map(|key| Event::created("key.import", key))
        .collect();
    authorized.record(|| data(&keys, skipped.len())).await?;
    Ok(Imported {
        revision: authorized.commit(&events).await?,
        keys,
        skipped,
    })
}

/// Refuses imports if there is no at-rest key to encrypt their digests.
fn ensure_possible(change: &RevisionTx) -> Result<(), StoreError> {
    if change.at_rest().is_available() {
        Ok(())
    } else {
        Err(StoreError::AtRestKeyMissing)
    }
}

/// Changes an error about one of the created keys to one about the row that it comes from.
fn of_original_row(error: StoreError, indexes: &[usize]) -> StoreError {
    match error {
        StoreError::Row { index, error } => {
            error.of_row(indexes.get(index).copied().unwrap_or(index))
        }
        error => error,
    }
}

/// Decides on each row, from the existing keys and the rows before it.
async fn judge<E: From<StoreError>>(
    change: &mut RevisionTx,
    account_id: &str,
    rows: Vec<Result<NewKey, E>>,
    options: ImportOptions,
    now: i64,
) -> Result<Vec<Judged<E>>, StoreError> {
    let keys: Vec<_> = rows.iter().flatten().collect();
    let names: Vec<_> = keys.iter().map(|key| key.settings.name.as_str()).collect();
    let mut names =
        expired::taken_names(change.connection(), account_id, &names, None, now).await?;
    let digests: Vec<_> = keys.iter().map(|key| key.digest).collect();
    let mut known = secrets::known(change, &digests).await?;
    let elsewhere = secrets::of_other_accounts(change, account_id, &digests).await?;
    let (mut own, mut unused) = (HashSet::new(), HashSet::new());
    if options.skip_existing {
        own = secrets::live_of_account(change, account_id, &digests).await?;
    }
    if options.reimport_unused {
        unused = secrets::unused_imports(change, account_id, &digests, now).await?;
    }
    let judge = |(index, row): (usize, Result<NewKey, E>)| {
        let key = row.map_err(|error| Refused {
            error,
            elsewhere: None,
        })?;
        if own.contains(&key.digest) {
            return Ok(None);
        }
        if !names.insert(key.settings.name.clone()) {
            return Err(Refused::of_row(StoreError::NameTaken, index));
        }
        // The second row of a digest is a duplicate.
        let again = unused.remove(&key.digest);
        if !known.insert(key.digest) && !again {
            let refused = Refused::of_row(StoreError::SecretTaken, index);
            let name = elsewhere.contains(&key.digest).then_some(key.settings.name);
            return Err(Refused {
                elsewhere: name,
                ..refused
            });
        }
        Ok(Some(key))
    };
    Ok(rows.into_iter().enumerate().map(judge).collect())
}
