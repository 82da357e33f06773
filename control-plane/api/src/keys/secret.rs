//! The response with a key's new secret.

use latchkey_api_types::{self as types, Made};
use latchkey_model::entity_tag::{EntityTag, Tagged as _};
use latchkey_policy::key::PlainKey;
use latchkey_store::{Key, Outcome};
use std::time::Duration;

use super::view;
use crate::App;

/// Returns a key with its new secret, once the secret is enforced or after `timeout`.
pub(crate) async fn generated(
    app: &App,
    outcome: Outcome<(Key, PlainKey, u64)>,
    timeout: Duration,
    now: i64,
) -> (types::GeneratedKey, Option<EntityTag>) {
    let (key, api_key, revision, tag) = match outcome {
        Outcome::New((key, secret, revision)) => {
            let (tag, api_key) = (key.entity_tag(), secret.expose().to_owned());
            (
                Made::New(view::key(key, now)),
                Some(api_key),
                revision,
                Some(tag),
            )
        }
        Outcome::Repeated(recorded) => (
            Made::Repeated(recorded.data),
            None,
            recorded.revision.unwrap_or_default(),
            None,
        ),
    };

    let enforcement = app.enforced(revision, timeout).await;
    (
        types::GeneratedKey {
            replayed: key.replayed(),
            key,
            api_key,
            enforcement,
        },
        tag,
    )
}
