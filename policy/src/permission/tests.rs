//! The grammar, and patterns compared with the plain definition: the set of all permissions that a
//! pattern grants.

use super::roles::{ROLES, patterns};
use super::*;
use crate::test_util::Random;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

#[test]
fn permissions_have_two_or_three_segments() {
    let longest = format!("a:{}", "b".repeat(MAX_LEN - 2));
    for good in [
        "dns:read",
        "account:apikeys:create",
        "datacenter_shared:read",
        "a-1:_",
        "0:0:0",
        &longest,
    ] {
        assert_eq!(Permission::parse(good).unwrap().to_string(), good);
        assert_eq!(Pattern::parse(good).unwrap().to_string(), good);
    }
    let too_long = format!("{longest}b");
    for bad in [
        "",
        "dns",
        ":",
        "dns:",
        ":read",
        "a::b",
        "a:b:",
        ":a:b",
        "a:b:c:d",
        "DNS:read",
        "dns:réad",
        "dns: read",
        "dns:read ",
        "dns.read",
        "dns/read",
        "a:b\n",
        "a:b\0",
        &too_long,
    ] {
        assert_eq!(
            Permission::parse(bad),
            Err(Malformed::Permission),
            "{bad:?}"
        );
        assert_eq!(Pattern::parse(bad), Err(Malformed::Pattern), "{bad:?}");
    }
}

#[test]
fn star_is_a_whole_segment_of_a_pattern() {
    let longest = format!("*:{}", "b".repeat(MAX_LEN - 2));
    for star in [
        "*", "*:*", "*:*:*", "*:read", "dns:*", "*:a:*", "a:*:c", &longest,
    ] {
        assert_eq!(Pattern::parse(star).unwrap().as_str(), star);
        assert_eq!(
            Permission::parse(star),
            Err(Malformed::Permission),
            "{star:?}"
        );
    }
    for bad in [
        "**",
        "dns*",
        "dns:re*",
        "*dns:read",
        "*:*:*:*",
        "a:*:*:b",
        "*:",
        ":*",
        "* ",
        "*:A",
    ] {
        assert_eq!(Pattern::parse(bad), Err(Malformed::Pattern), "{bad:?}");
    }
}

#[test]
fn star_matches_one_or_more_segments() {
    for (held, permission, expected) in [
        ("*", "dns:read", true),
        ("*", "account:apikeys:create", true),
        ("*:read", "dns:read", true),
        ("*:read", "account:apikeys:read", true),
        ("*:read", "account:read:write", false),
        ("dns:*", "dns:records:write", true),
        ("dns:*", "cdn:dns:read", false),
        ("account:*:read", "account:apikeys:read", true),
        ("account:*:read", "account:read", false),
        ("*:*:*", "dns:read", false),
        ("dns:read", "dns:read", true),
        ("dns:read", "dns:reader", false),
        ("dns:read", "dns:read:all", false),
    ] {
        let permission = Permission::parse(permission).unwrap();
        assert_eq!(
            pattern(held).matches(&permission),
            expected,
            "{held} {permission}"
        );
    }
}

#[test]
fn nobody_covers_more_than_they_hold() {
    for (held, wanted, expected) in [
        (&["*"][..], "*", true),
        (&["*:*"], "*", true),
        (&["*"], "*:*:*", true),
        (&["*:*:*"], "*", false),
        (&["*:*:*"], "*:*", false),
        (&["dns:*"], "dns:*:*", true),
        (&["dns:*:*"], "dns:*", false),
        (&["*:read"], "dns:*:read", true),
        (&["*:read", "*:write", "dns:*", "*:*:*"], "*", false),
        (&["dns:*:*", "dns:read", "dns:write"], "dns:*", false),
        (&["a:*", "b:*"], "*:read", false),
        (&["*:a", "*:b", "*:*:*"], "*:a:*", true),
        (&["dns:read", "dns:write"], "dns:write", true),
        (&[], "dns:read", false),
    ] {
        let held: Vec<_> = held.iter().copied().map(pattern).collect();
        assert_eq!(
            covers(&held, &pattern(wanted)),
            expected,
            "{held:?} {wanted}"
        );
    }
}

/// Returns all sequences of 1, 2 and 3 of these segments.
fn sequences(alphabet: &[&str]) -> Vec<String> {
    let of_one: Vec<String> = alphabet.iter().copied().map(str::to_owned).collect();
    let longer = |shorter: &[String]| -> Vec<String> {
        shorter
            .iter()
            .flat_map(|left| alphabet.iter().map(move |right| format!("{left}:{right}")))
            .collect()
    };
    let of_two = longer(&of_one);
    let of_three = longer(&of_two);
    [of_one, of_two, of_three].concat()
}

/// A small world: all its permissions, and its patterns, each with the set of those that it grants,
/// one bit for each. No pattern names `z`.
struct World {
    permissions: Vec<Permission>,
    patterns: Vec<(Pattern, u64)>,
}

impl World {
    fn new() -> Self {
        let all = sequences(&["a", "b", "z"]);
        let permissions: Vec<_> = all
            .iter()
            .filter_map(|text| Permission::parse(text).ok())
            .collect();
        assert_eq!(permissions.len(), 9 + 27);
        // This is the literal definition: each `*` is replaced by each sequence.
        let gives = |pattern: &str| {
            let mut drawn_out = vec![String::new()];
            for segment in pattern.split(':') {
                let choices = if segment == "*" {
                    all.clone()
                } else {
                    vec![segment.to_owned()]
                };
                let joined = |left: &String, right: &String| format!("{left}:{right}");
                drawn_out = drawn_out
                    .iter()
                    .flat_map(|left| choices.iter().map(move |right| joined(left, right)))
                    .collect();
                drawn_out.retain(|text| text.split(':').count() <= 1 + MAX_SEGMENTS);
            }
            let given = |permission: &Permission| drawn_out.contains(&format!(":{permission}"));
            (0..)
                .zip(&permissions)
                .fold(0u64, |set, (bit, permission)| {
                    set | (u64::from(given(permission)) << bit)
                })
        };
        let texts = sequences(&["a", "b", "*"]);
        let patterns: Vec<_> = texts
            .iter()
            .filter_map(|text| Some((Pattern::parse(text).ok()?, gives(text))))
            .collect();
        assert_eq!(patterns.len(), 1 + 9 + 27);
        Self {
            permissions,
            patterns,
        }
    }

    fn check(&self, held: &[&(Pattern, u64)]) {
        let (patterns, given): (Vec<_>, Vec<_>) = held
            .iter()
            .map(|(pattern, given)| (pattern.clone(), *given))
            .unzip();
        let given = given.into_iter().fold(0, |all, given| all | given);
        for (wanted, needed) in &self.patterns {
            assert_eq!(
                covers(&patterns, wanted),
                needed & !given == 0,
                "{patterns:?} {wanted}"
            );
        }
    }
}

#[test]
fn pattern_matches_by_definition() {
    let World {
        permissions,
        patterns,
    } = World::new();
    for (pattern, given) in patterns {
        for (bit, permission) in permissions.iter().enumerate() {
            assert_eq!(
                pattern.matches(permission),
                given >> bit & 1 == 1,
                "{pattern} {permission}"
            );
        }
    }
}

#[test]
fn patterns_cover_what_their_union_covers() {
    let world = World::new();
    world.check(&[]);
    for (at, one) in world.patterns.iter().enumerate() {
        for other in &world.patterns[at..] {
            world.check(&[one, other]);
        }
    }
    let mut random = Random(1);
    for _ in 0..2_000 {
        let held: Vec<_> = (0..3 + random.below(12))
            .map(|_| random.pick(&world.patterns))
            .collect();
        world.check(&held);
    }
}

#[test]
fn predefined_roles_follow_the_contract() {
    let may = |role: &str, permission: &str| {
        let permission = Permission::parse(permission).unwrap();
        patterns(role)
            .unwrap()
            .iter()
            .any(|pattern| pattern.matches(&permission))
    };
    for (role, texts) in ROLES {
        assert_eq!(
            patterns(role),
            Some(texts.iter().copied().map(pattern).collect()),
            "{role}"
        );
        assert_eq!(may(role, "unheard:of"), role == "admin");
        assert_eq!(
            may(role, "analytics:read"),
            matches!(role, "admin" | "read_only_admin" | "insights_analyst")
        );
        assert_eq!(
            may(role, "cache:purge"),
            matches!(role, "admin" | "cache_purger")
        );
        assert_eq!(
            may(role, "dns:write"),
            matches!(role, "admin" | "dns_manager")
        );
        assert_eq!(
            may(role, "account:apikeys:read"),
            matches!(role, "admin" | "read_only_admin")
        );
    }
    assert_eq!(patterns("Admin"), None);
    assert_eq!(patterns(""), None);
}
