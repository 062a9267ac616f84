//! Who may read a client's private key.

/// Who may read the private key of a client certificate, for a client that runs as another user: mosquitto as a service,
/// a container.
///
/// ```
/// use roundel::KeyAccess;
///
/// // Its owner, and the group with the number 105.
/// let access = KeyAccess::new(0o640).unwrap().with_group(105);
/// # assert_eq!(KeyAccess::new(0o755), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAccess {
    pub(super) mode: u32,
    pub(super) group: Option<u32>,
}

impl KeyAccess {
    /// What certificates have.
    pub(super) const EVERYONE: Self = Self {
        mode: 0o644,
        group: None,
    };

    /// The permissions of the file: `0o600` or `0o400` for its owner, with `0o040` for its group and `0o004` for everybody.
    /// `None` for others: the owner can read a key, the rest do nothing else with it.
    #[must_use]
    pub fn new(mode: u32) -> Option<Self> {
        let is_one = mode & 0o400 != 0 && mode & !0o644 == 0;
        is_one.then_some(Self { mode, group: None })
    }

    /// Has the file belong to a group, by its number; without, it is that of the process or of the folder.
    #[must_use]
    pub fn with_group(self, group: u32) -> Self {
        let group = Some(group);
        Self { group, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_than_the_owner_read_a_key_and_no_more() {
        for mode in [0o400, 0o600, 0o440, 0o640, 0o644, 0o604] {
            assert!(KeyAccess::new(mode).is_some(), "{mode:o}");
        }
        for mode in [
            0, 0o040, 0o200, 0o244, 0o620, 0o660, 0o646, 0o700, 0o755, 0o4640, 0o10640,
        ] {
            assert_eq!(KeyAccess::new(mode), None, "{mode:o}");
        }
    }
}
