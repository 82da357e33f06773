//! The schema of a route rule.

use std::borrow::Cow;
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::{PathCaseWord, RuleDocument, UnmatchedWord};
use crate::schema::{matching, object, text};

impl PartialSchema for RuleDocument {
    fn schema() -> RefOr<Schema> {
        let description = "The requests that the rule matches, and what they require. A rule that \
        can never apply is refused.";
        OneOfBuilder::new()
            .item(public())
            .item(guarded())
            .description(Some(description))
            .into()
    }
}

impl ToSchema for RuleDocument {
    fn name() -> Cow<'static, str> {
        "RouteRule".into()
    }
}

/// Returns the schema of the document as a part of a larger response.
pub fn shown() -> Object {
    let rules = ArrayBuilder::new().items(Ref::from_schema_name(RuleDocument::name()));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("rules", rules)
        .required("rules")
        .property("unmatched", UnmatchedWord::schema())
        .required("unmatched")
        .property("path_case", PathCaseWord::schema())
        .required("path_case")
        .build()
}

fn public() -> ObjectBuilder {
    let public = flag(true).description(Some("Matching requests need no key."));
    matched()
        .property("public", public)
        .required("public")
        .description(Some("A rule for requests that need no key."))
}

fn guarded() -> ObjectBuilder {
    let service = matching("^[a-z0-9_-]{1,64}$")
        .description(Some("The service that the key's scope must include."));
    matched()
        .property("public", flag(false))
        .property("service", service)
        .property("permission", permission())
        .property("subaccount", place())
        .description(Some("A rule for requests that need a key."))
}

/// Returns the schema of a rule's match conditions.
fn matched() -> ObjectBuilder {
    let host = text().min_length(Some(1)).max_length(Some(254));
    let methods = ArrayBuilder::new()
        .items(matching("^[A-Z0-9!#$%&'*+.^_`|~-]{1,64}$"))
        .min_items(Some(1))
        .description(Some(
            "The methods, in capitals. Default: any. `GET` includes `HEAD`.",
        ));
    object()
        .property(
            "host",
            host.description(Some("A host name, or `*.` followed by one. Default: any.")),
        )
        .property("methods", methods)
        .property("path", path())
        .required("path")
}

fn path() -> OneOfBuilder {
    let path = || matching("^/").max_length(Some(1024));
    one_field([
        ("exact", path().description(Some("Only this path."))),
        (
            "prefix",
            path().description(Some("This path and all paths below it.")),
        ),
        (
            "template",
            path().description(Some(
                "All paths that have exactly one segment in place of each `{name}`.",
            )),
        ),
    ])
}

fn permission() -> ObjectBuilder {
    matching("^[a-z0-9_-]+(:[a-z0-9_-]+){1,2}$")
        .max_length(Some(latchkey_policy::permission::MAX_LEN))
        .description(Some("The permission that the key and its owner must hold."))
}

fn place() -> OneOfBuilder {
    let name = || text().min_length(Some(1)).max_length(Some(128));
    one_field([
        (
            "header",
            name().description(Some("The header that names the subaccount.")),
        ),
        (
            "path",
            name().description(Some(
                "The parameter of `path.template` that names the subaccount.",
            )),
        ),
        (
            "query",
            name().description(Some("The query parameter that names the subaccount.")),
        ),
    ])
    .description(Some(
        "The place where requests name a subaccount. The key must be allowed to act on it.",
    ))
}

/// Returns the schema of an object with exactly one of the fields.
fn one_field(fields: [(&str, ObjectBuilder); 3]) -> OneOfBuilder {
    fields
        .into_iter()
        .fold(OneOfBuilder::new(), |objects, (name, value)| {
            objects.item(object().property(name, value).required(name))
        })
}

fn flag(value: bool) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .enum_values(Some([value]))
}
