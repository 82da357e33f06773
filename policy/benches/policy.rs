//! The time that the parts of a verdict take, and two whole verdicts.

mod setup;

use criterion::{Criterion, Throughput};
use latchkey_policy::address::{AddressRule, parse_source};
use latchkey_policy::identity;
use latchkey_policy::key::{KeyDigest, KeyFormat};
use latchkey_policy::meter::{Allowance, Meter, Owner};
use latchkey_policy::policy::Policy;
use latchkey_policy::record::{KeyRecord, PolicyRecord};
use latchkey_policy::route::{RouteRules, Routes, Target};
use latchkey_policy::settings::SnapshotSettings;
use latchkey_policy::snapshot::Reader;
use latchkey_policy::test_util;
use setup::{EPOCH, METHOD, NOW, PATH, SOURCE, Scene, published, records};
use std::hint::black_box;

/// About five times as many keys as a worker keeps decoded, so that a key that is looked up in turn
/// is no longer kept at its next turn.
const MANY_KEYS: u32 = 40_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    key(&mut criterion);
    record(&mut criterion);
    look_up(&mut criterion);
    route(&mut criterion);
    addresses(&mut criterion);
    meter(&mut criterion);
    identity_header(&mut criterion);
    verdict(&mut criterion);
    criterion.final_summary();
}

fn key(criterion: &mut Criterion) {
    let (format, key) = (KeyFormat::default(), records::plain_key());
    let key = key.expose().as_bytes();
    criterion.bench_function("key/check the form", |bencher| {
        bencher.iter(|| format.check(black_box(key)).unwrap());
    });
    criterion.bench_function("key/SHA-256", |bencher| {
        bencher.iter(|| KeyDigest::of(black_box(key)));
    });
}

fn record(criterion: &mut Criterion) {
    let mut record = Vec::new();
    test_util::key(records::plain_key().digest(), 1, "CI")
        .encode(&mut record)
        .unwrap();
    criterion.bench_function("record/decode a key", |bencher| {
        bencher.iter(|| KeyRecord::decode(black_box(&record)).unwrap().number);
    });
    let settings = SnapshotSettings::compile(&records::rules().into());
    let mut compile = |name, policy: PolicyRecord| {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| Policy::compile(black_box(&policy), &settings));
        });
    };
    compile("policy/compile a plain one", records::plain_policy());
    compile("policy/compile a full one", records::full_policy());
}

fn look_up(criterion: &mut Criterion) {
    let digests = (0..MANY_KEYS)
        .map(|number| KeyDigest::of(&number.to_le_bytes()))
        .collect::<Vec<_>>();
    let cells = published(
        &RouteRules::default(),
        &records::plain_policy(),
        digests.iter().copied(),
    );
    let mut look_up = |name, digests: &[KeyDigest]| {
        let mut reader = Reader::default();
        let mut digests = digests.iter().cycle();
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                reader
                    .view(&cells)
                    .unwrap()
                    .find(&cells, digests.next().unwrap())
                    .unwrap()
                    .unwrap()
            });
        });
    };
    look_up("snapshot/find a key that the worker keeps", &digests[..1]);
    look_up("snapshot/find a key that it does not keep", &digests);
}

fn route(criterion: &mut Criterion) {
    let routes = Routes::compile(&records::rules());
    let name = format!("route/find the last of {} templates", records::RULES);
    criterion.bench_function(&name, |bencher| {
        bencher.iter(|| {
            let found = routes
                .find(&Target {
                    host: b"",
                    method: METHOD,
                    path: black_box(PATH),
                })
                .number();
            assert_eq!(found, Some(usize::from(records::RULES)));
        });
    });
}

fn addresses(criterion: &mut Criterion) {
    let rule = AddressRule::compile(&records::full_policy().addresses);
    for (what, source, admitted) in [
        ("an IPv4", SOURCE, true),
        ("an IPv6", b"[2001:db8:1ff::7]:4711", true),
        ("another", b"192.0.2.1:4711", false),
    ] {
        let name = format!(
            "addresses/{what} address against {} entries",
            records::ADDRESSES
        );
        criterion.bench_function(&name, |bencher| {
            bencher.iter(|| assert_eq!(rule.admits(|| parse_source(black_box(source))), admitted));
        });
    }
}

fn meter(criterion: &mut Criterion) {
    let limits = records::full_policy().limits;
    let mut meter = Meter::new(Owner::new(&EPOCH, 1));
    meter.admit(&limits, NOW);
    let mut bytes = meter.encode();
    criterion.bench_function("meter/decode, admit by three limits, encode", |bencher| {
        bencher.iter(|| {
            let mut meter = Meter::decode(black_box(&bytes)).unwrap();
            assert!(meter.admit(&limits, NOW).admitted());
            bytes = meter.encode();
        });
    });
    // Each run starts from the same counters. A new allowance replaces one that is used up once in
    // about 1,000 requests.
    let granted = || {
        let mut meter = meter;
        meter.grant(&limits, NOW).unwrap()
    };
    let mut allowance: Allowance = granted();
    criterion.bench_function("meter/admit by an allowance", |bencher| {
        bencher.iter(|| {
            let admitted = allowance.admit(black_box(&limits), 1, NOW, || None);
            if admitted.is_none() {
                allowance = granted();
            }
            admitted
        });
    });
}

fn identity_header(criterion: &mut Criterion) {
    let policy = Policy::compile(&records::full_policy(), &SnapshotSettings::default());
    let key = test_util::key(records::plain_key().digest(), 1, "CI");
    criterion.bench_function("identity/render the header", |bencher| {
        bencher.iter(|| identity::render(black_box(&key), &policy.identity, None));
    });
}

fn verdict(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verdict");
    group.throughput(Throughput::Elements(1));
    for (name, mut scene) in [("plain", Scene::plain()), ("full", Scene::full())] {
        group.bench_function(name, |bencher| bencher.iter(|| scene.decide()));
    }
    group.finish();
}
