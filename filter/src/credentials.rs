//! The places of one request in which keys are looked for: what they hold, and taking it out again.

use crate::config::Places;
use crate::headers::RequestHeaders;
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
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'c> {
    places: &'c Places,
    headers: &'c RequestHeaders,
}

impl<'c> Credentials<'c> {
    /// Of a request with these headers.
    pub fn new(places: &'c Places, headers: &'c RequestHeaders) -> Self {
        Self { places, headers }
    }

    /// The key that the request presents.
    pub fn presented(&self) -> Presented<'c> {
        Presented::of(self.candidates())
    }

    /// Whatever stands where a key may be.
    pub fn candidates(&self) -> impl Iterator<Item = Cow<'c, [u8]>> {
        let Self { places, headers } = *self;
        let plain = places.headers.iter().flat_map(move |name| headers.all(name)).flat_map(in_header);
        let bearer = places.bearer.then(|| headers.all(AUTHORIZATION)).into_iter().flatten().flat_map(in_authorization);
        let cookies = values(headers, COOKIE, places.cookie.as_deref());
        let cookies = cookies.flat_map(|(value, name)| in_cookies(value, name));
        let query = values(headers, PATH, places.query.as_deref());
        let query = query.flat_map(|(path, name)| in_query(path, name));
        plain.chain(bearer).chain(cookies).map(Cow::Borrowed).chain(query)
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
        for name in &self.places.headers {
            if self.headers.all(name).flat_map(in_header).any(&hide) {
                host.remove_request_header(name)?;
            }
        }
        if self.places.bearer && self.headers.all(AUTHORIZATION).flat_map(in_authorization).any(&hide) {
            host.remove_request_header(AUTHORIZATION)?;
        }
        if let Some(name) = &self.places.cookie
            && let Some(value) = self.headers.get(COOKIE)
            && in_cookies(&value, name).any(&hide)
        {
            match without_cookie(&value, name) {
                Some(rest) if rest.is_empty() => host.remove_request_header(COOKIE)?,
                Some(rest) => host.set_request_header(COOKIE, &rest)?,
                None => {}
            }
        }
        if let Some(name) = &self.places.query
            && let Some(path) = self.headers.get(PATH)
            && in_query(&path, name).any(|candidate| hide(&candidate))
            && let Some(rest) = without_query(&path, name)
        {
            host.set_request_header(PATH, &rest)?;
        }
        Ok(())
    }
}

/// The values of a header in which something of that name is looked for, if it is.
fn values<'c>(
    headers: &'c RequestHeaders,
    header: &'c str,
    name: Option<&'c str>,
) -> impl Iterator<Item = (&'c [u8], &'c str)> {
    name.into_iter().flat_map(move |name| headers.all(header).map(move |value| (value, name)))
}
