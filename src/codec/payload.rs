//! The payload of a message, in one piece or, where it was too large to be read in one, in several.

/// Bytes of a payload, borrowed from wherever they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Payload<'a> {
    first: &'a [u8],
    /// What follows `first`, if it is not all.
    pieces: Option<&'a Pieces>,
}

/// A payload as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pieces {
    chunks: Vec<Vec<u8>>,
    /// Where it begins in the first.
    start: usize,
    len: usize,
}

impl Pieces {
    /// A payload that begins at `start` in the first of `chunks`.
    pub(crate) fn new(chunks: Vec<Vec<u8>>, start: usize) -> Self {
        let len = chunks.iter().map(Vec::len).sum::<usize>() - start;
        Self { chunks, start, len }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn payload(&self) -> Payload<'_> {
        let first = self
            .chunks
            .first()
            .and_then(|first| first.get(self.start..));
        Payload {
            first: first.unwrap_or_default(),
            pieces: Some(self),
        }
    }

    fn rest(&self) -> &[Vec<u8>] {
        self.chunks.get(1..).unwrap_or_default()
    }
}

impl<'a> Payload<'a> {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.pieces.map_or(self.first.len(), |pieces| pieces.len)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its pieces, in order.
    pub(crate) fn pieces(self) -> impl Iterator<Item = &'a [u8]> {
        let rest = self.pieces.map_or(&[][..], Pieces::rest);
        std::iter::once(self.first).chain(rest.iter().map(Vec::as_slice))
    }

    /// Appends it to `out`.
    #[inline]
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.first);
        for piece in self.pieces.map_or(&[][..], Pieces::rest) {
            out.extend_from_slice(piece);
        }
    }

    /// A copy in one piece.
    pub(crate) fn to_vec(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        self.append_to(&mut bytes);
        bytes
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        Self {
            first: bytes,
            pieces: None,
        }
    }
}

impl<'a> From<&'a Vec<u8>> for Payload<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::from(bytes.as_slice())
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::from(bytes.as_slice())
    }
}
