//! The answer to a refused request.

use super::Action;
use super::prepare::VERDICT_STATE;
use crate::headers::Grpc;
use crate::host::{Host, Level, LocalResponse};
use crate::limit_headers::LimitHeaders;
use latchkey_policy::meter::Quota;
use latchkey_policy::verdict::Code;

/// The HTTP status of every answer over gRPC.
const HTTP_OK: u32 = 200;

/// The kinds of answers that a refused client understands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Client {
    /// The client's form of gRPC, if it speaks gRPC.
    pub(super) grpc: Option<Grpc>,
    /// True if the client can send its key as a bearer token.
    pub(super) bearer: bool,
    /// The word that the client put before its key.
    pub(super) word: Option<&'static str>,
}

/// Answers the request with a refusal, and with the headers of the key's limits.
pub(super) fn refuse(
    host: &impl Host,
    code: Code,
    quota: Option<&Quota>,
    limit_headers: &LimitHeaders,
    client: Client,
) -> Action {
    // If this fails, the guard still finds no verdict that it lets through.
    let _ = host.set_filter_state(VERDICT_STATE, code.as_str());
    let Some(refusal) = code.refusal(quota.and_then(|quota| quota.refused_by)) else {
        return Action::Pause;
    };
    let refusal = refusal.naming(client.word);
    let retry_after = refusal.retry_after.map(|seconds| seconds.to_string());
    let grpc_status = (refusal.grpc_status as u32).to_string();
    let by_hand = client.grpc == Some(Grpc::WithParameters);

    let mut headers = if by_hand {
        // The host would answer as over HTTP.
        vec![
            ("content-type", "application/grpc"),
            ("grpc-status", &*grpc_status),
            ("grpc-message", &*refusal.body),
        ]
    } else {
        vec![("content-type", "application/json")]
    };

    headers.extend(
        refusal
            .challenge
            .map(|challenge| ("www-authenticate", challenge.header(client.bearer))),
    );
    headers.extend(
        retry_after
            .as_deref()
            .map(|seconds| ("retry-after", seconds)),
    );
    let mut limits = Vec::new();
    limit_headers.each(|name, value| limits.push((name, value.to_owned())));
    headers.extend(limits.iter().map(|(name, value)| (*name, value.as_str())));

    let response = LocalResponse {
        status: if by_hand { HTTP_OK } else { refusal.status },
        grpc_status: client.grpc.map(|_| refusal.grpc_status),
        details: refusal.details,
        headers: &headers,
        body: if by_hand { "" } else { &refusal.body },
    };

    if host.respond(&response).is_err() {
        host.log(
            Level::Error,
            "Envoy refused to send a response; the request stays paused",
        );
    }

    Action::Pause
}

/// Answers a request for which there is no configuration or no data to decide by.
#[cold]
pub(super) fn refuse_not_ready(host: &impl Host) -> Action {
    refuse(
        host,
        Code::NotReady,
        None,
        &LimitHeaders::default(),
        Client::default(),
    )
}
