//! Topic levels: the pieces between the separators `/`.

/// The number of separators in a topic or filter (AWS-LIM-05 counts these).
pub fn slashes(topic: &str) -> usize {
    topic.bytes().filter(|&byte| byte == b'/').count()
}

/// The number of levels of a topic or filter: one more than it has separators, as levels may be
/// empty.
#[cfg(any(test, feature = "internals"))]
pub fn levels(topic: &str) -> usize {
    slashes(topic) + 1
}

/// The first level.
pub(super) fn first_level(path: &[u8]) -> &[u8] {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
    const SEPARATORS: u64 = u64::from_le_bytes([b'/'; 8]);
    let mut end = 0;
    for eight in path.as_chunks().0 {
        // Zero bytes are separators. The lowest high bit set below is that of the first of them.
        let bytes = u64::from_le_bytes(*eight) ^ SEPARATORS;
        let zeros = bytes.wrapping_sub(ONES) & !bytes & HIGHS;
        if zeros != 0 {
            return &path[..end + (zeros.trailing_zeros() / 8) as usize];
        }
        end += 8;
    }
    while path.get(end).is_some_and(|&byte| byte != b'/') {
        end += 1;
    }
    &path[..end]
}

/// The number of bytes that both begin with.
pub(super) fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    let mut len = 0;
    for (eight, others) in one.as_chunks().0.iter().zip(other.as_chunks().0) {
        let differences = u64::from_le_bytes(*eight) ^ u64::from_le_bytes(*others);
        if differences != 0 {
            return len + (differences.trailing_zeros() / 8) as usize;
        }
        len += 8;
    }
    let tails = one[len..].iter().zip(&other[len..]);
    len + tails.take_while(|(byte, other)| byte == other).count()
}

/// Whether both are the same bytes: what costs most where a table is asked for a short text is the
/// call of a function that is made for long ones.
#[inline]
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    // Two parts that overlap in the middle cover each of these lengths.
    match one.len() {
        0 => true,
        1..4 => {
            let middle = one.len() / 2;
            one.first() == other.first()
                && one.get(middle) == other.get(middle)
                && one.last() == other.last()
        }
        4..8 => ends::<4>(one) == ends::<4>(other),
        8..=16 => ends::<8>(one) == ends::<8>(other),
        _ => is_same_long(one, other),
    }
}

/// The first and the last `N` bytes.
#[inline]
fn ends<const N: usize>(text: &[u8]) -> (Option<&[u8; N]>, Option<&[u8; N]>) {
    (text.first_chunk(), text.last_chunk())
}

#[inline(never)]
fn is_same_long(one: &[u8], other: &[u8]) -> bool {
    one == other
}

/// Whether `path` begins with the level `level`.
#[inline]
pub(super) fn begins_with(path: &[u8], level: &[u8]) -> bool {
    let (level_len, next) = (level.len(), path.get(level.len()));
    matches!(next, None | Some(b'/'))
        && path
            .get(..level_len)
            .is_some_and(|first| is_same(first, level))
}

/// Length in bytes of the whole levels that both paths begin with.
///
/// Also 0 when they share an empty first level; callers know that the first levels are equal.
pub(super) fn shared_levels(one: &[u8], other: &[u8]) -> usize {
    let same = common_prefix(one, other);
    if let (None | Some(b'/'), None | Some(b'/')) = (one.get(same), other.get(same)) {
        return same;
    }
    one[..same]
        .iter()
        .rposition(|&byte| byte == b'/')
        .unwrap_or(0)
}

/// What follows the first `len` bytes of `path`, which end at a level's end.
///
/// `None` is the end; `Some` of nothing is one more level, an empty one.
pub(super) fn after(path: &[u8], len: usize) -> Option<&[u8]> {
    path.get(len + 1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_count_empty_ones() {
        assert_eq!(levels("a"), 1);
        assert_eq!(levels("/"), 2);
        assert_eq!(levels("a//b"), 3);
        assert_eq!(slashes("a/b/c/d/e/f/g/h"), 7);
    }

    #[test]
    fn first_level_ends_at_the_first_separator_wherever_it_is() {
        for length in 0..40 {
            let level = "\u{ae}.0x"
                .bytes()
                .cycle()
                .take(length)
                .collect::<Vec<u8>>();
            assert_eq!(first_level(&level), level);
            for rest in ["/", "//", "/a/b", "/0123456789/x"] {
                assert_eq!(first_level(&[&level, rest.as_bytes()].concat()), level);
            }
        }
    }

    #[test]
    fn same_are_all_bytes_or_none() {
        let text = b"0123456789abcdefghijklmnopqrstuvwxyz";
        for len in 0..text.len() {
            let one = &text[..len];
            let copy = one.to_vec();
            assert!(is_same(one, &copy));
            assert!(!is_same(one, &text[..len + 1]) && !is_same(&text[..len + 1], one));
            for at in 0..len {
                let mut other = one.to_vec();
                other[at] ^= 1;
                assert!(!is_same(one, &other), "{len} bytes, another at {at}");
            }
        }
    }

    #[test]
    fn common_prefix_ends_at_the_first_difference() {
        let text = b"0123456789abcdefghijklmnopqrstuvwxyz";
        for at in 0..text.len() {
            assert_eq!(common_prefix(&text[..at], text), at);
            let mut other = *text;
            other[at] = 0xff;
            assert_eq!(common_prefix(&other, text), at);
        }
        assert_eq!(common_prefix(text, text), text.len());
    }

    #[test]
    fn shared_levels_end_where_both_levels_end() {
        assert_eq!(shared_levels(b"a/b/c", b"a/b/d"), 3);
        assert_eq!(shared_levels(b"a/b", b"a/b/d"), 3);
        assert_eq!(shared_levels(b"a/bc", b"a/b"), 1);
        assert_eq!(shared_levels(b"", b"/x"), 0);
        assert_eq!(shared_levels(b"/y", b"/x"), 0);
        assert_eq!(shared_levels(b"/x", b"/x"), 2);
    }

    #[test]
    fn after_tells_an_empty_level_from_the_end() {
        assert_eq!(after(b"a", 1), None);
        assert_eq!(after(b"a/", 1), Some(&b""[..]));
        assert_eq!(after(b"/b", 0), Some(&b"b"[..]));
        assert_eq!(after(b"", 0), None);
    }
}
