//! Rules as they are written, and the conditions for a valid one.

use super::path::{Ambiguity, Path};
use super::segment::Segment;
use super::{FieldError, host};
use crate::permission::Permission;
use crate::token::{is_method, is_token};
use std::fmt::Display;

/// The highest number of segments of a rule's path.
const MAX_SEGMENTS: usize = 32;
/// The highest number of bytes in a rule's path as it is written.
const MAX_PATH_LEN: usize = 1024;
/// The highest number of characters in the name of a service, a method or a template's parameter.
const MAX_WORD_LEN: usize = 64;
/// The highest number of bytes in the name of a header or a query's parameter.
const MAX_NAME_LEN: usize = 128;

/// A rule as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSpec {
    /// A host, or `*.` and a host; `None` is any host.
    pub host: Option<String>,
    /// The names of the methods, in their case; `None` is any method.
    pub methods: Option<Vec<String>>,
    /// The paths.
    pub path: PathSpec,
    /// True if requests need no key.
    pub public: bool,
    /// The service that the key's scope has to have.
    pub service: Option<String>,
    /// The permission that key and owner have to have.
    pub permission: Option<String>,
    /// The place in which requests name a subaccount.
    pub subaccount: Option<SubaccountLocationSpec>,
}

/// The paths that a rule is for. They may contain escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathSpec {
    /// Only this path.
    Exact(String),
    /// This path, and all below it.
    Prefix(String),
    /// All paths that have any one segment for each `{name}`.
    Template(String),
}

impl PathSpec {
    /// Returns the path as it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(path) | Self::Prefix(path) | Self::Template(path) => path,
        }
    }

    fn field(&self) -> &'static str {
        match self {
            Self::Exact(_) => "path.exact",
            Self::Prefix(_) => "path.prefix",
            Self::Template(_) => "path.template",
        }
    }
}

/// The place in which requests name a subaccount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubaccountLocationSpec {
    /// The header of this name.
    Header(String),
    /// The parameter of the rule's template with this name.
    Path(String),
    /// The parameter of the query with this name.
    Query(String),
}

/// A valid rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    spec: RuleSpec,
    segments: Vec<Segment>,
    permission: Option<Permission>,
}

/// The conditions of a rule. Two rules with the same conditions match the same requests.
type Matched<'r> = (
    Option<&'r str>,
    Option<Vec<&'r str>>,
    bool,
    Vec<Option<&'r str>>,
);

impl Rule {
    /// Checks a rule. Returns all of its errors.
    pub fn new(mut spec: RuleSpec) -> Result<Self, Vec<FieldError>> {
        let mut errors = Errors(Vec::new());
        if let Some(host) = &mut spec.host
            && let Some(checked) = errors.collect("host", host::checked(host))
        {
            *host = checked;
        }
        errors.collect("methods", check_methods(spec.methods.as_deref()));
        let segments = errors.collect(spec.path.field(), read_path(&spec.path));
        if spec.public {
            errors.collect("service", check_absence(spec.service.is_some()));
            errors.collect("permission", check_absence(spec.permission.is_some()));
            errors.collect("subaccount", check_absence(spec.subaccount.is_some()));
        }

        errors.collect(
            "service",
            spec.service.as_deref().map_or(Ok(()), check_service),
        );
        let permission = spec
            .permission
            .as_deref()
            .map(Permission::parse)
            .transpose();
        let permission = errors.collect("permission", permission).flatten();

        match &mut spec.subaccount {
            None => {}
            Some(SubaccountLocationSpec::Header(name)) => {
                errors.collect("subaccount.header", check_header(name));
                name.make_ascii_lowercase();
            }
            Some(SubaccountLocationSpec::Path(name)) => {
                errors.collect(
                    "subaccount.path",
                    check_parameter(name, segments.as_deref()),
                );
            }
            Some(SubaccountLocationSpec::Query(name)) => {
                errors.collect("subaccount.query", check_query(name));
            }
        }

        match segments {
            Some(segments) if errors.0.is_empty() => Ok(Self {
                spec,
                segments,
                permission,
            }),
            _ => Err(errors.0),
        }
    }

    /// Returns the rule as it was written, but with host and header in lower case.
    pub fn spec(&self) -> &RuleSpec {
        &self.spec
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns the permission that the key and its owner have to hold.
    pub fn permission(&self) -> Option<&Permission> {
        self.permission.as_ref()
    }

    /// Returns the methods that the rule is for; `None` is any method. `GET` covers `HEAD`, which
    /// upstreams answer like it.
    pub(super) fn methods(&self) -> Option<impl Iterator<Item = &str>> {
        let methods = self.spec.methods.as_ref()?;
        let has = |method: &str| methods.iter().any(|name| name == method);
        let head = (has("GET") && !has("HEAD")).then_some("HEAD");
        Some(methods.iter().map(String::as_str).chain(head))
    }

    pub(super) fn is_prefix(&self) -> bool {
        matches!(self.spec.path, PathSpec::Prefix(_))
    }

    /// Returns the index of the path's segment that is the template's parameter of this name.
    pub(super) fn position(&self, parameter: &str) -> Option<usize> {
        position(&self.segments, parameter)
    }

    /// Returns the rule's conditions, where its path has these segments.
    pub(super) fn matched<'r>(&'r self, segments: &'r [Segment]) -> Matched<'r> {
        let methods = self.spec.methods.as_ref().map(|methods| {
            let mut methods: Vec<_> = methods.iter().map(String::as_str).collect();
            methods.sort_unstable();
            methods
        });
        (
            self.spec.host.as_deref(),
            methods,
            self.is_prefix(),
            segments.iter().map(Segment::literal).collect(),
        )
    }
}

/// The errors of a rule.
struct Errors(Vec<FieldError>);

impl Errors {
    fn collect<T, E: Display>(&mut self, field: &'static str, result: Result<T, E>) -> Option<T> {
        result
            .map_err(|reason| {
                self.0.push(FieldError {
                    field,
                    reason: reason.to_string(),
                });
            })
            .ok()
    }
}

fn check_absence(present: bool) -> Result<(), &'static str> {
    if present {
        Err("must be absent where `public` is true: nobody would check it")
    } else {
        Ok(())
    }
}

fn check_methods(methods: Option<&[String]>) -> Result<(), String> {
    let Some(methods) = methods else {
        return Ok(());
    };
    if methods.is_empty() {
        return Err("must name a method, or be absent: then it is any".to_owned());
    }

    let mut seen = std::collections::BTreeSet::new();
    for method in methods {
        if !is_method(method.as_bytes()) || method.len() > MAX_WORD_LEN {
            return Err(format!(
                "has {method:?}, which is not a method such as `GET`: at most {MAX_WORD_LEN} \
                 characters, in capitals"
            ));
        }
        if !seen.insert(method) {
            return Err(format!("has `{method}` twice"));
        }
    }

    Ok(())
}

fn check_service(service: &str) -> Result<(), String> {
    let plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if (1..=MAX_WORD_LEN).contains(&service.len()) && service.bytes().all(plain) {
        return Ok(());
    }
    Err(format!(
        "must be of a-z, 0-9, _ and -, 1 to {MAX_WORD_LEN} characters"
    ))
}

fn check_header(name: &str) -> Result<(), String> {
    if is_token(name.as_bytes()) && name.len() <= MAX_NAME_LEN {
        return Ok(());
    }
    Err(format!(
        "must be a header's name of at most {MAX_NAME_LEN} characters"
    ))
}

fn check_query(name: &str) -> Result<(), String> {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"&;=#%+".contains(c);
    if (1..=MAX_NAME_LEN).contains(&name.len()) && name.chars().all(plain) {
        return Ok(());
    }
    Err(format!(
        "must be a parameter's name without escapes: 1 to {MAX_NAME_LEN} bytes, without spaces, \
         &, ;, =, #, % and +"
    ))
}

/// Checks that the path has this parameter. There is no further error for a path that could not be
/// read.
fn check_parameter(name: &str, segments: Option<&[Segment]>) -> Result<(), &'static str> {
    if segments.is_none_or(|segments| position(segments, name).is_some()) {
        return Ok(());
    }
    Err("must be the name of a parameter in the rule's `path.template`")
}

fn position(segments: &[Segment], parameter: &str) -> Option<usize> {
    segments
        .iter()
        .position(|segment| matches!(segment, Segment::Parameter(name) if **name == *parameter))
}

fn read_path(spec: &PathSpec) -> Result<Vec<Segment>, String> {
    let text = spec.as_str();
    if text.len() > MAX_PATH_LEN {
        return Err(format!("must have at most {MAX_PATH_LEN} bytes"));
    }

    if text.contains('?') {
        return Err("has a `?`: rules ignore queries".to_owned());
    }

    let path = Path::read(text.as_bytes()).map_err(|ambiguity: Ambiguity| ambiguity.to_string())?;
    let mut segments = Vec::new();

    for (raw, literal) in path.raw_segments().zip(path.segments()) {
        let parameter = raw
            .strip_prefix(b"{")
            .and_then(|raw| raw.strip_suffix(b"}"));
        let segment = match parameter {
            Some(name) if matches!(spec, PathSpec::Template(_)) => {
                Segment::Parameter(read_name(name)?)
            }
            _ if raw.iter().any(|byte| matches!(byte, b'{' | b'}')) => {
                return Err(
                    "has a `{` or `}` that is not around a whole segment of a template; \
                            their escapes are `%7b` and `%7d`"
                        .to_owned(),
                );
            }
            // Lossless: a path that could be read is UTF-8.
            _ => Segment::Literal(literal.to_string().into()),
        };
        if matches!(segment, Segment::Parameter(_)) && segments.contains(&segment) {
            return Err("has two parameters of the same name".to_owned());
        }
        segments.push(segment);
    }

    if segments.len() > MAX_SEGMENTS {
        return Err(format!("must have at most {MAX_SEGMENTS} segments"));
    }

    Ok(segments)
}

fn read_name(name: &[u8]) -> Result<Box<str>, String> {
    let plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    let name = std::str::from_utf8(name).unwrap_or_default();
    if (1..=MAX_WORD_LEN).contains(&name.len()) && name.as_bytes().iter().all(plain) {
        return Ok(name.into());
    }
    Err(format!(
        "has a parameter whose name is not of a-z, 0-9 and _, 1 to {MAX_WORD_LEN} characters"
    ))
}

#[cfg(test)]
mod tests;
