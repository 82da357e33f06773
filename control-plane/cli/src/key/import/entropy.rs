//! Estimates how hard a key is to guess, for keys that are imported in plain.
//!
//! The estimate is the length of the shortest description of the key, in bits. A description
//! consists of single characters, by the alphabet that they seem to be from; of words that keys
//! often contain; of runs, such as `abcd` or `0000`; and of repetitions of earlier parts of the
//! key. So no key has a higher estimate than its alphabet and its length allow. A random key has
//! about that much, as few random texts have a short description.

mod words;

use std::collections::BTreeSet;

use words::words_ending_in;

/// The number of bits that a key needs: more than anybody who has its SHA-256 can try.
pub(super) const MIN_BITS: f64 = 80.0;

/// The number of bits of a word, which select one of the known words.
const WORD_BITS: f64 = 9.0;

/// The number of bits of the first character of a run and of its length.
const RUN_BITS: f64 = 10.0;

/// The number of bits of a character between the parts of a key.
const SEPARATOR_BITS: f64 = 1.5;

/// The minimum number of characters of a run or a repetition.
const MIN_RUN: usize = 4;

/// The number of different characters, other than letters and digits, from which on they belong to
/// the alphabet and are not separators.
const MANY_SYMBOLS: usize = 4;

/// The minimum number of characters of a part between separators that has its own alphabet.
const LONG_PART: usize = 10;

/// The maximum number of bytes of a key that are examined: no key needs more to be hard to guess.
const MAX_LEN: usize = 128;

/// Estimates the entropy of an ASCII key, in bits.
pub(super) fn bits(key: &str) -> f64 {
    let key: Vec<u8> = key.bytes().take(MAX_LEN).collect();
    let lower = key.to_ascii_lowercase();
    let alone = by_itself(&key);
    // The length of the shortest description of each prefix of the key.
    let mut shortest = vec![0.0_f64];
    for (end, bits) in (1..).zip(alone) {
        let text = lower.get(..end).unwrap_or_default();
        let before = |len: usize| {
            end.checked_sub(len)
                .and_then(|start| shortest.get(start))
                .copied()
        };
        let words = words_ending_in(text.last().copied().unwrap_or_default())
            .iter()
            .filter(|word| text.ends_with(word))
            .map(|word| (word.len(), WORD_BITS));
        let runs = (MIN_RUN..=end)
            .take_while(|len| is_run(ending(text, *len)))
            .map(|len| (len, RUN_BITS));
        let repeated = (MIN_RUN..=end / 2).take_while(|len| repeats(text, *len));
        let repeated = repeated.map(|len| (len, 2.0 * log2(key.len())));
        let ways = [(1, bits)]
            .into_iter()
            .chain(words)
            .chain(runs)
            .chain(repeated);
        let best = ways
            .filter_map(|(len, bits)| Some(before(len)? + bits))
            .fold(f64::MAX, f64::min);
        shortest.push(best);
    }

    shortest.last().copied().unwrap_or_default()
}

fn log2(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX)).log2()
}

/// Returns the last `len` characters.
fn ending(text: &[u8], len: usize) -> &[u8] {
    text.get(text.len().saturating_sub(len)..)
        .unwrap_or_default()
}

/// Returns whether the last `len` characters also occur before.
fn repeats(text: &[u8], len: usize) -> bool {
    let earlier = text
        .get(..text.len().saturating_sub(len))
        .unwrap_or_default();
    earlier
        .windows(len)
        .any(|window| window == ending(text, len))
}

/// Returns whether characters differ by the same step of -1, 0 or 1: `aaaa`, `abcd`, `9876`.
fn is_run(part: &[u8]) -> bool {
    let mut steps = part
        .iter()
        .zip(part.iter().skip(1))
        .map(|(one, next)| i16::from(*next) - i16::from(*one));
    let first = steps.next().unwrap_or_default();
    (-1..=1).contains(&first) && steps.all(|step| step == first)
}

/// Returns the number of bits of each character without its context. A long part between separators
/// has its own alphabet, so that a prefix before hexadecimal digits does not raise their estimate.
/// A short part is too small for that, and has the alphabet of the whole key.
fn by_itself(text: &[u8]) -> Vec<f64> {
    let symbols: BTreeSet<_> = text
        .iter()
        .filter(|byte| !byte.is_ascii_alphanumeric())
        .collect();
    if symbols.len() >= MANY_SYMBOLS {
        return vec![(alphabet(text) + 32.0).log2(); text.len()];
    }

    let mut bits = Vec::with_capacity(text.len());
    for part in text.split_inclusive(|byte| !byte.is_ascii_alphanumeric()) {
        let of_part = if part.len() < LONG_PART { text } else { part };
        let of_part = alphabet(of_part).log2();
        bits.extend(part.iter().map(|byte| {
            if byte.is_ascii_alphanumeric() {
                of_part
            } else {
                SEPARATOR_BITS
            }
        }));
    }

    bits
}

/// Returns the number of letters and digits of the alphabet that a text seems to be from.
fn alphabet(text: &[u8]) -> f64 {
    let any = |is: fn(&u8) -> bool| text.iter().any(is);
    let (lower, upper) = (any(u8::is_ascii_lowercase), any(u8::is_ascii_uppercase));
    let digits = any(u8::is_ascii_digit);
    let is_hex = |byte: &u8| byte.is_ascii_hexdigit() || !byte.is_ascii_alphanumeric();
    if digits && lower != upper && text.iter().all(is_hex) {
        return 16.0;
    }

    let sizes = [(digits, 10.0), (lower, 26.0), (upper, 26.0)];
    let size: f64 = sizes
        .iter()
        .filter(|(is_there, _)| *is_there)
        .map(|(_, size)| size)
        .sum();
    size.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_model::random;

    #[test]
    fn guessable_keys_are_below_the_bound() {
        for key in [
            "pin-482913",
            "12345678901234567890",
            "password",
            "acme-production-api-key-2024",
            "my-super-secret-api-key-for-production",
            "00000000000000000000000000000000",
            "abcdefghijklmnopqrstuvwxyz0123456789",
            "deadbeefdeadbeefdeadbeefdeadbeef",
            "sk_live_0123456789abcdef",
            "customer-000000000000000000000042",
            "Summer2024!Summer2024!",
            "correcthorsebatterystaple",
            "a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4",
            // 64 random bits.
            "8f14e45fceea167a",
            // 14 random digits; 13 random letters and digits.
            "48291375610284",
            "aB3dEf6hIj9lM",
            "key_test_key_test_key_test_key_test",
            &"a".repeat(512),
            &"password".repeat(64),
        ] {
            assert!(bits(key) < MIN_BITS, "{key}: {}", bits(key));
        }
    }

    #[test]
    fn common_key_formats_are_above_the_bound() {
        for key in [
            "sk-proj-4c0f9dW8mWQyb7Xo2sKqYh3T",
            "0b5ec4a2-96a6-4a61-8c3c-3fb8dbe1a4e0",
            "vg_live_Ab3dEf6hIj9lMn2pQr5tUv8xYz1B4D7F",
            // 14 letters and digits; 20 hexadecimal digits.
            "aB3dEf6hIj9lMx",
            "8f14e45fceea167a5a36",
            "d8Fk2LqP9sX3vB7nM1cZ5g",
            "x7$kP!9wQ#2mZ%4r",
            "gsmvbtqkwzrdhxyfnjpcal",
        ] {
            assert!(bits(key) >= MIN_BITS, "{key}: {}", bits(key));
        }
    }

    const BASE64_URL: &[u8; 64] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const HEX: &[u8; 16] = b"0123456789abcdef";

    /// A source of random bits that is much faster than the system's.
    struct Source {
        bytes: Vec<u8>,
        at: usize,
    }

    impl Source {
        fn byte(&mut self) -> u8 {
            if self.at == self.bytes.len() {
                random::fill(&mut self.bytes).unwrap();
                self.at = 0;
            }
            self.at += 1;
            self.bytes[self.at - 1]
        }

        fn text(&mut self, alphabet: &[u8], len: usize) -> String {
            let mask = u8::try_from(alphabet.len() - 1).unwrap();
            (0..len)
                .map(|_| char::from(alphabet[usize::from(self.byte() & mask)]))
                .collect()
        }

        fn uuid(&mut self) -> String {
            let hex = self.text(HEX, 31);
            let variant = self.text(b"89ab", 1);
            format!(
                "{}-{}-4{}-{variant}{}-{}",
                &hex[..8],
                &hex[8..12],
                &hex[12..15],
                &hex[15..18],
                &hex[18..30]
            )
        }
    }

    /// At most one random key in a million may be refused. The sample is smaller, to save time; the
    /// mean and the deviation of the estimates show that the limit is many deviations away.
    #[test]
    fn random_keys_are_never_refused() {
        const SAMPLES: u32 = 20_000;
        let mut source = Source {
            bytes: vec![0; 4096],
            at: 4096,
        };
        type Draw = fn(&mut Source) -> String;
        let kinds: [(&str, Draw); 3] = [
            ("22 characters of Base64", |source| {
                source.text(BASE64_URL, 22)
            }),
            ("32 hexadecimal digits", |source| source.text(HEX, 32)),
            ("a UUID", Source::uuid),
        ];

        for (kind, draw) in kinds {
            let (mut sum, mut squares, mut least) = (0.0, 0.0, f64::MAX);
            for _ in 0..SAMPLES {
                let bits = bits(&draw(&mut source));
                (sum, squares, least) = (sum + bits, squares + bits * bits, least.min(bits));
            }
            let mean = sum / f64::from(SAMPLES);
            let deviation = (squares / f64::from(SAMPLES) - mean * mean).sqrt();
            println!("{kind}: {mean:.1} bits, deviation {deviation:.1}, least {least:.1}");
            assert!(least >= MIN_BITS, "{kind}: {least}");
            assert!(
                (mean - MIN_BITS) / deviation > 6.0,
                "{kind}: {mean} {deviation}"
            );
        }
    }
}
