//! The header that identifies the caller to the upstream: a structured-field dictionary (RFC 9651),
//! such as `key="key_abc123def456", name="CI", account="acc_…", user="usr_…", subaccount="sub_…",
//! roles=("dns_manager"), tier="basic", env="live"`. Without a subaccount or without roles, that
//! member is left out.
//!
//! Text outside printable ASCII becomes a Display String (`%"caf%c3%a9"`).

use crate::record::{KeyRecord, PolicyRecord};

/// The header's name.
pub const HEADER: &str = "x-latchkey-identity";

/// One attribute of an admitted key, for a separate header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `key_…`
    Key,
    /// The key's name.
    Name,
    /// `acc_…`
    Account,
    /// The owner, `usr_…`
    User,
    /// The subaccount that the request acts on, `sub_…`; empty if it names none.
    Subaccount,
    /// The key's roles, joined by commas.
    Roles,
    /// The tier's name.
    Tier,
    /// `live` or `test`.
    Env,
}

impl Field {
    /// All fields, by their names in the identity header.
    pub const ALL: [(&'static str, Self); 8] = [
        ("key", Self::Key),
        ("name", Self::Name),
        ("account", Self::Account),
        ("user", Self::User),
        ("subaccount", Self::Subaccount),
        ("roles", Self::Roles),
        ("tier", Self::Tier),
        ("env", Self::Env),
    ];

    /// Returns the field's plain value, percent-encoded where it is not printable ASCII.
    pub fn value(self, key: &KeyRecord<'_>, shared: &Shared, subaccount: Option<&str>) -> String {
        let value = match self {
            Self::Key => return key.key_id(),
            Self::Name => key.name,
            Self::Account => &shared.account,
            Self::User => &shared.user,
            Self::Subaccount => subaccount.unwrap_or_default(),
            Self::Roles => &shared.roles,
            Self::Tier => &shared.tier,
            Self::Env => shared.env,
        };

        let mut out = String::with_capacity(value.len());
        value.bytes().for_each(|byte| {
            push_encoded(&mut out, byte, matches!(byte, b' '..=b'$' | b'&'..=b'~'));
        });
        out
    }
}

/// The attributes that all keys of a policy share, rendered once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    account: String,
    user: String,
    roles: String,
    tier: String,
    env: &'static str,
    /// The dictionary's members that come from the policy: those before the subaccount, and those
    /// after it.
    before: String,
    behind: String,
}

impl Shared {
    /// Renders the attributes of this policy.
    pub fn render(policy: &PolicyRecord) -> Self {
        let (mut before, mut behind) = (String::new(), String::new());
        push_member(&mut before, "account", &policy.account);
        push_member(&mut before, "user", &policy.user);

        if !policy.roles.is_empty() {
            behind.push_str(", roles=(");
            for (at, role) in policy.roles.iter().enumerate() {
                behind.push_str(if at == 0 { "" } else { " " });
                push_text(&mut behind, role);
            }
            behind.push(')');
        }

        push_member(&mut behind, "tier", &policy.tier);
        push_member(&mut behind, "env", policy.environment.as_str());

        Self {
            account: policy.account.clone(),
            user: policy.user.clone(),
            roles: policy.roles.join(","),
            tier: policy.tier.clone(),
            env: policy.environment.as_str(),
            before,
            behind,
        }
    }
}

/// Returns the header's value for this key, and for a request that acts on this subaccount.
pub fn render(key: &KeyRecord<'_>, shared: &Shared, subaccount: Option<&str>) -> String {
    let parts = [
        &shared.before,
        &shared.behind,
        key.name,
        subaccount.unwrap_or_default(),
    ];

    let len = parts
        .iter()
        .fold(60usize, |sum, part| sum.saturating_add(part.len()));
    let mut out = String::with_capacity(len);
    out.push_str("key=\"key_");
    out.push_str(key.id);
    out.push('"');
    push_member(&mut out, "name", key.name);
    out.push_str(&shared.before);
    if let Some(subaccount) = subaccount {
        push_member(&mut out, "subaccount", subaccount);
    }

    out.push_str(&shared.behind);
    out
}

fn push_member(out: &mut String, name: &str, value: &str) {
    out.push_str(", ");
    out.push_str(name);
    out.push('=');
    push_text(out, value);
}

fn push_text(out: &mut String, text: &str) {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        out.push('"');
        for character in text.chars() {
            if matches!(character, '"' | '\\') {
                out.push('\\');
            }
            out.push(character);
        }
    } else {
        out.push_str("%\"");
        text.bytes().for_each(|byte| {
            push_encoded(
                out,
                byte,
                matches!(byte, b' '..=b'~') && !matches!(byte, b'%' | b'"'),
            );
        });
    }

    out.push('"');
}

/// Appends the byte itself if it is `plain`, or else its escape, in lower case as in Display
/// Strings.
fn push_encoded(out: &mut String, byte: u8, plain: bool) {
    if plain {
        out.push(char::from(byte));
    } else {
        out.push('%');
        out.extend(
            [byte >> 4, byte & 15]
                .map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyDigest;
    use crate::test_util::{key, policy};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn rendered(name: &str) -> String {
        let key = key(KeyDigest([0; 32]), 1, name);
        render(&key, &Shared::render(&policy(1)), None)
    }

    #[test]
    fn members_come_in_the_contracts_order() {
        assert_eq!(
            rendered("CI"),
            r#"key="key_abc123def456", name="CI", account="acc_1", user="usr_1", tier="basic", env="live""#
        );
    }

    #[test]
    fn subaccount_and_roles_precede_the_tier() {
        let roles = vec!["dns_manager".to_owned(), "cache_purger".to_owned()];
        let shared = Shared::render(&PolicyRecord { roles, ..policy(1) });
        let key = key(KeyDigest([0; 32]), 1, "CI");
        let rendered = render(&key, &shared, Some("sub_1"));
        let members = r#"user="usr_1", subaccount="sub_1", roles=("dns_manager" "cache_purger"), tier="basic""#;
        assert!(rendered.contains(members), "{rendered}");
        assert_eq!(
            Field::Roles.value(&key, &shared, None),
            "dns_manager,cache_purger"
        );
        assert_eq!(
            Field::Subaccount.value(&key, &shared, Some("sub_1")),
            "sub_1"
        );
    }

    #[test]
    fn a_name_cannot_add_members() {
        assert!(
            rendered(r#"x", user="root"#)
                .starts_with(r#"key="key_abc123def456", name="x\", user=\"root", account="#)
        );
        assert!(rendered(r"back\slash").contains(r#"name="back\\slash""#));
    }

    #[test]
    fn single_fields_are_plain_values() {
        let key = key(KeyDigest([0; 32]), 1, "café, 100% \"x\"\r\n");
        let shared = Shared::render(&policy(1));
        let fields = Field::ALL.map(|(_, field)| field.value(&key, &shared, None));
        let name = "caf%c3%a9, 100%25 \"x\"%0d%0a";
        assert_eq!(
            fields,
            [
                "key_abc123def456",
                name,
                "acc_1",
                "usr_1",
                "",
                "",
                "basic",
                "live"
            ]
        );
    }

    #[test]
    fn text_outside_ascii_is_a_display_string() {
        assert!(rendered("café 100%").contains(r#"name=%"caf%c3%a9 100%25""#));
        assert!(rendered("a\r\nb").contains(r#"name=%"a%0d%0ab""#));
        assert!(rendered("").contains(r#"name="""#));
    }
}
