//! The header that tells the upstream who is calling: a structured-field dictionary (RFC 9651), such as
//! `key="key_abc123def456", name="CI", account="acc_…", user="usr_…", tier="basic", env="live"`.
//!
//! Text outside printable ASCII becomes a Display String (`%"caf%c3%a9"`).

use crate::record::{KeyRecord, PolicyRecord};

/// The header's name.
pub const HEADER: &str = "x-latchkey-identity";

/// What all keys of a policy have in common, rendered once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared(String);

impl Shared {
    /// The members that come from the policy.
    pub fn render(policy: &PolicyRecord) -> Self {
        let mut out = String::new();
        for (member, value) in [
            (", account=", policy.account.as_str()),
            (", user=", &policy.user),
            (", tier=", &policy.tier),
            (", env=", policy.environment.as_str()),
        ] {
            out.push_str(member);
            push_text(&mut out, value);
        }
        Self(out)
    }
}

/// The header's value for this key.
pub fn render(key: &KeyRecord<'_>, shared: &Shared) -> String {
    let mut out = String::with_capacity(shared.0.len().saturating_add(key.name.len()).saturating_add(40));
    out.push_str("key=\"key_");
    out.push_str(key.id);
    out.push_str("\", name=");
    push_text(&mut out, key.name);
    out.push_str(&shared.0);
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
        for byte in text.bytes() {
            match byte {
                b'%' | b'"' | 0..=0x1f | 0x7f.. => {
                    out.push('%');
                    out.extend(
                        [byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')),
                    );
                }
                plain => out.push(char::from(plain)),
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::AddressLists;
    use crate::key::{Environment, KeyDigest};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn rendered(name: &str) -> String {
        let key = KeyRecord {
            digest: KeyDigest([0; 32]),
            policy: 1,
            expires_at: None,
            disabled: false,
            id: "abc123def456",
            name,
        };
        let policy = PolicyRecord {
            id: 1,
            account: "acc_1".into(),
            user: "usr_1".into(),
            tier: "basic".into(),
            environment: Environment::Live,
            owner_disabled: false,
            account_disabled: false,
            addresses: AddressLists::default(),
        };
        render(&key, &Shared::render(&policy))
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
    fn text_outside_ascii_is_a_display_string() {
        assert!(rendered("café 100%").contains(r#"name=%"caf%c3%a9 100%25""#));
        assert!(rendered("a\r\nb").contains(r#"name=%"a%0d%0ab""#));
        assert!(rendered("").contains(r#"name="""#));
    }
}
