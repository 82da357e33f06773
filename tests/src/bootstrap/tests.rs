//! Tests of the changes to the shipped configuration.

use serde_json::json;

use super::*;

fn sample() -> Bootstrap {
    let text = "filters:\n  - name: latchkey\n    configuration:\n      value: |\n        { \"a\": {\"b\": \"${TOKEN}\"},\n          \"c\": 1 }\n  - name: guard\n    deep:\n      er: 1\n\n  - name: router\n";
    Bootstrap {
        text: text.to_owned(),
    }
}

#[test]
fn shipped_file_takes_every_change() {
    let mut bootstrap = Bootstrap::shipped().unwrap();
    bootstrap.remove_http_filter("guard").unwrap();
    bootstrap.use_http2_upstream().unwrap();
    bootstrap
        .replace("failure_policy: FAIL_RELOAD", "failure_policy: FAIL_CLOSED")
        .unwrap();
    bootstrap
        .replace("vm_id: latchkey", "vm_id: other")
        .unwrap();
    bootstrap
        .merge_configuration(&json!({"control_plane": {"token": "secret"}}))
        .unwrap();
    assert!(!bootstrap.text.contains("RBAC"));
    assert_eq!(bootstrap.text.matches("http2_protocol_options:").count(), 3);
    assert!(bootstrap.text.contains("envoy.filters.http.router"));
}

#[test]
fn shipped_file_takes_other_filters() {
    let mut bootstrap = Bootstrap::shipped().unwrap();
    bootstrap
        .replace_http_filters("- name: another\n  deeper: 1")
        .unwrap();
    bootstrap.answer_itself().unwrap();
    bootstrap.add_listener_beside().unwrap();
    let text = &bootstrap.text;
    let place = text
        .find("\n                  - name: another\n                    deeper: 1\n")
        .unwrap();
    assert!(text[place..].contains("envoy.filters.http.router"));
    assert!(
        !text.contains("stamped-by-latchkey") && !text.contains("access_loggers"),
        "{text}"
    );
    assert_eq!(
        (
            text.matches("direct_response").count(),
            text.matches("- name: beside").count()
        ),
        (2, 1)
    );
}

/// It differs in name, port and configuration only.
#[test]
fn second_gateway_differs_where_needed() {
    let mut bootstrap = Bootstrap::shipped().unwrap();
    bootstrap
        .add_second_gateway(&json!({"key_prefix": "other"}))
        .unwrap();
    bootstrap
        .merge_configuration(&json!({"key_prefix": "one"}))
        .unwrap();
    bootstrap.leave_out_stat("a.stat").unwrap();
    let text = &bootstrap.text;
    let second = text.find("- name: second").unwrap();
    let (one, other) = (
        text.find(r#"\"one\""#).unwrap(),
        text.find(r#"\"other\""#).unwrap(),
    );
    assert!(one < second && second < other, "{text}");
    for both in [
        "vm_id: latchkey",
        "- name: guard",
        "${FILTER_WASM}",
        "${NODE_TOKEN}",
    ] {
        assert_eq!(
            text.lines()
                .filter(|line| line.contains(both) && !line.starts_with('#'))
                .count(),
            2,
            "{both}"
        );
    }
    assert!(text.contains("\nstats_config:\n  stats_matcher:"), "{text}");
}

#[test]
fn listeners_move_to_a_file_without_clusters() {
    let mut bootstrap = Bootstrap::shipped().unwrap();
    bootstrap.add_listener_beside().unwrap();
    bootstrap
        .add_stream("127.0.0.9:7".parse().unwrap())
        .unwrap();
    let listeners = bootstrap
        .split_listeners(Path::new("/tmp/lds.yaml"), 3)
        .unwrap();
    assert!(
        listeners.starts_with("version_info: \"3\"\nresources:\n    - \"@type\": "),
        "{listeners}"
    );
    assert_eq!(listeners.matches(LISTENER).count(), 2);
    assert!(
        listeners.contains("- name: guard") && !listeners.contains("clusters:"),
        "{listeners}"
    );
    let text = bootstrap.into_text();
    assert!(
        text.contains("path_config_source: { path: \"/tmp/lds.yaml\" }"),
        "{text}"
    );
    assert!(
        !text.contains("- name: guard") && text.ends_with("\"127.0.0.9\", port_value: 7 } } }\n"),
        "{text}"
    );
}

#[test]
fn filter_is_removed_with_its_block_only() {
    let mut bootstrap = sample();
    bootstrap.remove_http_filter("guard").unwrap();
    assert!(
        bootstrap.text.ends_with("\"c\": 1 }\n  - name: router\n"),
        "{}",
        bootstrap.text
    );
    assert!(bootstrap.remove_http_filter("guard").is_err());
}

#[test]
fn merged_configuration_is_still_filled_in() {
    let mut bootstrap = sample();
    bootstrap
        .merge_configuration(&json!({"a": {"d": [2]}, "c": null}))
        .unwrap();
    let text = bootstrap.fill(&[("TOKEN", "t".to_owned())]).unwrap();
    let expected = r#"      value: "{\"a\":{\"b\":\"t\",\"d\":[2]}}""#;
    assert!(text.lines().any(|line| line == expected), "{text}");
}

#[test]
fn unfilled_or_unknown_variable_is_an_error() {
    assert!(
        sample()
            .fill(&[])
            .unwrap_err()
            .to_string()
            .contains("TOKEN")
    );
    assert!(
        sample()
            .fill(&[("TOKEN", String::new()), ("PORT", String::new())])
            .is_err()
    );
}
