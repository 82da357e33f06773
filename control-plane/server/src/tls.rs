//! What TLS is done with, where this control plane or its commands are the client.

/// Has every client that is built from now on use ring. Once for the process; more is harmless.
pub fn init() {
    // It fails only if there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
