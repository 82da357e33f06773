//! The shape of refusals and their texts.

use super::*;
use crate::limit::Window;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn every_refusal_has_the_contract_json_shape() {
    for code in Code::ALL {
        let Some(refusal) = code.refusal(None) else {
            assert!(code.passes());
            continue;
        };
        let body: serde_json::Value = serde_json::from_str(&refusal.body).unwrap();
        let mut fields: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
        fields.sort();
        assert_eq!(fields, ["code", "error", "message", "status"]);
        assert_eq!(body["status"], "error");
        assert_eq!(body["code"], code.as_str());
        assert_eq!(refusal.details, format!("latchkey_{}", code.as_str()));
        assert_eq!(refusal.challenge.is_some(), refusal.status == 401);
        let grpc_status = match refusal.status {
            401 => 16,
            403 => 7,
            429 => 8,
            503 => 14,
            other => panic!("{other}"),
        };
        assert_eq!(refusal.grpc_status as u32, grpc_status);
    }
}

#[test]
fn a_challenge_names_an_accepted_scheme() {
    for code in Code::ALL {
        let Some(challenge) = code.refusal(None).and_then(|refusal| refusal.challenge) else {
            continue;
        };
        let error = if code == Code::MissingKey {
            ""
        } else {
            r#", error="invalid_token""#
        };
        assert_eq!(
            challenge.header(true),
            format!(r#"Bearer realm="latchkey"{error}"#),
            "{code:?}"
        );
        assert_eq!(challenge.header(false), r#"ApiKey realm="latchkey""#);
    }
}

#[test]
fn limit_is_described_in_contract_words() {
    let told = |window, limit, retry_after: i64| {
        let refusal = Code::RateLimited
            .refusal(Some(Exhausted {
                window,
                limit,
                retry_after,
            }))
            .unwrap();
        assert_eq!(refusal.retry_after, Some(retry_after));
        refusal.body.into_owned()
    };
    assert_eq!(
        told(Window::Minute, 100, 45),
        r#"{"status":"error","code":"rate_limited","message":"Rate limit exceeded","error":"You have exceeded your rate limit of 100 requests per minute. Please wait 45 seconds before retrying."}"#
    );
    assert!(told(Window::Day, 1, 1).contains("of 1 request per day. Please wait 1 second before"));
}
