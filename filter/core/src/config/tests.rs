//! Valid configurations, and the errors of invalid ones.

use super::*;

fn errors(json: &str) -> Vec<String> {
    match Config::parse(json.as_bytes()) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn smallest_configuration_names_the_control_plane() {
    let config = Config::parse(br#"{"control_plane":{"cluster":"latchkey","token":"secret"}}"#)
        .ok()
        .unwrap();
    assert_eq!(config.control_plane.cluster, "latchkey");
    assert!(config.control_plane.token == TokenSource::Given("secret".to_owned()));
    assert_eq!(config.instance, "latchkey");
    assert_eq!(config.keys, KeyFormat::default());
    assert_eq!(config.credentials, CredentialSources::default());
    assert_eq!(config.credentials.headers, ["x-api-key"]);
    assert!(config.credentials.bearer && !config.credentials.forward);
    assert_eq!(
        (
            config.identity_headers.len(),
            config.max_staleness,
            config.shadow.len()
        ),
        (0, None, 0)
    );
    assert_eq!(
        (config.trusted_hops, config.health_path, config.end_streams),
        (None, None, EndStreams::Upgrades)
    );
}

#[test]
fn every_field_can_be_set() {
    let json = br#"{"control_plane":{"cluster":"c","token":"t"}, "max_staleness_seconds": 60,
        "credentials": {"headers":["X-Key","apikey"],"bearer":false,"query":"key","cookie":"k","forward":true},
        "identity_headers": {"X-Consumer-Id":"key","x-tier":"tier"}, "shadow": ["expired_key","ip_denied"],
        "client_address": {"xff_trusted_hops": 2}, "health_path": "/ready", "end_streams": "all"}"#;
    let config = Config::parse(json).ok().unwrap();
    let sources = CredentialSources {
        headers: vec!["x-key".into(), "apikey".into()],
        bearer: false,
        query: Some("key".into()),
        cookie: Some("k".into()),
        forward: true,
    };
    assert_eq!(config.credentials, sources);
    let headers = [
        ("x-consumer-id".to_owned(), Field::Key),
        ("x-tier".to_owned(), Field::Tier),
    ];
    assert_eq!(config.identity_headers, headers);
    assert_eq!(config.max_staleness, Some(60_000_000_000));
    assert_eq!(
        (config.trusted_hops, config.end_streams),
        (Some(2), EndStreams::All)
    );
    assert_eq!(config.health_path.as_deref(), Some("/ready"));
    assert_eq!(config.shadow, [Code::ExpiredKey, Code::IpDenied]);
}

#[test]
fn meaningless_configuration_is_refused() {
    let with = |more: &str| {
        errors(&format!(
            r#"{{"control_plane":{{"cluster":"c","token":"t"}},{more}}}"#
        ))
    };
    assert_eq!(
        with(r#""credentials":{"headers":[],"bearer":false}"#),
        ["credentials: must name at least one place for keys"]
    );
    assert_eq!(
        with(
            r#""credentials":{"headers":["a b","Authorization"],"query":"a=b","cookie":7,"hide":true}"#
        ),
        [
            "credentials.headers[0]: must be the name of a header",
            "credentials.headers[1]: is a header with another use",
            "credentials.query: must be a name of letters, digits and !$'*-.^_`|~",
            "credentials.cookie: must be a string, not a number",
            "credentials.hide: is unknown",
        ]
    );
    assert_eq!(
        with(r#""identity_headers":{"x-latchkey-identity":"key","x-id":"id"}"#),
        [
            "identity_headers.x-id: must be one of key, name, account, user, subaccount, roles, tier, env",
            "identity_headers.x-latchkey-identity: is a header with another use",
        ]
    );
    assert_eq!(
        with(
            r#""identity_headers":{"X-Tier":"tier","x-tier":"key","x_id":"key","content-length":"key"}"#
        ),
        [
            "identity_headers.content-length: is a header with another use",
            "identity_headers.x-tier: appears twice",
            "identity_headers.x_id: must not have an underscore, because some upstreams treat it as a hyphen",
        ]
    );
    assert_eq!(
        with(r#""identity_headers":{"x.latchkey.identity":"key","x-id":"key","x.id":"name"}"#),
        [
            "identity_headers.x.id: is the same as x-id to some upstreams",
            "identity_headers.x.latchkey.identity: is the same as x-latchkey-identity to some upstreams",
        ]
    );
    assert_eq!(
        with(
            r#""client_address":{"xff_trusted_hops":101},"end_streams":"some","health_path":"health?""#
        ),
        [
            "client_address.xff_trusted_hops: must be a whole number from 0 to 100",
            "end_streams: must be one of off, upgrades, all",
            "health_path: must be a path that begins with /, in printable ASCII without ? and #",
        ]
    );
    assert_eq!(
        with(r#""client_address":{}"#),
        ["client_address.xff_trusted_hops: is required"]
    );
    for path in ["", "x", "/a?b", "/a#b", "/a b", "/é"] {
        assert_eq!(
            with(&format!(r#""health_path":"{path}""#)).len(),
            1,
            "{path}"
        );
    }
    for query in ["a+b", "a&b", "a#b", ""] {
        let told = with(&format!(r#""credentials":{{"query":"{query}"}}"#));
        assert_eq!(
            told,
            ["credentials.query: must be a name of letters, digits and !$'*-.^_`|~"],
            "{query}"
        );
    }
    for seconds in ["0", "-1", "1.5", "\"60\"", "31536001"] {
        let told = with(&format!(r#""max_staleness_seconds":{seconds}"#));
        assert_eq!(
            told,
            ["max_staleness_seconds: must be a whole number from 1 to 31536000"]
        );
    }
    assert_eq!(
        with(r#""rate_limit_headers":["ietf","none"]"#),
        ["rate_limit_headers[1]: must be one of x-ratelimit, ietf"]
    );
    assert_eq!(
        with(r#""shadow":"expired_key""#),
        ["shadow: must be a list of strings"]
    );
    assert!(
        with(r#""shadow":["expired_key","not_ready"]"#)[0]
            .starts_with("shadow[1]: must be one of missing_key, ")
    );
}

#[test]
fn key_prefix_can_be_set() {
    let json = br#"{"control_plane":{"cluster":"c","token":"t"},"key_prefix":"vg"}"#;
    assert_eq!(
        Config::parse(json).ok().unwrap().keys,
        KeyFormat::new("vg").unwrap()
    );
}

#[test]
fn all_configuration_errors_are_reported() {
    assert_eq!(
        errors(
            r#"{"control_plane":{"cluster":7,"token":"","url":"x"},"key_prefix":"L_K","prefix":"lk"}"#
        ),
        [
            "control_plane.cluster: must be a string, not a number",
            "control_plane.token: must be non-empty printable ASCII without spaces",
            "control_plane.url: is unknown",
            "key_prefix: must be 1 to 16 lower-case letters and digits, beginning with a letter",
            "prefix: is unknown",
        ]
    );
}

#[test]
fn missing_field_or_object_is_reported() {
    assert_eq!(errors("{}"), ["control_plane: is required"]);
    assert_eq!(
        errors(r#"{"control_plane":{}}"#),
        [
            "control_plane.cluster: is required",
            "control_plane.token: is required"
        ]
    );
    assert_eq!(
        errors(r#"{"control_plane":null}"#),
        ["control_plane: must be an object, not null"]
    );
    assert_eq!(
        errors("[]"),
        ["configuration: must be an object, not an array"]
    );
    let long = format!(
        r#"{{"control_plane":{{"cluster":"{}","token":"t"}}}}"#,
        "c".repeat(101)
    );
    assert_eq!(
        errors(&long),
        ["control_plane.cluster: must have at most 100 characters"]
    );
    assert_eq!(
        errors(" "),
        ["configuration: is empty; it must be a JSON object"]
    );
    assert!(errors("{")[0].starts_with("configuration: is not JSON: "));
    assert!(errors("\u{0}\u{ff}")[0].starts_with("configuration: is not JSON: "));
}

#[test]
fn token_comes_from_configuration_or_environment() {
    let with = |fields: &str| {
        errors(&format!(
            r#"{{"control_plane":{{"cluster":"c",{fields}}}}}"#
        ))
    };
    let config =
        Config::parse(br#"{"control_plane":{"cluster":"c","token_env":"LATCHKEY_NODE_TOKEN"}}"#)
            .ok()
            .unwrap();
    assert!(
        config.control_plane.token == TokenSource::Environment("LATCHKEY_NODE_TOKEN".to_owned())
    );
    assert_eq!(
        with(r#""token":"t","token_env":"T""#),
        ["control_plane.token_env: cannot be combined with token"]
    );
    for name in ["A=B", "", "A B"] {
        let told = with(&format!(r#""token_env":"{name}""#));
        assert!(
            told.len() == 1 && told[0].starts_with("control_plane.token_env: must be "),
            "{told:?}"
        );
    }
    assert_eq!(
        with(r#""token_env":7"#),
        ["control_plane.token_env: must be a string, not a number"]
    );
}

#[test]
fn instance_is_a_short_name() {
    let with = |instance: &str| {
        Config::parse(
            format!(r#"{{"control_plane":{{"cluster":"c","token":"t"}},"instance":"{instance}"}}"#)
                .as_bytes(),
        )
    };
    assert_eq!(with("edge-2").ok().unwrap().instance, "edge-2");
    for instance in ["", "Edge", "a/b", "a_b", &"a".repeat(65)] {
        let told = with(instance).err().unwrap();
        assert_eq!(
            told[0].to_string(),
            "instance: must be 1 to 64 lower-case letters, digits and hyphens"
        );
    }
}
