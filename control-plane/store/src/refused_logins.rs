//! The audit entries about refused log-ins, in the account of the user concerned.
//!
//! The clients that cause them have no credential, so their number is bounded: [`PER_HOUR`] for
//! each account and hour. Refusals beyond that are returned to the caller, who sums them up.

use serde_json::json;
use std::collections::HashMap;
use std::net::IpAddr;

use super::audit::{self, Event, Origin, Target};
use super::{Actor, Store, StoreError};

/// The maximum number of entries about users of an account in an hour.
const PER_HOUR: u32 = 100;

const HOUR: i64 = 60 * 60;

const ACTION: &str = "session.refused";

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
