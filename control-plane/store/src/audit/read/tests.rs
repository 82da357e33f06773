//! Lists of the audit against a model.

use super::*;
use crate::OpenMode;

/// Time, actor's id and name, action, and target's id and name.
type Entry = (i64, String, String, &'static str, String, String);

fn entries() -> Vec<Entry> {
    let mut state = 5_u64;
    let mut below = |bound: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let actions = [
        "key.create",
        "key.create",
        "key.revoke",
        "keyring.open",
        "key",
        "user.create",
    ];
    let entry = |_| {
        let (actor, target) = (below(4), below(5));
        let action = actions[usize::try_from(below(6)).unwrap()];
        // The times include a clock that is set back; some names equal the ids of others.
        let at = 1_000 + below(80).cast_signed();
        (
            at,
            format!("usr_{actor}"),
            format!("usr_{}", below(4)),
            action,
            format!("key_{target}"),
            format!("name {target}"),
        )
    };
    (0..300).map(entry).collect()
}

fn expected(entries: &[Entry], query: &AuditQuery) -> Vec<i64> {
    let is = |wanted: &Option<String>, id: &String, name: &String| {
        wanted
            .as_ref()
            .is_none_or(|wanted| wanted == id || wanted == name)
    };
    let passes = |(at, actor_id, actor_name, action, target_id, target_name): &Entry| {
        query.since.is_none_or(|since| *at >= since)
            && query.until.is_none_or(|until| *at < until)
            && is(&query.actor, actor_id, actor_name)
            && is(&query.target, target_id, target_name)
            && query
                .action
                .as_ref()
                .is_none_or(|wanted| action == wanted || action.starts_with(&format!("{wanted}.")))
    };
    let numbered = (1_i64..).zip(entries).filter(|(_, entry)| passes(entry));
    let mut found: Vec<_> = numbered.map(|(seq, entry)| (entry.0, seq)).collect();
    found.sort_unstable();
    found.into_iter().rev().map(|(_, seq)| seq).collect()
}

#[tokio::test]
async fn audit_lists_match_a_plain_model() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(
        &directory.path().join("latchkey.db"),
        OpenMode::CreateIfMissing,
    )
    .await
    .unwrap();
    let mut on = store.0.writer.acquire().await.unwrap();
    // The entries refer to rows that do not exist here.
    sqlx::query("PRAGMA foreign_keys = OFF")
        .execute(&mut *on)
        .await
        .unwrap();
    let entries = entries();
    for (at, actor_id, actor_name, action, target_id, target_name) in &entries {
        let insert = "INSERT INTO audit (account_id, at, actor_kind, actor_id, actor_name, action, target_kind, \
             target_id, target_name) VALUES ('acc', ?, 'user', ?, ?, ?, 'key', ?, ?)";
        let insert = sqlx::query(insert)
            .bind(at)
            .bind(actor_id)
            .bind(actor_name)
            .bind(*action);
        insert
            .bind(target_id)
            .bind(target_name)
            .execute(&mut *on)
            .await
            .unwrap();
    }
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    for (since, until) in [
        (None, None),
        (Some(1_020), None),
        (Some(1_010), Some(1_030)),
        (None, Some(1_001)),
    ] {
        for actor in ["", "usr_1", "nobody"] {
            for action in ["", "key", "key.revoke", "none"] {
                for target in ["", "key_2", "name 3"] {
                    let (actor, action, target) = (text(actor), text(action), text(target));
                    let query = AuditQuery {
                        since,
                        until,
                        actor,
                        action,
                        target,
                    };
                    for (walk, limit) in [(30_000, 100), (30_000, 7), (5, 3)] {
                        let (mut seqs, mut after) = (Vec::new(), None);
                        loop {
                            let page = PageQuery {
                                limit,
                                after,
                                search: None,
                            };
                            let effort = Effort {
                                walk,
                                ..Effort::default()
                            };
                            let found = find(&mut on, "acc", &query, &page, effort).await.unwrap();
                            seqs.extend(found.seqs());
                            after = found.next;
                            if after.is_none() {
                                break;
                            }
                        }
                        assert_eq!(
                            seqs,
                            expected(&entries, &query),
                            "{query:?}, walk {walk}, limit {limit}"
                        );
                    }
                }
            }
        }
    }
}
