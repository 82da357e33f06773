//! The location where a request names its subaccount, and the subaccount that it names there.

use super::Target;
use super::path::Path;
use crate::credential::split_query;
use crate::percent::{Text, is_well_formed};
use std::rc::Rc;

/// The location where a request names its subaccount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubaccountLocation {
    /// The header of this name, in lower case.
    Header(Rc<str>),
    /// The segment of the path with this index, counted from 0.
    Path(usize),
    /// The parameter of the query with this name.
    Query(Box<str>),
}

/// The value of a request at a location.
#[derive(Debug, Clone, Copy)]
pub enum Named<'t> {
    /// No value.
    None,
    /// One text, which is not empty.
    One(Text<'t>),
    /// A value that can be read in more than one way, or not at all.
    Unclear,
}

impl SubaccountLocation {
    /// Returns the request's value at this location. If the location is a header, `header` is its
    /// value: all of its values, joined by commas.
    pub fn named<'t>(&self, target: &Target<'t>, header: Option<&'t [u8]>) -> Named<'t> {
        match self {
            Self::Header(_) => header.map_or(Named::None, in_header),
            Self::Path(segment) => match Path::read(target.path)
                .ok()
                .and_then(|path| path.segments().nth(*segment))
            {
                Some(text) => Named::One(text),
                // The caller has found a rule with more segments than this.
                None => Named::Unclear,
            },
            Self::Query(name) => in_query(target.path, name),
        }
    }
}

fn in_header(value: &[u8]) -> Named<'_> {
    let plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b',';
    if value.is_empty() || !value.iter().all(plain) {
        return Named::Unclear;
    }
    Named::One(Text::of_header(value))
}

/// Reads a parameter of the query. Pairs are separated by `&`, as in `crate::credential`. Some
/// readers take `;` for a separator as well, some end a query at `#`, and some read other names as
/// this one. If they would see another parameter, or none, it is unclear which one counts.
fn in_query<'t>(path: &'t [u8], name: &str) -> Named<'t> {
    let query = split_query(path).1.unwrap_or_default();
    let has_fragment = query.contains(&b'#');
    let mut found = Named::None;

    for pair in query.split(|byte| *byte == b'&') {
        let parts = pair.split(|byte| matches!(byte, b';' | b'#'));
        let mut for_anybody = parts.filter(|part| is_named(part, name) || resembles(part, name));
        if for_anybody.next().is_none() {
            continue;
        }
        let is_one_for_all = for_anybody.next().is_none() && is_named(pair, name) && !has_fragment;
        found = match found {
            Named::None if is_one_for_all => value_of(pair),
            _ => return Named::Unclear,
        };
    }

    found
}

fn name_of(pair: &[u8]) -> Text<'_> {
    Text::of_query(pair.split(|byte| *byte == b'=').next().unwrap_or_default())
}

fn is_named(pair: &[u8], name: &str) -> bool {
    name_of(pair) == *name
}

/// Returns whether some readers take the pair's name for `name`: without regard to case, without
/// blanks around it, only up to a `[` or a NUL, with `_` for characters that a variable's name
/// cannot have.
fn resembles(pair: &[u8], name: &str) -> bool {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace();
    let folded = |byte: u8| {
        if matches!(byte, b'.' | b' ') {
            b'_'
        } else {
            byte.to_ascii_lowercase()
        }
    };

    let mut found = name_of(pair)
        .bytes()
        .skip_while(is_blank)
        .take_while(|byte| !matches!(byte, b'[' | 0));

    name.bytes().all(|expected| {
        found
            .next()
            .is_some_and(|byte| folded(byte) == folded(expected))
    }) && found.all(|byte| is_blank(&byte))
}

fn value_of(pair: &[u8]) -> Named<'_> {
    let value = pair
        .splitn(2, |byte| *byte == b'=')
        .nth(1)
        .unwrap_or_default();
    if value.is_empty() || !is_well_formed(value) {
        return Named::Unclear;
    }
    Named::One(Text::of_query(value))
}

#[cfg(test)]
mod tests;
