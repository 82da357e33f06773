//! The segments of a rule's path.

/// A segment of a rule's path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Segment {
    /// A literal segment, with its escapes decoded.
    Literal(Box<str>),
    /// Any segment, by this name.
    Parameter(Box<str>),
}

impl Segment {
    /// Returns the text of a literal segment.
    pub(super) fn literal(&self) -> Option<&str> {
        match self {
            Self::Literal(text) => Some(text),
            Self::Parameter(_) => None,
        }
    }
}
