//! Random identifiers, from the operating system's generator.

/// The operating system returned no random bytes. Operations that need them fail.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the operating system's random generator failed: {0}")]
pub struct NoRandomness(#[from] getrandom::Error);

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Overwrites `bytes` with random ones.
pub fn fill(bytes: &mut [u8]) -> Result<(), NoRandomness> {
    Ok(getrandom::fill(bytes)?)
}

/// Returns `len` random characters of 5.95 bits each.
pub fn base62(len: usize) -> Result<String, NoRandomness> {
    let mut text = String::with_capacity(len);
    let mut random = [0; 32];
    while text.len() < len {
        fill(&mut random)?;
        // Six bits of each byte are used. The two values that are not an index into the alphabet
        // are drawn again.
        let drawn = random
            .iter()
            .filter_map(|byte| BASE62.get(usize::from(byte & 63)));
        text.extend(drawn.take(len - text.len()).map(|&byte| char::from(byte)));
    }

    Ok(text)
}

/// The prefixes of ids, before `_`. No name has the form of an id.
pub const ID_KINDS: [&str; 6] = ["acc", "key", "msg", "sub", "usr", "whk"];

/// Returns a new identifier, such as `key_` and 12 characters. `kind` is one of [`ID_KINDS`].
pub fn id(kind: &str) -> Result<String, NoRandomness> {
    debug_assert!(ID_KINDS.contains(&kind), "{kind} is no kind of id");
    Ok(format!(
        "{kind}_{}",
        base62(latchkey_policy::record::KEY_ID_LEN)?
    ))
}
