//! For tests, of this crate and of its users: records to begin with, shared memory without a host,
//! and repeatable random numbers.

// This code runs only in tests, where a panic is just a failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]

use crate::address::AddressLists;
use crate::cells::{Cell, CellError, Cells, Expect};
use crate::key::{Environment, KeyDigest};
use crate::limit::Limits;
use crate::record::{FORMAT, KeyRecord, PolicyRecord};
use crate::settings::SettingsRecord;

/// Returns encoded route rules that only require a valid key: every snapshot has some.
pub fn no_routes() -> Vec<u8> {
    let mut record = Vec::new();
    let settings = SettingsRecord::default();
    settings.encode(FORMAT, &mut record).unwrap();
    record
}

/// Returns the same rules, in settings with imported keys, which need not have our form.
pub fn no_routes_and_imported_keys() -> Vec<u8> {
    let mut record = Vec::new();
    let settings = SettingsRecord::default().with_imported(true);
    settings.encode(FORMAT, &mut record).unwrap();
    record
}

/// Returns a policy that refuses nothing.
pub fn policy(id: u64) -> PolicyRecord {
    PolicyRecord {
        id,
        account: "acc_1".into(),
        user: "usr_1".into(),
        tier: "basic".into(),
        environment: Environment::Live,
        owner_disabled: false,
        account_disabled: false,
        addresses: AddressLists::default(),
        services: None,
        roles: Vec::new(),
        grants: Vec::new(),
        owner_grants: Vec::new(),
        subaccounts: Vec::new(),
        confined: false,
        limits: Limits::default(),
    }
}

/// Returns a key that refuses nothing.
pub fn key(digest: KeyDigest, policy: u64, name: &str) -> KeyRecord<'_> {
    KeyRecord {
        digest,
        policy,
        number: 1,
        slot: 0,
        secret: 1,
        expires_at: None,
        disabled: false,
        id: "abc123def456",
        name,
    }
}

/// Cells in ordinary memory that behave as Envoy's shared data does, for tests.
#[derive(Debug, Default)]
pub struct MemoryCells {
    cells: std::cell::RefCell<std::collections::BTreeMap<String, Cell>>,
    version: std::cell::Cell<u32>,
    generation: std::cell::Cell<u64>,
}

impl MemoryCells {
    /// Returns the number of cells that were ever written.
    pub fn len(&self) -> usize {
        self.cells.borrow().len()
    }

    /// Returns whether no cell was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of bytes in all cells together.
    pub fn bytes(&self) -> usize {
        self.cells
            .borrow()
            .values()
            .map(|cell| cell.bytes.len())
            .sum()
    }

    /// Changes every cell's content without the knowledge of its writer.
    pub fn tamper(&self, mut change: impl FnMut(&str, &mut Vec<u8>)) {
        for (name, cell) in self.cells.borrow_mut().iter_mut() {
            change(name, &mut cell.bytes);
        }
    }
}

impl Cells for MemoryCells {
    fn get(&self, name: &str) -> Result<Option<Cell>, CellError> {
        Ok(self.cells.borrow().get(name).cloned())
    }

    fn set(&self, name: &str, bytes: &[u8], expect: Expect) -> Result<(), CellError> {
        let mut cells = self.cells.borrow_mut();
        let expected = match expect {
            Expect::Absent => None,
            Expect::Version(version) => Some(version),
        };
        if cells.get(name).map(|cell| cell.version) != expected {
            return Err(CellError::Conflict);
        }

        let version = self.version.get().wrapping_add(1);
        self.version.set(version);
        cells.insert(
            name.to_owned(),
            Cell {
                bytes: bytes.to_vec(),
                version,
            },
        );
        Ok(())
    }

    fn generation(&self) -> Option<u64> {
        Some(self.generation.get())
    }

    fn advance_generation(&self) {
        self.generation.set(self.generation.get() + 1);
    }
}

/// A simple generator (SplitMix64): the same numbers for the same seed on every target.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// Returns any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.number() % u64::from(bound)).unwrap()
    }

    /// Returns an index into a list of this length, which is not empty.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.number() % len as u64).unwrap()
    }

    /// Returns one of the choices.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    /// Returns up to `max` bytes, mostly of an alphabet and sometimes any.
    pub fn bytes(&mut self, max: usize, alphabet: &[u8]) -> Vec<u8> {
        let len = self.index(max + 1);
        let byte = |random: &mut Self| match random.below(8) {
            0 => random.number().to_le_bytes()[0],
            _ => *random.pick(alphabet),
        };
        (0..len).map(|_| byte(self)).collect()
    }

    /// Returns the bytes with a few changes: flipped, doubled, left out, inserted, cut off.
    pub fn mutated(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(3) {
            if bytes.is_empty() {
                return bytes;
            }
            let at = self.index(bytes.len());
            match self.below(5) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.number().to_le_bytes()[0],
                2 => drop(bytes.remove(at)),
                3 => bytes.insert(at, self.number().to_le_bytes()[0]),
                _ => bytes.truncate(at),
            }
        }
        bytes
    }
}

/// Runs `target` on one seed after the other, for `FUZZ_SECONDS` (0.5), from `FUZZ_SEED` on (the
/// time). A panic reports the seed that it came from.
#[cfg(not(target_arch = "wasm32"))]
pub fn fuzz(mut target: impl FnMut(&mut Random)) {
    struct Tell(u64);

    impl Drop for Tell {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("to repeat: FUZZ_SEED={}", self.0);
            }
        }
    }

    let variable = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<f64>().expect("a number"))
    };
    let seconds = std::time::Duration::from_secs_f64(variable("FUZZ_SECONDS").unwrap_or(0.5));
    let seed = std::env::var("FUZZ_SEED")
        .ok()
        .map(|text| text.parse::<u64>().expect("a whole number"));
    let clock = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default();
    let mut seed = Tell(seed.unwrap_or(clock.as_secs() << 32));
    let begin = std::time::Instant::now();
    let mut cases = 0u64;
    while begin.elapsed() < seconds || cases == 0 {
        target(&mut Random(seed.0));
        seed.0 = seed.0.wrapping_add(1);
        cases += 1;
    }

    println!("{cases} cases");
}
