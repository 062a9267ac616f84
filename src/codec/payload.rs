//! The payload of a message, in one piece or, where it was too large to be read in one, in several.

/// Bytes of a payload, borrowed from wherever they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Payload<'a> {
    first: &'a [u8],
    /// What follows `first`.
    rest: &'a [Vec<u8>],
    len: usize,
}

impl<'a> Payload<'a> {
    /// A payload in pieces: `first`, then all of `rest`; `len` bytes together.
    pub(crate) fn in_pieces(first: &'a [u8], rest: &'a [Vec<u8>], len: usize) -> Self {
        debug_assert_eq!(len, first.len() + rest.iter().map(Vec::len).sum::<usize>());
        Self { first, rest, len }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its pieces, in order.
    pub(crate) fn pieces(self) -> impl Iterator<Item = &'a [u8]> {
        std::iter::once(self.first).chain(self.rest.iter().map(Vec::as_slice))
    }

    /// Appends it to `out`.
    #[inline]
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.first);
        for piece in self.rest {
            out.extend_from_slice(piece);
        }
    }

    /// A copy in one piece.
    pub(crate) fn to_vec(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len);
        self.append_to(&mut bytes);
        bytes
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        Self {
            first: bytes,
            rest: &[],
            len: bytes.len(),
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
