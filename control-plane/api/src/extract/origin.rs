//! The origin of a request: its address, its id, and the network that it counts for.

use axum::extract::FromRequestParts;
use axum::http::{Extensions, request::Parts};
use latchkey_model::client_network::ClientNetwork;
use latchkey_server::http::Peer;
use latchkey_store::audit::Origin;
use std::net::IpAddr;
use std::sync::Arc;

use crate::error::ApiError;
use crate::middleware::RequestId;
use crate::{App, client_address};

/// The origin of a request, for the audit.
pub(crate) struct RequestOrigin(pub(crate) Origin);

impl FromRequestParts<Arc<App>> for RequestOrigin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let address =
            client_address::forwarded(&parts.headers, peer(&parts.extensions), app.trusted_hops);
        let request_id = parts
            .extensions
            .get::<RequestId>()
            .map(|RequestId(id)| id.clone());
        Ok(Self(Origin {
            address,
            request_id,
        }))
    }
}

/// The client network that a request counts for.
pub(crate) struct CountedNetwork(pub(crate) ClientNetwork);

impl FromRequestParts<Arc<App>> for CountedNetwork {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let peer = peer(&parts.extensions);
        // If no proxy reports a client, the peer of the connection counts.
        Ok(Self(ClientNetwork::from_address(
            client_address::forwarded(&parts.headers, peer, app.trusted_hops).or(peer),
        )))
    }
}

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions
        .get::<Peer>()
        .map(|Peer(address)| address.ip().to_canonical())
}
