//! Password hashes: argon2id. A few are computed at a time, in memory that is allocated once.
//! Further requests wait in turns, with a queue for each client.

mod hashing;
mod queue;
mod slots;

use latchkey_model::client_network::ClientNetwork;
use latchkey_model::random::NoRandomness;
use latchkey_model::secret::Password;
use std::sync::Arc;
use tokio::task;

use hashing::Memory;
pub use queue::Rank;
use slots::Slots;

/// The reason why a password could be neither hashed nor verified.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// argon2 refused the parameters or a stored hash.
    #[error("argon2: {0}")]
    Hash(String),
    /// The salt could not be generated.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// Too many requests wait.
    #[error("too many passwords are being verified")]
    Busy,
    /// The thread that computed it has ended.
    #[error("hashing was interrupted")]
    Interrupted,
}

/// The party that requests the hashing or verification of a password.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Party {
    /// A client that logs in.
    Client(ClientNetwork),
    /// A caller, by the user's id.
    Caller(String),
}

/// Hashes and verifies passwords, a limited number at a time and not on the threads that serve
/// requests.
#[derive(Clone)]
pub struct Passwords {
    slots: Slots,
    /// The hash that is verified if the user does not exist, so that the response takes as long.
    dummy_hash: Arc<str>,
}

impl Passwords {
    pub(crate) fn new() -> Result<Self, PasswordError> {
        let mut memory = Memory::new();
        let dummy_hash = memory.hash(&Password::generate()?)?.into();
        Ok(Self {
            slots: Slots::new([memory, Memory::new()]),
            dummy_hash,
        })
    }

    /// Returns the PHC string of `password`, on behalf of a caller.
    pub async fn hash(&self, password: Password, caller: &str) -> Result<String, PasswordError> {
        let party = Party::Caller(caller.to_owned());
        self.run(Rank::Known, &party, move |memory| memory.hash(&password))
            .await
    }

    /// Returns whether `password` matches `stored`. Without a stored hash it does not, after the
    /// same work.
    pub async fn verify(
        &self,
        password: Password,
        stored: Option<String>,
        rank: Rank,
        party: &Party,
    ) -> Result<bool, PasswordError> {
        let dummy_hash = self.dummy_hash.clone();
        self.run(rank, party, move |memory| {
            let matches = memory.verify(&password, stored.as_deref().unwrap_or(&dummy_hash))?;
            Ok(matches && stored.is_some())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        rank: Rank,
        party: &Party,
        work: impl FnOnce(&mut Memory) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let mut slot = self.slots.acquire(rank, party).await?;
        // The task owns the slot, so that a caller who leaves does not free it before the work is
        // done.
        task::spawn_blocking(move || work(slot.memory()?))
            .await
            .map_err(|_| PasswordError::Interrupted)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hash_verifies_only_its_own_password() {
        let passwords = Passwords::new().unwrap();
        let password = |text: &str| text.parse::<Password>().unwrap();
        let party = Party::Client(ClientNetwork::from_address(None));
        let stored = passwords
            .hash(password("correct horse"), "usr_1")
            .await
            .unwrap();
        let verify = async |text, stored| {
            passwords
                .verify(password(text), stored, Rank::Unknown, &party)
                .await
                .unwrap()
        };

        assert!(verify("correct horse", Some(stored.clone())).await);
        assert!(!verify("correct hors", Some(stored)).await);
        assert!(!verify("correct horse", None).await);
    }
}
