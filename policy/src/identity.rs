//! The header that tells the upstream who is calling: a structured-field dictionary (RFC 9651), such as
//! `key="key_abc123def456", name="CI", account="acc_…", user="usr_…", tier="basic", env="live"`.
//!
//! Text outside printable ASCII becomes a Display String (`%"caf%c3%a9"`).

use crate::record::{KeyRecord, PolicyRecord};

/// The header's name.
pub const HEADER: &str = "x-latchkey-identity";

/// One thing that is known of an admitted key, for a header of its own.
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
    /// The tier's name.
    Tier,
    /// `live` or `test`.
    Env,
}

impl Field {
    /// All of them, by the names that the identity header has for them.
    pub const ALL: [(&'static str, Self); 6] = [
        ("key", Self::Key),
        ("name", Self::Name),
        ("account", Self::Account),
        ("user", Self::User),
        ("tier", Self::Tier),
        ("env", Self::Env),
    ];

    /// The field's plain value, percent-encoded where it is not printable ASCII.
    pub fn of(self, key: &KeyRecord<'_>, shared: &Shared) -> String {
        let value = match self {
            Self::Key => return key.key_id(),
            Self::Name => key.name,
            Self::Account => &shared.account,
            Self::User => &shared.user,
            Self::Tier => &shared.tier,
            Self::Env => shared.env,
        };
        let mut out = String::with_capacity(value.len());
        value.bytes().for_each(|byte| push_encoded(&mut out, byte, matches!(byte, b' '..=b'$' | b'&'..=b'~')));
        out
    }
}

/// What all keys of a policy have in common, rendered once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    account: String,
    user: String,
    tier: String,
    env: &'static str,
    /// The dictionary's members that come from the policy.
    members: String,
}

impl Shared {
    /// Of this policy.
    pub fn render(policy: &PolicyRecord) -> Self {
        let mut members = String::new();
        for (member, value) in [
            (", account=", policy.account.as_str()),
            (", user=", &policy.user),
            (", tier=", &policy.tier),
            (", env=", policy.environment.as_str()),
        ] {
            members.push_str(member);
            push_text(&mut members, value);
        }
        Self {
            account: policy.account.clone(),
            user: policy.user.clone(),
            tier: policy.tier.clone(),
            env: policy.environment.as_str(),
            members,
        }
    }
}

/// The header's value for this key.
pub fn render(key: &KeyRecord<'_>, shared: &Shared) -> String {
    let mut out = String::with_capacity(shared.members.len().saturating_add(key.name.len()).saturating_add(40));
    out.push_str("key=\"key_");
    out.push_str(key.id);
    out.push_str("\", name=");
    push_text(&mut out, key.name);
    out.push_str(&shared.members);
    out
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
        text.bytes()
            .for_each(|byte| push_encoded(out, byte, matches!(byte, b' '..=b'~') && !matches!(byte, b'%' | b'"')));
    }
    out.push('"');
}

/// The byte itself if it is `plain`, or else its escape, in lower case as Display Strings have it.
fn push_encoded(out: &mut String, byte: u8, plain: bool) {
    if plain {
        out.push(char::from(byte));
    } else {
        out.push('%');
        out.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')));
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
        render(&key, &Shared::render(&policy(1)))
    }

    #[test]
    fn members_come_in_the_contracts_order() {
        assert_eq!(
            rendered("CI"),
            r#"key="key_abc123def456", name="CI", account="acc_1", user="usr_1", tier="basic", env="live""#
        );
    }

    #[test]
    fn a_name_cannot_add_members() {
        assert!(
            rendered(r#"x", user="root"#).starts_with(r#"key="key_abc123def456", name="x\", user=\"root", account="#)
        );
        assert!(rendered(r"back\slash").contains(r#"name="back\\slash""#));
    }

    #[test]
    fn single_fields_are_plain_values() {
        let key = key(KeyDigest([0; 32]), 1, "café, 100% \"x\"\r\n");
        let shared = Shared::render(&policy(1));
        let fields = Field::ALL.map(|(_, field)| field.of(&key, &shared));
        let name = "caf%c3%a9, 100%25 \"x\"%0d%0a";
        assert_eq!(fields, ["key_abc123def456", name, "acc_1", "usr_1", "basic", "live"]);
    }

    #[test]
    fn text_outside_ascii_is_a_display_string() {
        assert!(rendered("café 100%").contains(r#"name=%"caf%c3%a9 100%25""#));
        assert!(rendered("a\r\nb").contains(r#"name=%"a%0d%0ab""#));
        assert!(rendered("").contains(r#"name="""#));
    }
}
