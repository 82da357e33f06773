//! The places of one request in which keys are looked for: what they hold, and taking it out again.

use crate::config::Places;
use crate::host::{Host, Refused};
use latchkey_policy::credential::{
    Presented, in_authorization, in_cookies, in_header, in_query, may_be_imported, without_cookie, without_query,
};
use latchkey_policy::key::{KeyDigest, KeyFormat};
use std::borrow::Cow;

const AUTHORIZATION: &str = "authorization";
const COOKIE: &str = "cookie";
const PATH: &str = ":path";

/// Candidates of a request that are looked up for hiding. More than this are no honest request, and all are hidden.
const MAX_LOOK_UPS: usize = 16;

/// Which of a request's candidates are keys that need not have our form.
#[derive(Debug, Default)]
pub struct Imported<'c> {
    keys: Vec<Cow<'c, [u8]>>,
    /// There are too many to tell.
    all: bool,
}

impl<'c> Imported<'c> {
    /// Of those that can be one at all, those that `exist`.
    pub fn among<E>(
        candidates: impl Iterator<Item = Cow<'c, [u8]>>,
        mut exist: impl FnMut(&KeyDigest) -> Result<bool, E>,
    ) -> Result<Self, E> {
        let mut found = Self::default();
        for (count, candidate) in candidates.filter(|candidate| may_be_imported(candidate)).enumerate() {
            if count >= MAX_LOOK_UPS {
                return Ok(Self { all: true, ..found });
            }
            if exist(&KeyDigest::of(&candidate))? {
                found.keys.push(candidate);
            }
        }
        Ok(found)
    }

    fn have(&self, candidate: &[u8]) -> bool {
        self.all || self.keys.iter().any(|key| **key == *candidate)
    }
}

/// What a request has in the configured places, as it was when it came.
pub struct Credentials<'c> {
    places: &'c Places,
    headers: Vec<(&'c str, Vec<u8>)>,
    authorization: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    cookie: Option<Vec<u8>>,
}

impl<'c> Credentials<'c> {
    /// Asks the host for the configured places, and for no others.
    pub fn gather(host: &impl Host, places: &'c Places) -> Result<Self, Refused> {
        let mut headers = Vec::new();
        for name in &places.headers {
            if let Some(value) = host.request_header(name)? {
                headers.push((name.as_str(), value));
            }
        }
        let header = |wanted: bool, name| if wanted { host.request_header(name) } else { Ok(None) };
        Ok(Self {
            places,
            headers,
            authorization: header(places.bearer, AUTHORIZATION)?,
            path: header(places.query.is_some(), PATH)?,
            cookie: header(places.cookie.is_some(), COOKIE)?,
        })
    }

    /// The key that the request presents.
    pub fn presented(&self) -> Presented<'_> {
        Presented::of(self.candidates())
    }

    /// Whatever stands where a key may be.
    pub fn candidates(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        let headers = self.headers.iter().flat_map(|(_, value)| in_header(value));
        let bearer = self.authorization.iter().flat_map(|value| in_authorization(value));
        let cookies = named(&self.cookie, &self.places.cookie).flat_map(|(value, name)| in_cookies(value, name));
        let query = named(&self.path, &self.places.query).flat_map(|(path, name)| in_query(path, name));
        headers.chain(bearer).chain(cookies).map(Cow::Borrowed).chain(query)
    }

    /// Keeps what was found from the upstream, unless it is to have it. What only looks like a place stays: an
    /// `Authorization` that is no bearer token, other cookies, other parameters.
    pub fn hide(&self, host: &impl Host) -> Result<(), Refused> {
        self.hide_where(host, |_| true)
    }

    /// Keeps keys from an upstream that was asked for no key, and leaves it what holds none: tokens of its own. Of keys
    /// that were `imported` nothing but themselves is known.
    pub fn hide_keys(&self, host: &impl Host, keys: &KeyFormat, imported: &Imported<'_>) -> Result<(), Refused> {
        self.hide_where(host, |candidate| keys.resembles(candidate) || imported.have(candidate))
    }

    /// Empties the places in which there is a candidate to `hide`.
    fn hide_where(&self, host: &impl Host, hide: impl Fn(&[u8]) -> bool) -> Result<(), Refused> {
        if self.places.forward {
            return Ok(());
        }
        for (name, value) in &self.headers {
            if in_header(value).any(&hide) {
                host.remove_request_header(name)?;
            }
        }
        if self.authorization.iter().any(|value| in_authorization(value).any(&hide)) {
            host.remove_request_header(AUTHORIZATION)?;
        }
        for (value, name) in named(&self.cookie, &self.places.cookie) {
            let rest = if in_cookies(value, name).any(&hide) { without_cookie(value, name) } else { None };
            match rest {
                Some(rest) if rest.is_empty() => host.remove_request_header(COOKIE)?,
                Some(rest) => host.set_request_header(COOKIE, &rest)?,
                None => {}
            }
        }
        for (path, name) in named(&self.path, &self.places.query) {
            if in_query(path, name).any(|candidate| hide(&candidate))
                && let Some(rest) = without_query(path, name)
            {
                host.set_request_header(PATH, &rest)?;
            }
        }
        Ok(())
    }
}

fn named<'a>(value: &'a Option<Vec<u8>>, name: &'a Option<String>) -> impl Iterator<Item = (&'a [u8], &'a str)> {
    value.as_deref().into_iter().zip(name.as_deref())
}
