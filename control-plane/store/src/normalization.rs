//! Normalizes names and email addresses that were stored before Latchkey used Unicode's NFC. It
//! runs once. Names that cannot be normalized, because their normal form is taken, are logged at
//! each start.

use latchkey_model::text;
use sqlx::{FromRow, SqliteConnection};
use tokio_stream::StreamExt as _;
use tracing::{info, warn};

use super::revision::RevisionTx;
use super::{Store, StoreError};

/// The number of collisions that a start logs one by one.
const LOGGED: i64 = 20;

/// A kind of resource that has names.
struct Kind {
    name: &'static str,
    /// Selects the resources with a name outside ASCII, in the order of creation: `id`, `name`.
    find: &'static str,
    /// Selects whether another resource than the one with the id `?2` has the name `?1`.
    taken: &'static str,
    /// Sets the name of the resource with the id `?3` to `?1`. `?2` is the revision.
    set: &'static str,
    normalized: fn(&str) -> String,
}

/// Characters outside ASCII are the only ones that have another normal form.
const KINDS: [Kind; 4] = [
    Kind {
        name: "account",
        find: "SELECT id, name FROM accounts WHERE closed_at IS NULL AND name GLOB '*[^ -~]*' ORDER BY created_at, id",
        // Account names need not be unique.
        taken: "SELECT FALSE WHERE ?1 <> ?2",
        set: "UPDATE accounts SET name = ?1 WHERE ?2 AND id = ?3",
        normalized: text::normalized_name,
    },
    Kind {
        name: "user",
        find: "SELECT id, email FROM users WHERE deleted_at IS NULL AND email GLOB '*[^ -~]*' ORDER BY created_at, id",
        taken: "SELECT EXISTS (SELECT 1 FROM users WHERE email = ?1 AND id <> ?2)",
        set: "UPDATE users SET email = ?1 WHERE ?2 AND id = ?3",
        normalized: text::normalized_email,
    },
    Kind {
        name: "subaccount",
        find: "SELECT id, name FROM subaccounts WHERE name GLOB '*[^ -~]*' ORDER BY created_at, id",
        taken: "SELECT EXISTS (SELECT 1 FROM subaccounts WHERE name = ?1 AND id <> ?2 AND account_id = \
             (SELECT account_id FROM subaccounts WHERE id = ?2))",
        set: "UPDATE subaccounts SET name = ?1 WHERE ?2 AND id = ?3",
        normalized: text::normalized_name,
    },
    Kind {
        name: "key",
        find: "SELECT id, name FROM keys WHERE revoked_at IS NULL AND name GLOB '*[^ -~]*' ORDER BY seq",
        taken: "SELECT EXISTS (SELECT 1 FROM keys WHERE name = ?1 AND id <> ?2 AND revoked_at IS NULL AND account_id = \
             (SELECT account_id FROM keys WHERE id = ?2))",
        set: "UPDATE keys SET name = ?1, revision = ?2 WHERE id = ?3",
        normalized: text::normalized_name,
    },
];

#[derive(FromRow)]
struct Collision {
    kind: String,
    id: String,
    name: String,
}

/// Normalizes the names that are not normalized yet, in one change, and logs those that cannot be.
pub(super) async fn normalize_names(store: &Store) -> Result<(), StoreError> {
    let done: bool = sqlx::query_scalar("SELECT names_normalized FROM meta")
        .fetch_one(&store.0.writer)
        .await?;
    if !done {
        normalize_all(store).await?;
    }
    log_collisions(store).await
}

async fn normalize_all(store: &Store) -> Result<(), StoreError> {
    const DONE: &str = "UPDATE meta SET names_normalized = TRUE";
    let mut found = Vec::new();
    for kind in &KINDS {
        let mut names = sqlx::query_as(kind.find).fetch(&store.0.writer);
        while let Some((id, name)) = names.try_next().await? {
            let (id, name): (String, String) = (id, name);
            let normalized = (kind.normalized)(&name);
            if normalized != name {
                found.push((kind, id, name, normalized));
            }
        }
    }
    if found.is_empty() {
        sqlx::query(DONE).execute(&store.0.writer).await?;
        return Ok(());
    }
    let mut change = RevisionTx::begin(store).await?;
    let revision = change.revision();
    let mut renamed = 0_u64;
    for (kind, id, name, normalized) in found {
        let on = change.connection();
        if normalized.is_empty() || is_taken(on, kind, &normalized, &id).await? {
            let insert =
                sqlx::query("INSERT INTO name_collisions (kind, id, name) VALUES (?, ?, ?)");
            insert
                .bind(kind.name)
                .bind(id)
                .bind(name)
                .execute(on)
                .await?;
        } else {
            sqlx::query(kind.set)
                .bind(normalized)
                .bind(revision)
                .bind(id)
                .execute(on)
                .await?;
            renamed = renamed.saturating_add(1);
        }
    }
    sqlx::query(DONE).execute(change.connection()).await?;
    change.commit().await?;
    info!(
        renamed,
        "names and email addresses are now stored in Unicode NFC"
    );
    Ok(())
}

async fn is_taken(
    on: &mut SqliteConnection,
    kind: &Kind,
    name: &str,
    id: &str,
) -> Result<bool, StoreError> {
    let taken = sqlx::query_scalar::<_, bool>(kind.taken)
        .bind(name)
        .bind(id);
    Ok(taken.fetch_optional(on).await?.unwrap_or(false))
}

/// Logs the resources that still have a name that collides.
async fn log_collisions(store: &Store) -> Result<(), StoreError> {
    const QUERY: &str = "SELECT c.kind, c.id, c.name FROM name_collisions c WHERE \
         EXISTS (SELECT 1 FROM keys WHERE c.kind = 'key' AND id = c.id AND name = c.name AND revoked_at IS NULL) \
         OR EXISTS (SELECT 1 FROM users WHERE c.kind = 'user' AND id = c.id AND email = c.name AND deleted_at IS NULL) \
         OR EXISTS (SELECT 1 FROM subaccounts WHERE c.kind = 'subaccount' AND id = c.id AND name = c.name) LIMIT ?";
    let query = sqlx::query_as(QUERY).bind(LOGGED.saturating_add(1));
    let collisions: Vec<Collision> = query.fetch_all(&store.0.writer).await?;
    let logged = usize::try_from(LOGGED).unwrap_or(usize::MAX);
    for Collision { kind, id, name } in collisions.iter().take(logged) {
        let name = text::escaped(name);
        warn!(kind, id, %name, "this name equals another one in Unicode NFC and was not changed: \
        rename it");
    }
    if collisions.len() > logged {
        warn!("more such names are in the table `name_collisions` of the database");
    }
    Ok(())
}
