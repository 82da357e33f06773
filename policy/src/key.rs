//! The key: `<prefix>_<environment>_<32 base62 characters>`. The last 6 characters are a checksum
//! over all before them, so that a mistyped key is distinguished from an unknown one without a
//! look-up.

use sha2::{Digest as _, Sha256};
use std::fmt;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The number of characters after the environment: 26 random ones (154 bits) and the checksum.
pub const SECRET_LEN: usize = 32;
const RANDOM_LEN: usize = 26;
const CHECKSUM_LEN: usize = 6;
const MAX_PREFIX_LEN: usize = 16;

/// The environment that a key is for. It is part of the key itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Environment {
    /// Production traffic.
    Live,
    /// Any other traffic.
    Test,
}

impl Environment {
    /// Returns the word in the key, in the API and in the identity header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }

    /// Parses the word; the inverse of [`as_str`](Self::as_str).
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "live" => Some(Self::Live),
            "test" => Some(Self::Test),
            _ => None,
        }
    }
}

/// The SHA-256 of a key. Only this of a key is ever stored or sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyDigest(pub [u8; KeyDigest::LEN]);

impl KeyDigest {
    /// The length of a digest, in bytes.
    pub const LEN: usize = 32;

    /// Computes the digest of a presented key.
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Reads 64 hexadecimal digits, in any case.
    pub fn from_hex(digits: &str) -> Option<Self> {
        let mut digest = [0; Self::LEN];
        hex::decode_to_slice(digits, &mut digest).ok()?;
        Some(Self(digest))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A whole key. It cannot be printed: `Debug` shows the mask, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct PlainKey(String);

impl PlainKey {
    /// Returns the key itself, for the one answer that shows it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the digest, which is stored instead of the key.
    pub fn digest(&self) -> KeyDigest {
        KeyDigest::of(self.0.as_bytes())
    }

    /// Returns the key's mask, `lk_live_Ab3d...x9Qz`, by which people recognise it.
    pub fn masked(&self) -> String {
        let start = self.0.len().saturating_sub(SECRET_LEN);
        let head = self.0.get(..start.saturating_add(4)).unwrap_or_default();
        let tail = self
            .0
            .get(self.0.len().saturating_sub(4)..)
            .unwrap_or_default();
        format!("{head}...{tail}")
    }
}

impl fmt::Debug for PlainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlainKey({})", self.masked())
    }
}

/// A prefix that cannot be part of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_PREFIX_LEN} lower-case letters and digits, beginning with a letter")]
pub struct InvalidPrefix;

/// The candidate is not a key of this format: wrong prefix, environment, length, alphabet or
/// checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a well-formed key")]
pub struct Malformed;

/// The form of one installation's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFormat {
    prefix: String,
}

impl Default for KeyFormat {
    /// Returns the format of keys that begin with `lk_`.
    fn default() -> Self {
        Self {
            prefix: "lk".to_owned(),
        }
    }
}

impl KeyFormat {
    /// Creates the format of keys that begin with `prefix` and an underscore.
    pub fn new(prefix: &str) -> Result<Self, InvalidPrefix> {
        let letter_first = prefix
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_lowercase());
        let plain = prefix
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());

        if letter_first && plain && prefix.len() <= MAX_PREFIX_LEN {
            Ok(Self {
                prefix: prefix.to_owned(),
            })
        } else {
            Err(InvalidPrefix)
        }
    }

    /// Returns whether `candidate` begins as a key does: it may be one that was copied badly.
    pub fn resembles(&self, candidate: &[u8]) -> bool {
        candidate
            .strip_prefix(self.prefix.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&b'_'))
    }

    /// Checks that `candidate` has the form and the checksum of a key, which does not mean that the
    /// key exists.
    pub fn check(&self, candidate: &[u8]) -> Result<Environment, Malformed> {
        let rest = candidate
            .strip_prefix(self.prefix.as_bytes())
            .ok_or(Malformed)?;
        let (environment, secret) = if let Some(secret) = rest.strip_prefix(b"_live_") {
            (Environment::Live, secret)
        } else if let Some(secret) = rest.strip_prefix(b"_test_") {
            (Environment::Test, secret)
        } else {
            return Err(Malformed);
        };

        if secret.len() != SECRET_LEN {
            return Err(Malformed);
        }

        let (body, sum) = candidate
            .split_last_chunk::<CHECKSUM_LEN>()
            .ok_or(Malformed)?;

        // The checksum's own characters are compared to base62 ones; of the random part only the
        // alphabet is checked.
        if checksum(body) == *sum && secret.iter().all(u8::is_ascii_alphanumeric) {
            Ok(environment)
        } else {
            Err(Malformed)
        }
    }

    /// Generates a new key. `fill` overwrites its argument with bytes from a cryptographic
    /// generator.
    pub fn generate<E>(
        &self,
        environment: Environment,
        mut fill: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<PlainKey, E> {
        let mut key = format!("{}_{}_", self.prefix, environment.as_str());
        let body_len = key.len().saturating_add(RANDOM_LEN);
        let mut random = [0; RANDOM_LEN];

        while key.len() < body_len {
            fill(&mut random)?;
            // Each byte gives six bits; the two values that are no index into the alphabet are
            // drawn again.
            let drawn = random
                .iter()
                .filter_map(|byte| BASE62.get(usize::from(byte & 63)));
            key.extend(
                drawn
                    .take(body_len.saturating_sub(key.len()))
                    .map(|&c| char::from(c)),
            );
        }

        key.extend(checksum(key.as_bytes()).map(char::from));
        Ok(PlainKey(key))
    }
}

/// Computes CRC-32 as six base62 digits, most significant first.
fn checksum(body: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut rest = crc32fast::hash(body);
    let mut digits = [b'0'; CHECKSUM_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62.get((rest % 62) as usize).copied().unwrap_or(b'0');
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn generate(seed: u8) -> PlainKey {
        let mut next = seed;
        KeyFormat::default()
            .generate(Environment::Live, |bytes| {
                for byte in bytes {
                    next = next.wrapping_mul(29).wrapping_add(71);
                    *byte = next;
                }
                Ok::<_, std::convert::Infallible>(())
            })
            .unwrap()
    }

    #[test]
    fn generated_key_has_the_contract_form() {
        let key = generate(1);
        let secret = key.expose().strip_prefix("lk_live_").unwrap();
        assert_eq!(secret.len(), 32);
        assert!(secret.bytes().all(|b| BASE62.contains(&b)));
        assert_eq!(
            KeyFormat::default().check(key.expose().as_bytes()),
            Ok(Environment::Live)
        );
    }

    #[test]
    fn custom_prefix_is_part_of_the_form() {
        let format = KeyFormat::new("vg").unwrap();
        let key = format
            .generate(Environment::Test, |b| {
                b.fill(7);
                Ok::<_, ()>(())
            })
            .unwrap();
        assert!(key.expose().starts_with("vg_test_"));
        assert_eq!(format.check(key.expose().as_bytes()), Ok(Environment::Test));
        assert_eq!(
            KeyFormat::default().check(key.expose().as_bytes()),
            Err(Malformed)
        );
    }

    #[test]
    fn any_single_changed_character_is_malformed() {
        let key = generate(2);
        let bytes = key.expose().as_bytes();
        for at in 0..bytes.len() {
            for other in [b'0', b'a', b'Z', b'_', b' ', 0xff] {
                let mut typo = bytes.to_vec();
                if typo[at] == other {
                    continue;
                }
                typo[at] = other;
                assert_eq!(KeyFormat::default().check(&typo), Err(Malformed), "at {at}");
            }
        }
    }

    #[test]
    fn truncated_and_foreign_keys_are_malformed() {
        let key = generate(3);
        let bytes = key.expose().as_bytes();
        for end in 0..bytes.len() {
            assert_eq!(KeyFormat::default().check(&bytes[..end]), Err(Malformed));
        }
        let longer = [bytes, b"0"].concat();
        assert_eq!(KeyFormat::default().check(&longer), Err(Malformed));
        assert_eq!(
            KeyFormat::default().check(b"ghp_0123456789012345678901234567890123456789"),
            Err(Malformed)
        );
        assert_eq!(KeyFormat::default().check(&[0xff; 40]), Err(Malformed));
    }

    #[test]
    fn valid_checksum_needs_alphabet_characters() {
        let mut forged = b"lk_live_".to_vec();
        forged.extend([0xe9; RANDOM_LEN]);
        let sum = checksum(&forged);
        forged.extend(sum);
        assert_eq!(KeyFormat::default().check(&forged), Err(Malformed));
    }

    #[test]
    fn prefixes_are_checked() {
        for good in ["a", "lk", "vg2", "abcdefghijklmnop"] {
            assert!(KeyFormat::new(good).is_ok(), "{good}");
        }
        for bad in ["", "2a", "Lk", "a_b", "l k", "é", "abcdefghijklmnopq"] {
            assert_eq!(KeyFormat::new(bad), Err(InvalidPrefix), "{bad}");
        }
    }

    #[test]
    fn no_formatting_shows_the_key() {
        let key = generate(4);
        let debug = format!("{key:?}");
        assert!(!debug.contains(key.expose()));
        assert_eq!(debug, format!("PlainKey({})", key.masked()));
        let secret = key.expose().strip_prefix("lk_live_").unwrap();
        assert_eq!(
            key.masked(),
            format!("lk_live_{}...{}", &secret[..4], &secret[28..])
        );
    }

    #[test]
    fn the_digest_is_sha_256() {
        let digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(format!("{:?}", KeyDigest::of(b"abc")), digits);
        for digits in [digits, &digits.to_uppercase()] {
            assert_eq!(KeyDigest::from_hex(digits), Some(KeyDigest::of(b"abc")));
        }
        for bad in [
            "",
            &digits[1..],
            &format!("{digits}00"),
            &digits.replace('b', "g"),
            &format!(" {}", &digits[1..]),
        ] {
            assert_eq!(KeyDigest::from_hex(bad), None, "{bad}");
        }
    }
}
