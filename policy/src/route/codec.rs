//! The record of the route rules, of the kind [`Kind::Routes`] (`crate::record`).
//!
//! Its body is `flags: u8` (1 what no rule matches is denied, 2 there are imported keys; since
//! format 4: 4 `path_case` is `refuse`, 8 it is `ignore`; neither: it is `distinct`; 16 there are
//! ended owners), `count: u32`, the rules and, if there are any, the list of texts of ended owners,
//! in ascending order. A rule is `flags: u8` (1 public), the text `host`, the list of texts
//! `methods`, the path, the texts `service` and `permission`, and the place of the subaccount. A
//! path is `kind: u8` (0 exact, 1 prefix, 2 template), `length: u16` and UTF-8. A place is `kind:
//! u8` (0 none, 1 header, 2 path, 3 query) and, unless there is none, a text. A text or a list that
//! is absent from a rule is empty; valid ones never are.

use super::{PathCase, PathSpec, PlaceSpec, RouteRecord, Rule, RuleSpec, Unmatched};
use crate::record::{Damaged, Fields, Kind, TooLong, encode, put_text, put_texts, verify};

const DENY_UNMATCHED: u8 = 1;
const IMPORTED: u8 = 2;
const REFUSE_CASE: u8 = 4;
const IGNORE_CASE: u8 = 8;
const ENDED_OWNERS: u8 = 16;

/// The first format that has the flags of `path_case`, and ended owners.
const PATH_CASE_FORMAT: u32 = 4;

const PUBLIC: u8 = 1;

const EXACT: u8 = 0;
const PREFIX: u8 = 1;
const TEMPLATE: u8 = 2;

const NOWHERE: u8 = 0;
const IN_HEADER: u8 = 1;
const IN_PATH: u8 = 2;
const IN_QUERY: u8 = 3;

impl RouteRecord {
    /// The identifier of the one record.
    pub const ID: [u8; 8] = [0; 8];

    /// The first format that has ended owners. Nodes that read an older one do not know of them.
    pub const ENDED_OWNERS_FORMAT: u32 = PATH_CASE_FORMAT;

    /// Appends the record to `out`, in one of the formats of `crate::record`. Before format 4 all
    /// readers take paths in another case for other paths.
    pub fn encode(&self, format: u32, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let field = "rules";
        let unmatched = match self.unmatched {
            Unmatched::ValidKey => 0,
            Unmatched::Deny => DENY_UNMATCHED,
        };
        let path_case = match self.path_case {
            _ if format < PATH_CASE_FORMAT => 0,
            PathCase::Refuse => REFUSE_CASE,
            PathCase::Ignore => IGNORE_CASE,
            PathCase::Distinct => 0,
        };
        let imported = if self.imported { IMPORTED } else { 0 };
        let has_ended = format >= Self::ENDED_OWNERS_FORMAT && !self.ended_owners.is_empty();
        let flags = unmatched | path_case | imported | if has_ended { ENDED_OWNERS } else { 0 };
        let count = u32::try_from(self.rules.len()).map_err(|_| TooLong { field })?;
        let mut body = vec![flags];
        body.extend_from_slice(&count.to_le_bytes());
        for rule in &self.rules {
            put_rule(rule.spec(), &mut body)?;
        }
        if has_ended {
            put_texts("ended owners", &self.ended_owners, &mut body)?;
        }
        encode(Kind::Routes, &Self::ID, &[&body], out).ok_or(TooLong { field })
    }

    /// Reads and verifies one whole record, such as [`Records`](crate::record::Records) yields.
    /// Rules that are not valid are damage.
    pub fn decode(record: &[u8]) -> Result<Self, Damaged> {
        let (id, body) = verify(Kind::Routes, record)?;
        if id != Self::ID {
            return Err(Damaged);
        }
        let mut body = Fields(body);
        let flags =
            body.flags(DENY_UNMATCHED | IMPORTED | REFUSE_CASE | IGNORE_CASE | ENDED_OWNERS)?;
        let path_case = match (flags & REFUSE_CASE != 0, flags & IGNORE_CASE != 0) {
            (true, false) => PathCase::Refuse,
            (false, true) => PathCase::Ignore,
            (false, false) => PathCase::Distinct,
            (true, true) => return Err(Damaged),
        };
        let unmatched = if flags & DENY_UNMATCHED != 0 {
            Unmatched::Deny
        } else {
            Unmatched::ValidKey
        };
        let count = u32::from_le_bytes(body.array()?);
        // Not sized by `count`, which is only believed as far as there are rules.
        let mut rules = Vec::new();
        for _ in 0..count {
            rules.push(Rule::new(take_rule(&mut body)?).map_err(|_| Damaged)?);
        }
        let ended_owners = if flags & ENDED_OWNERS != 0 {
            body.texts()?
        } else {
            Vec::new()
        };
        let ascends = ended_owners.is_sorted_by(|one, next| one < next);
        if !ascends || (flags & ENDED_OWNERS != 0 && ended_owners.is_empty()) {
            return Err(Damaged);
        }
        body.finish()?;
        let record = Self::with_path_case(path_case, rules, unmatched).map_err(|_| Damaged)?;
        Ok(record
            .with_imported(flags & IMPORTED != 0)
            .with_ended_owners(ended_owners))
    }
}

fn put_rule(rule: &RuleSpec, out: &mut Vec<u8>) -> Result<(), TooLong> {
    out.push(if rule.public { PUBLIC } else { 0 });
    put_text("host", rule.host.as_deref().unwrap_or_default(), out)?;
    put_texts("methods", rule.methods.iter().flatten(), out)?;
    out.push(match rule.path {
        PathSpec::Exact(_) => EXACT,
        PathSpec::Prefix(_) => PREFIX,
        PathSpec::Template(_) => TEMPLATE,
    });
    let path = rule.path.as_str().as_bytes();
    out.extend_from_slice(
        &u16::try_from(path.len())
            .map_err(|_| TooLong { field: "path" })?
            .to_le_bytes(),
    );
    out.extend_from_slice(path);
    put_text("service", rule.service.as_deref().unwrap_or_default(), out)?;
    put_text(
        "permission",
        rule.permission.as_deref().unwrap_or_default(),
        out,
    )?;
    let (kind, name) = match &rule.subaccount {
        None => {
            out.push(NOWHERE);
            return Ok(());
        }
        Some(PlaceSpec::Header(name)) => (IN_HEADER, name),
        Some(PlaceSpec::Path(name)) => (IN_PATH, name),
        Some(PlaceSpec::Query(name)) => (IN_QUERY, name),
    };
    out.push(kind);
    put_text("subaccount", name, out)
}

fn take_rule(body: &mut Fields<'_>) -> Result<RuleSpec, Damaged> {
    let flags = body.flags(PUBLIC)?;
    let host = some(body.short_str()?);
    let methods = body.texts()?;
    let [kind] = body.array()?;
    let length = u16::from_le_bytes(body.array()?);
    let path = body.str(usize::from(length))?.to_owned();
    let path = match kind {
        EXACT => PathSpec::Exact(path),
        PREFIX => PathSpec::Prefix(path),
        TEMPLATE => PathSpec::Template(path),
        _ => return Err(Damaged),
    };
    let service = some(body.short_str()?);
    let permission = some(body.short_str()?);
    let [kind] = body.array()?;
    let subaccount = match kind {
        NOWHERE => None,
        IN_HEADER => Some(PlaceSpec::Header(body.short_str()?.to_owned())),
        IN_PATH => Some(PlaceSpec::Path(body.short_str()?.to_owned())),
        IN_QUERY => Some(PlaceSpec::Query(body.short_str()?.to_owned())),
        _ => return Err(Damaged),
    };
    Ok(RuleSpec {
        host,
        methods: (!methods.is_empty()).then_some(methods),
        path,
        public: flags & PUBLIC != 0,
        service,
        permission,
        subaccount,
    })
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
