//! The route rules as documents. Rules are numbered from 1, so a fault in the third is at
//! `rules[3]`.

use latchkey_policy::route::{
    Affected, FieldError, MAX_RULES, PathCase, PathSpec, RouteRules, Rule, RuleSpec,
    SubaccountLocationSpec, Unmatched,
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use crate::json::{self, Fault, Object, given};

mod schema;

pub use schema::shown;

/// `{"rules": [{"path": {"prefix": "/v4/zones"}, "permission": "dns:read"}], "unmatched": "deny"}`
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Routes, description = "The route rules, in order. The first rule that matches a \
request applies.")]
pub struct RouteDocument {
    // Parsed one by one, so that the faults of several rules can be reported at once.
    #[schema(value_type = Vec<RuleDocument>, max_items = 1000)]
    rules: Vec<Box<RawValue>>,
    #[serde(default)]
    unmatched: UnmatchedWord,
    #[serde(default)]
    path_case: PathCaseWord,
}

/// The treatment of paths that differ from a rule's only by letter case, or by dots and spaces at
/// the end of a segment. `refuse`: requests that match another rule when these differences are
/// ignored are refused. `ignore`: rules apply despite these differences. `distinct`: such paths are
/// different paths.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PathCase)]
enum PathCaseWord {
    #[default]
    Refuse,
    Ignore,
    Distinct,
}

/// A rule whose own spelling matches an earlier rule when letter case, and dots and spaces at the
/// end of a segment, are ignored. Such requests are refused; with `path_case: ignore`, the earlier
/// rule applies to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AffectedRule)]
pub struct AffectedRule {
    /// The rule's number, from 1.
    #[schema(minimum = 1)]
    pub rule: usize,
    /// The number of the earlier rule.
    #[schema(minimum = 1)]
    pub conflicts_with: usize,
}

/// Returns the rules of a document that its `path_case` affects.
pub fn affected_rules(routes: &RouteRules) -> Vec<AffectedRule> {
    let affected = routes.affected_by_path_case().into_iter();
    affected
        .map(|Affected { rule, by }| AffectedRule {
            rule,
            conflicts_with: by,
        })
        .collect()
}

/// The treatment of requests that no rule matches.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Unmatched)]
enum UnmatchedWord {
    #[default]
    ValidKey,
    Deny,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleDocument {
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    host: Option<String>,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    methods: Option<Vec<String>>,
    path: Object<PathDocument>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    public: bool,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    service: Option<String>,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    permission: Option<String>,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    subaccount: Option<Object<PlaceDocument>>,
}

/// A path condition: exactly one of these fields.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PathDocument {
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    exact: Option<String>,
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    template: Option<String>,
}

/// The location of the subaccount's id in a request: exactly one of these fields.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PlaceDocument {
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    query: Option<String>,
}

impl RouteDocument {
    /// Returns the rules, or all faults of the document.
    pub fn check(&self) -> Result<RouteRules, Vec<Fault>> {
        if self.rules.len() > MAX_RULES {
            return Err(vec![Fault {
                field: Some("rules".to_owned()),
                reason: format!("must be at most {MAX_RULES}"),
            }]);
        }

        let (mut rules, mut faults) = (Vec::with_capacity(self.rules.len()), Vec::new());
        for (index, text) in self.rules.iter().enumerate() {
            match rule(text) {
                Ok(rule) => rules.push(rule),
                Err(found) => {
                    faults.extend(found.into_iter().map(|fault| fault.within(&place(index))));
                }
            }
        }

        if !faults.is_empty() {
            return Err(faults);
        }

        let unmatched = match self.unmatched {
            UnmatchedWord::ValidKey => Unmatched::ValidKey,
            UnmatchedWord::Deny => Unmatched::Deny,
        };
        let path_case = match self.path_case {
            PathCaseWord::Refuse => PathCase::Refuse,
            PathCaseWord::Ignore => PathCase::Ignore,
            PathCaseWord::Distinct => PathCase::Distinct,
        };
        RouteRules::with_path_case(path_case, rules, unmatched)
            .map_err(|(index, error)| vec![Fault::from(error).within(&place(index))])
    }

    /// Returns the rules of a document from a version without `path_case`: with the default, unless
    /// some rules differ only by case.
    pub fn check_without_path_case(&self) -> Result<RouteRules, Vec<Fault>> {
        let with = |path_case| Self {
            rules: self.rules.clone(),
            unmatched: self.unmatched,
            path_case,
        };
        with(PathCaseWord::Refuse)
            .check()
            .or_else(|_| with(PathCaseWord::Distinct).check())
    }
}

fn place(index: usize) -> String {
    format!("rules[{}]", index.saturating_add(1))
}

fn rule(text: &RawValue) -> Result<Rule, Vec<Fault>> {
    let Object(document): Object<RuleDocument> =
        json::read(text.get().as_bytes()).map_err(|fault| vec![fault])?;
    let spec = document.try_into().map_err(|fault| vec![fault])?;
    Rule::new(spec).map_err(|errors| errors.into_iter().map(Fault::from).collect())
}

impl From<FieldError> for Fault {
    fn from(error: FieldError) -> Self {
        Self {
            field: Some(error.field.to_owned()),
            reason: error.reason,
        }
    }
}

impl TryFrom<RuleDocument> for RuleSpec {
    type Error = Fault;

    fn try_from(rule: RuleDocument) -> Result<Self, Fault> {
        let RuleDocument {
            host,
            methods,
            path,
            public,
            service,
            permission,
            subaccount,
        } = rule;
        let path = path.0.try_into()?;
        let subaccount = subaccount
            .map(|Object(place)| place.try_into())
            .transpose()?;

        Ok(Self {
            host,
            methods,
            path,
            public,
            service,
            permission,
            subaccount,
        })
    }
}

impl TryFrom<PathDocument> for PathSpec {
    type Error = Fault;

    fn try_from(path: PathDocument) -> Result<Self, Fault> {
        match (path.exact, path.prefix, path.template) {
            (Some(path), None, None) => Ok(Self::Exact(path)),
            (None, Some(path), None) => Ok(Self::Prefix(path)),
            (None, None, Some(path)) => Ok(Self::Template(path)),
            _ => Err(Fault::one_of("path", "`exact`, `prefix`, `template`")),
        }
    }
}

impl TryFrom<PlaceDocument> for SubaccountLocationSpec {
    type Error = Fault;

    fn try_from(place: PlaceDocument) -> Result<Self, Fault> {
        match (place.header, place.path, place.query) {
            (Some(name), None, None) => Ok(Self::Header(name)),
            (None, Some(name), None) => Ok(Self::Path(name)),
            (None, None, Some(name)) => Ok(Self::Query(name)),
            _ => Err(Fault::one_of("subaccount", "`header`, `path`, `query`")),
        }
    }
}

impl Fault {
    fn one_of(field: &str, names: &str) -> Self {
        Self {
            field: Some(field.to_owned()),
            reason: format!("must have exactly one of {names}"),
        }
    }
}

impl TryFrom<&RouteRules> for RouteDocument {
    type Error = serde_json::Error;

    fn try_from(routes: &RouteRules) -> Result<Self, serde_json::Error> {
        let rules = routes
            .rules()
            .iter()
            .map(|rule| to_raw_value(&RuleDocument::from(rule.spec())));
        let unmatched = match routes.unmatched() {
            Unmatched::ValidKey => UnmatchedWord::ValidKey,
            Unmatched::Deny => UnmatchedWord::Deny,
        };
        let path_case = match routes.path_case() {
            PathCase::Refuse => PathCaseWord::Refuse,
            PathCase::Ignore => PathCaseWord::Ignore,
            PathCase::Distinct => PathCaseWord::Distinct,
        };

        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
            unmatched,
            path_case,
        })
    }
}

impl From<&RuleSpec> for RuleDocument {
    fn from(rule: &RuleSpec) -> Self {
        let RuleSpec {
            host,
            methods,
            path,
            public,
            service,
            permission,
            subaccount,
        } = rule.clone();
        let path = match path {
            PathSpec::Exact(path) => PathDocument {
                exact: Some(path),
                ..PathDocument::default()
            },
            PathSpec::Prefix(path) => PathDocument {
                prefix: Some(path),
                ..PathDocument::default()
            },
            PathSpec::Template(path) => PathDocument {
                template: Some(path),
                ..PathDocument::default()
            },
        };
        let subaccount = subaccount.map(|place| match place {
            SubaccountLocationSpec::Header(name) => PlaceDocument {
                header: Some(name),
                ..PlaceDocument::default()
            },
            SubaccountLocationSpec::Path(name) => PlaceDocument {
                path: Some(name),
                ..PlaceDocument::default()
            },
            SubaccountLocationSpec::Query(name) => PlaceDocument {
                query: Some(name),
                ..PlaceDocument::default()
            },
        });

        Self {
            host,
            methods,
            path: Object(path),
            public,
            service,
            permission,
            subaccount: subaccount.map(Object),
        }
    }
}
