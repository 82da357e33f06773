//! What a route rule looks like.

use std::borrow::Cow;
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::{PathCaseWord, RuleDocument, UnmatchedWord};
use crate::schema::{matching, object, text};

impl PartialSchema for RuleDocument {
    fn schema() -> RefOr<Schema> {
        let description = "Which requests it is for, and what they need. One that matches nothing new is refused.";
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

/// The document as a part of an answer that has more.
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
    let public = flag(true).description(Some("Its requests need no key."));
    matched()
        .property("public", public)
        .required("public")
        .description(Some("A rule for requests that need no key."))
}

fn guarded() -> ObjectBuilder {
    let service = matching("^[a-z0-9_-]{1,64}$")
        .description(Some("The service that the key's scope has to have."));
    matched()
        .property("public", flag(false))
        .property("service", service)
        .property("permission", permission())
        .property("subaccount", place())
        .description(Some("A rule for requests that need a key."))
}

/// What says which requests a rule is for.
fn matched() -> ObjectBuilder {
    let host = text().min_length(Some(1)).max_length(Some(254));
    let methods = ArrayBuilder::new()
        .items(matching("^[A-Z0-9!#$%&'*+.^_`|~-]{1,64}$"))
        .min_items(Some(1))
        .description(Some(
            "Their names, in capitals; any if it is left out. `GET` covers `HEAD`.",
        ));
    object()
        .property(
            "host",
            host.description(Some(
                "A host's name, or `*.` and one; any if it is left out.",
            )),
        )
        .property("methods", methods)
        .property("path", path())
        .required("path")
}

fn path() -> OneOfBuilder {
    let path = || matching("^/").max_length(Some(1024));
    one_field([
        ("exact", path().description(Some("This path alone."))),
        (
            "prefix",
            path().description(Some("This path, and all below.")),
        ),
        (
            "template",
            path().description(Some(
                "All that have any one segment in place of each `{name}`.",
            )),
        ),
    ])
}

fn permission() -> ObjectBuilder {
    matching("^[a-z0-9_-]+(:[a-z0-9_-]+){1,2}$")
        .max_length(Some(latchkey_policy::permission::MAX_LEN))
        .description(Some(
            "The permission that the key and its owner have to have.",
        ))
}

fn place() -> OneOfBuilder {
    let name = || text().min_length(Some(1)).max_length(Some(128));
    one_field([
        ("header", name().description(Some("In this header."))),
        (
            "path",
            name().description(Some("In this parameter of `path.template`.")),
        ),
        (
            "query",
            name().description(Some("In this parameter of the query.")),
        ),
    ])
    .description(Some(
        "Where requests name a subaccount, which has to be among the key's.",
    ))
}

/// An object that has exactly one of the fields.
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
