//! A shadow: what is desired, what is reported, and its version. It knows no clock.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::SIZE_MAX;
use super::error::Error;
use super::request::{Section, Update};
use super::tree::{Members, Seconds, Times, Values};

/// The halves of a shadow; one that is empty is as good as none (AWS-SHADOW-28).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sections {
    desired: Members,
    reported: Members,
    /// What differs, in an answer that shows it.
    delta: Members,
}

/// A shadow as it is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Document {
    pub(crate) sections: Sections,
    /// Rises by one with each update (AWS-SHADOW-10).
    pub(crate) version: u64,
}

impl Document {
    /// The shadow after an update, and whether any value of it is another one. `version` is the one before,
    /// of a shadow that was deleted lately too (AWS-SHADOW-42).
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] for a state above 8 KiB (AWS-SHADOW-43).
    pub(crate) fn updated(
        old: Option<&Self>,
        version: u64,
        update: &Update,
        now: Seconds,
    ) -> Result<(Self, bool), Error> {
        let mut sections = old.map(|old| old.sections.clone()).unwrap_or_default();
        let mut is_other = apply(&mut sections.desired, update.section("desired"), now);
        is_other |= apply(&mut sections.reported, update.section("reported"), now);
        if json_len(&sections.state()) > SIZE_MAX {
            return Err(Error::TooLarge);
        }
        let document = Self {
            sections,
            version: version + 1,
        };
        Ok((document, is_other))
    }

    /// What is desired and not so reported.
    pub(crate) fn delta(&self) -> Members {
        self.sections
            .desired
            .differing_from(&self.sections.reported)
    }

    /// Whether anything is desired that is not so reported.
    #[cfg(feature = "http")]
    pub(crate) fn has_delta(&self) -> bool {
        !self.delta().is_empty()
    }

    /// The halves and their difference (AWS-SHADOW-06, -39).
    pub(super) fn with_delta(&self) -> Sections {
        Sections {
            delta: self.delta(),
            ..self.sections.clone()
        }
    }

    /// Bytes that it takes.
    pub(crate) fn size(&self) -> usize {
        self.sections.desired.size() + self.sections.reported.size()
    }

    /// A shadow as it was kept: `state`, `metadata`, version. None where the two do not fit.
    pub(crate) fn restored(
        state: &Map<String, Value>,
        metadata: &Map<String, Value>,
        version: u64,
    ) -> Option<Self> {
        let section = |name| match (state.get(name), metadata.get(name)) {
            (None, None) => Some(Members::default()),
            (Some(Value::Object(state)), Some(Value::Object(times))) => {
                Members::with_times(state, times)
            }
            _ => None,
        };
        let sections = Sections {
            desired: section("desired")?,
            reported: section("reported")?,
            delta: Members::default(),
        };
        Some(Self { sections, version })
    }
}

fn apply(members: &mut Members, section: Option<Section<'_>>, now: Seconds) -> bool {
    match section {
        None => false,
        Some(Section::Merge(sent)) => members.merge(sent, now),
        Some(Section::Remove) => !std::mem::take(members).is_empty(),
    }
}

/// Bytes of a value in JSON.
fn json_len(value: &impl Serialize) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // Text and numbers can be written, and the counter takes everything.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

impl Sections {
    /// What an update sent, for the metadata of its answer: `null` has none (AWS-SHADOW-30).
    pub(super) fn sent(update: &Update, now: Seconds) -> Self {
        let section = |name| match update.section(name) {
            Some(Section::Merge(sent)) => Members::new(sent, now),
            _ => Members::default(),
        };
        Self {
            desired: section("desired"),
            reported: section("reported"),
            delta: Members::default(),
        }
    }

    pub(crate) fn state(&self) -> impl Serialize {
        Values(self)
    }

    pub(crate) fn metadata(&self) -> impl Serialize {
        Times(self)
    }

    /// Those that are not empty.
    fn present(&self) -> impl Iterator<Item = (&'static str, &Members)> {
        let all = [
            ("desired", &self.desired),
            ("reported", &self.reported),
            ("delta", &self.delta),
        ];
        all.into_iter().filter(|(_, members)| !members.is_empty())
    }
}

impl Serialize for Values<'_, Sections> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let present = self.0.present();
        serializer.collect_map(present.map(|(name, members)| (name, Values(members))))
    }
}

impl Serialize for Times<'_, Sections> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, members) in self.0.present() {
            map.serialize_entry(name, &Times(members))?;
        }
        map.end()
    }
}
