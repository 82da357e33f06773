//! The headers of a request, read at once: each single look-up at the host would cost as much as
//! reading them all.

use std::borrow::Cow;

/// The size of a number, in bytes.
const NUMBER_LEN: usize = 4;

/// Headers and pseudo-headers, with names in lower case, in the ABI's form of a header map: the
/// number of headers, the lengths of name and value of each, and then each name and each value
/// followed by a NUL. Numbers are 32 bits, little-endian.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestHeaders {
    bytes: Vec<u8>,
    /// The position at which the names and values begin.
    content: usize,
}

impl RequestHeaders {
    /// Reads a header map; `None` if it does not have the ABI's form.
    #[inline]
    pub fn read(bytes: Vec<u8>) -> Option<Self> {
        let count = if bytes.is_empty() {
            0
        } else {
            usize::try_from(number(&bytes)?).ok()?
        };
        let content = count
            .checked_mul(2 * NUMBER_LEN)
            .and_then(|lengths| lengths.checked_add(NUMBER_LEN));
        let headers = Self {
            bytes,
            content: content?,
        };

        // Every header has to be there: otherwise it is not known which are missing.
        (headers.iter().count() == count).then_some(headers)
    }

    /// Encodes headers in the ABI's form.
    pub fn encode<'h>(headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>) -> Option<Vec<u8>> {
        let (mut lengths, mut content, mut count) = (Vec::new(), Vec::new(), 0u32);
        for (name, value) in headers {
            count = count.checked_add(1)?;
            for text in [name, value] {
                lengths.extend_from_slice(&u32::try_from(text.len()).ok()?.to_le_bytes());
                content.extend_from_slice(text);
                content.push(0);
            }
        }
        Some([&count.to_le_bytes()[..], &lengths, &content].concat())
    }

    /// Returns names and values, in the order in which they came.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (lengths, content) = self
            .bytes
            .split_at_checked(self.content)
            .unwrap_or_default();
        let lengths = lengths.get(NUMBER_LEN..).unwrap_or_default();
        Iter { lengths, content }
    }

    /// Returns the values of the headers of this name.
    #[inline]
    pub fn all<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.iter()
            .filter(move |(other, _)| *other == name.as_bytes())
            .map(|(_, value)| value)
    }

    /// Returns whether there is a header of this name.
    #[inline]
    pub fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Returns how the request says that it is gRPC, if it is (`application/grpc`, with a subtype
    /// or parameters; not gRPC-Web).
    #[inline]
    pub fn grpc(&self) -> Option<Grpc> {
        let rest = self
            .all("content-type")
            .find_map(|value| value.strip_prefix(b"application/grpc"))?;
        match rest.first() {
            Some(b';' | b' ') => Some(Grpc::WithParameters),
            Some(b'+') if rest.contains(&b';') => Some(Grpc::WithParameters),
            None | Some(b'+') => Some(Grpc::Plain),
            Some(_) => None,
        }
    }

    /// Returns the value of a header. If the header was sent more than once, its values are joined
    /// by commas (RFC 9110, section 5.3).
    #[inline]
    pub fn get(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let mut values = self.all(name);
        let first = values.next()?;
        Some(values.fold(Cow::Borrowed(first), |mut joined, value| {
            joined.to_mut().extend_from_slice(b",");
            joined.to_mut().extend_from_slice(value);
            joined
        }))
    }
}

/// The form in which a request says that it is gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grpc {
    /// A media type that Envoy recognizes as well.
    Plain,
    /// A media type with parameters, which Envoy does not take for gRPC.
    WithParameters,
}

struct Iter<'h> {
    lengths: &'h [u8],
    content: &'h [u8],
}

impl<'h> Iterator for Iter<'h> {
    type Item = (&'h [u8], &'h [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (lengths, rest) = self.lengths.split_first_chunk::<{ 2 * NUMBER_LEN }>()?;
        self.lengths = rest;
        let [n0, n1, n2, n3, v0, v1, v2, v3] = *lengths;
        let mut text = |length: [u8; NUMBER_LEN]| {
            let (text, rest) = self
                .content
                .split_at_checked(usize::try_from(u32::from_le_bytes(length)).ok()?)?;
            // The NUL.
            self.content = rest.split_first()?.1;
            Some(text)
        };
        Some((text([n0, n1, n2, n3])?, text([v0, v1, v2, v3])?))
    }
}

#[inline]
fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: [(&str, &str); 5] = [
        (":path", "/"),
        ("x-api-key", "one"),
        ("accept", ""),
        ("x-api-key", "two"),
        ("x-api", "three"),
    ];

    fn encoded(headers: &[(&str, &str)]) -> Vec<u8> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        RequestHeaders::encode(headers).unwrap()
    }

    #[test]
    fn sent_headers_are_read() {
        let headers = RequestHeaders::read(encoded(&SENT)).unwrap();
        let read: Vec<_> = headers.iter().collect();
        assert_eq!(
            read,
            SENT.map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        );
        assert_eq!(
            headers.all("x-api-key").collect::<Vec<_>>(),
            [b"one", b"two"]
        );
        assert_eq!(headers.get("x-api-key").as_deref(), Some(&b"one,two"[..]));
        assert!(matches!(headers.get("accept"), Some(Cow::Borrowed(b""))));
        assert!(headers.has("x-api") && !headers.has("x-ap") && headers.get("x-ap").is_none());
    }

    #[test]
    fn grpc_is_recognized_by_content_type() {
        let grpc = |value: &str| {
            RequestHeaders::read(encoded(&[("content-type", value)]))
                .unwrap()
                .grpc()
        };
        for (value, expected) in [
            ("application/grpc", Some(Grpc::Plain)),
            ("application/grpc+proto", Some(Grpc::Plain)),
            ("application/grpc;charset=utf-8", Some(Grpc::WithParameters)),
            ("application/grpc ; a", Some(Grpc::WithParameters)),
            ("application/grpc+proto;a=b", Some(Grpc::WithParameters)),
            ("application/grpc-web", None),
            ("application/grpcx", None),
            ("application/json", None),
            ("", None),
        ] {
            assert_eq!(grpc(value), expected, "{value}");
        }
        assert_eq!(RequestHeaders::default().grpc(), None);
    }

    #[test]
    fn empty_headers_are_read() {
        for none in [Vec::new(), encoded(&[])] {
            assert_eq!(RequestHeaders::read(none).unwrap().iter().count(), 0);
        }
    }

    #[test]
    fn truncated_or_oversized_headers_are_refused() {
        let whole = encoded(&SENT);
        for end in 1..whole.len() {
            assert!(
                RequestHeaders::read(whole[..end].to_vec()).is_none(),
                "{end}"
            );
        }
        for at in 0..NUMBER_LEN + SENT.len() * 2 * NUMBER_LEN {
            let mut damaged = whole.clone();
            damaged[at] = 0xff;
            assert!(RequestHeaders::read(damaged).is_none(), "{at}");
        }
    }
}
