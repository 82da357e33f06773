//! Password hashes: argon2id, with the parameters that OWASP's password storage cheat sheet recommends. A bounded
//! number is computed at once, and a bounded number waits; whoever comes then is told to come again.

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher as _, PasswordVerifier as _, Version};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task;

use crate::random::NoRandomness;
use crate::secret::Password;

/// 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// So many are computed at once: each takes a core and its memory for some 20 ms.
const CONCURRENCY: usize = 2;

/// So many more wait, for some 160 ms at most.
const WAITING: usize = 16;

/// Why a password could be neither hashed nor verified.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// argon2 refused the parameters or a stored hash.
    #[error("argon2: {0}")]
    Hash(String),
    /// No salt.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// Too many others wait.
    #[error("too many passwords are being verified")]
    Busy,
    /// The thread that computed it is gone.
    #[error("hashing was interrupted")]
    Interrupted,
}

/// Hashes and verifies, a bounded number at a time and away from the threads that serve requests.
#[derive(Clone)]
pub(crate) struct Passwords {
    slots: Arc<Semaphore>,
    /// A place for each that is computed or waits.
    places: Arc<Semaphore>,
    /// Verified against when there is no such user, so that the answer takes as long.
    nobody: Arc<str>,
}

impl Passwords {
    pub(crate) fn new() -> Result<Self, PasswordError> {
        let nobody = hash(&Password::generate()?)?.into();
        let [slots, places] = [CONCURRENCY, CONCURRENCY + WAITING].map(|count| Arc::new(Semaphore::new(count)));
        Ok(Self { slots, places, nobody })
    }

    /// The PHC string of `password`.
    pub(crate) async fn hash(&self, password: Password) -> Result<String, PasswordError> {
        self.run(move || hash(&password)).await
    }

    /// Whether `password` belongs to `stored`. Without a stored hash it does not, after the same work.
    pub(crate) async fn verify(&self, password: Password, stored: Option<String>) -> Result<bool, PasswordError> {
        let nobody = self.nobody.clone();
        self.run(move || {
            let matches = verify(&password, stored.as_deref().unwrap_or(&nobody))?;
            Ok(matches && stored.is_some())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| PasswordError::Busy)?;
        // Both go along, so that a caller who leaves does not free them before the work is done.
        let slot = self.slots.clone().acquire_owned().await.map_err(|_| PasswordError::Interrupted)?;
        task::spawn_blocking(move || {
            let _held = (place, slot);
            work()
        })
        .await
        .map_err(|_| PasswordError::Interrupted)?
    }
}

fn argon2() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(failed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &Password) -> Result<String, PasswordError> {
    Ok(argon2()?.hash_password(password.expose().as_bytes()).map_err(failed)?.to_string())
}

fn verify(password: &Password, stored: &str) -> Result<bool, PasswordError> {
    let stored = PasswordHash::new(stored).map_err(failed)?;
    // The parameters are the stored hash's own.
    match argon2()?.verify_password(password.expose().as_bytes(), &stored) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: impl std::fmt::Display) -> PasswordError {
    PasswordError::Hash(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_verifies_its_own_password_only() {
        let passwords = Passwords::new().unwrap();
        let password = |text: &str| text.parse::<Password>().unwrap();
        let stored = passwords.hash(password("correct horse")).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(passwords.verify(password("correct horse"), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify(password("correct hors"), Some(stored)).await.unwrap());
        assert!(!passwords.verify(password("correct horse"), None).await.unwrap());
    }

    #[tokio::test]
    async fn a_bounded_number_waits() {
        let passwords = Passwords::new().unwrap();
        let _computing = passwords.slots.acquire_many(2).await.unwrap();
        let verify = || passwords.verify(Password::generate().unwrap(), None);
        let mut waiting: Vec<_> = (0..18).map(|_| Box::pin(verify())).collect();
        for login in &mut waiting {
            assert!(at_once(login).await.is_none());
        }
        assert!(matches!(verify().await, Err(PasswordError::Busy)));
        drop(waiting);
        assert!(at_once(&mut Box::pin(verify())).await.is_none(), "those who left keep their places");
    }

    /// What `future` resolves to, if it is ready.
    async fn at_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = std::future::ready(()) => None,
        }
    }
}
