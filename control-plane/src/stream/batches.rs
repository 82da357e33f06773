//! Batches: what is sent to nodes, in bounded parts.

use latchkey_protocol::Batch;
use prost::bytes::Bytes;

use crate::store::{CHUNK_LEN, Changes, Chunks};

/// The batches that carry `changes`; the last one completes their revision. Records are shared by all streams that
/// send clones of them, and the sequence is left for the stream to set.
pub(super) fn of_changes(changes: Changes) -> Vec<Batch> {
    let Changes { to, routes, policies, keys, removed, removed_policies } = changes;
    let routes = routes.unwrap_or_default();
    let mut batches =
        if routes.len() + policies.len() + keys.len() + removed.len() + removed_policies.len() <= CHUNK_LEN {
            vec![Batch {
                routes: routes.into(),
                policies: whole(policies),
                keys: whole(keys),
                removed_keys: whole(removed),
                removed_policies: whole(removed_policies),
                ..Batch::default()
            }]
        } else {
            // Policies before the keys that name them, removals last.
            let mut batches: Vec<_> = (!routes.is_empty()).then(|| of_routes(routes)).into_iter().collect();
            batches.extend(of_policies(policies).chain(of_keys(keys)));
            batches.extend(removed.into_iter().map(|run| Batch { removed_keys: run.into(), ..Batch::default() }));
            let unused = removed_policies.into_iter();
            batches.extend(unused.map(|run| Batch { removed_policies: run.into(), ..Batch::default() }));
            batches
        };
    if let Some(last) = batches.last_mut() {
        last.revision = to;
    }
    batches
}

/// A batch of nothing but the route rules.
pub(super) fn of_routes(record: Vec<u8>) -> Batch {
    Batch { routes: record.into(), ..Batch::default() }
}

/// Batches of nothing but policies.
pub(super) fn of_policies(policies: Chunks) -> impl Iterator<Item = Batch> {
    policies.into_iter().map(|run| Batch { policies: run.into(), ..Batch::default() })
}

/// Batches of nothing but keys.
pub(super) fn of_keys(keys: Chunks) -> impl Iterator<Item = Batch> {
    keys.into_iter().map(|run| Batch { keys: run.into(), ..Batch::default() })
}

/// Bytes of records in a batch.
pub(super) fn record_bytes(batch: &Batch) -> u64 {
    let bytes = batch.routes.len()
        + batch.policies.len()
        + batch.keys.len()
        + batch.removed_keys.len()
        + batch.removed_policies.len();
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn whole(chunks: Chunks) -> Bytes {
    chunks.into_iter().collect::<Vec<_>>().concat().into()
}
