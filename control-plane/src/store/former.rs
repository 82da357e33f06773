//! What a restored database takes over from the one that it replaces: its epochs, and the nodes that may still serve what
//! it had. Nodes that came after the backup are in no backup.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use std::path::Path;
use tracing::warn;

use super::{NodeRow, PATIENCE, epochs, life, nodes};

/// What another database knew.
pub(super) struct Former {
    epochs: Vec<Vec<u8>>,
    nodes: Vec<NodeRow>,
    uptime: i64,
    noted_at: Option<i64>,
    unknown_until: Option<i64>,
    longest_limit: i64,
}

/// Reads it from `database`, of whatever version. None if that is impossible: then the past is unknown.
pub(super) async fn read(database: &Path) -> Option<Former> {
    let options = SqliteConnectOptions::new().filename(database).read_only(true).busy_timeout(PATIENCE);
    let former = async {
        let mut connection = options.connect().await?;
        let former = read_from(&mut connection).await;
        connection.close().await?;
        former
    };
    former.await.inspect_err(|error| warn!(%error, "the nodes of the replaced database cannot be read")).ok()
}

async fn read_from(connection: &mut SqliteConnection) -> Result<Former, sqlx::Error> {
    let has_history = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('meta') WHERE name = 'noted_at')";
    let mut epochs: Vec<Vec<u8>> = sqlx::query_scalar("SELECT epoch FROM meta").fetch_all(&mut *connection).await?;
    if !sqlx::query_scalar::<_, bool>(has_history).fetch_one(&mut *connection).await? {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT node_id, instance, version FROM nodes").fetch_all(connection).await?;
        let nodes = rows.into_iter().map(of_version_0_1).collect();
        return Ok(Former { epochs, nodes, uptime: 0, noted_at: Some(0), unknown_until: None, longest_limit: 0 });
    }
    let accepted = sqlx::query_scalar("SELECT epoch FROM accepted_epochs").fetch_all(&mut *connection).await?;
    epochs.extend(accepted);
    let (uptime, noted_at, unknown_until, longest_limit) =
        sqlx::query_as("SELECT uptime_seconds, noted_at, unknown_until, longest_limit FROM meta")
            .fetch_one(&mut *connection)
            .await?;
    let nodes = nodes::all(connection).await?;
    Ok(Former { epochs, nodes, uptime, noted_at, unknown_until, longest_limit })
}

fn of_version_0_1((node_id, instance, version): (String, String, String)) -> NodeRow {
    NodeRow {
        node_id,
        secret_hash: life::instance_hash(&instance),
        meter: instance.clone(),
        instance: Some(instance),
        version,
        protocol: 0,
        staleness: 0,
        lost_at: None,
        lost_since: None,
    }
}

/// Writes it to the restored database, whose own epoch becomes a former one too. Its own nodes may serve as well, from now
/// on.
pub(super) async fn take_over(to: &mut SqliteConnection, former: Option<Former>, now: i64) -> Result<(), sqlx::Error> {
    let own: Vec<Vec<u8>> = sqlx::query_scalar("SELECT epoch FROM meta").fetch_all(&mut *to).await?;
    life::name_instances(to).await?;
    sqlx::query("UPDATE nodes SET lost_at = NULL, lost_since = NULL").execute(&mut *to).await?;
    // Without a former database nobody knows what came after the backup.
    let former = former.unwrap_or(Former {
        epochs: Vec::new(),
        nodes: Vec::new(),
        uptime: 0,
        noted_at: Some(0),
        unknown_until: None,
        longest_limit: 0,
    });
    if own.iter().all(|epoch| former.epochs.contains(epoch)) {
        // It is the later state of the same database: what it does not have is gone.
        sqlx::query("DELETE FROM nodes").execute(&mut *to).await?;
    }
    for epoch in own.iter().chain(&former.epochs) {
        epochs::accept(&mut *to, epoch, now).await?;
    }
    for node in &former.nodes {
        nodes::write(&mut *to, node).await?;
    }
    nodes::raise_longest_limit(&mut *to, former.longest_limit).await?;
    // Times at which nodes were lost are of the former database's uptime.
    let query = sqlx::query("UPDATE meta SET uptime_seconds = ?, noted_at = ?, unknown_until = ?");
    query.bind(former.uptime).bind(former.noted_at).bind(former.unknown_until).execute(to).await?;
    Ok(())
}
