//! Known clients: those that have logged in to a user before. Wrong passwords of other clients do
//! not delay them.

use latchkey_model::client_network::ClientNetwork;
use sqlx::SqliteConnection;

use super::{Credentials, Store, StoreError};

/// The number of clients of a user that are remembered: the ones that logged in last.
const KNOWN: u32 = 20;

impl Store {
    /// Returns the user with that email address, ignoring case, and whether the client has logged
    /// in to them before.
    pub async fn login(
        &self,
        email: &str,
        client: ClientNetwork,
    ) -> Result<Option<(Credentials, bool)>, StoreError> {
        const KNOWN: &str =
            "SELECT EXISTS (SELECT 1 FROM known_clients WHERE user_id = ? AND client = ?)";
        let Some(user) = self.credentials(email).await? else {
            return Ok(None);
        };
        let query = sqlx::query_scalar(KNOWN)
            .bind(&user.user_id)
            .bind(client.digest().to_vec());
        let known = query.fetch_one(&self.0.readers).await?;
        Ok(Some((user, known)))
    }
}

/// Remembers that a client has logged in to a user, and forgets the client whose log-in is the
/// oldest if there are too many.
pub(super) async fn remember(
    to: &mut SqliteConnection,
    user_id: &str,
    client: ClientNetwork,
    now: i64,
) -> Result<(), StoreError> {
    const REMEMBER: &str = "INSERT INTO known_clients (user_id, client, last_login_at) VALUES (?, ?, ?) \
         ON CONFLICT (user_id, client) DO UPDATE SET last_login_at = excluded.last_login_at";
    const FORGET: &str = "DELETE FROM known_clients WHERE user_id = ? AND client NOT IN \
         (SELECT client FROM known_clients WHERE user_id = ? ORDER BY last_login_at DESC, client LIMIT ?)";
    let remember = sqlx::query(REMEMBER)
        .bind(user_id)
        .bind(client.digest().to_vec())
        .bind(now);
    remember.execute(&mut *to).await?;
    sqlx::query(FORGET)
        .bind(user_id)
        .bind(user_id)
        .bind(KNOWN)
        .execute(to)
        .await?;
    Ok(())
}
