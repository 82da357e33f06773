//! The requests that are sent: several kinds, with keys that are drawn at random.

use latchkey_tests::SeededRng;

use crate::keys;

/// A sequence of requests.
pub(crate) struct Traffic {
    /// The bytes before and after a key.
    kinds: Vec<(Vec<u8>, Vec<u8>)>,
    keys: Vec<u8>,
    key_len: usize,
    rng: SeededRng,
    request: Vec<u8>,
    /// The next key, while keys are taken in order.
    in_order: Option<usize>,
}

/// The other headers of an API's client.
const HEADERS: &str = "host: api.example.com\r\n\
    user-agent: example-client/3.14.1 (linux; x86_64)\r\n\
    accept: application/json\r\n\
    accept-encoding: gzip, deflate, br\r\n\
    accept-language: en-GB,en;q=0.8\r\n\
    cache-control: no-cache\r\n\
    content-type: application/json\r\n\
    traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";

impl Traffic {
    /// Creates requests with the keys of the first `count` numbers. Each of `targets` is a method
    /// and a path.
    pub(crate) fn new(targets: &[(&str, &str)], count: usize) -> Self {
        let kind = |(method, path): &(&str, &str)| {
            let before = format!("{method} {path} HTTP/1.1\r\n{HEADERS}x-api-key: ");
            (before.into_bytes(), b"\r\n\r\n".to_vec())
        };
        let keys: Vec<u8> = (0..count)
            .flat_map(|number| keys::key(number).expose().as_bytes().to_vec())
            .collect();
        Self {
            kinds: targets.iter().map(kind).collect(),
            key_len: keys.len() / count.max(1),
            keys,
            rng: SeededRng(count as u64),
            request: Vec::new(),
            in_order: None,
        }
    }

    /// Creates requests that only use the key with this number.
    pub(crate) fn of_one(target: (&str, &str), number: usize) -> Self {
        let mut traffic = Self::new(&[target], 0);
        traffic.keys = keys::key(number).expose().as_bytes().to_vec();
        traffic.key_len = traffic.keys.len();
        traffic
    }

    /// Returns the number of keys.
    pub(crate) fn keys(&self) -> usize {
        self.keys.len() / self.key_len.max(1)
    }

    /// Takes the keys in order from now on, starting with the first.
    pub(crate) fn in_order(&mut self) {
        self.in_order = Some(0);
    }

    /// Draws the keys at random from now on.
    pub(crate) fn at_random(&mut self) {
        self.in_order = None;
    }

    /// Returns the next request.
    pub(crate) fn next(&mut self) -> &[u8] {
        let kind = self.rng.below(self.kinds.len());
        let key = match &mut self.in_order {
            Some(next) => {
                *next += 1;
                (*next - 1) % (self.keys.len() / self.key_len)
            }
            None => self.rng.below(self.keys.len() / self.key_len),
        };
        let (before, after) = &self.kinds[kind];
        self.request.clear();
        self.request.extend_from_slice(before);
        self.request
            .extend_from_slice(&self.keys[key * self.key_len..][..self.key_len]);
        self.request.extend_from_slice(after);
        &self.request
    }
}
