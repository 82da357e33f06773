//! Audit entries about refused logins.
//!
//! Another task writes them a moment later, because a refusal must take as long for an email
//! address without a user. A client and a user have at most one entry a minute, which contains the
//! number of refusals since the last entry. The number of entries of an account per hour is
//! limited; beyond the limit, one entry an hour contains the sum. If the process dies, the counts
//! of the last minute and such sums are lost. The log contains each refused login, and a metric
//! counts them.

use latchkey_model::client_network::ClientNetwork;
use latchkey_model::clock::Clock;
use latchkey_store::{Refusals, RefusedLogins, Store};
use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{self, MissedTickBehavior};
use tracing::error;

use crate::stop::Stop;

/// The interval between writes.
const TICK: Duration = Duration::from_secs(1);

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * 60;

/// The maximum number of counted pairs of client and user. Further refusals are added to the
/// account's sum.
const CAPACITY: usize = 10_000;

/// The refused logins without an entry.
#[derive(Default)]
pub struct RefusedLoginCollector(Mutex<Pending>);

#[derive(Default)]
struct Pending {
    /// The counts by user and client.
    logins: HashMap<(String, ClientNetwork), Count>,
    /// The remaining refusals by account, with the time since which they are summed up.
    sums: HashMap<String, (Refusals, i64)>,
}

/// The entries to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriteScope {
    /// Only due entries.
    Due,
    /// All counts, but only due sums.
    Logins,
    /// Everything, when the process stops.
    All,
}

struct Count {
    /// The refusals since the last entry.
    refused: RefusedLogins,
    written_at: Option<i64>,
}

impl Count {
    fn is_due(&self, now: i64) -> bool {
        self.written_at
            .is_none_or(|at| !(0..MINUTE).contains(&now.saturating_sub(at)))
    }
}

impl RefusedLoginCollector {
    /// Counts refused logins of a client.
    pub fn note(&self, client: ClientNetwork, refused: RefusedLogins, now: i64) {
        self.lock().note(client, refused, now);
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self, store: &Store, now: i64, scope: WriteScope) {
        let (logins, sums) = self.lock().take(now, scope);
        if logins.is_empty() && sums.is_empty() {
            return;
        }

        let (clients, refused): (Vec<_>, Vec<_>) = logins.into_iter().unzip();
        match store
            .write_refused_logins(refused.clone(), &sums, now)
            .await
        {
            Ok(beyond) => self.lock().sum_up(beyond, now),
            Err(error) => {
                error!(%error, "cannot record refused logins in the audit; retrying");
                self.lock()
                    .put_back(clients.into_iter().zip(refused), sums, now);
            }
        }
    }
}

impl Pending {
    fn note(&mut self, client: ClientNetwork, refused: RefusedLogins, now: i64) {
        let key = (refused.user_id.clone(), client);
        if let Some(count) = self.logins.get_mut(&key) {
            if count.refused.refusals == Refusals::default() {
                count.refused = refused;
            } else {
                count.refused.refusals.add(refused.refusals);
            }
        } else if self.logins.len() < CAPACITY {
            self.logins.insert(
                key,
                Count {
                    refused,
                    written_at: None,
                },
            );
        } else {
            self.sum_up([refused], now);
        }
    }

    fn sum_up(&mut self, refused: impl IntoIterator<Item = RefusedLogins>, now: i64) {
        for RefusedLogins {
            account_id,
            refusals,
            ..
        } in refused
        {
            self.sums
                .entry(account_id)
                .or_insert((Refusals::default(), now))
                .0
                .add(refusals);
        }
    }

    /// Takes the selected entries. Forgets clients without refusals for a minute.
    #[expect(clippy::type_complexity, reason = "the lists that the store writes")]
    fn take(
        &mut self,
        now: i64,
        scope: WriteScope,
    ) -> (Vec<(ClientNetwork, RefusedLogins)>, Vec<(String, Refusals)>) {
        let mut due = Vec::new();
        self.logins.retain(|(_, client), count| {
            if scope == WriteScope::Due && !count.is_due(now) {
                return true;
            }
            if count.refused.refusals == Refusals::default() {
                return false;
            }
            let refusals = mem::take(&mut count.refused.refusals);
            due.push((
                *client,
                RefusedLogins {
                    refusals,
                    ..count.refused.clone()
                },
            ));
            count.written_at = Some(now);
            true
        });

        let is_due = |since: i64| {
            scope == WriteScope::All || !(0..HOUR).contains(&now.saturating_sub(since))
        };
        let sums = self.sums.extract_if(|_, (_, since)| is_due(*since));
        (
            due,
            sums.map(|(account, (refusals, _))| (account, refusals))
                .collect(),
        )
    }

    fn put_back(
        &mut self,
        logins: impl Iterator<Item = (ClientNetwork, RefusedLogins)>,
        sums: Vec<(String, Refusals)>,
        now: i64,
    ) {
        for (client, refused) in logins {
            let key = (refused.user_id.clone(), client);
            self.note(client, refused, now);
            if let Some(count) = self.logins.get_mut(&key) {
                count.written_at = None;
            }
        }

        for (account, refusals) in sums {
            self.sums
                .entry(account)
                .or_insert((Refusals::default(), now))
                .0
                .add(refusals);
        }
    }
}

/// Writes due entries until `stop`, and then the rest.
pub(crate) async fn run(
    collector: Arc<RefusedLoginCollector>,
    store: Store,
    clock: Arc<dyn Clock>,
    mut stop: Stop,
) {
    let mut ticks = time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => collector.write(&store, clock.now(), WriteScope::Due).await,
            () = stop.requested() => break,
        }
    }

    // The first write adds the entries beyond the limit to the sums, which the second one writes.
    collector
        .write(&store, clock.now(), WriteScope::Logins)
        .await;
    collector.write(&store, clock.now(), WriteScope::All).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u32) -> ClientNetwork {
        ClientNetwork::from_address(Some(std::net::Ipv4Addr::from_bits(n).into()))
    }

    fn refused(user: &str) -> RefusedLogins {
        RefusedLogins {
            account_id: "acc_1".to_owned(),
            user_id: user.to_owned(),
            email: format!("{user}@localhost"),
            address: None,
            request_id: None,
            refusals: Refusals {
                attempts: 1,
                throttled: 0,
            },
        }
    }

    fn attempts(pending: &mut Pending, now: i64) -> Vec<u64> {
        pending
            .take(now, WriteScope::Due)
            .0
            .iter()
            .map(|(_, refused)| refused.refusals.attempts)
            .collect()
    }

    #[test]
    fn refusals_make_one_entry_a_minute() {
        let mut pending = Pending::default();
        pending.note(client(1), refused("usr_1"), 100);
        assert_eq!(
            attempts(&mut pending, 100),
            [1],
            "the first is written at once"
        );

        for _ in 0..5 {
            pending.note(client(1), refused("usr_1"), 101);
        }

        assert!(attempts(&mut pending, 159).is_empty());
        pending.note(client(2), refused("usr_1"), 159);
        assert_eq!(
            attempts(&mut pending, 159),
            [1],
            "another client has its own"
        );
        assert_eq!(attempts(&mut pending, 160), [5]);
        assert!(attempts(&mut pending, 219).is_empty());
        assert!(attempts(&mut pending, 220).is_empty());
        assert!(pending.logins.is_empty(), "it is forgotten after a minute");
    }

    #[test]
    fn excess_refusals_are_summed_hourly() {
        let mut pending = Pending::default();
        for n in 0..u32::try_from(CAPACITY).unwrap() + 7 {
            pending.note(client(n), refused("usr_1"), 100);
        }

        assert_eq!(attempts(&mut pending, 100).len(), CAPACITY);
        pending.sum_up([refused("usr_1")], 200);
        assert!(pending.take(3_699, WriteScope::Due).1.is_empty());
        assert_eq!(
            pending.take(3_700, WriteScope::Due).1,
            [(
                "acc_1".to_owned(),
                Refusals {
                    attempts: 8,
                    throttled: 0
                }
            )]
        );
        assert!(pending.sums.is_empty());
    }

    #[test]
    fn failed_write_is_repeated() {
        let mut pending = Pending::default();
        pending.note(client(1), refused("usr_1"), 100);
        pending.sum_up([refused("usr_2")], 100);
        let (logins, sums) = pending.take(100, WriteScope::All);
        pending.note(client(1), refused("usr_1"), 101);
        pending.put_back(logins.into_iter(), sums, 101);
        assert_eq!(attempts(&mut pending, 102), [2]);
        assert_eq!(pending.take(102, WriteScope::All).1.len(), 1);
    }
}
