//! When a key's secrets were used last, and from where.

use std::net::IpAddr;

/// The newest use of one of a key's secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastUse {
    /// The secret's number, from 1.
    pub secret: u32,
    /// Unix seconds.
    pub at: i64,
    /// Where the first request of that second came from; an IPv4-mapped address is the IPv4 address in it.
    pub from: Option<IpAddr>,
}

/// Those of the two newest secrets that were used, the newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LastUses(pub(super) [Option<LastUse>; LastUses::LEN]);

impl LastUses {
    /// A key has at most one secret besides its newest.
    pub(super) const LEN: usize = 2;

    /// What is said of a secret that is older than the two is passed over.
    pub(super) fn note(&mut self, secret: u32, at: i64, from: impl FnOnce() -> Option<IpAddr>) {
        if self.iter().any(|used| used.secret == secret && used.at == at) {
            return;
        }
        let used = || Some(LastUse { secret, at, from: from().map(|address| address.to_canonical()) });
        let [newest, other] = &mut self.0;
        match (newest.map(|used| used.secret), other.map(|used| used.secret)) {
            (None, _) => *newest = used(),
            (Some(known), _) if secret == known => *newest = used(),
            (Some(known), _) if secret > known => (*newest, *other) = (used(), *newest),
            (_, Some(known)) if secret < known => {}
            _ => *other = used(),
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
        uses.iter().map(|used| (used.secret, used.at, used.from.map(|from| from.to_string()))).collect()
    }

    #[test]
    fn each_of_the_two_newest_secrets_has_a_last_use_of_its_own() {
        let mut uses = LastUses::default();
        let address = |text: &str| Some(text.parse().unwrap());
        uses.note(3, 10, || address("192.0.2.3"));
        uses.note(2, 11, || address("::ffff:192.0.2.2"));
        uses.note(1, 12, || panic!("it is older than the two"));
        let known = |text: &str| Some(text.to_owned());
        assert_eq!(told(&uses), [(3, 10, known("192.0.2.3")), (2, 11, known("192.0.2.2"))]);
        uses.note(2, 13, || None);
        uses.note(3, 9, || None);
        assert_eq!(told(&uses), [(3, 9, None), (2, 13, None)], "clocks go back");
        uses.note(4, 14, || None);
        assert_eq!(told(&uses), [(4, 14, None), (3, 9, None)], "the oldest is let go of");
        uses.note(2, 15, || None);
        assert_eq!(told(&uses), [(4, 14, None), (3, 9, None)]);
        uses.note(7, 16, || None);
        uses.note(6, 17, || None);
        assert_eq!(told(&uses), [(7, 16, None), (6, 17, None)]);
    }

    #[test]
    fn the_address_is_that_of_the_first_request_in_a_second() {
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
