//! The signature of a delivery, by [Standard
//! Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md):
//! HMAC-SHA256 over `{id}.{timestamp}.{body}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use latchkey_model::secret::WebhookSecret;
use sha2::Sha256;

/// The block length of SHA-256, in bytes.
const BLOCK_LEN: usize = 64;

/// Returns `v1,` and the signature in base64, for a delivery that is sent at `timestamp`, in Unix
/// seconds.
pub(super) fn sign(secret: &WebhookSecret, id: &str, timestamp: i64, body: &str) -> String {
    // RFC 2104: a key that is shorter than a block is padded with zeros.
    let mut key = [0; BLOCK_LEN];
    key.iter_mut()
        .zip(secret.as_bytes())
        .for_each(|(to, from)| *to = *from);
    let mut mac = Hmac::<Sha256>::new(&key.into());
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body.as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector of the standard's own libraries.
    #[test]
    fn signature_matches_the_standards_test_vector() {
        let secret =
            WebhookSecret::from(STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap());
        let signature = sign(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
