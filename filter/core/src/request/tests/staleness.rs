//! The staleness limit of requests: the smaller of the worker's own limit and the reported one.

use super::*;
use latchkey_policy::snapshot;

/// Serves a valid key until the contact is older than `limit` seconds, with `reported` as the limit
/// of the snapshot and `own` as that of the configuration; 0 is none.
fn serves_until(limit: u64, reported: u64, own: u64) {
    let host = gateway().0;
    let own_limit = if own == 0 {
        String::new()
    } else {
        format!(r#","max_staleness_seconds":{own}"#)
    };
    let worker = configured(&host, &own_limit);
    Writer::take_over(&host, 2)
        .unwrap()
        .set_staleness(&host, reported)
        .unwrap();
    snapshot::note_contact(&host, host.monotonic.get()).unwrap();
    let key = key(1);
    let valid = [("x-api-key", key.expose().as_bytes())];
    let case = format!("reported {reported}, own {own}");
    assert_eq!(send(&host, &worker, &valid), "allowed", "{case}");
    host.advance_millis(limit * 1_000);
    assert_eq!(send(&host, &worker, &valid), "allowed", "{case}");
    host.advance_millis(1);
    assert_eq!(send(&host, &worker, &valid), "not_ready", "{case}");
    assert_eq!(
        send(&host, &worker, &[]),
        "not_ready",
        "{case}: ahead of the credential"
    );
    snapshot::note_contact(&host, host.monotonic.get()).unwrap();
    assert_eq!(
        send(&host, &worker, &valid),
        "allowed",
        "{case}: a contact renews it"
    );
}

/// Holds without an own limit too.
#[test]
fn reported_limit_holds_below_own() {
    serves_until(20, 20, 0);
    serves_until(20, 20, 60);
}

/// Holds without a reported limit too.
#[test]
fn own_limit_holds_below_reported() {
    serves_until(10, 0, 10);
    serves_until(10, 20, 10);
}

#[test]
fn snapshot_without_limit_never_ages() {
    let host = gateway().0;
    let worker = configured(&host, "");
    let key = key(1);
    host.advance_millis(365 * 86_400_000);
    assert_eq!(
        send(&host, &worker, &[("x-api-key", key.expose().as_bytes())]),
        "allowed"
    );
}
