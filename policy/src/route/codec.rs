//! The route rules in the record of a snapshot's settings (`crate::settings`).
//!
//! They are flags of the record (1 requests that no rule matches are denied; since format 4: 4
//! `path_case` is `refuse`, 8 it is `ignore`; neither: it is `distinct`), `count: u32` and the
//! rules. A rule is `flags: u8` (1 public), the text `host`, the list of texts `methods`, the path,
//! the texts `service` and `permission`, and the place of the subaccount. A path is `kind: u8` (0
//! exact, 1 prefix, 2 template), `length: u16` and UTF-8. A place is `kind: u8` (0 none, 1 header,
//! 2 path, 3 query) and, unless there is none, a text. A text or a list that is absent from a rule
//! is empty; valid ones never are.

use super::{PathCase, PathSpec, RouteRules, Rule, RuleSpec, SubaccountLocationSpec, Unmatched};
use crate::record::{Damaged, Fields, TooLong, put_text, put_texts};

const DENY_UNMATCHED: u8 = 1;
const REFUSE_CASE: u8 = 4;
const IGNORE_CASE: u8 = 8;

/// The first format that has the flags of `path_case`.
const PATH_CASE_FORMAT: u32 = 4;

const PUBLIC: u8 = 1;

const EXACT: u8 = 0;
const PREFIX: u8 = 1;
const TEMPLATE: u8 = 2;

const NOWHERE: u8 = 0;
const IN_HEADER: u8 = 1;
const IN_PATH: u8 = 2;
const IN_QUERY: u8 = 3;

impl RouteRules {
    /// All flags that the rules have.
    pub(crate) const FLAGS: u8 = DENY_UNMATCHED | REFUSE_CASE | IGNORE_CASE;

    /// Returns the flags in one of the formats of `crate::record`. Before format 4 all readers take
    /// paths in another case for different paths.
    pub(crate) fn flags(&self, format: u32) -> u8 {
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
        unmatched | path_case
    }

    /// Appends the number of rules and the rules to the body of a record.
    pub(crate) fn put_rules(&self, body: &mut Vec<u8>) -> Result<(), TooLong> {
        let count = u32::try_from(self.rules.len()).map_err(|_| TooLong { field: "rules" })?;
        body.extend_from_slice(&count.to_le_bytes());
        for rule in &self.rules {
            put_rule(rule.spec(), body)?;
        }
        Ok(())
    }

    /// Reads the rules from the body of a record with these flags. Invalid rules count as damage.
    pub(crate) fn take(flags: u8, body: &mut Fields<'_>) -> Result<Self, Damaged> {
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

        // The capacity does not come from `count`, which counts only as far as there are rules.
        let mut rules = Vec::new();
        for _ in 0..count {
            rules.push(Rule::new(take_rule(body)?).map_err(|_| Damaged)?);
        }

        Self::with_path_case(path_case, rules, unmatched).map_err(|_| Damaged)
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
        Some(SubaccountLocationSpec::Header(name)) => (IN_HEADER, name),
        Some(SubaccountLocationSpec::Path(name)) => (IN_PATH, name),
        Some(SubaccountLocationSpec::Query(name)) => (IN_QUERY, name),
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
        IN_HEADER => Some(SubaccountLocationSpec::Header(body.short_str()?.to_owned())),
        IN_PATH => Some(SubaccountLocationSpec::Path(body.short_str()?.to_owned())),
        IN_QUERY => Some(SubaccountLocationSpec::Query(body.short_str()?.to_owned())),
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
