//! The fields of all steps for the new key.

use latchkey_policy::limit::Window;
use serde_json::{Map, Value, json};

use crate::api::Refusal;
use crate::form::Fields;
use crate::ip_rows;
use crate::keys::{expiry, limit_field};

/// A step of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// The name, description and expiry.
    Details,
    /// The services and subaccounts.
    Access,
    /// The roles and permissions.
    Roles,
    /// The IP lists and limits.
    Restrictions,
}

impl Step {
    /// All steps, in their order.
    pub(super) const ALL: [Self; 4] =
        [Self::Details, Self::Access, Self::Roles, Self::Restrictions];
    /// The last step.
    pub(super) const LAST: Self = Self::Restrictions;

    /// Returns the title of the step.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Details => "Details",
            Self::Access => "Access scope",
            Self::Roles => "Roles and permissions",
            Self::Restrictions => "Addresses and limits",
        }
    }

    /// Parses a step's number in a form. Other texts are the first step.
    pub(super) fn from_number(number: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|step| step.number() == number)
            .unwrap_or(Self::Details)
    }

    /// Returns the step's number in forms.
    pub(super) fn number(self) -> &'static str {
        match self {
            Self::Details => "1",
            Self::Access => "2",
            Self::Roles => "3",
            Self::Restrictions => "4",
        }
    }

    /// Returns the step after this one; the last step returns itself.
    pub(super) fn next(self) -> Self {
        Self::ALL
            .into_iter()
            .find(|step| *step > self)
            .unwrap_or(self)
    }

    /// Returns the step before this one; the first step returns itself.
    pub(super) fn previous(self) -> Self {
        Self::ALL
            .into_iter()
            .rev()
            .find(|step| *step < self)
            .unwrap_or(self)
    }

    /// Returns the step of a field, by its name here or in the API.
    pub(super) fn for_field(name: &str) -> Option<Self> {
        let name = name.split(['.', '[']).next().unwrap_or_default();
        Some(match name {
            "name" | "description" | "environment" | "tier" | "expires" | "expires_at" => {
                Self::Details
            }
            "scope" | "service" | "subaccounts" | "allowed_subaccounts" => Self::Access,
            "roles" | "permissions" => Self::Roles,
            "allowed_ips" | "denied_ips" | "limits" => Self::Restrictions,
            _ => return None,
        })
    }
}

/// The fields that were filled in so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft(Fields);

impl Draft {
    /// Returns the draft of a sent form.
    pub(super) fn new(fields: Fields) -> Self {
        Self(fields)
    }

    /// Returns all fields of the form.
    pub(super) fn fields(&self) -> &Fields {
        &self.0
    }

    /// Returns the fields of the steps other than `step`, which are sent as hidden fields.
    pub(super) fn other_fields(&self, step: Step) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter(move |(name, _)| Step::for_field(name).is_some_and(|other| other != step))
    }

    /// Returns whether `value` is among the fields of this name, or `default` if there are none.
    pub(super) fn chose(&self, name: &str, value: &str, default: bool) -> bool {
        let mut chosen = self.0.all(name).peekable();
        if chosen.peek().is_none() {
            default
        } else {
            chosen.any(|other| other == value)
        }
    }

    /// Checks a step before the API is called, which checks everything at the end.
    pub(super) fn check(&self, step: Step, now: i64) -> Result<(), Refusal> {
        match step {
            Step::Details if self.0.text("name").is_empty() => {
                Err(Refusal::for_field("name", "Enter a name for the key."))
            }
            Step::Details if self.0.text("name").chars().count() > 100 => Err(Refusal::for_field(
                "name",
                "The name can have at most 100 characters.",
            )),
            Step::Details if expiry::is_set(&self.0) => match expiry::end(&self.0) {
                Some(end) if end > now => Ok(()),
                Some(_) => Err(Refusal::for_field(
                    "expires_at",
                    "The date must be in the future.",
                )),
                None => Err(Refusal::for_field("expires_at", "Choose a date.")),
            },
            Step::Access if self.listed("scope") && self.0.all("service").all(str::is_empty) => {
                Err(Refusal::for_field(
                    "scope",
                    "Choose at least one service, or all of them.",
                ))
            }
            Step::Access
                if self.listed("subaccounts")
                    && self.0.all("allowed_subaccounts").next().is_none() =>
            {
                Err(Refusal::for_field(
                    "allowed_subaccounts",
                    "Choose at least one subaccount, or all of them.",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Returns the body of the API call.
    pub(super) fn as_json(&self) -> Value {
        let fields = &self.0;
        let all = |name: &str| fields.all(name).map(str::to_owned).collect::<Vec<_>>();

        let scope = if self.listed("scope") {
            let names = fields.all("service").flat_map(str::split_whitespace);
            json!(names.collect::<Vec<_>>())
        } else {
            json!("all")
        };
        let subaccounts = if self.listed("subaccounts") {
            all("allowed_subaccounts")
        } else {
            Vec::new()
        };
        let mut body = json!({
            "name": fields.text("name"),
            "description": fields.given("description"),
            "scope": scope,
            "allowed_subaccounts": subaccounts,
            "roles": all("roles"),
            "permissions": all("permissions"),
            "allowed_ips": ip_rows::read("allowed_ips", fields),
            "denied_ips": ip_rows::read("denied_ips", fields),
        });

        if let Some(body) = body.as_object_mut() {
            for name in ["environment", "tier"] {
                body.extend(
                    fields
                        .given(name)
                        .map(|value| (name.to_owned(), json!(value))),
                );
            }

            if expiry::is_set(fields) {
                let end = expiry::end(fields)
                    .map_or_else(|| json!(fields.text("expires_at")), |end| json!(end));
                body.insert("expires_at".to_owned(), end);
            }

            let limits: Map<_, _> = Window::ALL
                .into_iter()
                .filter_map(|window| self.limit(window))
                .collect();
            if !limits.is_empty() {
                body.insert("limits".to_owned(), limits.into());
            }
        }
        body
    }

    /// Returns the limit of a window. A text that is not a number is passed on, and the API refuses
    /// it.
    fn limit(&self, window: Window) -> Option<(String, Value)> {
        let text = self.0.given(&limit_field(window))?;
        Some((
            window.as_str().to_owned(),
            text.parse::<u64>()
                .map_or_else(|_| json!(text), |number| json!(number)),
        ))
    }

    /// Returns whether only some values are chosen, not all.
    fn listed(&self, name: &str) -> bool {
        self.0.text(name) == "listed"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(fields: &[(&str, &str)]) -> Draft {
        Draft::new(
            fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn draft_is_sent_as_filled_in() {
        let draft = draft(&[
            ("name", " CI "),
            ("expires", "date"),
            ("expires_at", "2027-01-15"),
            ("scope", "listed"),
            ("service", "dns"),
            ("service", "cdn"),
            ("subaccounts", "all"),
            ("allowed_subaccounts", "sub_left_over"),
            ("roles", "dns_manager"),
            ("limits.minute", "10"),
            ("limits.day", "many"),
        ]);

        let json = draft.as_json();
        assert_eq!(json["name"], "CI");
        assert_eq!(json["scope"], json!(["dns", "cdn"]));
        assert_eq!(json["allowed_subaccounts"], json!([]));
        assert_eq!(json["expires_at"], 1_800_057_599);
        assert_eq!(json["limits"], json!({ "minute": 10, "day": "many" }));
        assert_eq!(json["description"], Value::Null);
        assert!(json.get("tier").is_none());
    }

    #[test]
    fn missing_fields_are_refused() {
        let now = 1_800_000_000;
        let refused = |fields: &[(&str, &str)], step| {
            draft(fields)
                .check(step, now)
                .err()
                .and_then(|refusal| refusal.field)
                .unwrap_or_default()
        };

        assert_eq!(refused(&[("name", " ")], Step::Details), "name");
        assert_eq!(
            refused(&[("name", "CI"), ("expires", "date")], Step::Details),
            "expires_at"
        );
        assert_eq!(
            refused(
                &[
                    ("name", "CI"),
                    ("expires", "date"),
                    ("expires_at", "2027-01-14")
                ],
                Step::Details
            ),
            "expires_at"
        );
        assert_eq!(
            refused(
                &[
                    ("name", "CI"),
                    ("expires", "date"),
                    ("expires_at", "2027-01-15")
                ],
                Step::Details
            ),
            ""
        );

        assert_eq!(refused(&[("scope", "listed")], Step::Access), "scope");
        assert_eq!(
            refused(&[("scope", "listed"), ("service", "dns")], Step::Access),
            ""
        );
        assert_eq!(
            refused(&[("subaccounts", "listed")], Step::Access),
            "allowed_subaccounts"
        );
    }

    /// The other steps carry the field along.
    #[test]
    fn every_field_belongs_to_one_step() {
        let draft = draft(&[
            ("csrf", "x"),
            ("step", "1"),
            ("go", "next"),
            ("name", "CI"),
            ("limits.day", "9"),
            ("allowed_ips.0.cidr", "::/0"),
        ]);

        let other_fields = |step| {
            draft
                .other_fields(step)
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            other_fields(Step::Details),
            ["limits.day", "allowed_ips.0.cidr"]
        );
        assert_eq!(other_fields(Step::Restrictions), ["name"]);

        assert_eq!(Step::for_field("limits.minute"), Some(Step::Restrictions));
        assert_eq!(
            Step::for_field("denied_ips[3].cidr"),
            Some(Step::Restrictions)
        );
        assert_eq!(
            (
                Step::Details.previous(),
                Step::Details.next(),
                Step::Restrictions.next()
            ),
            (Step::Details, Step::Access, Step::Restrictions)
        );
    }
}
