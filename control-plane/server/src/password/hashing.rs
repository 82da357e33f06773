//! argon2 in memory that is allocated once.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use latchkey_model::random;
use latchkey_model::secret::Password;
use subtle::ConstantTimeEq as _;

use super::PasswordError;

/// The parameters that OWASP's password storage cheat sheet recommends: 19 MiB, two passes, one
/// lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The maximum parameters of a stored hash. RFC 9106 recommends 64 MiB, three passes and four lanes
/// where 2 GiB are too much.
const MOST_MEMORY_KIB: u32 = 64 * 1024;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 16;

const SALT_LEN: usize = 16;

/// The memory for the computation of one hash.
pub(super) struct Memory(Vec<Block>);

impl Memory {
    pub(super) fn new() -> Self {
        Self(vec![Block::new(); MEMORY_KIB as usize])
    }

    /// Hashes `password` with a new salt, and returns the PHC string.
    pub(super) fn hash(&mut self, password: &Password) -> Result<String, PasswordError> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(failed)?;
        let mut salt = [0; SALT_LEN];
        random::fill(&mut salt)?;
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        self.compute(
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone()),
            password,
            &salt,
            &mut output,
        )?;
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params).map_err(failed)?,
            salt: Some(Salt::new(&salt).map_err(failed)?),
            hash: Some(Output::new(&output).map_err(failed)?),
        };

        Ok(hash.to_string())
    }

    /// Returns whether `password` matches the PHC string `stored`, with the parameters in `stored`.
    pub(super) fn verify(
        &mut self,
        password: &Password,
        stored: &str,
    ) -> Result<bool, PasswordError> {
        let stored = PasswordHash::new(stored).map_err(failed)?;
        let algorithm = Algorithm::try_from(stored.algorithm.as_str()).map_err(failed)?;
        let version = stored
            .version
            .map(Version::try_from)
            .transpose()
            .map_err(failed)?
            .unwrap_or_default();
        let params = Params::try_from(&stored).map_err(failed)?;

        if params.m_cost() > MOST_MEMORY_KIB
            || params.t_cost() > MOST_PASSES
            || params.p_cost() > MOST_LANES
        {
            return Err(failed(
                "a stored hash takes more than there may be computed",
            ));
        }
        let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else {
            return Ok(false);
        };

        let mut buffer = [0; Output::MAX_LENGTH];
        let Some(output) = buffer.get_mut(..expected.len()) else {
            return Ok(false);
        };

        self.compute(
            Argon2::new(algorithm, version, params),
            password,
            &salt,
            output,
        )?;
        Ok(output.ct_eq(expected.as_bytes()).into())
    }

    fn compute(
        &mut self,
        argon2: Argon2<'_>,
        password: &Password,
        salt: &[u8],
        output: &mut [u8],
    ) -> Result<(), PasswordError> {
        let blocks = argon2.params().block_count();
        if blocks > self.0.len() {
            // The memory is kept permanently: its size is bounded, and freed memory may not return
            // to the system.
            self.0.resize(blocks, Block::new());
        }

        let computed = argon2.hash_password_into_with_memory(
            password.expose().as_bytes(),
            salt,
            output,
            self.0.as_mut_slice(),
        );
        computed.map_err(failed)
    }
}

fn failed(error: impl std::fmt::Display) -> PasswordError {
    PasswordError::Hash(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::{PasswordHasher as _, PasswordVerifier as _};

    fn password(text: &str) -> Password {
        text.parse().unwrap()
    }

    #[test]
    fn reused_memory_makes_valid_hashes() {
        let mut memory = Memory::new();
        let stored = memory.hash(&password("correct horse")).unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert_ne!(
            stored,
            memory.hash(&password("correct horse")).unwrap(),
            "each has a salt of its own"
        );

        // The crate itself verifies the hash, too, in its own memory.
        assert!(
            Argon2::default()
                .verify_password(b"correct horse", &PasswordHash::new(&stored).unwrap())
                .is_ok()
        );
        for _ in 0..2 {
            assert!(!memory.verify(&password("correct hors"), &stored).unwrap());
            assert!(memory.verify(&password("correct horse"), &stored).unwrap());
        }
    }

    #[test]
    fn foreign_hashes_verify_in_bounded_memory() {
        let mut memory = Memory::new();
        let standard = memory.hash(&password("correct horse")).unwrap();
        for (algorithm, version, memory_kib, passes, lanes, len) in [
            (Algorithm::Argon2id, Version::V0x13, 8, 1, 1, 16),
            (Algorithm::Argon2id, Version::V0x13, 65_536, 1, 4, 32),
            (Algorithm::Argon2i, Version::V0x10, 4_096, 3, 2, 64),
            (Algorithm::Argon2d, Version::V0x13, 32_768, 1, 1, 24),
        ] {
            let params = Params::new(memory_kib, passes, lanes, Some(len)).unwrap();
            let stored = Argon2::new(algorithm, version, params)
                .hash_password(b"correct horse")
                .unwrap()
                .to_string();
            assert!(
                memory.verify(&password("correct horse"), &stored).unwrap(),
                "{stored}"
            );
            assert!(
                !memory.verify(&password("correct hors"), &stored).unwrap(),
                "{stored}"
            );
        }

        assert_eq!(memory.0.len(), 65_536, "as large as the largest of them");
        assert!(
            memory
                .verify(&password("correct horse"), &standard)
                .unwrap(),
            "in larger memory as well"
        );

        for greedy in [
            "m=65537,t=1,p=1",
            "m=4294967295,t=1,p=1",
            "m=8,t=17,p=1",
            "m=136,t=1,p=17",
        ] {
            let stored = standard.replace("m=19456,t=2,p=1", greedy);
            assert!(
                memory.verify(&password("correct horse"), &stored).is_err(),
                "{stored}"
            );
        }

        assert!(
            memory
                .verify(&password("correct horse"), "no hash")
                .is_err()
        );
        assert_eq!(memory.0.len(), 65_536);
    }
}
