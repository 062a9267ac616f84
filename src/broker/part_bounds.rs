//! How much of something long is shown in one piece.

/// How much of something long is shown, or looked at in one go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartBounds {
    pub(crate) count: usize,
    /// Of names; the first one always fits.
    pub(crate) bytes: usize,
}

impl PartBounds {
    /// The first of `all` as far as the bounds go, by the names that `name` gives them.
    pub(super) fn take<T>(
        self,
        all: impl IntoIterator<Item = T>,
        name: impl Fn(&T) -> &str,
    ) -> impl Iterator<Item = T> {
        let mut bytes = 0_usize;
        all.into_iter().take(self.count).take_while(move |entry| {
            let is_first = bytes == 0;
            bytes += name(entry).len().max(1);
            is_first || bytes <= self.bytes
        })
    }
}
