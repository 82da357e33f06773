//! How keys and policies are encoded: the same bytes on the stream and in the filter's memory.
//!
//! A record is its length (of what follows; `u16` for a key, `u32` for the others), an identifier
//! of fixed length, `crc: u32` over the identifier and the body, and the body. All integers are
//! little-endian. Records are simply concatenated.
//!
//! | | identifier | body |
//! |---|---|---|
//! | key | SHA-256 of the key, 32 bytes | `policy: u64`, `number: u64`, `slot: u32`, `secret: u32`, `expires_at: i64` (Unix seconds; `i64::MAX` is never), `flags: u8` (1 disabled), `key_id` 12 bytes, `name` the rest, UTF-8 |
//! | policy | `id: u64` | `flags: u8` (1 owner disabled, 2 account disabled, 4 environment is test, 8 scope is a list, 16 confined to its subaccounts), then the texts `account`, `user`, `tier`; the allow list and the deny list, each `count: u32` and the ranges (`crate::address`); the lists of texts `services`, `roles`, `grants`, `owner_grants`, `subaccounts`; and a limit for each window, the shortest first, each `u32` (0 is none) |
//! | routes | `0u64` | `crate::settings` |
//!
//! A text is `length: u8` and UTF-8, a list of texts `count: u32` and the texts.
//!
//! A policy holds what many keys share, so that what happens to an owner is one changed record,
//! however many keys they have.
//!
//! A key that was given a new secret while the old one is still good has two records: they differ
//! in their digest, in `secret` and in `expires_at`, and are counted as one, as number and slot are
//! the key's.

mod frame;

use crate::address::{self, AddressLists};
use crate::key::{Environment, KeyDigest};
use crate::limit::{Limits, Window};
use crate::permission::Pattern;

pub use frame::Records;
pub(crate) use frame::{Fields, encode, put_number, put_text, put_texts, verify};

/// The newest format that this module reads and writes. Named on the stream by Hello and Welcome.
///
/// Format 4 adds flags and ended owners to the record of the settings (`crate::settings`), and is
/// otherwise format 3.
///
/// With the feature `next-format` it is 5, for tests of filters of two formats in one Envoy.
pub const FORMAT: u32 = if cfg!(feature = "next-format") { 5 } else { 4 };

/// The oldest format that this module reads and writes.
pub const MIN_FORMAT: u32 = 3;

/// The number of characters after `key_` in a key's id.
pub const KEY_ID_LEN: usize = 12;

/// The prefix of a key's id.
pub const KEY_ID_PREFIX: &str = "key_";

const NEVER: i64 = i64::MAX;

const KEY_DISABLED: u8 = 1;
const OWNER_DISABLED: u8 = 1;
const ACCOUNT_DISABLED: u8 = 2;
const ENVIRONMENT_TEST: u8 = 4;
const SCOPE_LISTED: u8 = 8;
const CONFINED: u8 = 16;

/// A record that is cut short, does not match its checksum, or means nothing in this format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("damaged record")]
pub struct Damaged;

/// A value that has no place in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} is too long for a record")]
pub struct TooLong {
    /// The field's name.
    pub field: &'static str,
}

/// The kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A [`KeyRecord`].
    Key,
    /// A [`PolicyRecord`].
    Policy,
    /// The one [`SettingsRecord`](crate::settings::SettingsRecord).
    Routes,
}

impl Kind {
    /// Returns the length of an identifier, in bytes.
    pub const fn id_len(self) -> usize {
        match self {
            Self::Key => KeyDigest::LEN,
            Self::Policy | Self::Routes => 8,
        }
    }

    /// Returns the length of the number before a record, in bytes.
    pub(super) const fn length_len(self) -> usize {
        match self {
            Self::Key => 2,
            Self::Policy | Self::Routes => 4,
        }
    }

    /// Returns the hash that spreads identifiers over a table. Digests in ascending order fill one
    /// page after the other.
    pub fn hash(self, id: &[u8]) -> u64 {
        let first = id.first_chunk().copied().unwrap_or_default();
        match self {
            Self::Key => u64::from_be_bytes(first).reverse_bits(),
            // Ids are counted up, so their low bits are spread as they are.
            Self::Policy | Self::Routes => u64::from_le_bytes(first),
        }
    }
}

/// One secret of a key, and the attributes that the key does not share. Borrowed from the page that
/// it was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRecord<'a> {
    /// SHA-256 of the secret.
    pub digest: KeyDigest,
    /// The id of the policy that the key shares with others.
    pub policy: u64,
    /// The key's number. The control plane assigns it once and never to another key; it grows from
    /// key to key.
    pub number: u64,
    /// The slot in which the key is counted. No other live key has it, but later ones will.
    pub slot: u32,
    /// The number of this secret among the key's: 1, 2, 3 …
    pub secret: u32,
    /// The second from which on the key is refused.
    pub expires_at: Option<i64>,
    /// The key is disabled for now.
    pub disabled: bool,
    /// The id's characters after `key_`.
    pub id: &'a str,
    /// The name that people gave it.
    pub name: &'a str,
}

impl<'a> KeyRecord<'a> {
    /// Returns the id as people and tools see it: `key_` and 12 characters.
    pub fn key_id(&self) -> String {
        [KEY_ID_PREFIX, self.id].concat()
    }

    /// Appends the record to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        if self.id.len() != KEY_ID_LEN {
            return Err(TooLong { field: "key_id" });
        }

        let flags = if self.disabled { KEY_DISABLED } else { 0 };
        let policy = self.policy.to_le_bytes();
        let (number, slot, secret) = (
            self.number.to_le_bytes(),
            self.slot.to_le_bytes(),
            self.secret.to_le_bytes(),
        );
        let expires_at = self.expires_at.unwrap_or(NEVER).to_le_bytes();
        let (id, name) = (self.id.as_bytes(), self.name.as_bytes());
        let body = [
            &policy[..],
            &number,
            &slot,
            &secret,
            &expires_at,
            &[flags],
            id,
            name,
        ];

        encode(Kind::Key, &self.digest.0, &body, out).ok_or(TooLong { field: "name" })
    }

    /// Reads and verifies one whole record, such as [`Records`] yields.
    pub fn decode(record: &'a [u8]) -> Result<Self, Damaged> {
        let (digest, body) = verify::<{ KeyDigest::LEN }>(Kind::Key, record)?;
        let mut body = Fields(body);
        let policy = u64::from_le_bytes(body.array()?);
        let number = u64::from_le_bytes(body.array()?);
        let slot = u32::from_le_bytes(body.array()?);
        let secret = u32::from_le_bytes(body.array()?);
        let expires_at = i64::from_le_bytes(body.array()?);
        let flags = body.flags(KEY_DISABLED)?;
        let id = body.str(KEY_ID_LEN)?;

        Ok(Self {
            digest: KeyDigest(digest),
            policy,
            number,
            slot,
            secret,
            expires_at: (expires_at != NEVER).then_some(expires_at),
            disabled: flags & KEY_DISABLED != 0,
            id,
            name: body.rest()?,
        })
    }
}

/// The attributes that keys share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRecord {
    /// The id, which the control plane assigns once and never to another policy.
    pub id: u64,
    /// The account's id.
    pub account: String,
    /// The owner's id.
    pub user: String,
    /// The tier's name.
    pub tier: String,
    /// The environment that the keys are for.
    pub environment: Environment,
    /// The owner is disabled.
    pub owner_disabled: bool,
    /// The whole account is disabled.
    pub account_disabled: bool,
    /// The addresses from which requests may come.
    pub addresses: AddressLists,
    /// The services that the keys may be used for; `None` is all, also future ones.
    pub services: Option<Vec<String>>,
    /// The names of the keys' roles.
    pub roles: Vec<String>,
    /// The permissions that the roles grant, and those that the keys have in addition.
    pub grants: Vec<Pattern>,
    /// The permissions that the owner holds now; the owner's keys cannot do more.
    pub owner_grants: Vec<Pattern>,
    /// The subaccounts that the keys may act on at present.
    pub subaccounts: Vec<String>,
    /// True if the keys are restricted to some subaccounts, so that a request has to name one where
    /// a rule looks for it.
    pub confined: bool,
    /// The limits of each of the keys.
    pub limits: Limits,
}

impl PolicyRecord {
    /// Appends the record to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let mut flags = 0;
        for (set, flag) in [
            (self.owner_disabled, OWNER_DISABLED),
            (self.account_disabled, ACCOUNT_DISABLED),
            (self.environment == Environment::Test, ENVIRONMENT_TEST),
            (self.services.is_some(), SCOPE_LISTED),
            (self.confined, CONFINED),
        ] {
            flags |= if set { flag } else { 0 };
        }

        let mut body = vec![flags];
        for (field, value) in [
            ("account", &self.account),
            ("user", &self.user),
            ("tier", &self.tier),
        ] {
            put_text(field, value, &mut body)?;
        }

        for (field, list) in [
            ("allowed_ips", &self.addresses.allow),
            ("denied_ips", &self.addresses.deny),
        ] {
            body.extend_from_slice(
                &u32::try_from(list.len())
                    .map_err(|_| TooLong { field })?
                    .to_le_bytes(),
            );
            list.iter().for_each(|net| address::encode(net, &mut body));
        }

        put_texts("scope", self.services.iter().flatten(), &mut body)?;
        put_texts("roles", &self.roles, &mut body)?;
        put_texts(
            "permissions",
            self.grants.iter().map(Pattern::as_str),
            &mut body,
        )?;
        put_texts(
            "owner's permissions",
            self.owner_grants.iter().map(Pattern::as_str),
            &mut body,
        )?;
        put_texts("allowed_subaccounts", &self.subaccounts, &mut body)?;
        for window in Window::ALL {
            body.extend_from_slice(&self.limits.get(window).unwrap_or(0).to_le_bytes());
        }

        encode(Kind::Policy, &self.id.to_le_bytes(), &[&body], out)
            .ok_or(TooLong { field: "policy" })
    }

    /// Reads and verifies one whole record, such as [`Records`] yields.
    pub fn decode(record: &[u8]) -> Result<Self, Damaged> {
        let (id, body) = verify::<8>(Kind::Policy, record)?;
        let mut body = Fields(body);
        let flags = body.flags(
            OWNER_DISABLED | ACCOUNT_DISABLED | ENVIRONMENT_TEST | SCOPE_LISTED | CONFINED,
        )?;
        let account = body.short_str()?.to_owned();
        let user = body.short_str()?.to_owned();
        let tier = body.short_str()?.to_owned();
        let addresses = AddressLists {
            allow: body.ranges()?,
            deny: body.ranges()?,
        };
        let services = body.texts()?;
        if flags & SCOPE_LISTED == 0 && !services.is_empty() {
            return Err(Damaged);
        }

        let roles = body.texts()?;
        let (grants, owner_grants) = (body.patterns()?, body.patterns()?);
        let subaccounts = body.texts()?;
        let mut limits = Limits::default();
        for window in Window::ALL {
            let limit = u32::from_le_bytes(body.array()?);
            limits = limits.with(window, (limit != 0).then_some(limit));
        }

        body.finish()?;

        Ok(Self {
            id: u64::from_le_bytes(id),
            account,
            user,
            tier,
            environment: if flags & ENVIRONMENT_TEST != 0 {
                Environment::Test
            } else {
                Environment::Live
            },
            owner_disabled: flags & OWNER_DISABLED != 0,
            account_disabled: flags & ACCOUNT_DISABLED != 0,
            addresses,
            services: (flags & SCOPE_LISTED != 0).then_some(services),
            roles,
            grants,
            owner_grants,
            subaccounts,
            confined: flags & CONFINED != 0,
            limits,
        })
    }
}

#[cfg(test)]
mod tests;
