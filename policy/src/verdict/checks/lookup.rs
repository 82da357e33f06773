//! Rows 3 to 6: the one key that the request presents, and whether it exists.

use super::Checks;
use crate::credential::{
    MAX_CANDIDATES, Presented, is_ours, may_be_imported, without_word, word_before_key,
};
use crate::key::KeyDigest;
use crate::snapshot::{CachedKey, Unavailable};
use crate::verdict::{Code, Credential, Source, Trace};
use std::borrow::Cow;
use std::rc::Rc;

/// A key that is to be looked up.
pub(in crate::verdict) struct KeyLookup {
    pub(in crate::verdict) digest: KeyDigest,
    /// True if the value does not have the form of our keys: it is a key only if it was imported.
    pub(in crate::verdict) foreign: bool,
}

/// The values among several that can be keys.
enum Counted<'v> {
    None,
    One(&'v [u8]),
    /// Two or more values.
    All,
}

impl<T: Trace> Checks<'_, T> {
    /// Checks rows 3 to 5. Returns the key to look up; `None` if the request names none and passes
    /// without it.
    pub(in crate::verdict) fn credential(
        &mut self,
        credential: &Credential<'_>,
        source: &impl Source,
    ) -> Result<Result<Option<KeyLookup>, Code>, Unavailable> {
        let presented = match credential {
            Credential::Known(digest) => {
                return Ok(Ok(Some(KeyLookup {
                    digest: *digest,
                    foreign: false,
                })));
            }
            Credential::Presented(presented) => presented,
        };

        let counted = match presented {
            Presented::None | Presented::One(_) | Presented::TooMany => Counted::All,
            Presented::Several(candidates) => self.counted(candidates, source)?,
        };
        Ok(self.candidate(presented, &counted))
    }

    /// Returns the values that can be keys: those that begin like ours, and imported ones.
    fn counted<'v>(
        &self,
        candidates: &'v [Cow<'_, [u8]>],
        source: &impl Source,
    ) -> Result<Counted<'v>, Unavailable> {
        let mut counted = Counted::None;
        for candidate in candidates {
            let ours = is_ours(candidate, self.settings.keys);
            let foreign = !ours && self.snapshot.imported && may_be_imported(candidate);
            if ours || (foreign && source.find(&KeyDigest::of(candidate))?.is_some()) {
                counted = match counted {
                    Counted::None => Counted::One(candidate),
                    Counted::One(one) => match self.without_word(one, candidate) {
                        Some(one) => Counted::One(one),
                        None => return Ok(Counted::All),
                    },
                    Counted::All => return Ok(Counted::All),
                };
            }
        }

        Ok(counted)
    }

    /// If both values are the same key, returns it without the word that may stand before it.
    fn without_word<'v>(&self, one: &'v [u8], other: &'v [u8]) -> Option<&'v [u8]> {
        let [bare, other_bare] = [one, other].map(|value| without_word(value, self.settings.keys));
        (bare == other_bare).then_some(if bare.len() == one.len() { one } else { other })
    }

    /// Checks that the request presents exactly one key, and the key's form.
    fn candidate(
        &mut self,
        presented: &Presented<'_>,
        counted: &Counted<'_>,
    ) -> Result<Option<KeyLookup>, Code> {
        let some = *presented != Presented::None;
        self.check(Code::MissingKey, some, || {
            if some {
                "the request has a key"
            } else {
                "the request has no key"
            }
            .to_owned()
        })?;

        let (candidate, compared) = match (presented, counted) {
            (Presented::None, _) => return Ok(None),
            (Presented::One(candidate), _) => {
                (Some(&**candidate), "the request has one key".to_owned())
            }
            (Presented::Several(_), Counted::One(candidate)) => (
                Some(*candidate),
                "only one of several values can be a key; the others are ignored".to_owned(),
            ),
            (Presented::Several(_), Counted::None) => (
                Some(&b""[..]),
                "none of several values can be a key".to_owned(),
            ),
            (Presented::Several(_), Counted::All) => (None, "the request has two keys".to_owned()),
            (Presented::TooMany, _) => (
                None,
                format!("the request has more than {MAX_CANDIDATES} values"),
            ),
        };

        self.check(Code::AmbiguousKey, candidate.is_some(), || compared)?;
        match candidate {
            Some(candidate) => self.form(candidate),
            None => Ok(None),
        }
    }

    /// Checks the form of the one key that the request presents.
    fn form(&mut self, candidate: &[u8]) -> Result<Option<KeyLookup>, Code> {
        let form = self.settings.keys.check(candidate);
        if form.is_err() && self.snapshot.imported && may_be_imported(candidate) {
            return Ok(Some(KeyLookup {
                digest: KeyDigest::of(candidate),
                foreign: true,
            }));
        }

        if form.is_err() {
            self.word = word_before_key(candidate, self.settings.keys);
        }
        let word = self.word;
        self.check(Code::MalformedKey, form.is_ok(), || match (form, word) {
            (Ok(_), _) => "its format and checksum are valid".to_owned(),
            (Err(_), Some(word)) => {
                format!("the word {word} precedes the key; the key must be sent without it")
            }
            (Err(error), None) => error.to_string(),
        })?;

        Ok(form.is_ok().then(|| KeyLookup {
            digest: KeyDigest::of(candidate),
            foreign: false,
        }))
    }

    /// Checks row 6, and row 5 for a key that does not have the form of ours. Returns `None` if the
    /// key does not exist, and the request passes without it.
    pub(in crate::verdict) fn existence(
        &mut self,
        lookup: &KeyLookup,
        found: Option<Rc<CachedKey>>,
    ) -> Result<Option<Rc<CachedKey>>, Code> {
        let exists = found.is_some();
        if lookup.foreign {
            let was = if exists { "it was" } else { "no such key was" };
            self.check(Code::MalformedKey, exists, || {
                format!("its format is not Latchkey's, and {was} imported")
            })?;
        }

        if exists || !lookup.foreign {
            let description = if exists {
                "the key exists"
            } else {
                "the key does not exist or has been revoked"
            };
            self.check(Code::InvalidKey, exists, || description.to_owned())?;
        }

        Ok(found)
    }
}
