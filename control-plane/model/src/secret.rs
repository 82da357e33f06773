//! Secrets as types: none can be printed. Of a token, only its SHA-256 is stored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use latchkey_policy::line_break::without_line_break;
use sha2::{Digest as _, Sha256};
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use subtle::ConstantTimeEq as _;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, Schema, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use crate::random::{self, NoRandomness};
use crate::schema::text;

/// The SHA-256 of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Hashes a token.
    pub fn from_token(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Returns the bytes that the store keeps.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<[u8; 32]> for TokenHash {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

macro_rules! unprintable {
    ($type:ident) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[redacted]")
            }
        }
    };
}

/// The password of a user.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Password(String);
unprintable!(Password);

impl Password {
    /// The minimum number of characters of a new password.
    pub const MIN_LEN: usize = 12;

    /// Generates a password for a user who was given none: 24 characters, 142 bits.
    pub fn generate() -> Result<Self, NoRandomness> {
        Ok(Self(random::base62(24)?))
    }

    /// Returns the password itself, to be hashed, or to be shown once after it was generated.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns whether it has at least [`Self::MIN_LEN`] characters.
    pub fn long_enough(&self) -> bool {
        self.0.chars().count() >= Self::MIN_LEN
    }
}

/// The schema of a new password. A password that is only verified can have any form.
impl PartialSchema for Password {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Password);
        text()
            .format(Some(format))
            .min_length(Some(Self::MIN_LEN))
            .into()
    }
}

impl ToSchema for Password {}

/// Reads the value of a flag, a variable or a file. One line break at its end is ignored.
impl FromStr for Password {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(without_line_break(text).to_owned()))
    }
}

/// The token that an Envoy presents to open its stream.
#[derive(Clone)]
pub struct NodeToken(String);
unprintable!(NodeToken);

impl NodeToken {
    /// The minimum number of characters.
    pub const MIN_LEN: usize = 16;

    /// Generates a token: `lkn_` and 43 base62 characters, 256 bits.
    pub fn generate() -> Result<Self, NoRandomness> {
        Ok(Self(format!("lkn_{}", random::base62(43)?)))
    }

    /// Wraps an existing token without checks.
    pub fn new(token: String) -> Self {
        Self(token)
    }

    /// Returns the token itself, for the one response that shows it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the hash by which the store finds it.
    pub fn hash(&self) -> TokenHash {
        TokenHash::from_token(&self.0)
    }

    /// Returns whether it has at least [`Self::MIN_LEN`] characters.
    pub fn long_enough(&self) -> bool {
        self.0.chars().count() >= Self::MIN_LEN
    }

    /// Returns whether it is long enough and an Envoy can send it in a header.
    pub fn is_presentable(&self) -> bool {
        self.long_enough() && self.0.bytes().all(|byte| matches!(byte, b' '..=b'~'))
    }

    /// Returns whether `presented` is this token. The comparison takes constant time.
    pub fn is(&self, presented: &str) -> bool {
        TokenHash::from_token(presented)
            .0
            .ct_eq(&TokenHash::from_token(&self.0).0)
            .into()
    }
}

/// Reads the value of a flag, a variable or a file. One line break at its end is ignored.
impl FromStr for NodeToken {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(without_line_break(text).to_owned()))
    }
}

/// The bearer token of a session: `lks_` and 43 base62 characters, 256 bits.
#[derive(Clone)]
pub struct SessionToken(String);
unprintable!(SessionToken);

impl SessionToken {
    const PREFIX: &str = "lks_";
    const RANDOM_LEN: usize = 43;

    /// Returns a new random token.
    pub fn generate() -> Result<Self, NoRandomness> {
        Ok(Self(format!(
            "{}{}",
            Self::PREFIX,
            random::base62(Self::RANDOM_LEN)?
        )))
    }

    /// Parses a presented token, if it has the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let random = text.strip_prefix(Self::PREFIX)?;
        let formed = random.len() == Self::RANDOM_LEN
            && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
        formed.then(|| Self(text.to_owned()))
    }

    /// Returns the token itself, for the one response that shows it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the hash by which the store finds it.
    pub fn hash(&self) -> TokenHash {
        TokenHash::from_token(&self.0)
    }
}

/// The secret that signs deliveries to a webhook: 32 random bytes. The store has to keep the secret
/// itself, because signing needs it.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Vec<u8>);
unprintable!(WebhookSecret);

impl WebhookSecret {
    const LEN: usize = 32;

    /// Returns a new random secret.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = vec![0; Self::LEN];
        random::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Returns the key bytes for signing.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the secret as receivers configure it, `whsec_` and base64, for the one response that
    /// shows it.
    pub fn expose(&self) -> String {
        format!("whsec_{}", STANDARD.encode(&self.0))
    }
}

impl From<Vec<u8>> for WebhookSecret {
    fn from(stored: Vec<u8>) -> Self {
        Self(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print_themselves() {
        let token = SessionToken::generate().unwrap();
        let password = Password::generate().unwrap();
        let node: NodeToken = "a-node-token-of-some-length".parse().unwrap();
        let webhook = WebhookSecret::generate().unwrap();
        assert_eq!(
            format!("{token:?}{password:?}{node:?}{webhook:?}"),
            "[redacted]".repeat(4)
        );
    }

    #[test]
    fn generated_tokens_are_parsed_and_differ() {
        let [one, two] = [(); 2].map(|()| SessionToken::generate().unwrap());
        assert_ne!(one.hash(), two.hash());
        assert_eq!(
            SessionToken::parse(one.expose()).unwrap().hash(),
            one.hash()
        );
        assert!(SessionToken::parse(&one.expose()[..46]).is_none());
        assert!(SessionToken::parse(&format!("{}x", one.expose())).is_none());
        assert!(SessionToken::parse("lk_live_00000000000000000000000000000000000000").is_none());
    }

    #[test]
    fn a_node_token_equals_itself_only() {
        let token: NodeToken = "correct horse battery".parse().unwrap();
        assert!(token.is("correct horse battery"));
        assert!(!token.is("correct horse batterz"));
        assert!(!token.is("correct horse batter"));
        assert!(!token.is(""));
        let from_a_file: NodeToken = "correct horse battery\r\n".parse().unwrap();
        assert!(from_a_file.is("correct horse battery"));
    }
}
