//! Entries of the audit about refused log-ins, in the account of the user concerned.
//!
//! Nobody who asks for them has a credential, so their number is bounded: [`PER_HOUR`] an account
//! and hour. What is beyond that is left to the caller, who sums it up.

use serde_json::json;
use std::collections::HashMap;
use std::net::IpAddr;

use super::audit::{self, Event, Origin, Target};
use super::{Actor, Store, StoreError};

/// Entries about users of an account in an hour.
const PER_HOUR: u32 = 100;

const HOUR: i64 = 60 * 60;

const ACTION: &str = "session.refused";

/// How many log-ins were refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refusals {
    /// The number of log-ins.
    pub attempts: u64,
    /// Those of them whose password was not verified, as there had been too many.
    pub throttled: u64,
}

impl Refusals {
    /// Adds others to these.
    pub fn add(&mut self, more: Self) {
        self.attempts = self.attempts.saturating_add(more.attempts);
        self.throttled = self.throttled.saturating_add(more.throttled);
    }
}

/// Log-ins to a user that were refused to a client.
#[derive(Debug, Clone)]
pub struct RefusedLogins {
    /// The user's account.
    pub account_id: String,
    /// The user.
    pub user_id: String,
    /// The user's email address.
    pub email: String,
    /// The address and the request of the first of them.
    pub address: Option<IpAddr>,
    /// The id of the first request.
    pub request_id: Option<String>,
    /// The number of refusals.
    pub refusals: Refusals,
}

impl RefusedLogins {
    fn event(&self) -> Event {
        event(
            Target::of("user", &self.user_id, &self.email),
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
    /// Writes an entry for each of `refused`, and one for each of `sums`, the rest of an account.
    /// Returns which of `refused` are beyond the bound of their account, and were not written.
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
