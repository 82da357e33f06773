//! The caller and the subaccount that are sent to the upstream: `x-latchkey-identity`, read as a
//! structured field.

use std::collections::BTreeMap;

use latchkey_tests::{Answer, Gateway, User};
use reqwest::Method;
use serde_json::{Value, json};

/// Starts a gateway with three rules, each with a different location of the subaccount.
async fn gateway() -> Gateway {
    let gateway = Gateway::start().await;
    let rules = json!([
        { "path": { "prefix": "/header" }, "subaccount": { "header": "x-subaccount" } },
        { "path": { "template": "/path/{sub}/records" }, "subaccount": { "path": "sub" } },
        { "path": { "prefix": "/query" }, "subaccount": { "query": "sub" } }
    ]);
    gateway
        .control_plane
        .put_routes(json!({ "rules": rules }))
        .await
        .unwrap();
    gateway
}

/// Sends a request with `subaccount` in each of the three locations.
async fn ask_everywhere(gateway: &Gateway, key: &str, subaccount: &str) -> [Answer; 3] {
    let by_header = [("x-api-key", key), ("x-subaccount", subaccount)];
    [
        gateway.ask_with("/header", &by_header).await,
        gateway
            .ask(&format!("/path/{subaccount}/records"), Some(key))
            .await,
        gateway
            .ask(&format!("/query?a=b&sub={subaccount}"), Some(key))
            .await,
    ]
}

/// Reads the members of a dictionary (RFC 9651, section 4.2.2): strings, display strings and lists
/// of those.
fn read_dictionary(text: &str) -> BTreeMap<String, Vec<String>> {
    let (mut members, mut rest) = (BTreeMap::new(), text);
    loop {
        let (name, value) = rest
            .split_once('=')
            .unwrap_or_else(|| panic!("no member: {rest}"));
        assert!(
            name.bytes().all(|byte| byte.is_ascii_lowercase()),
            "no name: {name}"
        );
        let (values, behind) = match value.strip_prefix('(') {
            None => {
                let (item, behind) = read_string(value);
                (vec![item], behind)
            }
            Some(mut list) => {
                let mut items = Vec::new();
                while !list.starts_with(')') {
                    let (item, behind) = read_string(list.trim_start_matches(' '));
                    items.push(item);
                    list = behind;
                }
                (items, &list[1..])
            }
        };
        assert!(
            members.insert(name.to_owned(), values).is_none(),
            "{name} twice: {text}"
        );
        match behind.strip_prefix(", ") {
            Some(behind) => rest = behind,
            None => {
                assert_eq!(behind, "", "{text}");
                return members;
            }
        }
    }
}

/// Reads a string or a display string, and returns it with the rest of the text.
fn read_string(text: &str) -> (String, &str) {
    let (encoded, quoted) = match text.strip_prefix('%') {
        Some(quoted) => (true, quoted),
        None => (false, text),
    };
    let quoted = quoted
        .strip_prefix('"')
        .unwrap_or_else(|| panic!("no string: {text}"));
    let (mut bytes, mut rest) = (Vec::new(), quoted.bytes().enumerate());
    while let Some((at, byte)) = rest.next() {
        match byte {
            b'"' => return (String::from_utf8(bytes).unwrap(), &quoted[at + 1..]),
            b'\\' if !encoded => bytes.extend(rest.next().map(|(_, byte)| byte)),
            b'%' if encoded => {
                bytes.push(u8::from_str_radix(&quoted[at + 1..at + 3], 16).unwrap());
                rest.nth(1);
            }
            _ => bytes.push(byte),
        }
    }
    panic!("no end of a string: {text}");
}

fn identity(answer: &Answer) -> BTreeMap<String, Vec<String>> {
    read_dictionary(
        answer
            .reached_upstream("x-latchkey-identity")
            .unwrap_or_else(|| panic!("{}", answer.body)),
    )
}

#[tokio::test]
async fn upstream_gets_the_whole_identity() {
    let gateway = gateway().await;
    let control_plane = &gateway.control_plane;
    let alpha = control_plane.create_subaccount("alpha").await.unwrap();
    let user: User = control_plane
        .create_user(json!({ "email": "owner@example.com", "roles": ["admin"] }))
        .await
        .unwrap();
    let name = "a \"name\", back\\slash, äöü";
    let key = json!({ "name": name, "roles": ["cache_purger", "dns_manager"], "tier": "pro", "environment": "test" });
    let key = control_plane.create_key_of(&user, key).await.unwrap();
    for answer in ask_everywhere(&gateway, &key.api_key, &alpha).await {
        let mut reported = identity(&answer);
        let account = reported.remove("account").unwrap().concat();
        assert!(account.starts_with("acc_"), "{account}");
        let expected = [
            ("env", vec!["test"]),
            ("key", vec![key.key_id.as_str()]),
            ("name", vec![name]),
            ("roles", vec!["cache_purger", "dns_manager"]),
            ("subaccount", vec![alpha.as_str()]),
            ("tier", vec!["pro"]),
            ("user", vec![user.user_id.as_str()]),
        ];
        let reported: Vec<_> = reported
            .iter()
            .map(|(name, values)| (name.as_str(), values.clone()))
            .collect();
        let expected: Vec<_> = expected
            .map(|(name, values)| (name, values.iter().map(ToString::to_string).collect()))
            .into();
        assert_eq!(reported, expected);
    }
    let plain = control_plane
        .create_key(json!({ "name": "plain" }))
        .await
        .unwrap();
    let reported = identity(&gateway.ask("/header", Some(&plain.api_key)).await);
    assert!(
        !reported.contains_key("subaccount") && !reported.contains_key("roles"),
        "{reported:?}"
    );
}

/// Each case has a rule, the key's owner and the key's subaccounts, and the subaccounts that the
/// key may act on.
#[tokio::test]
async fn subaccount_rules_hold_in_each_place() {
    let gateway = gateway().await;
    let control_plane = &gateway.control_plane;
    let alpha = control_plane.create_subaccount("alpha").await.unwrap();
    let beta = control_plane.create_subaccount("beta").await.unwrap();
    let owner = json!({ "email": "o@example.com", "permissions": ["account:apikeys:create"], "subaccounts": [alpha] });
    let owner = control_plane.create_user(owner).await.unwrap();

    let administrators = async |name: &str, subaccounts: Value| {
        let key = json!({ "name": name, "allowed_subaccounts": subaccounts });
        control_plane.create_key(key).await.unwrap().api_key
    };
    let every = administrators("all of the account's", json!([])).await;
    let one = administrators("one of them", json!([alpha])).await;
    let both = administrators("two of them", json!([alpha, beta])).await;
    let owners = control_plane
        .create_key_of(&owner, json!({ "name": "all of its owner's" }))
        .await
        .unwrap()
        .api_key;
    let gamma = control_plane.create_subaccount("gamma").await.unwrap();

    let table = [
        (
            "all of the account's, those made later too",
            &every,
            [true, true, true],
            true,
        ),
        ("a list of one", &one, [true, false, false], false),
        ("a list of two", &both, [true, true, false], false),
        ("all of its owner's", &owners, [true, false, false], false),
    ];
    for (rule, key, may, may_name_none) in table {
        for (subaccount, may) in [&alpha, &beta, &gamma].into_iter().zip(may) {
            for answer in ask_everywhere(&gateway, key, subaccount).await {
                let (status, code) = if may {
                    (200, "")
                } else {
                    (403, "subaccount_denied")
                };
                assert_eq!(
                    (answer.status, answer.code()),
                    (status, code),
                    "{rule}: {subaccount}: {}",
                    answer.body
                );
                if may {
                    assert_eq!(
                        identity(&answer)["subaccount"],
                        [subaccount.as_str()],
                        "{rule}"
                    );
                }
            }
        }
        for path in ["/header", "/query", "/query?a=b"] {
            let answer = gateway.ask(path, Some(key)).await;
            assert_eq!(
                answer.code(),
                if may_name_none {
                    ""
                } else {
                    "subaccount_denied"
                },
                "{rule}: none at {path}"
            );
        }
        for answer in ask_everywhere(&gateway, key, "sub_000000000000").await {
            assert_eq!(
                answer.code(),
                "subaccount_denied",
                "{rule}: one that there is not"
            );
        }
        assert_eq!(
            gateway.ask("/elsewhere", Some(key)).await.status,
            200,
            "{rule}: where none is asked for"
        );
    }

    let kept_to_beta = json!({ "subaccounts": [beta] });
    let path = format!("/v1/users/{}", owner.user_id);
    control_plane
        .change(Method::PATCH, &path, kept_to_beta)
        .await
        .unwrap();
    for (subaccount, status) in [(&alpha, 403), (&beta, 200)] {
        for answer in ask_everywhere(&gateway, &owners, subaccount).await {
            assert_eq!(
                answer.status, status,
                "an owner's other subaccounts are their keys' on the next request"
            );
        }
    }
    control_plane
        .change(
            Method::DELETE,
            &format!("/v1/subaccounts/{gamma}"),
            json!({}),
        )
        .await
        .unwrap();
    for answer in ask_everywhere(&gateway, &every, &gamma).await {
        assert_eq!(
            answer.code(),
            "subaccount_denied",
            "a subaccount that is no more"
        );
    }
}

#[tokio::test]
async fn unclear_subaccount_is_denied() {
    let gateway = gateway().await;
    let control_plane = &gateway.control_plane;
    let alpha = control_plane.create_subaccount("alpha").await.unwrap();
    let beta = control_plane.create_subaccount("beta").await.unwrap();
    let key = control_plane
        .create_key(json!({ "name": "all of the account's" }))
        .await
        .unwrap()
        .api_key;
    let escaped = alpha.replacen('s', "%73", 1);
    let table: [(&str, String, Vec<&str>, bool); 13] = [
        (
            "two headers",
            "/header".to_owned(),
            vec![&alpha, &beta],
            false,
        ),
        (
            "the same header twice",
            "/header".to_owned(),
            vec![&alpha, &alpha],
            false,
        ),
        (
            "a list in a header",
            "/header".to_owned(),
            vec!["a, b"],
            false,
        ),
        ("an empty header", "/header".to_owned(), vec![""], false),
        (
            "escapes in a header, where there are none",
            "/header".to_owned(),
            vec![&escaped],
            false,
        ),
        (
            "two parameters",
            format!("/query?sub={alpha}&sub={beta}"),
            vec![],
            false,
        ),
        (
            "the same parameter twice",
            format!("/query?sub={alpha}&sub={alpha}"),
            vec![],
            false,
        ),
        (
            "a second one whose name is escaped",
            format!("/query?sub={alpha}&%73ub={beta}"),
            vec![],
            false,
        ),
        (
            "a second one behind a semicolon",
            format!("/query?sub={alpha}&x=y;sub={beta}"),
            vec![],
            false,
        ),
        (
            "an empty parameter",
            "/query?sub=".to_owned(),
            vec![],
            false,
        ),
        (
            "escapes in a parameter",
            format!("/query?sub={escaped}"),
            vec![],
            true,
        ),
        (
            "a parameter of a similar name",
            format!("/query?subs={beta}&sub={alpha}"),
            vec![],
            true,
        ),
        (
            "escapes in the path",
            format!("/path/{escaped}/records"),
            vec![],
            true,
        ),
    ];
    for (what, path, values, passes) in table {
        let mut headers = vec![("x-api-key", key.as_str())];
        headers.extend(values.into_iter().map(|value| ("x-subaccount", value)));
        let answer = gateway.ask_with(&path, &headers).await;
        if passes {
            assert_eq!(answer.status, 200, "{what}: {}", answer.body);
            assert_eq!(identity(&answer)["subaccount"], [alpha.as_str()], "{what}");
        } else {
            assert_eq!(
                (answer.status, answer.code()),
                (403, "subaccount_denied"),
                "{what}"
            );
        }
    }
}
