//! A model of the upstreams: each reading of a path, and the access that it gives.

use super::{Access, RULES};

/// Returns the readings of a path by upstreams of different habits, as segments without escapes.
/// All upstreams resolve dots and merge slashes. Some also undo escapes twice, take `\` for `/`,
/// drop the part after a `;`, stop at a NUL, or resolve dots before they undo escapes.
pub(super) fn readings(target: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let path = target
        .split(|byte| matches!(byte, b'?' | b'#'))
        .next()
        .unwrap_or_default();
    let once = decoded(path);
    let texts = [
        once.clone(),
        decoded(&once),
        decoded(&resolved(path).join(&b'/')),
    ];
    let habits = (0..8).flat_map(|habits| texts.iter().map(move |text| (habits, text)));
    habits
        .map(|(habits, text)| {
            let mut text = text.clone();
            if habits & 1 > 0 {
                text.iter_mut()
                    .filter(|byte| **byte == b'\\')
                    .for_each(|byte| *byte = b'/');
            }
            if habits & 2 > 0 {
                let segments = text
                    .split(|byte| *byte == b'/')
                    .map(|segment| before(segment, b';'));
                text = segments.collect::<Vec<_>>().join(&b'/');
            }
            if habits & 4 > 0 {
                text = before(&text, 0).to_vec();
            }
            resolved(&text)
        })
        .collect()
}

pub(super) fn before(bytes: &[u8], end: u8) -> &[u8] {
    bytes.split(|byte| *byte == end).next().unwrap_or_default()
}

pub(super) fn decoded(text: &[u8]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let [byte, behind @ ..] = rest {
        let digits = behind
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match digits
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|_| *byte == b'%')
        {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*byte);
                rest = behind;
            }
        }
    }
    bytes
}

/// Returns the segments that are left when empty ones are dropped and dots resolved.
pub(super) fn resolved(path: &[u8]) -> Vec<Vec<u8>> {
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            _ => segments.push(segment.to_vec()),
        }
    }
    segments
}

/// Returns the access of the rule that applies to the path in this reading.
pub(super) fn access(segments: &[Vec<u8>]) -> Access {
    let rule = RULES
        .iter()
        .find(|(prefix, _)| segments.starts_with(&resolved(&decoded(prefix.as_bytes()))));
    rule.map_or(Access::Nobody, |(_, access)| *access)
}

#[test]
pub(super) fn hidden_paths_have_a_refused_reading() {
    let hiding: [&[u8]; 9] = [
        b"/zones//secret",
        b"/public/../zones/secret",
        b"/public/%2e%2e/zones/secret",
        b"/public/..;/zones/secret",
        b"/zones/secret;x=1",
        b"/zones%5Csecret",
        b"/zones/%2573ecret",
        b"/zones/secret%00x",
        b"/public/..%2fzones%2fsecret",
    ];
    for path in hiding {
        let found = readings(path)
            .iter()
            .any(|reading| access(reading) == Access::Nobody);
        assert!(found, "{}", path.escape_ascii());
    }
    assert!(
        readings(b"/caf%c3%a9/7?/../x")
            .iter()
            .all(|reading| access(reading) == Access::Key)
    );
}
