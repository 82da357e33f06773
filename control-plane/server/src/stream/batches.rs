//! Batches: the messages with records for nodes, of limited size.

use latchkey_policy::record::{Kind, MIN_FORMAT, Records};
use latchkey_protocol::Batch;
use latchkey_store::{CHUNK_LEN, Changes, Chunks, RouteRecords};
use prost::bytes::Bytes;

/// The lengths of a digest and of a policy's id, in bytes.
const DIGEST_LEN: usize = 32;
const POLICY_ID_LEN: usize = 8;

/// A sequence of batches, for nodes of every format. All streams that send clones share the
/// records.
#[derive(Debug)]
pub(super) struct Batches {
    batches: Vec<Batch>,
    /// The route rules in each format. The batches do not contain them.
    routes: Vec<Bytes>,
    /// The index of the batch that carries the route rules.
    routes_at: usize,
    /// The revision that the batches complete. The second number is the revision since which keys
    /// of ended owners are refused, if not all of these keys are removed yet.
    completes: Option<(u64, Option<u64>)>,
}

impl Batches {
    /// Returns the batch of a snapshot with only its route rules.
    pub(super) fn from_routes(RouteRecords(routes): RouteRecords) -> Self {
        Self {
            batches: vec![Batch::default()],
            routes: routes.into_iter().map(Bytes::from).collect(),
            routes_at: 0,
            completes: None,
        }
    }

    /// Returns the batches with `changes`. The last one completes their revision.
    pub(super) fn from_changes(changes: Changes) -> Self {
        let Changes {
            to,
            tag,
            routes,
            policies,
            keys,
            removed,
            removed_policies,
            ended_since,
        } = changes;
        let routes = routes
            .map(|RouteRecords(routes)| routes)
            .unwrap_or_default();
        let routes: Vec<_> = routes.into_iter().map(Bytes::from).collect();
        let routes_len = routes.iter().map(Bytes::len).max().unwrap_or_default();
        let len = routes_len + policies.len() + keys.len() + removed.len() + removed_policies.len();

        let mut batches = if len <= CHUNK_LEN {
            vec![Batch {
                policies: whole(policies),
                keys: whole(keys),
                removed_keys: whole(removed),
                removed_policies: whole(removed_policies),
                ..Batch::default()
            }]
        } else {
            // Policies come before the keys that refer to them, and removals after these. The route
            // rules come last: they no longer name an ended owner once the owner's last keys are
            // removed.
            let mut batches: Vec<_> = policy_batches(policies).chain(key_batches(keys)).collect();
            batches.extend(removed.into_iter().map(|run| Batch {
                removed_keys: run.into(),
                ..Batch::default()
            }));
            let unused = removed_policies.into_iter();
            batches.extend(unused.map(|run| Batch {
                removed_policies: run.into(),
                ..Batch::default()
            }));
            batches.extend((routes_len > 0).then(Batch::default));
            batches
        };

        if let Some(last) = batches.last_mut() {
            last.revision = to;
            last.tag = tag.to_vec().into();
        }

        let routes_at = batches.len().saturating_sub(1);
        Self {
            batches,
            routes,
            routes_at,
            completes: Some((to, ended_since)),
        }
    }

    /// Returns the revision that the batches complete. The second number is the revision since
    /// which keys of ended owners are refused, if not all of these keys are removed yet.
    pub(super) fn completes(&self) -> Option<(u64, Option<u64>)> {
        self.completes
    }

    pub(super) fn push(&mut self, batches: impl IntoIterator<Item = Batch>) {
        self.batches.extend(batches);
    }

    /// Returns the batch at `index` for a node of `format`. The stream sets its sequence.
    pub(super) fn get(&self, index: usize, format: u32) -> Option<Batch> {
        let mut batch = self.batches.get(index)?.clone();
        if index == self.routes_at {
            let format = usize::try_from(format.saturating_sub(MIN_FORMAT)).unwrap_or(usize::MAX);
            batch.routes = self
                .routes
                .get(format)
                .or(self.routes.last())
                .cloned()
                .unwrap_or_default();
        }

        Some(batch)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.batches.iter().map(record_bytes).sum()
    }
}

/// Returns batches with only policies.
pub(super) fn policy_batches(policies: Chunks) -> impl Iterator<Item = Batch> {
    policies.into_iter().map(|run| Batch {
        policies: run.into(),
        ..Batch::default()
    })
}

/// Returns batches with only keys.
pub(super) fn key_batches(keys: Chunks) -> impl Iterator<Item = Batch> {
    keys.into_iter().map(|run| Batch {
        keys: run.into(),
        ..Batch::default()
    })
}

/// Returns the length of all records in a batch, in bytes.
pub(super) fn record_bytes(batch: &Batch) -> usize {
    batch.routes.len()
        + batch.policies.len()
        + batch.keys.len()
        + batch.removed_keys.len()
        + batch.removed_policies.len()
}

/// Removes records of at most `max` bytes from the front of a batch, but at least one, and returns
/// them as a batch. The last part completes the batch's revision.
pub(super) fn take(rest: &mut Batch, max: usize) -> Batch {
    let mut part = Batch::default();
    part.policies = split(&mut rest.policies, Unit::Record(Kind::Policy), &part, max);
    if rest.policies.is_empty() {
        part.keys = split(&mut rest.keys, Unit::Record(Kind::Key), &part, max);
    }

    if rest.policies.is_empty() && rest.keys.is_empty() {
        part.removed_keys = split(&mut rest.removed_keys, Unit::Bytes(DIGEST_LEN), &part, max);
        if rest.removed_keys.is_empty() {
            part.removed_policies = split(
                &mut rest.removed_policies,
                Unit::Bytes(POLICY_ID_LEN),
                &part,
                max,
            );
        }
    }

    // The route rules are one record, which is not split.
    let taken = record_bytes(&part);
    if record_bytes(rest) == rest.routes.len()
        && (taken == 0 || taken.saturating_add(rest.routes.len()) <= max)
    {
        part.routes = std::mem::take(&mut rest.routes);
    }

    if record_bytes(rest) == 0 {
        (part.revision, part.tag) = (rest.revision, std::mem::take(&mut rest.tag));
    }
    part
}

/// Drops `bytes` bytes from the front of a batch, which were sent before.
pub(super) fn skip(rest: &mut Batch, mut bytes: usize) {
    let Batch {
        routes,
        policies,
        keys,
        removed_keys,
        removed_policies,
        ..
    } = rest;
    for field in [policies, keys, removed_keys, removed_policies, routes] {
        let skipped = bytes.min(field.len());
        *field = field.split_off(skipped);
        bytes -= skipped;
    }
}

/// The smallest unit, which is not split.
#[derive(Clone, Copy)]
enum Unit {
    Record(Kind),
    Bytes(usize),
}

/// Removes whole units from the front of `bytes`, as many as fit into `part`.
fn split(bytes: &mut Bytes, unit: Unit, part: &Batch, max: usize) -> Bytes {
    let taken = record_bytes(part);
    let room = max.saturating_sub(taken);
    if bytes.len() <= room {
        return std::mem::take(bytes);
    }

    let mut len = match unit {
        Unit::Bytes(unit) => room - room % unit,
        Unit::Record(kind) => records_within(kind, bytes, room),
    };
    if len == 0 && taken == 0 {
        len = match unit {
            Unit::Bytes(unit) => unit,
            Unit::Record(kind) => first_record(kind, bytes),
        };
    }

    bytes.split_to(len.min(bytes.len()))
}

/// Returns the length of the records at the front that fit into `room` together, in bytes.
fn records_within(kind: Kind, bytes: &[u8], room: usize) -> usize {
    let mut len = 0_usize;
    for (_, record) in Records::new(kind, bytes).flatten() {
        if len.saturating_add(record.len()) > room {
            break;
        }
        len = len.saturating_add(record.len());
    }
    len
}

/// Returns the length of the first record in bytes, or of everything if there is no valid record.
fn first_record(kind: Kind, bytes: &[u8]) -> usize {
    match Records::new(kind, bytes).next() {
        Some(Ok((_, record))) => record.len(),
        _ => bytes.len(),
    }
}

fn whole(chunks: Chunks) -> Bytes {
    chunks.into_iter().collect::<Vec<_>>().concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_policy::key::KeyDigest;
    use latchkey_policy::record::KeyRecord;

    fn key(number: u64) -> Vec<u8> {
        let mut record = Vec::new();
        let key = KeyRecord {
            digest: KeyDigest::of(&number.to_le_bytes()),
            policy: 1,
            number,
            slot: 1,
            secret: 1,
            expires_at: None,
            disabled: false,
            id: "000000000000",
            name: "CI",
        };

        key.encode(&mut record).unwrap();
        record
    }

    fn batch() -> Batch {
        Batch {
            routes: vec![1; 300].into(),
            keys: (0..40).flat_map(key).collect::<Vec<_>>().into(),
            removed_keys: vec![2; 32 * 20].into(),
            removed_policies: vec![3; 8 * 20].into(),
            revision: 7,
            tag: vec![4; 16].into(),
            ..Batch::default()
        }
    }

    #[test]
    fn parts_are_bounded_whole_records() {
        for max in [0, 1, 100, 333, 1_000, 100_000] {
            let (mut rest, mut parts) = (batch(), Vec::new());
            while rest.tag.len() == 16 {
                parts.push(take(&mut rest, max));
            }
            assert_eq!(record_bytes(&rest), 0);
            let concat = |field: fn(&Batch) -> &Bytes| {
                parts
                    .iter()
                    .flat_map(|part| field(part).to_vec())
                    .collect::<Vec<_>>()
            };
            assert_eq!(concat(|part| &part.routes), batch().routes);
            assert_eq!(concat(|part| &part.keys), batch().keys);
            assert_eq!(concat(|part| &part.removed_keys), batch().removed_keys);
            assert_eq!(
                concat(|part| &part.removed_policies),
                batch().removed_policies
            );
            for (index, part) in parts.iter().enumerate() {
                assert!(Records::new(Kind::Key, &part.keys).all(|record| record.is_ok()));
                assert_eq!(
                    (
                        part.removed_keys.len() % 32,
                        part.removed_policies.len() % 8
                    ),
                    (0, 0)
                );
                assert!(
                    record_bytes(part) <= max.max(300),
                    "{max}: {}",
                    record_bytes(part)
                );
                assert!(record_bytes(part) > 0);
                assert!(
                    part.routes.is_empty() || index + 1 == parts.len(),
                    "the rules' record comes last"
                );
                let last = index + 1 == parts.len();
                assert_eq!(
                    (part.revision, part.tag.len()),
                    if last { (7, 16) } else { (0, 0) }
                );
            }
        }
    }
}
