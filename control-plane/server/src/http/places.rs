//! Places for connections. A connection on which nobody has shown a credential can lose its place
//! to a later one.
//!
//! A connection **waits** while its client has to act: send a request, or read a response. If a
//! place is needed, the connection that has waited longest is closed. A connection does not wait
//! while its request is processed. Once the request is authenticated as a caller's, the connection
//! is **vouched for** until the response is read. One client can hold only a part of the places
//! without being vouched for, so further connections replace its own.

use latchkey_model::client_network::ClientNetwork;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Limits;

/// The wait after which a connection can lose its place, so that data in transit can arrive.
pub(super) const GRACE: Duration = Duration::from_millis(100);

/// All places of a listener. Clones share them.
#[derive(Clone)]
pub(super) struct Places(Arc<Shared>);

struct Shared {
    table: Mutex<Table>,
    /// Notified when a place is free.
    freed: Notify,
}

struct Table {
    places: usize,
    per_client: usize,
    next_id: u64,
    connections: HashMap<u64, Connection>,
    clients: HashMap<ClientNetwork, Client>,
}

struct Connection {
    client: ClientNetwork,
    phase: Phase,
    vouched: bool,
    /// Notified when the connection has lost its place.
    lost: Arc<Notify>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waiting since this time for a request or the rest of one.
    Reads(Instant),
    /// The request is complete and is being processed.
    Works,
    /// Waiting since this time for the client to read the response, or for the next request.
    Writes(Instant),
}

#[derive(Default)]
struct Client {
    connections: usize,
    /// The number of connections that are not vouched for.
    unvouched: usize,
    /// The connections that can lose their places, by the start of their wait.
    waiting: BTreeSet<(Instant, u64)>,
}

/// The decision on a new connection.
pub(super) enum Admission {
    /// The connection has a place.
    Admitted(Place),
    /// No place is available yet. Other connections keep theirs for at most this time.
    Later(Duration),
    /// The client has reached its maximum number of connections.
    Refused,
}

impl Places {
    pub(super) fn new(limits: Limits) -> Self {
        let Limits {
            connections,
            per_client,
            ..
        } = limits;
        let (connections_by_id, clients) = (HashMap::new(), HashMap::new());
        let table = Table {
            places: connections,
            per_client,
            next_id: 0,
            connections: connections_by_id,
            clients,
        };

        Self(Arc::new(Shared {
            table: Mutex::new(table),
            freed: Notify::new(),
        }))
    }

    /// Admits a connection of `client`. If necessary, takes another connection's place.
    pub(super) fn admit(&self, client: ClientNetwork, now: Instant) -> Admission {
        match self.lock().admit(client, now) {
            Ok((id, lost)) => Admission::Admitted(Place(Arc::new(Held {
                places: self.clone(),
                id,
                lost,
            }))),
            Err(Some(wait)) => Admission::Later(wait),
            Err(None) => Admission::Refused,
        }
    }

    /// Waits until a place is free.
    pub(super) async fn freed(&self) {
        self.0.freed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // No code panics while it holds the lock.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn admit(
        &mut self,
        client: ClientNetwork,
        now: Instant,
    ) -> Result<(u64, Arc<Notify>), Option<Duration>> {
        /// The time after which a connection is considered again if no other connection waits.
        const PAUSE: Duration = Duration::from_secs(1);
        if self
            .clients
            .get(&client)
            .is_some_and(|own| own.unvouched >= self.per_client)
        {
            self.evict(client, now)?;
        } else if self.connections.len() >= self.places {
            let most = self
                .clients
                .iter()
                .max_by_key(|(_, client)| client.waiting.len())
                .map(|(client, _)| *client);
            self.evict(most.unwrap_or(client), now)
                .map_err(|wait| Some(wait.unwrap_or(PAUSE)))?;
        }

        let (id, lost) = (self.next_id, Arc::new(Notify::new()));
        self.next_id = id.wrapping_add(1);
        let own = self.clients.entry(client).or_default();
        own.connections = own.connections.saturating_add(1);
        own.unvouched = own.unvouched.saturating_add(1);
        own.waiting.insert((now, id));
        let connection = Connection {
            client,
            phase: Phase::Reads(now),
            vouched: false,
            lost: lost.clone(),
        };

        self.connections.insert(id, connection);
        Ok((id, lost))
    }

    /// Takes the place of the connection of `client` that has waited longest. Fails with the time
    /// that it still keeps its place, or with `None` if none waits.
    fn evict(&mut self, client: ClientNetwork, now: Instant) -> Result<(), Option<Duration>> {
        let first = self
            .clients
            .get(&client)
            .and_then(|client| client.waiting.first().copied());
        let Some((since, id)) = first else {
            return Err(None);
        };

        let left = GRACE.saturating_sub(now.saturating_duration_since(since));
        if !left.is_zero() {
            return Err(Some(left));
        }

        if let Some(connection) = self.remove(id) {
            connection.lost.notify_one();
        }
        Ok(())
    }

    fn remove(&mut self, id: u64) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        if let Some(own) = self.clients.get_mut(&connection.client) {
            own.forget(id, connection.phase);
            own.connections = own.connections.saturating_sub(1);
            own.unvouched = own
                .unvouched
                .saturating_sub(usize::from(!connection.vouched));
            if own.connections == 0 {
                self.clients.remove(&connection.client);
            }
        }

        Some(connection)
    }

    /// Moves a connection to a phase. From then on the connection waits, unless it is vouched for
    /// or its request is being processed.
    fn enter(&mut self, id: u64, phase: Phase) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(own) = self.clients.get_mut(&connection.client) else {
            return;
        };

        own.forget(id, connection.phase);
        connection.phase = phase;
        if let (Phase::Reads(since) | Phase::Writes(since), false) = (phase, connection.vouched) {
            own.waiting.insert((since, id));
        }
    }

    fn vouch(&mut self, id: u64, vouched: bool) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(own) = self.clients.get_mut(&connection.client) else {
            return;
        };

        if connection.vouched != vouched {
            connection.vouched = vouched;
            own.unvouched = if vouched {
                own.unvouched.saturating_sub(1)
            } else {
                own.unvouched.saturating_add(1)
            };
        }

        if vouched {
            own.forget(id, connection.phase);
        }
    }
}

impl Client {
    fn forget(&mut self, id: u64, phase: Phase) {
        if let Phase::Reads(since) | Phase::Writes(since) = phase {
            self.waiting.remove(&(since, id));
        }
    }
}

/// The place of a connection, and of the request on it. Clones share the place, which is free once
/// all are dropped.
#[derive(Clone)]
pub struct Place(Arc<Held>);

struct Held {
    places: Places,
    id: u64,
    lost: Arc<Notify>,
}

impl Place {
    /// Vouches for the connection of a caller's request, until the response is read.
    pub fn vouch(&self) {
        self.0.places.lock().vouch(self.0.id, true);
    }

    /// Waits until the place is lost to another connection.
    pub(super) async fn lost(&self) {
        self.0.lost.notified().await;
    }

    /// Notes that a request's headers have arrived and its body follows.
    pub(super) fn reads(&self, now: Instant) {
        let mut table = self.0.places.lock();
        table.vouch(self.0.id, false);
        table.enter(self.0.id, Phase::Reads(now));
    }

    /// Notes that the whole request has arrived, or that the rest is not wanted.
    pub(super) fn works(&self) {
        let mut table = self.0.places.lock();
        // The response may have started by now.
        if table
            .connections
            .get(&self.0.id)
            .is_some_and(|connection| matches!(connection.phase, Phase::Reads(_)))
        {
            table.enter(self.0.id, Phase::Works);
        }
    }

    /// Notes that the response is ready.
    pub(super) fn writes(&self, now: Instant) {
        self.0.places.lock().enter(self.0.id, Phase::Writes(now));
    }

    /// Notes that the client has read the response.
    pub(super) fn rests(&self, now: Instant) {
        let mut table = self.0.places.lock();
        table.vouch(self.0.id, false);
        table.enter(self.0.id, Phase::Writes(now));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.places.lock().remove(self.id);
        self.places.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> ClientNetwork {
        ClientNetwork::from_address(Some([192, 0, 2, last].into()))
    }

    fn places(connections: usize, per_client: usize) -> Places {
        Places::new(Limits {
            connections,
            per_client,
            idle: Duration::from_secs(10),
        })
    }

    fn admit(places: &Places, last: u8, now: Instant) -> Option<Place> {
        match places.admit(client(last), now) {
            Admission::Admitted(place) => Some(place),
            Admission::Later(_) | Admission::Refused => None,
        }
    }

    /// Returns the indices of those that have lost their places since the last call.
    async fn lost(held: &[Place]) -> Vec<usize> {
        let mut lost = Vec::new();
        for (index, place) in held.iter().enumerate() {
            if tokio::time::timeout(Duration::ZERO, place.lost())
                .await
                .is_ok()
            {
                lost.push(index);
            }
        }
        lost
    }

    #[tokio::test]
    async fn client_takes_places_from_itself() {
        let (places, now) = (places(8, 4), Instant::now());
        let other = [admit(&places, 1, now).unwrap()];
        let mut held: Vec<_> = (0..4).map(|_| admit(&places, 2, now).unwrap()).collect();

        let Admission::Later(wait) = places.admit(client(2), now) else {
            panic!("a fifth has a place")
        };

        assert_eq!(wait, GRACE);
        held.push(admit(&places, 2, now + GRACE).unwrap());
        assert_eq!(lost(&held).await, [0], "the oldest");
        assert!(lost(&other).await.is_empty());
        assert_eq!(places.lock().connections.len(), 5, "what is lost is free");
    }

    #[tokio::test]
    async fn newcomer_replaces_the_largest_clients_connection() {
        let (places, now) = (places(8, 4), Instant::now());
        let held: Vec<_> = [1, 2, 2, 2, 3, 3, 4, 5]
            .into_iter()
            .map(|last| admit(&places, last, now).unwrap())
            .collect();
        let later = now + GRACE;
        let new = admit(&places, 6, later).unwrap();

        assert_eq!(lost(&held).await, [1]);
        drop(new);
        assert!(admit(&places, 7, later).is_some());
        assert!(lost(&held).await.is_empty(), "there was a free place");
    }

    #[tokio::test]
    async fn requests_in_progress_keep_their_places() {
        let (places, now) = (places(3, 3), Instant::now());
        let held: Vec<_> = (0..3).map(|_| admit(&places, 1, now).unwrap()).collect();
        held[0].reads(now);
        held[0].works();
        held[1].reads(now);
        held[1].vouch();
        let newer = admit(&places, 2, now + GRACE).unwrap();

        assert_eq!(lost(&held).await, [2], "it has sent nothing");
        newer.reads(now + GRACE);
        newer.works();
        assert!(admit(&places, 3, now + GRACE * 9).is_none(), "nobody waits");

        // A client must read the response in time, unless the connection is vouched for.
        held[0].writes(now + GRACE * 9);
        held[0].works();
        held[1].works();
        held[1].writes(now);
        let newest = admit(&places, 3, now + GRACE * 10).unwrap();

        assert_eq!(lost(&held).await, [0]);
        newest.works();
        assert!(admit(&places, 4, now + GRACE * 20).is_none());
        held[1].rests(now);
        assert!(admit(&places, 4, now + GRACE * 20).is_some());
        assert_eq!(lost(&held).await, [1], "its answer was taken");
    }

    #[tokio::test]
    async fn vouched_connections_do_not_count() {
        let (places, now) = (places(8, 2), Instant::now());
        let callers: Vec<_> = (0..4)
            .filter_map(|_| admit(&places, 1, now).inspect(Place::vouch))
            .collect();
        assert_eq!(callers.len(), 4);

        let others = [
            admit(&places, 1, now).unwrap(),
            admit(&places, 1, now).unwrap(),
        ];
        assert!(admit(&places, 1, now).is_none());
        assert!(admit(&places, 1, now + GRACE).is_some());
        assert!(lost(&callers).await.is_empty());

        drop((callers, others));
        let table = places.lock();
        assert!(
            table.connections.is_empty() && table.clients.is_empty(),
            "nothing is kept of who has left"
        );
    }
}
