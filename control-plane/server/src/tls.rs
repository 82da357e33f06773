//! The TLS implementation of all clients of this control plane and its commands.

/// Makes every client that is built from now on use ring. Must be called once; further calls have
/// no effect.
pub fn init() {
    // It fails only if a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
