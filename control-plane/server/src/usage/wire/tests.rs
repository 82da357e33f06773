//! Tests of reports from nodes, including invalid ones.

use super::*;
use latchkey_protocol::window_count::Kind;
use tonic::Code;

fn usage() -> KeyUsage {
    KeyUsage {
        key: 7,
        requests: vec![5, 0, 1],
        windows: vec![WindowCount {
            kind: Kind::Day.into(),
            number: 20_000,
            count: 5,
        }],
        last_uses: vec![last_use()],
    }
}

fn last_use() -> latchkey_protocol::LastUse {
    latchkey_protocol::LastUse {
        secret: 3,
        at: 1_800_000_000,
        ip: vec![192, 0, 2, 1],
    }
}

#[test]
fn report_is_converted_field_by_field() {
    let reports = key_reports(vec![
        usage(),
        KeyUsage {
            key: u64::MAX,
            ..KeyUsage::default()
        },
    ])
    .unwrap();
    let day = Some(Count {
        number: 20_000,
        count: 5,
    });
    let last_uses = vec![LastUse {
        secret: 3,
        at: 1_800_000_000,
        from: Some([192, 0, 2, 1].into()),
    }];
    let used = KeyReport {
        key: 7,
        requests: [5, 0, 1, 0, 0, 0, 0, 0],
        windows: [None, None, day, None],
        last_uses,
    };
    let unused = KeyReport {
        key: u64::MAX,
        requests: [0; 8],
        windows: [None; 4],
        last_uses: Vec::new(),
    };

    assert_eq!(reports, [used, unused]);
}

#[test]
fn addresses_are_of_both_families() {
    for (bytes, address) in [
        (&[][..], None),
        (&[192, 0, 2, 1], Some("192.0.2.1")),
        (
            &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            Some("2001:db8::1"),
        ),
        (
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1],
            Some("192.0.2.1"),
        ),
    ] {
        let last_uses = vec![latchkey_protocol::LastUse {
            ip: bytes.to_vec(),
            ..last_use()
        }];
        let reports = key_reports(vec![KeyUsage {
            last_uses,
            ..usage()
        }])
        .unwrap();
        assert_eq!(
            reports[0].last_uses[0]
                .from
                .map(|address| address.to_string())
                .as_deref(),
            address
        );
    }
}

#[test]
fn invalid_report_is_refused() {
    let window = |kind: i32| WindowCount {
        kind,
        number: 1,
        count: 1,
    };
    let refused = |keys| {
        let status = key_reports(keys).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        status.message().to_owned()
    };
    let uses = |last_uses| KeyUsage {
        last_uses,
        ..usage()
    };
    let wrong = |used: latchkey_protocol::LastUse| uses(vec![last_use(), used]);
    let other = || latchkey_protocol::LastUse {
        secret: 4,
        ..last_use()
    };

    for (usage, reason) in [
        (
            KeyUsage {
                requests: vec![0; 9],
                ..usage()
            },
            "Usage has more than 8 verdicts",
        ),
        (
            KeyUsage {
                requests: vec![1 << 53],
                ..usage()
            },
            "Usage has a total of more than 9007199254740991 requests",
        ),
        (
            KeyUsage {
                windows: vec![window(0)],
                ..usage()
            },
            "Usage has a window of unknown kind 0",
        ),
        (
            KeyUsage {
                windows: vec![window(-5)],
                ..usage()
            },
            "Usage has a window of unknown kind -5",
        ),
        (
            KeyUsage {
                windows: vec![window(2), window(2)],
                ..usage()
            },
            "Usage has the hour of a key twice",
        ),
        (
            wrong(latchkey_protocol::LastUse { at: -1, ..other() }),
            "Usage has a last use before 1970",
        ),
        (
            wrong(latchkey_protocol::LastUse {
                ip: vec![1; 5],
                ..other()
            }),
            "Usage has an address of neither 4 nor 16 bytes",
        ),
        (
            wrong(latchkey_protocol::LastUse {
                secret: 0,
                ..other()
            }),
            "Usage has a last use of no secret",
        ),
        (
            wrong(last_use()),
            "Usage has the last use of a secret twice",
        ),
        (
            uses(vec![last_use(); 3]),
            "Usage has last uses of more than 2 secrets of a key",
        ),
    ] {
        assert_eq!(refused(vec![usage]), reason);
    }

    assert_eq!(
        refused(vec![KeyUsage::default(); 10_001]),
        "Usage has more than 10000 keys"
    );
    assert!(key_reports(vec![KeyUsage::default(); 10_000]).is_ok());
}

#[test]
fn only_used_windows_are_sent() {
    let count = Some(Count {
        number: 24_000,
        count: 3,
    });
    let sent = key_remote_usage(&RemoteUsage {
        key: 7,
        slot: 2,
        windows: [None, None, None, count],
    });
    let month = WindowCount {
        kind: Kind::Month.into(),
        number: 24_000,
        count: 3,
    };

    assert_eq!(
        sent,
        KeyRemoteUsage {
            key: 7,
            slot: 2,
            windows: vec![month]
        }
    );
}

#[test]
fn window_kinds_match_the_protocol() {
    assert_eq!(
        Window::ALL.map(usage::kind),
        [Kind::Minute, Kind::Hour, Kind::Day, Kind::Month].map(i32::from)
    );
}
