//! Log-ins: the credentials that they are checked against, the clients that have logged in to a user
//! before, and the audit entries about refused ones, in the account of the user concerned.
//!
//! Wrong passwords of other clients do not delay known ones. The clients that cause refusals have no
//! credential, so the number of entries is bounded: [`PER_HOUR`] for each account and hour. Refusals
//! beyond that are returned to the caller, who sums them up.

use latchkey_model::client_network::ClientNetwork;
use latchkey_model::text;
use serde_json::json;
use sqlx::{FromRow, SqliteConnection};
use std::collections::HashMap;
use std::net::IpAddr;

use super::audit::{self, Event, Origin, Target};
use super::{Actor, Store, StoreError};

/// The number of clients of a user that are remembered: the ones that logged in last.
const KNOWN: u32 = 20;

/// The maximum number of entries about users of an account in an hour.
const PER_HOUR: u32 = 100;

const HOUR: i64 = 60 * 60;

const ACTION: &str = "session.refused";

/// The login of a user, and the hash that their password is verified against.
#[derive(Debug, FromRow)]
pub struct Credentials {
    /// The user's id: `usr_…`
    pub user_id: String,
    /// The account's id: `acc_…`
    pub account_id: String,
    /// The email address, in lower case.
    pub email: String,
    /// The hash of the password, as a PHC string.
    pub password_hash: String,
}

/// The number of refused log-ins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refusals {
    /// The number of log-ins.
    pub attempts: u64,
    /// The number of them whose password was not verified, because there had been too many.
    pub throttled: u64,
}

impl Refusals {
    /// Adds the numbers of `more`.
    pub fn add(&mut self, more: Self) {
        self.attempts = self.attempts.saturating_add(more.attempts);
        self.throttled = self.throttled.saturating_add(more.throttled);
    }
}

/// The refused log-ins of one client to a user.
#[derive(Debug, Clone)]
pub struct RefusedLogins {
    /// The user's account.
    pub account_id: String,
    /// The user.
    pub user_id: String,
    /// The user's email address.
    pub email: String,
    /// The client's address in the first request.
    pub address: Option<IpAddr>,
    /// The id of the first request.
    pub request_id: Option<String>,
    /// The number of refusals.
    pub refusals: Refusals,
}

impl RefusedLogins {
    fn event(&self) -> Event {
        event(
            Target::new("user", &self.user_id, &self.email),
            self.refusals,
        )
    }
}

fn event(target: Target, refusals: Refusals) -> Event {
    Event::noted(
        ACTION,
        target,
        json!({ "attempts": refusals.attempts, "throttled": refusals.throttled }),
    )
}

impl Store {
    /// Returns the login of the user with that email address. Case is ignored.
    pub async fn credentials(&self, email: &str) -> Result<Option<Credentials>, StoreError> {
        const QUERY: &str = "SELECT id AS user_id, account_id, email, password_hash FROM users WHERE email = ? \
             AND deleted_at IS NULL";
        // The given form comes first: a user whose address collides in NFC keeps it as it was.
        for email in [email.trim().to_lowercase(), text::normalized_email(email)] {
            let found = sqlx::query_as(QUERY)
                .bind(email)
                .fetch_optional(&self.0.readers)
                .await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

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

    /// Writes an entry for each of `refused`, and one for each of `sums`, which are the remaining
    /// refusals of an account. Returns those of `refused` that exceed the bound of their account,
    /// and were not written.
    pub async fn write_refused_logins(
        &self,
        refused: Vec<RefusedLogins>,
        sums: &[(String, Refusals)],
        now: i64,
    ) -> Result<Vec<RefusedLogins>, StoreError> {
        const COUNT: &str = "SELECT COUNT(*) FROM audit WHERE action = 'session.refused' AND account_id = ? AND at > ?";
        let mut transaction = self.0.begin().await?;
        let (mut rooms, mut beyond): (HashMap<String, u32>, _) = (HashMap::new(), Vec::new());
        for login in refused {
            let room = match rooms.get(&login.account_id) {
                Some(room) => *room,
                None => {
                    let count = sqlx::query_scalar(COUNT)
                        .bind(&login.account_id)
                        .bind(now.saturating_sub(HOUR));
                    let count: u32 = count.fetch_one(&mut *transaction).await?;
                    PER_HOUR.saturating_sub(count)
                }
            };
            rooms.insert(login.account_id.clone(), room.saturating_sub(1));
            if room == 0 {
                beyond.push(login);
                continue;
            }
            let origin = Origin {
                address: login.address,
                request_id: login.request_id.clone(),
            };
            let event = [login.event()];
            audit::write(
                &mut transaction,
                &login.account_id,
                &Actor::Unknown,
                &origin,
                &event,
                now,
            )
            .await?;
        }
        for (account_id, refusals) in sums {
            let event = [event(Target::the("account"), *refusals)];
            audit::write(
                &mut transaction,
                account_id,
                &Actor::Unknown,
                &Origin::default(),
                &event,
                now,
            )
            .await?;
        }
        transaction.commit().await?;
        Ok(beyond)
    }
}

/// Remembers that a client has logged in to a user, and forgets the client whose log-in is the
/// oldest if there are too many.
pub(super) async fn remember_client(
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
