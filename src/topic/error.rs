//! Why a topic or filter is refused.

/// Why a Topic Name or Topic Filter is not legal. Byte positions count from 0 in the whole text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// A topic or filter has at least one character (MQTT-4.7.3-1).
    #[error("topic is empty")]
    Empty,
    /// A topic or filter takes at most 65,535 bytes as UTF-8 (MQTT-4.7.3-3).
    #[error("topic of {bytes} bytes is longer than 65,535")]
    TooLong {
        /// Length as UTF-8.
        bytes: usize,
    },
    /// U+0000 is never allowed (MQTT-4.7.3-2).
    #[error("U+0000 at byte {at}")]
    Nul {
        /// Its position.
        at: usize,
    },
    /// A Topic Name has no wildcards (MQTT-4.7.0-1).
    #[error("wildcard {wildcard:?} at byte {at} of a topic name")]
    WildcardInName {
        /// `+` or `#`.
        wildcard: char,
        /// Its position.
        at: usize,
    },
    /// `#` fills its level and is the last one (MQTT-4.7.1-1).
    #[error("'#' at byte {at} is not alone in the last level")]
    MultiLevelPlace {
        /// Its position.
        at: usize,
    },
    /// `+` fills its level (MQTT-4.7.1-2).
    #[error("'+' at byte {at} is not alone in its level")]
    SingleLevelPlace {
        /// Its position.
        at: usize,
    },
    /// `$share` is followed by a ShareName of at least one character (MQTT-4.8.2-1).
    #[error("share name is empty")]
    ShareNameEmpty,
    /// A ShareName has none of `/ + #` (MQTT-4.8.2-2).
    #[error("{character:?} at byte {at} of a share name")]
    ShareNameCharacter {
        /// `+` or `#`; a `/` ends the name.
        character: char,
        /// Its position.
        at: usize,
    },
    /// The ShareName is followed by `/` and a Topic Filter (MQTT-4.8.2-2).
    #[error("no topic filter after the share name")]
    ShareFilterMissing,
}
