//! The last uses of a key's secrets: time and address.

use std::net::IpAddr;

/// The newest use of one of a key's secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastUse {
    /// The secret's number, from 1.
    pub secret: u32,
    /// The time, in Unix seconds.
    pub at: i64,
    /// The address of the first request of that second; an IPv4-mapped address is the IPv4 address
    /// in it.
    pub from: Option<IpAddr>,
}

/// The last uses of two secrets, the newer secret first: of the newest that was used, and of the
/// other that was used last. Between two secrets that are good there can be some that were
/// replaced, so the two are not always next to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LastUses(pub(super) [Option<LastUse>; LastUses::LEN]);

impl LastUses {
    /// The number of secrets: a key has at most one good secret in addition to its newest.
    pub(super) const LEN: usize = 2;

    /// Records a use. The newest secret's is never replaced by an older one's.
    pub(super) fn note(&mut self, secret: u32, at: i64, from: impl FnOnce() -> Option<IpAddr>) {
        if self
            .iter()
            .any(|used| used.secret == secret && used.at == at)
        {
            return;
        }
        let used = || {
            Some(LastUse {
                secret,
                at,
                from: from().map(|address| address.to_canonical()),
            })
        };

        let [newest, other] = &mut self.0;
        match newest.map(|used| used.secret) {
            Some(known) if secret < known => *other = used(),
            Some(known) if secret > known => {
                // Of those that were used in the same second, the newer one.
                let last = [*other, *newest]
                    .into_iter()
                    .flatten()
                    .max_by_key(|used| used.at);
                (*newest, *other) = (used(), last);
            }
            _ => *newest = used(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = LastUse> {
        self.0.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn told(uses: &LastUses) -> Vec<(u32, i64, Option<String>)> {
        uses.iter()
            .map(|used| (used.secret, used.at, used.from.map(|from| from.to_string())))
            .collect()
    }

    #[test]
    fn newest_and_last_used_are_kept() {
        let mut uses = LastUses::default();
        let address = |text: &str| Some(text.parse().unwrap());
        uses.note(3, 10, || address("192.0.2.3"));
        uses.note(2, 11, || address("::ffff:192.0.2.2"));
        let known = |text: &str| Some(text.to_owned());
        assert_eq!(
            told(&uses),
            [(3, 10, known("192.0.2.3")), (2, 11, known("192.0.2.2"))]
        );
        uses.note(2, 13, || None);
        uses.note(3, 9, || None);
        assert_eq!(told(&uses), [(3, 9, None), (2, 13, None)], "clocks go back");
        uses.note(4, 14, || None);
        assert_eq!(
            told(&uses),
            [(4, 14, None), (2, 13, None)],
            "3 was not used for longer"
        );
        uses.note(6, 14, || None);
        assert_eq!(told(&uses), [(6, 14, None), (4, 14, None)]);
    }

    /// 1 is good until its overlap ends, and the secret after it was replaced, used or not.
    #[test]
    fn replaced_secret_keeps_its_last_use() {
        for replaced in [&[][..], &[2], &[2, 3], &[3, 2]] {
            let mut uses = LastUses::default();
            replaced
                .iter()
                .for_each(|secret| uses.note(*secret, 10, || None));
            for second in 11..14 {
                uses.note(1, second, || None);
                assert!(
                    uses.iter()
                        .any(|used| (used.secret, used.at) == (1, second)),
                    "{replaced:?}"
                );
            }
            uses.note(4, 14, || None);
            assert_eq!(told(&uses), [(4, 14, None), (1, 13, None)], "{replaced:?}");
            uses.note(1, 15, || None);
            assert_eq!(told(&uses), [(4, 14, None), (1, 15, None)], "{replaced:?}");
        }
    }

    #[test]
    fn address_is_of_the_seconds_first_request() {
        let mut uses = LastUses::default();
        uses.note(1, 10, || Some([192, 0, 2, 1].into()));
        uses.note(1, 10, || panic!("it is known"));
        uses.note(2, 10, || None);
        uses.note(2, 10, || panic!("that it is not known is known"));
        uses.note(1, 10, || panic!("it is known"));
        let known = Some("192.0.2.1".to_owned());
        assert_eq!(told(&uses), [(2, 10, None), (1, 10, known)]);
    }
}
