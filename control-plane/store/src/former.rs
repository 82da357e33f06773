//! The data that a restored database takes over from the one that it replaces: its epochs, the
//! nodes that may still serve its keys, and its revoked node tokens. A backup does not have the
//! nodes that connected after it.
//!
//! **Only a later state of the restored database knows all of its nodes.** Such a state has the
//! same epoch, and the backup's revision with the same tag. After any other database the past is
//! unknown, and for a time unknown nodes are assumed to exist.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, FromRow};
use std::path::Path;
use tracing::warn;

use super::{FOREVER, NodeRow, PATIENCE, nodes, uptime};

/// The data of the replaced database.
struct Former {
    epochs: Vec<Vec<u8>>,
    nodes: Vec<NodeRow>,
    revoked_tokens: Vec<RevokedToken>,
    uptime: i64,
    noted_at: Option<i64>,
    unknown_until: Option<i64>,
    longest_limit: i64,
    /// True if it is a later state of the restored database: then it knows every node that may
    /// serve.
    is_later: bool,
}

/// The database that is restored, as of the backup.
#[derive(FromRow)]
struct Own {
    epoch: Vec<u8>,
    revision: i64,
    tag: Option<Vec<u8>>,
    #[sqlx(rename = "uptime_seconds")]
    uptime: i64,
    unknown_until: Option<i64>,
}

#[derive(FromRow)]
struct RevokedToken {
    name: String,
    hash: Vec<u8>,
    pattern: String,
    created_at: i64,
    last_used_at: Option<i64>,
    revoked_at: i64,
}

/// Reads the replaced database, of any version. Returns `None` if that is impossible: then the past
/// is unknown.
async fn read(database: &Path, own: &Own) -> Option<Former> {
    let options = SqliteConnectOptions::new()
        .filename(database)
        .read_only(true)
        .busy_timeout(PATIENCE);
    let former = async {
        let mut connection = options.connect().await?;
        let former = read_from(&mut connection, own).await;
        connection.close().await?;
        former
    };
    former
        .await
        .inspect_err(|error| warn!(%error, "cannot read the nodes of the replaced database"))
        .ok()
}

async fn read_from(connection: &mut SqliteConnection, own: &Own) -> Result<Former, sqlx::Error> {
    const HAS_HISTORY: &str =
        "SELECT EXISTS (SELECT 1 FROM pragma_table_info('meta') WHERE name = 'noted_at')";
    const REVOKED: &str = "SELECT name, hash, pattern, created_at, last_used_at, revoked_at FROM node_tokens \
         WHERE revoked_at IS NOT NULL";
    const CONTAINS: &str = "SELECT EXISTS (SELECT 1 FROM history WHERE revision = ?1 AND tag = ?2) \
         OR COALESCE((SELECT MIN(revision) FROM history) > ?1, FALSE)";
    let mut epochs: Vec<Vec<u8>> = sqlx::query_scalar("SELECT epoch FROM meta")
        .fetch_all(&mut *connection)
        .await?;
    let is_same = epochs.contains(&own.epoch);
    if !sqlx::query_scalar::<_, bool>(HAS_HISTORY)
        .fetch_one(&mut *connection)
        .await?
    {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT node_id, instance, version FROM nodes")
                .fetch_all(connection)
                .await?;
        let nodes = rows.into_iter().map(of_version_0_1).collect();
        return Ok(Former {
            epochs,
            nodes,
            ..Former::unknown()
        });
    }
    let accepted = sqlx::query_scalar("SELECT epoch FROM accepted_epochs")
        .fetch_all(&mut *connection)
        .await?;
    epochs.extend(accepted);
    let (uptime, noted_at, unknown_until, longest_limit) =
        sqlx::query_as("SELECT uptime_seconds, noted_at, unknown_until, longest_limit FROM meta")
            .fetch_one(&mut *connection)
            .await?;
    let contains = sqlx::query_scalar(CONTAINS)
        .bind(own.revision)
        .bind(&own.tag);
    let is_later = is_same && uptime >= own.uptime && contains.fetch_one(&mut *connection).await?;
    let nodes = nodes::all(&mut *connection).await?;
    let has_tokens = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'node_tokens')";
    let revoked_tokens = if sqlx::query_scalar(has_tokens)
        .fetch_one(&mut *connection)
        .await?
    {
        sqlx::query_as(REVOKED).fetch_all(connection).await?
    } else {
        Vec::new()
    };
    Ok(Former {
        epochs,
        nodes,
        revoked_tokens,
        uptime,
        noted_at,
        unknown_until,
        longest_limit,
        is_later,
    })
}

impl Former {
    /// Returns the data for an unknown past: what came after the backup is not known.
    fn unknown() -> Self {
        Self {
            epochs: Vec::new(),
            nodes: Vec::new(),
            revoked_tokens: Vec::new(),
            uptime: 0,
            noted_at: Some(0),
            unknown_until: None,
            longest_limit: 0,
            is_later: false,
        }
    }
}

fn of_version_0_1((node_id, instance, version): (String, String, String)) -> NodeRow {
    NodeRow {
        node_id,
        secret_hash: uptime::instance_hash(&instance),
        meter: instance.clone(),
        instance: Some(instance),
        version,
        protocol: 0,
        staleness: 0,
        lost_at: None,
        lost_since: None,
    }
}

/// Writes the data of `replaced` to the restored database, whose own epoch becomes a former one
/// too. Its own nodes may serve as well, from now on, unless `replaced` is a later state of it.
/// Returns whether it is.
pub(super) async fn take_over(
    to: &mut SqliteConnection,
    replaced: Option<&Path>,
    now: i64,
) -> Result<bool, sqlx::Error> {
    const OWN: &str = "SELECT epoch, revision, (SELECT tag FROM history h WHERE h.revision = m.revision) AS tag, \
         uptime_seconds, unknown_until FROM meta m";
    let own: Own = sqlx::query_as(OWN).fetch_one(&mut *to).await?;
    let former = match replaced {
        Some(replaced) => read(replaced, &own).await,
        None => None,
    };
    let mut former = former.unwrap_or_else(Former::unknown);
    uptime::name_instances(to).await?;
    if former.is_later {
        // Nodes that the later state does not have no longer exist.
        sqlx::query("DELETE FROM nodes").execute(&mut *to).await?;
    } else {
        // It does not know the nodes that this database served after the backup.
        former.noted_at = Some(0);
        let own_until = own.unknown_until.map(|until| match until {
            FOREVER => FOREVER,
            until => until
                .saturating_sub(own.uptime)
                .saturating_add(former.uptime),
        });
        former.unknown_until = former.unknown_until.max(own_until);
        sqlx::query("UPDATE nodes SET lost_at = NULL, lost_since = NULL")
            .execute(&mut *to)
            .await?;
    }
    for epoch in former.epochs.iter().chain([&own.epoch]) {
        nodes::accept_epoch(&mut *to, epoch, now).await?;
    }
    for node in &former.nodes {
        nodes::write(&mut *to, node).await?;
    }
    nodes::raise_longest_limit(&mut *to, former.longest_limit).await?;
    for token in &former.revoked_tokens {
        revoke(&mut *to, token, former.is_later).await?;
    }
    // Times at which nodes were lost are measured in the former database's uptime.
    let query = sqlx::query("UPDATE meta SET uptime_seconds = ?, noted_at = ?, unknown_until = ?");
    query
        .bind(former.uptime)
        .bind(former.noted_at)
        .bind(former.unknown_until)
        .execute(to)
        .await?;
    Ok(former.is_later)
}

/// Revokes a token that is in the restored database. A token that was created after the backup is
/// added as a revoked one, if the former database is `later`.
async fn revoke(
    to: &mut SqliteConnection,
    token: &RevokedToken,
    later: bool,
) -> Result<(), sqlx::Error> {
    const REVOKE: &str =
        "UPDATE node_tokens SET revoked_at = ?1 WHERE hash = ?2 AND revoked_at IS NULL";
    const INSERT: &str = "INSERT INTO node_tokens (name, hash, pattern, created_at, last_used_at, revoked_at) \
         VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
    sqlx::query(REVOKE)
        .bind(token.revoked_at)
        .bind(&token.hash)
        .execute(&mut *to)
        .await?;
    if later {
        let query = sqlx::query(INSERT)
            .bind(&token.name)
            .bind(&token.hash)
            .bind(&token.pattern);
        query
            .bind(token.created_at)
            .bind(token.last_used_at)
            .bind(token.revoked_at)
            .execute(to)
            .await?;
    }
    Ok(())
}
