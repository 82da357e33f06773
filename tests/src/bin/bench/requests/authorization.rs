//! The smallest service for Envoy's `ext_authz`: gRPC `envoy.service.auth.v3.Authorization/Check`,
//! which looks the key up in a map and counts its requests.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use anyhow::Result;
use latchkey_policy::key::PlainKey;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, StdError, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic_prost::ProstCodec;

use super::job::LIMIT;
use messages::{
    CheckRequest, CheckResponse, DeniedHttpResponse, Header, HeaderValueOption, HttpStatus,
    OkHttpResponse, Status,
};

const UNAUTHENTICATED: i32 = 16;
const RESOURCE_EXHAUSTED: i32 = 8;
const TOO_MANY_REQUESTS: i32 = 429;

/// The service. It runs as long as the runtime.
pub(crate) struct Authorization {
    pub(crate) address: SocketAddr,
}

/// Starts the service on a free port.
pub(crate) fn serve(keys: impl Iterator<Item = PlainKey>) -> Result<Authorization> {
    let clients = keys.enumerate().map(|(number, key)| {
        (
            key.expose().to_owned(),
            Client {
                name: format!("client-{number}"),
                used: Mutex::default(),
            },
        )
    });
    let check = Check {
        clients: Arc::new(clients.collect()),
        began: Instant::now(),
    };
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    // It ends with the runtime. Earlier errors appear as requests that do not pass.
    tokio::spawn(async move {
        drop(
            Server::builder()
                .add_service(check)
                .serve_with_incoming(incoming)
                .await,
        );
    });
    Ok(Authorization { address })
}

struct Client {
    name: String,
    /// The current minute, and the number of requests in it.
    used: Mutex<(u64, u32)>,
}

impl Client {
    /// Takes one of this minute's requests. Returns true if there was one left.
    fn take(&self, minute: u64) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.0 != minute {
            *used = (minute, 0);
        }
        used.1 += 1;
        used.1 <= LIMIT
    }
}

#[derive(Clone)]
struct Check {
    clients: Arc<HashMap<String, Client>>,
    began: Instant,
}

impl Check {
    fn check(&self, request: &CheckRequest) -> CheckResponse {
        let http = request
            .attributes
            .as_ref()
            .and_then(|all| all.request.as_ref()?.http.as_ref());
        let client = http.and_then(|http| self.clients.get(http.headers.get("x-api-key")?));
        let Some(client) = client else {
            return CheckResponse::denied(UNAUTHENTICATED, 401);
        };
        if !client.take(self.began.elapsed().as_secs() / 60) {
            return CheckResponse::denied(RESOURCE_EXHAUSTED, TOO_MANY_REQUESTS);
        }
        let header = Some(Header {
            key: "x-client-id".to_owned(),
            value: client.name.clone(),
        });
        let ok = OkHttpResponse {
            headers: vec![HeaderValueOption { header }],
            headers_to_remove: vec!["x-api-key".to_owned()],
        };
        CheckResponse {
            status: Some(Status::default()),
            ok_response: Some(ok),
            denied_response: None,
        }
    }
}

impl CheckResponse {
    fn denied(code: i32, http: i32) -> Self {
        let denied = DeniedHttpResponse {
            status: Some(HttpStatus { code: http }),
        };
        Self {
            status: Some(Status { code }),
            denied_response: Some(denied),
            ok_response: None,
        }
    }
}

impl UnaryService<CheckRequest> for Check {
    type Response = CheckResponse;
    type Future = std::future::Ready<Result<tonic::Response<CheckResponse>, tonic::Status>>;

    fn call(&mut self, request: tonic::Request<CheckRequest>) -> Self::Future {
        std::future::ready(Ok(tonic::Response::new(self.check(request.get_ref()))))
    }
}

impl NamedService for Check {
    const NAME: &'static str = "envoy.service.auth.v3.Authorization";
}

/// The service answers every method as `Check`.
impl<B> Service<http::Request<B>> for Check
where
    B: tonic::codegen::Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let check = self.clone();
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(check, request).await) })
    }
}

/// The parts of Envoy's messages that are used here, with Envoy's field numbers.
mod messages {
    use std::collections::HashMap;

    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct CheckRequest {
        #[prost(message, optional, tag = "1")]
        pub(super) attributes: Option<AttributeContext>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct AttributeContext {
        #[prost(message, optional, tag = "4")]
        pub(super) request: Option<Request>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Request {
        #[prost(message, optional, tag = "2")]
        pub(super) http: Option<HttpRequest>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct HttpRequest {
        #[prost(map = "string, string", tag = "3")]
        pub(super) headers: HashMap<String, String>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct CheckResponse {
        #[prost(message, optional, tag = "1")]
        pub(super) status: Option<Status>,
        #[prost(message, optional, tag = "2")]
        pub(super) denied_response: Option<DeniedHttpResponse>,
        #[prost(message, optional, tag = "3")]
        pub(super) ok_response: Option<OkHttpResponse>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Status {
        #[prost(int32, tag = "1")]
        pub(super) code: i32,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct DeniedHttpResponse {
        #[prost(message, optional, tag = "1")]
        pub(super) status: Option<HttpStatus>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct HttpStatus {
        #[prost(int32, tag = "1")]
        pub(super) code: i32,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct OkHttpResponse {
        #[prost(message, repeated, tag = "2")]
        pub(super) headers: Vec<HeaderValueOption>,
        #[prost(string, repeated, tag = "5")]
        pub(super) headers_to_remove: Vec<String>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct HeaderValueOption {
        #[prost(message, optional, tag = "1")]
        pub(super) header: Option<Header>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Header {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(string, tag = "2")]
        pub(super) value: String,
    }
}
