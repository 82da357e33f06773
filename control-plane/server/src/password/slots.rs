//! The slots in which passwords are hashed, each with its memory. They are lent in turns.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time;

use super::hashing::Memory;
use super::queue::{Queue, Rank};
use super::{Party, PasswordError};

/// The maximum wait for a slot.
const MAX_WAIT: Duration = Duration::from_secs(15);

/// All slots; clones share them.
#[derive(Clone)]
pub(super) struct Slots {
    state: Arc<Mutex<State>>,
    max_wait: Duration,
}

struct State {
    free: Vec<Memory>,
    /// The waiting requests. The queue is empty while a slot is free.
    queue: Queue<Party, oneshot::Sender<Slot>>,
}

/// A lent slot. Dropping it gives it to the next request.
pub(super) struct Slot {
    memory: Option<Memory>,
    slots: Slots,
}

impl Slots {
    /// Creates a slot for each of `memories`: their number limits concurrent hashes, each on one
    /// core.
    pub(super) fn new(memories: impl Into<Vec<Memory>>) -> Self {
        Self::with_max_wait(memories, MAX_WAIT)
    }

    fn with_max_wait(memories: impl Into<Vec<Memory>>, max_wait: Duration) -> Self {
        let state = State {
            free: memories.into(),
            queue: Queue::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            max_wait,
        }
    }

    /// Waits for a slot.
    ///
    /// # Errors
    /// Fails with [`PasswordError::Busy`] if too many wait, or after the maximum wait.
    pub(super) async fn acquire(&self, rank: Rank, party: &Party) -> Result<Slot, PasswordError> {
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut state = self.lock();
            if let Some(memory) = state.free.pop() {
                return Ok(Slot {
                    memory: Some(memory),
                    slots: self.clone(),
                });
            }
            state
                .queue
                .push(rank, party, sender)
                .ok_or(PasswordError::Busy)?
        };
        let _waiting = Waiting {
            slots: self,
            rank,
            party,
            id,
        };

        // The wait ends early if another party took this request's place in the queue.
        match time::timeout(self.max_wait, receiver).await {
            Ok(Ok(slot)) => Ok(slot),
            _ => Err(PasswordError::Busy),
        }
    }

    /// Gives a free slot to the next request, if any.
    fn hand_on(&self, mut memory: Memory) {
        loop {
            let next = {
                let mut state = self.lock();
                match state.queue.pop() {
                    Some(next) => next,
                    None => return state.free.push(memory),
                }
            };
            match next.send(Slot {
                memory: Some(memory),
                slots: self.clone(),
            }) {
                Ok(()) => return,
                // The next request has just been given up.
                Err(mut slot) => match slot.memory.take() {
                    Some(returned) => memory = returned,
                    None => return,
                },
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(super) fn memory(&mut self) -> Result<&mut Memory, PasswordError> {
        self.memory.as_mut().ok_or(PasswordError::Interrupted)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.slots.hand_on(memory);
        }
    }
}

/// Leaves the queue when it is dropped.
struct Waiting<'a> {
    slots: &'a Slots,
    rank: Rank,
    party: &'a Party,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.slots
            .lock()
            .queue
            .remove(self.rank, self.party, self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::PER_PARTY;
    use super::*;
    use latchkey_model::client_network::ClientNetwork;

    fn client(last: u8) -> Party {
        Party::Client(ClientNetwork::from_address(Some([192, 0, 2, last].into())))
    }

    /// Returns the result of `future`, if it is ready.
    async fn at_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn waiting_places_are_bounded_by_client() {
        let slots = Slots::new([Memory::new(), Memory::new()]);
        let (attacker, other) = (client(1), client(2));
        let computing = [(); 2].map(|()| slots.acquire(Rank::Unknown, &attacker));
        let [one, two] = computing;
        let (one, two) = (one.await.unwrap(), two.await.unwrap());
        let acquire = |party| Box::pin(slots.acquire(Rank::Unknown, party));
        let mut waiting: Vec<_> = (0..PER_PARTY).map(|_| acquire(&attacker)).collect();

        for login in &mut waiting {
            assert!(at_once(login).await.is_none());
        }

        assert!(matches!(
            slots.acquire(Rank::Unknown, &attacker).await,
            Err(PasswordError::Busy)
        ));

        let mut others = acquire(&other);
        assert!(
            at_once(&mut others).await.is_none(),
            "another client has places of its own"
        );

        drop(one);
        assert!(at_once(&mut waiting[0]).await.is_some());
        assert!(at_once(&mut others).await.is_some(), "and is next but one");
        drop(waiting);
        drop(two);

        assert!(
            at_once(&mut acquire(&attacker)).await.is_some(),
            "those who left keep no place"
        );
        assert_eq!(slots.lock().free.len(), 2);
    }

    #[tokio::test]
    async fn wait_for_a_slot_is_bounded() {
        let slots = Slots::with_max_wait([Memory::new(), Memory::new()], Duration::from_millis(10));
        let party = client(1);
        let _computing = [
            slots.acquire(Rank::Known, &party).await,
            slots.acquire(Rank::Known, &party).await,
        ];

        assert!(matches!(
            slots.acquire(Rank::Known, &party).await,
            Err(PasswordError::Busy)
        ));
        assert!(
            slots.lock().queue.pop().is_none(),
            "and the place is free again"
        );
    }
}
