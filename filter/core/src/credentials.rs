//! The places of one request in which keys are looked for: reads keys from them and removes keys.

use crate::config::CredentialSources;
use crate::headers::RequestHeaders;
use crate::host::{Host, Refused};
use latchkey_policy::credential::{
    MAX_CANDIDATES, Presented, bearer_token, in_authorization, in_cookies, in_header, in_query,
    is_ours, may_be_imported, without_cookie, without_elements, without_query,
};
use latchkey_policy::key::{KeyDigest, KeyFormat};
use std::borrow::Cow;

const AUTHORIZATION: &str = "authorization";
const COOKIE: &str = "cookie";
const PATH: &str = ":path";

/// The candidates of a request that are imported keys, which need not have our form.
#[derive(Debug, Default)]
pub struct Imported<'c> {
    keys: Vec<Cow<'c, [u8]>>,
    /// True if there are too many candidates to look up: all count as imported.
    all: bool,
}

impl<'c> Imported<'c> {
    /// Looks up the candidates that can be imported keys at all, and keeps those that `exist`.
    pub fn among<E>(
        candidates: impl Iterator<Item = Cow<'c, [u8]>>,
        mut exist: impl FnMut(&KeyDigest) -> Result<bool, E>,
    ) -> Result<Self, E> {
        let mut found = Self::default();
        for (count, candidate) in candidates
            .filter(|candidate| may_be_imported(candidate))
            .enumerate()
        {
            if count >= MAX_CANDIDATES {
                return Ok(Self { all: true, ..found });
            }
            if exist(&KeyDigest::of(&candidate))? {
                found.keys.push(candidate);
            }
        }
        Ok(found)
    }

    #[inline]
    fn have(&self, candidate: &[u8]) -> bool {
        self.all || self.keys.iter().any(|key| **key == *candidate)
    }
}

/// The values in the configured places of a request, as they were when it came.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'c> {
    sources: &'c CredentialSources,
    headers: &'c RequestHeaders,
}

impl<'c> Credentials<'c> {
    /// Creates the view of a request with these headers.
    #[inline]
    pub fn new(sources: &'c CredentialSources, headers: &'c RequestHeaders) -> Self {
        Self { sources, headers }
    }

    /// Returns the key that the request presents.
    #[inline]
    pub fn presented(&self) -> Presented<'c> {
        Presented::from_candidates(self.candidates())
    }

    /// Returns all values in places where a key may be.
    #[inline]
    pub fn candidates(&self) -> impl Iterator<Item = Cow<'c, [u8]>> {
        let Self { sources, headers } = *self;
        let plain = sources
            .headers
            .iter()
            .flat_map(move |name| headers.all(name))
            .flat_map(in_header);
        let bearer = sources
            .bearer
            .then(|| headers.all(AUTHORIZATION))
            .into_iter()
            .flatten()
            .flat_map(in_authorization);

        let cookies = values(headers, COOKIE, sources.cookie.as_deref());
        let cookies = cookies.flat_map(|(value, name)| in_cookies(value, name));
        let query = values(headers, PATH, sources.query.as_deref());
        let query = query.flat_map(|(path, name)| in_query(path, name));

        plain
            .chain(bearer)
            .chain(cookies)
            .map(Cow::Borrowed)
            .chain(query)
    }

    /// Removes keys from the request, unless the upstream is configured to get them: values that
    /// begin like our keys, those in `imported`, and the `used` key. Any other value was not taken
    /// for a key, and stays as it is.
    pub fn strip(
        &self,
        host: &impl Host,
        keys: &KeyFormat,
        imported: &Imported<'_>,
        used: Option<&KeyDigest>,
    ) -> Result<(), Refused> {
        if self.sources.forward {
            return Ok(());
        }
        let is_used = |value: &[u8]| {
            used.is_some_and(|used| may_be_imported(value) && KeyDigest::of(value) == *used)
        };
        self.strip_where(host, |value| {
            is_ours(value, keys) || imported.have(value) || is_used(value)
        })
    }

    /// Removes the values to `strip`, each from its place.
    fn strip_where(&self, host: &impl Host, strip: impl Fn(&[u8]) -> bool) -> Result<(), Refused> {
        for name in &self.sources.headers {
            replace(host, name, without_elements(self.headers.all(name), &strip))?;
        }

        if self.sources.bearer {
            // The operator may also have named it as a header that holds only keys.
            let is_plain = self
                .sources
                .headers
                .iter()
                .any(|name| name == AUTHORIZATION);
            let is_stripped = |value: &[u8]| {
                bearer_token(value).is_some_and(&strip) || (is_plain && strip(value))
            };
            replace(
                host,
                AUTHORIZATION,
                without_elements(self.headers.all(AUTHORIZATION), is_stripped),
            )?;
        }

        if let Some(name) = &self.sources.cookie
            && let Some(value) = self.headers.get(COOKIE)
        {
            replace(host, COOKIE, without_cookie(&value, name, &strip))?;
        }
        if let Some(name) = &self.sources.query
            && let Some(path) = self.headers.get(PATH)
            && let Some(rest) = without_query(&path, name, &strip)
        {
            host.set_request_header(PATH, &rest)?;
        }
        Ok(())
    }
}

/// Replaces a header by its `rest`, if something was removed from it.
fn replace(host: &impl Host, name: &str, rest: Option<Vec<u8>>) -> Result<(), Refused> {
    match rest {
        Some(rest) if rest.is_empty() => host.remove_request_header(name),
        Some(rest) => host.set_request_header(name, &rest),
        None => Ok(()),
    }
}

/// Returns the values of a header in which `name` is looked for; none if `name` is not configured.
#[inline]
fn values<'c>(
    headers: &'c RequestHeaders,
    header: &'c str,
    name: Option<&'c str>,
) -> impl Iterator<Item = (&'c [u8], &'c str)> {
    name.into_iter()
        .flat_map(move |name| headers.all(header).map(move |value| (value, name)))
}
