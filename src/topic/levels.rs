//! Topic levels: the pieces between the separators `/`.

/// The number of separators in a topic or filter (AWS-LIM-05 counts these).
pub fn slashes(topic: &str) -> usize {
    topic.bytes().filter(|&byte| byte == b'/').count()
}

/// The number of levels of a topic or filter: one more than it has separators, as levels may be
/// empty.
pub fn levels(topic: &str) -> usize {
    slashes(topic) + 1
}

/// The first level, and what follows its separator if it has one.
///
/// `None` is the end; `Some` of nothing is one more level, an empty one.
pub(super) fn split_level(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|&byte| byte == b'/') {
        Some(end) => (&path[..end], Some(&path[end + 1..])),
        None => (path, None),
    }
}

/// The first level.
pub(super) fn first_level(path: &[u8]) -> &[u8] {
    split_level(path).0
}

/// Whether `path` begins with the level `level`.
pub(super) fn begins_with(path: &[u8], level: &[u8]) -> bool {
    path.starts_with(level) && matches!(path.get(level.len()), None | Some(b'/'))
}

/// Length in bytes of the whole levels that both paths begin with.
///
/// Also 0 when they share an empty first level; callers know that the first levels are equal.
pub(super) fn shared_levels(one: &[u8], other: &[u8]) -> usize {
    let mut shared = 0;
    for at in 0.. {
        let pair = (one.get(at), other.get(at));
        if let (None | Some(b'/'), None | Some(b'/')) = pair {
            shared = at;
        }
        if pair.0 != pair.1 || pair.0.is_none() {
            break;
        }
    }
    shared
}

/// What follows the first `len` bytes of `path`, which end at a level's end.
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
