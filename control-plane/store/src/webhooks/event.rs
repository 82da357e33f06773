//! The events of webhooks: their types, and the body of a delivery,
//! `{"type":"key.created","timestamp":…,"data":{…}}`. It contains no secret, and no digest of one.

use latchkey_model::clock::rfc3339;
pub use latchkey_model::event_type::EventType;
use serde::Serialize;
use sqlx::FromRow;

/// The data of a key that receivers get. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct KeyFacts {
    /// The key's number.
    pub seq: i64,
    /// The account's id: `acc_…`
    pub account_id: String,
    /// The key's id: `key_…`
    pub id: String,
    /// The name, unique among the account's live keys.
    pub name: String,
    /// The masked form, by which people recognise it.
    pub masked: String,
    /// The owner's id: `usr_…`
    pub user_id: String,
    /// `live` or `test`.
    pub environment: String,
    /// The name of its tier.
    pub tier: String,
    /// The time of creation.
    pub created_at: i64,
    /// The second from which on it is refused.
    pub expires_at: Option<i64>,
    /// The time of its revocation, if it is revoked.
    pub revoked_at: Option<i64>,
}

/// An event with its data. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A key was created.
    Created(KeyFacts),
    /// A key was revoked.
    Revoked(KeyFacts),
    /// A key expires within the given number of days.
    Expiring(KeyFacts, u32),
    /// A replaced secret of a key was used.
    OldSecretUsed(KeyFacts, OldSecret),
    /// A key met a limit for the first time in the hour that begins at the given time.
    LimitReached(KeyFacts, i64),
    /// A caller requested it, for the webhook of that id and account.
    Test {
        /// The account's id: `acc_…`
        account_id: String,
        /// The webhook's id: `whk_…`
        webhook_id: String,
    },
}

/// A secret that was replaced, and that is still valid for a time. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OldSecret {
    /// The masked form, by which people recognise it.
    pub masked: String,
    /// The time of its last use.
    pub last_used_at: i64,
    /// The address of that use.
    pub last_used_ip: Option<String>,
    /// The second from which on it is refused.
    pub ends_at: i64,
}

impl Event {
    /// Returns its type.
    pub(super) fn kind(&self) -> EventType {
        match self {
            Self::Created(_) => EventType::KeyCreated,
            Self::Revoked(_) => EventType::KeyRevoked,
            Self::Expiring(..) => EventType::KeyExpiring,
            Self::OldSecretUsed(..) => EventType::KeyOldSecretUsed,
            Self::LimitReached(..) => EventType::KeyLimitReached,
            Self::Test { .. } => EventType::WebhookTest,
        }
    }

    /// Returns the body of its deliveries, for an event `at` a Unix second.
    pub(super) fn body(&self, at: i64) -> serde_json::Result<String> {
        let data = match self {
            Self::Created(key) | Self::Revoked(key) => Data::Key(key.into()),
            Self::Expiring(key, days) => Data::Expiring {
                key: key.into(),
                days: *days,
            },
            Self::OldSecretUsed(key, secret) => Data::OldSecretUsed {
                key: key.into(),
                old_secret: secret.into(),
            },
            Self::LimitReached(key, hour) => Data::LimitReached {
                key: key.into(),
                hour: rfc3339(*hour),
            },
            Self::Test {
                account_id,
                webhook_id,
            } => Data::Test {
                account_id,
                webhook_id,
            },
        };
        serde_json::to_string(&Body {
            kind: self.kind(),
            timestamp: rfc3339(at),
            data,
        })
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: EventType,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Key(KeyData<'a>),
    Expiring {
        #[serde(flatten)]
        key: KeyData<'a>,
        days: u32,
    },
    OldSecretUsed {
        #[serde(flatten)]
        key: KeyData<'a>,
        old_secret: OldSecretData<'a>,
    },
    LimitReached {
        #[serde(flatten)]
        key: KeyData<'a>,
        hour: String,
    },
    Test {
        account_id: &'a str,
        webhook_id: &'a str,
    },
}

#[derive(Serialize)]
struct KeyData<'a> {
    account_id: &'a str,
    key_id: &'a str,
    name: &'a str,
    key_prefix: &'a str,
    owner: &'a str,
    environment: &'a str,
    tier: &'a str,
    created_at: String,
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

impl<'a> From<&'a KeyFacts> for KeyData<'a> {
    fn from(key: &'a KeyFacts) -> Self {
        Self {
            account_id: &key.account_id,
            key_id: &key.id,
            name: &key.name,
            key_prefix: &key.masked,
            owner: &key.user_id,
            environment: &key.environment,
            tier: &key.tier,
            created_at: rfc3339(key.created_at),
            expires_at: key.expires_at.map(rfc3339),
            revoked_at: key.revoked_at.map(rfc3339),
        }
    }
}

#[derive(Serialize)]
struct OldSecretData<'a> {
    key_prefix: &'a str,
    last_used_at: String,
    last_used_ip: Option<&'a str>,
    ends_at: String,
}

impl<'a> From<&'a OldSecret> for OldSecretData<'a> {
    fn from(secret: &'a OldSecret) -> Self {
        Self {
            key_prefix: &secret.masked,
            last_used_at: rfc3339(secret.last_used_at),
            last_used_ip: secret.last_used_ip.as_deref(),
            ends_at: rfc3339(secret.ends_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn key() -> KeyFacts {
        KeyFacts {
            seq: 7,
            account_id: "acc_1".to_owned(),
            id: "key_1".to_owned(),
            name: "CI \"new\"".to_owned(),
            masked: "lk_live_Ab3d...x9Qz".to_owned(),
            user_id: "usr_1".to_owned(),
            environment: "live".to_owned(),
            tier: "basic".to_owned(),
            created_at: 0,
            expires_at: Some(86_400),
            revoked_at: None,
        }
    }

    #[test]
    fn every_event_has_the_standard_shape() {
        let secret = OldSecret {
            masked: "lk_live_Old1...x9Qz".to_owned(),
            last_used_at: 5,
            last_used_ip: None,
            ends_at: 9,
        };
        let test = Event::Test {
            account_id: "acc_1".to_owned(),
            webhook_id: "whk_1".to_owned(),
        };
        for (event, more) in [
            (Event::Created(key()), json!({})),
            (
                Event::Revoked(KeyFacts {
                    revoked_at: Some(60),
                    ..key()
                }),
                json!({"revoked_at": "1970-01-01T00:01:00Z"}),
            ),
            (Event::Expiring(key(), 7), json!({"days": 7})),
            (
                Event::LimitReached(key(), 3_600),
                json!({"hour": "1970-01-01T01:00:00Z"}),
            ),
            (
                Event::OldSecretUsed(key(), secret),
                json!({"old_secret": {"key_prefix": "lk_live_Old1...x9Qz", "last_used_at": "1970-01-01T00:00:05Z",
                    "last_used_ip": null, "ends_at": "1970-01-01T00:00:09Z"}}),
            ),
            (test, json!({"webhook_id": "whk_1"})),
        ] {
            let body: Value = serde_json::from_str(&event.body(1_705_314_600).unwrap()).unwrap();
            let mut data = json!({"account_id": "acc_1"});
            if event.kind() != EventType::WebhookTest {
                data = json!({"account_id": "acc_1", "key_id": "key_1", "name": "CI \"new\"", "owner": "usr_1",
                    "key_prefix": "lk_live_Ab3d...x9Qz", "environment": "live", "tier": "basic",
                    "created_at": "1970-01-01T00:00:00Z", "expires_at": "1970-01-02T00:00:00Z"});
            }
            data.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let expected = json!({"type": event.kind().as_str(), "timestamp": "2024-01-15T10:30:00Z", "data": data});
            assert_eq!(body, expected);
        }
    }

    #[test]
    fn test_events_cannot_be_subscribed() {
        for kind in EventType::ALL {
            let name = serde_json::to_value(kind).unwrap();
            assert_eq!(name, kind.as_str());
            assert_eq!(serde_json::from_value::<EventType>(name).unwrap(), kind);
        }
        assert!(serde_json::from_str::<EventType>("\"webhook.test\"").is_err());
    }
}
