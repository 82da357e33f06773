//! The form in which the database stores the digests of imported keys.
//!
//! A key that Latchkey generates has 154 random bits, so its SHA-256 gives nothing away. A key that
//! was made elsewhere may be one of a million: then its SHA-256 is enough to find the key. **So no
//! row and no page of the database has the digest of an imported key, or anything else by which a
//! guess can be confirmed without the at-rest key**. The column `digest` has the digest's HMAC
//! instead, by which the key is found and is unique. The column `sealed` has the encrypted digest,
//! because nodes need it. A tombstone has only the HMAC. The hash of a repeatable call's body is
//! keyed as well.
//!
//! The keys for the HMAC and the encryption are derived from a data key. The data key is random,
//! made once for each database, and stored in `meta`, encrypted with the operator's key. So
//! replacing the operator's key rewrites one row, and tombstones stay valid.

mod convert;
mod key;

use latchkey_model::random;
use latchkey_policy::key::KeyDigest;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::{hkdf, hmac};
use sqlx::{FromRow, SqliteConnection};
use std::fmt;

use super::{OpenError, StoreError};

pub(super) use convert::encrypt_earlier_imports;
pub use key::{AtRestKey, AtRestKeys, HOW_TO};

const DATA_KEY_LEN: usize = 32;

/// The keys that encrypt digests, or none if there is no at-rest key.
pub(super) struct AtRest(Option<DataKey>);

impl fmt::Debug for AtRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "[redacted]"
        } else {
            "none"
        })
    }
}

/// The keys that are derived from a database's data key.
struct DataKey {
    seal: LessSafeKey,
    index: hmac::Key,
    calls: hmac::Key,
}

/// A digest in the form that is stored.
pub(super) struct StoredDigest {
    /// The value that the key is found by: for an imported key, the digest's HMAC.
    pub(super) digest: [u8; KeyDigest::LEN],
    /// The encrypted digest, for an imported key.
    pub(super) sealed: Option<Vec<u8>>,
}

#[derive(FromRow)]
struct Meta {
    at_rest_key: Option<Vec<u8>>,
    at_rest_used: bool,
}

impl AtRest {
    /// Opens the database's data key, or creates a new one if nothing depends on the present one.
    pub(super) async fn open(
        on: &mut SqliteConnection,
        keys: &AtRestKeys,
    ) -> Result<Self, OpenError> {
        let meta = "SELECT at_rest_key, at_rest_used FROM meta";
        let meta: Meta = sqlx::query_as(meta)
            .fetch_one(&mut *on)
            .await
            .map_err(StoreError::from)?;
        let Some(current) = &keys.current else {
            return if meta.at_rest_used {
                Err(OpenError::AtRestKeyMissing)
            } else {
                Ok(Self(None))
            };
        };
        if let Some(wrapped) = &meta.at_rest_key {
            if let Some(data_key) = unwrap(current, wrapped) {
                return Ok(Self(Some(DataKey::derive(&data_key).map_err(failed)?)));
            }
            if let Some(data_key) = keys.old.as_ref().and_then(|old| unwrap(old, wrapped)) {
                write(on, &wrap(current, &data_key)?).await?;
                tracing::info!(
                    "the at-rest key was replaced: the old one is needed only for older backups"
                );
                return Ok(Self(Some(DataKey::derive(&data_key).map_err(failed)?)));
            }
            if meta.at_rest_used {
                return Err(OpenError::AtRestKeyWrong);
            }
        }
        let mut data_key = [0; DATA_KEY_LEN];
        random::fill(&mut data_key).map_err(StoreError::from)?;
        write(on, &wrap(current, &data_key)?).await?;
        Ok(Self(Some(DataKey::derive(&data_key).map_err(failed)?)))
    }

    /// Returns whether there is an at-rest key.
    pub(super) fn is_available(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the values that a digest may be stored as: that for a generated key, and that for an
    /// imported key. Without an at-rest key both are the digest itself.
    pub(super) fn forms(&self, digest: &KeyDigest) -> [[u8; KeyDigest::LEN]; 2] {
        [
            digest.0,
            self.0.as_ref().map_or(digest.0, |key| key.index(digest)),
        ]
    }

    /// Encrypts the digest of the imported key `id`.
    ///
    /// # Errors
    /// [`StoreError::AtRestKeyMissing`].
    pub(super) fn seal(&self, digest: &KeyDigest, id: &str) -> Result<StoredDigest, StoreError> {
        let key = self.0.as_ref().ok_or(StoreError::AtRestKeyMissing)?;
        let index = key.index(digest);
        let sealed = encrypt(&key.seal, &digest.0, &identity(&index, id))?;
        Ok(StoredDigest {
            digest: index,
            sealed: Some(sealed),
        })
    }

    /// Returns the digest of the key `id` that is stored as `digest` and `sealed`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub(super) fn open_digest(
        &self,
        digest: &[u8],
        sealed: Option<&[u8]>,
        id: &str,
    ) -> Result<KeyDigest, StoreError> {
        let damaged = StoreError::Damaged("a digest");
        let Some(sealed) = sealed else {
            return digest.try_into().map(KeyDigest).map_err(|_| damaged);
        };
        let Some(key) = &self.0 else {
            return Err(damaged);
        };
        decrypt(&key.seal, sealed, &identity(digest, id))
            .map(KeyDigest)
            .ok_or(damaged)
    }

    /// Returns the stored form of the hash of a call's body.
    pub(super) fn body_hash(&self, hash: &[u8; 32]) -> [u8; 32] {
        self.0.as_ref().map_or(*hash, |key| mac(&key.calls, hash))
    }
}

impl DataKey {
    fn derive(data_key: &[u8; DATA_KEY_LEN]) -> Result<Self, Unspecified> {
        Ok(Self {
            seal: cipher(data_key, b"seal")?,
            index: hmac_key(data_key, b"index")?,
            calls: hmac_key(data_key, b"calls")?,
        })
    }

    fn index(&self, digest: &KeyDigest) -> [u8; KeyDigest::LEN] {
        mac(&self.index, &digest.0)
    }
}

/// Records that the database has data that only the at-rest key can decrypt.
pub(super) async fn record_use(on: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::query("UPDATE meta SET at_rest_used = TRUE WHERE NOT at_rest_used")
        .execute(on)
        .await?;
    Ok(())
}

async fn write(on: &mut SqliteConnection, wrapped: &[u8]) -> Result<(), StoreError> {
    sqlx::query("UPDATE meta SET at_rest_key = ?")
        .bind(wrapped)
        .execute(on)
        .await?;
    Ok(())
}

/// Returns the associated data of a digest's ciphertext, so that it cannot be moved to another row.
fn identity(index: &[u8], id: &str) -> Vec<u8> {
    [index, id.as_bytes()].concat()
}

/// Encrypts the data key with the operator's key.
fn wrap(key: &AtRestKey, data_key: &[u8; DATA_KEY_LEN]) -> Result<Vec<u8>, StoreError> {
    encrypt(
        &cipher(key.expose(), b"data key").map_err(failed)?,
        data_key,
        &[],
    )
}

fn unwrap(key: &AtRestKey, wrapped: &[u8]) -> Option<[u8; DATA_KEY_LEN]> {
    decrypt(&cipher(key.expose(), b"data key").ok()?, wrapped, &[])
}

/// Encrypts `plain`. Returns the nonce, the ciphertext and the tag.
fn encrypt(key: &LessSafeKey, plain: &[u8; 32], identity: &[u8]) -> Result<Vec<u8>, StoreError> {
    // Random: a data key would have to encrypt billions of digests until two were likely to have
    // the same.
    let mut nonce = [0; NONCE_LEN];
    random::fill(&mut nonce)?;
    let mut text = *plain;
    let nonce_of = Nonce::assume_unique_for_key(nonce);
    let tag = key
        .seal_in_place_separate_tag(nonce_of, Aad::from(identity), &mut text)
        .map_err(failed)?;
    Ok([&nonce[..], &text, tag.as_ref()].concat())
}

fn decrypt(key: &LessSafeKey, sealed: &[u8], identity: &[u8]) -> Option<[u8; 32]> {
    let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut text = text.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let plain = key
        .open_in_place(nonce, Aad::from(identity), &mut text)
        .ok()?;
    (&*plain).try_into().ok()
}

fn mac(key: &hmac::Key, text: &[u8]) -> [u8; 32] {
    // SHA-256 has as many bytes.
    hmac::sign(key, text)
        .as_ref()
        .try_into()
        .unwrap_or_default()
}

const SALT: &[u8] = b"latchkey at rest";

fn cipher(key: &[u8], purpose: &'static [u8]) -> Result<LessSafeKey, Unspecified> {
    let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(key);
    Ok(LessSafeKey::new(UnboundKey::from(
        derived.expand(&[purpose], &CHACHA20_POLY1305)?,
    )))
}

fn hmac_key(key: &[u8], purpose: &'static [u8]) -> Result<hmac::Key, Unspecified> {
    let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(key);
    Ok(hmac::Key::from(
        derived.expand(&[purpose], hmac::HMAC_SHA256)?,
    ))
}

fn failed(_: Unspecified) -> StoreError {
    StoreError::Damaged("the at-rest key")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_rest(data_key: u8) -> AtRest {
        AtRest(Some(DataKey::derive(&[data_key; 32]).unwrap()))
    }

    #[test]
    fn sealed_digests_open_only_in_place() {
        let (at_rest, digest) = (at_rest(1), KeyDigest::of(b"pin-123456"));
        let StoredDigest {
            digest: index,
            sealed,
        } = at_rest.seal(&digest, "key_1").unwrap();
        let sealed = sealed.unwrap();
        assert_eq!(
            at_rest.open_digest(&index, Some(&sealed), "key_1").unwrap(),
            digest
        );
        assert_eq!(at_rest.forms(&digest), [digest.0, index]);
        let other = at_rest
            .seal(&KeyDigest::of(b"pin-123457"), "key_1")
            .unwrap();
        let damaged = [&sealed[..20], &[sealed[20] ^ 1], &sealed[21..]].concat();
        for (what, opened) in [
            (
                "another key's",
                at_rest.open_digest(&index, Some(&sealed), "key_2"),
            ),
            (
                "another digest's",
                at_rest.open_digest(&other.digest, Some(&sealed), "key_1"),
            ),
            (
                "damaged",
                at_rest.open_digest(&index, Some(&damaged), "key_1"),
            ),
            (
                "short",
                at_rest.open_digest(&index, Some(&sealed[..8]), "key_1"),
            ),
            (
                "of another database",
                self::at_rest(2).open_digest(&index, Some(&sealed), "key_1"),
            ),
            (
                "without a key",
                AtRest(None).open_digest(&index, Some(&sealed), "key_1"),
            ),
        ] {
            assert!(
                matches!(opened, Err(StoreError::Damaged(_))),
                "{what}: {opened:?}"
            );
        }
        assert!(matches!(
            AtRest(None).seal(&digest, "key_1"),
            Err(StoreError::AtRestKeyMissing)
        ));
    }

    #[test]
    fn equal_digests_share_index_not_ciphertext() {
        let digest = KeyDigest::of(b"pin-123456");
        let [one, two] = [(); 2].map(|()| at_rest(1).seal(&digest, "key_1").unwrap());
        assert_eq!(one.digest, two.digest);
        assert_ne!(one.sealed, two.sealed);
        assert_ne!(
            one.digest,
            at_rest(2).seal(&digest, "key_1").unwrap().digest
        );
        assert_ne!(
            at_rest(1).body_hash(&digest.0),
            one.digest,
            "each purpose has a key of its own"
        );
    }

    #[test]
    fn data_key_opens_only_by_its_key() {
        let [one, two] = [(); 2].map(|()| AtRestKey::generate().unwrap());
        let wrapped = wrap(&one, &[7; 32]).unwrap();
        assert_eq!(
            (unwrap(&one, &wrapped), unwrap(&two, &wrapped)),
            (Some([7; 32]), None)
        );
    }
}
