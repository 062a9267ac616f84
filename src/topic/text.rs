//! Short text without an allocation of its own.

/// Immutable text that lies in place up to `N` bytes and in its own allocation beyond.
///
/// Most filters and nearly all pieces of them are short: in place they save the allocation, its
/// overhead and the cache miss of every comparison. `N` of 6 + 8n leaves no padding.
#[derive(Debug)]
pub(super) enum Text<const N: usize> {
    /// The first `len` of `bytes`.
    Short { len: u8, bytes: [u8; N] },
    /// More than `N` bytes.
    Long(Box<[u8]>),
}

impl<const N: usize> Text<N> {
    pub(super) fn new(text: &[u8]) -> Self {
        let mut bytes = [0; N];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(text);
                Self::Short { len, bytes }
            }
            _ => Self::Long(text.into()),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_any_length_reads_back() {
        for length in [0, 1, 21, 22, 23, 300] {
            let text = vec![b'x'; length];
            assert_eq!(Text::<22>::new(&text).as_bytes(), text);
        }
    }

    #[test]
    fn text_has_no_padding() {
        assert_eq!(size_of::<Text<22>>(), 24);
        assert_eq!(size_of::<Text<38>>(), 40);
    }
}
