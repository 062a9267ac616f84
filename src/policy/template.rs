//! Texts of a policy: what they say literally, their wildcards, and variables that a request has values for.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use super::key::Key;

/// A text in which wildcards and variables have been found (AWS-ID-50, -60, -61).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(Box<str>),
    /// `?`: one character, whatever it is.
    One,
    /// `*`: any characters, also none. Never two in a row.
    Many,
    Variable(Key),
}

/// What `*` and `?` are in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wildcards {
    Special,
    /// As in StringEquals.
    Literal,
}

impl fmt::Display for Template {
    /// As a policy would have it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => formatter.write_str(text)?,
                Part::One => formatter.write_str("?")?,
                Part::Many => formatter.write_str("*")?,
                Part::Variable(key) => write!(formatter, "${{{key}}}")?,
            }
        }
        Ok(())
    }
}

/// Builds the parts of a template: joins texts, and wildcards that mean the same as one.
#[derive(Default)]
struct Builder {
    parts: Vec<Part>,
    text: String,
}

impl Builder {
    fn push(&mut self, part: Part) {
        match part {
            Part::Text(text) => self.text.push_str(&text),
            Part::Many if self.text.is_empty() && self.parts.last() == Some(&Part::Many) => {}
            part => {
                self.end_text();
                self.parts.push(part);
            }
        }
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            let text = std::mem::take(&mut self.text);
            self.parts.push(Part::Text(text.into()));
        }
    }

    fn finish(mut self) -> Template {
        self.end_text();
        Template {
            parts: self.parts.into(),
        }
    }
}

impl Template {
    /// Finds wildcards and variables in a text.
    ///
    /// # Errors
    ///
    /// When a `${` has no `}`, or nothing between them.
    pub(super) fn parse(text: &str, wildcards: Wildcards) -> Result<Self, &'static str> {
        let mut builder = Builder::default();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            if let Some(variable) = rest.strip_prefix("${") {
                let Some((name, behind)) = variable.split_once('}') else {
                    return Err("a `${` without its `}`");
                };
                builder.push(match name {
                    "" => return Err("`${}` names no variable"),
                    "*" | "?" | "$" => Part::Text(name.into()),
                    _ => Part::Variable(Key::parse(name)),
                });
                rest = behind;
                continue;
            }
            match (next, wildcards) {
                ('*', Wildcards::Special) => builder.push(Part::Many),
                ('?', Wildcards::Special) => builder.push(Part::One),
                _ => builder.text.push(next),
            }
            rest = &rest[next.len_utf8()..];
        }
        Ok(builder.finish())
    }

    /// A text that means itself.
    pub(super) fn literal(text: &str) -> Self {
        let mut builder = Builder::default();
        builder.text.push_str(text);
        builder.finish()
    }

    /// Whether it is `*` and nothing else.
    pub(super) fn is_everything(&self) -> bool {
        *self.parts == [Part::Many]
    }

    /// The text that it begins with before its first wildcard or variable.
    pub(super) fn head(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = &Key> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(key) => Some(key),
            _ => None,
        })
    }

    /// Whether all of a text is what this says, with the values of its variables: they are literal, whatever
    /// is in them (AWS-ID-63), and one without a value matches nothing (AWS-ID-62).
    ///
    /// Each `*` but the last is done with as soon as what follows it was found once, so the time is that of a
    /// search: at most the length of the text times that of the template.
    pub(super) fn fits<'v>(
        &self,
        text: &str,
        value: impl Fn(&Key) -> Option<Cow<'v, str>>,
    ) -> bool {
        let (mut part, mut at) = (0, 0);
        // Behind the last `*`: which part follows it, and from where it was looked for.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            let rest = &text[at..];
            let step = match self.parts.get(part) {
                None if rest.is_empty() => return true,
                None => None,
                Some(Part::Many) => {
                    part += 1;
                    if part == self.parts.len() {
                        return true;
                    }
                    retry = Some((part, at));
                    continue;
                }
                Some(Part::One) => rest.chars().next().map(char::len_utf8),
                Some(Part::Text(text)) => rest.starts_with(&**text).then_some(text.len()),
                Some(Part::Variable(key)) => match value(key) {
                    None => return false,
                    Some(value) => rest.starts_with(&*value).then_some(value.len()),
                },
            };
            if let Some(length) = step {
                (part, at) = (part + 1, at + length);
                continue;
            }
            let Some((behind, from)) = retry else {
                return false;
            };
            let Some(skipped) = text[from..].chars().next() else {
                return false;
            };
            (part, at) = (behind, from + skipped.len_utf8());
            retry = Some((behind, at));
        }
    }

    /// The text with the values of its variables, if all of them have one. Wildcards are gone.
    pub(super) fn expand<'v>(
        &self,
        value: impl Fn(&Key) -> Option<Cow<'v, str>>,
    ) -> Option<String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::One | Part::Many => {}
                Part::Variable(key) => text.push_str(&value(key)?),
            }
        }
        Some(text)
    }

    /// What is left of it for texts that all begin with the same prefix: such a text is matched if one of
    /// these matches what follows. `None` when it has a variable before that is known.
    pub(super) fn behind(&self, prefix: &str) -> Option<Vec<Self>> {
        // Where one may stand: at a part, so far into its text.
        let mut places = BTreeSet::from([(0, 0)]);
        for next in prefix.chars() {
            let mut reached = BTreeSet::new();
            for &place in &places {
                self.step(place, next, &mut reached)?;
            }
            // What can still be in a `*` can do all that those before it can.
            let is_many = |place: &&(usize, usize)| self.parts.get(place.0) == Some(&Part::Many);
            let last = reached.iter().rfind(is_many).map_or(0, |place| place.0);
            places = reached.split_off(&(last, 0));
        }
        let rests = places.into_iter().map(|(part, into)| self.rest(part, into));
        Some(rests.collect())
    }

    /// The places after one more character.
    fn step(
        &self,
        (part, into): (usize, usize),
        next: char,
        reached: &mut BTreeSet<(usize, usize)>,
    ) -> Option<()> {
        match self.parts.get(part) {
            None => {}
            Some(Part::Text(text)) if text[into..].starts_with(next) => {
                let into = into + next.len_utf8();
                let is_read = into == text.len();
                reached.insert(if is_read { (part + 1, 0) } else { (part, into) });
            }
            Some(Part::Text(_)) => {}
            Some(Part::One) => {
                reached.insert((part + 1, 0));
            }
            Some(Part::Many) => {
                reached.insert((part, 0));
                // No second `*` follows, so this goes one deep.
                self.step((part + 1, 0), next, reached)?;
            }
            Some(Part::Variable(_)) => return None,
        }
        Some(())
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What follows a place: a part, so far into its text.
    pub(super) fn rest(&self, part: usize, into: usize) -> Self {
        let mut builder = Builder::default();
        for (index, piece) in self.parts.iter().enumerate().skip(part) {
            match piece {
                Part::Text(text) if index == part => builder.text.push_str(&text[into..]),
                piece => builder.push(piece.clone()),
            }
        }
        builder.finish()
    }

    /// Divides it at the colons of its text, the last piece having all further ones: at most so many.
    pub(super) fn split(&self, pieces: usize) -> Vec<Self> {
        let mut done = Vec::new();
        let mut piece = Builder::default();
        for part in &self.parts {
            let Part::Text(text) = part else {
                piece.push(part.clone());
                continue;
            };
            let mut rest = &**text;
            while done.len() + 1 < pieces
                && let Some((before, behind)) = rest.split_once(':')
            {
                piece.text.push_str(before);
                done.push(std::mem::take(&mut piece).finish());
                rest = behind;
            }
            piece.text.push_str(rest);
        }
        done.push(piece.finish());
        done
    }

    /// The opposite of [`Self::split`].
    pub(super) fn join(pieces: Vec<Self>) -> Self {
        let mut builder = Builder::default();
        for (index, piece) in pieces.into_iter().enumerate() {
            if index > 0 {
                builder.text.push(':');
            }
            for part in piece.parts {
                builder.push(part);
            }
        }
        builder.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn template(text: &str) -> Template {
        Template::parse(text, Wildcards::Special).unwrap()
    }

    fn fits(pattern: &str, text: &str) -> bool {
        template(pattern).fits(text, |_| None)
    }

    /// AWS-ID-50, AWS-ID-51.
    #[test]
    fn wildcards_take_any_characters() {
        for (pattern, text) in [
            ("a*", "a"),
            ("a*", "a/b/c"),
            ("*", ""),
            ("a/*/c", "a/b/b/c"),
            ("a/*/c", "a/c/b/c"),
            ("**a**", "a"),
            ("a?c", "a/c"),
            ("a?c", "aéc"),
            ("*?", "é"),
            ("*ab*abc", "ababxabc"),
            ("+/#", "+/#"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a*", "ba"),
            ("a?", "a"),
            ("?", ""),
            ("a/*/c", "a/c"),
            ("a/+/c", "a/b/c"),
            ("a", "A"),
            ("", "a"),
            ("*a", "ab"),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    /// AWS-ID-61, AWS-ID-52.
    #[test]
    fn escapes_are_the_characters_themselves() {
        assert!(fits("a${*}${?}${$}b", "a*?$b"));
        assert!(!fits("a${*}b", "axb"));
        assert!(fits("topic/$aws/*", "topic/$aws/things"));
        assert!(fits("$", "$"));
    }

    /// AWS-ID-62, AWS-ID-63.
    #[test]
    fn values_are_literal_and_a_variable_without_one_matches_nothing() {
        let value = |_: &Key| Some(Cow::Borrowed("*"));
        let pattern = template("a/${iot:ClientId}/b");
        assert!(pattern.fits("a/*/b", value));
        assert!(!pattern.fits("a/x/b", value));
        assert!(!pattern.fits("a/${iot:ClientId}/b", |_| None));
        assert_eq!(pattern.expand(value).as_deref(), Some("a/*/b"));
        assert_eq!(pattern.expand(|_| None), None);
    }

    #[test]
    fn what_is_no_variable_is_refused() {
        for text in ["${", "a${iot:ClientId", "${}", "a${}b"] {
            assert!(Template::parse(text, Wildcards::Special).is_err(), "{text}");
        }
    }

    #[test]
    fn pieces_are_divided_at_colons_outside_of_variables() {
        let whole = template("a:b*:${iot:ClientId}:d:e");
        let pieces = whole.split(4);
        assert_eq!(pieces, ["a", "b*", "${iot:ClientId}", "d:e"].map(template));
        assert_eq!(Template::join(pieces), whole);
        assert_eq!(template("").split(3), [template("")]);
    }

    #[test]
    fn a_variable_within_the_prefix_leaves_nothing_known() {
        assert_eq!(template("a${iot:ClientId}").behind("ab"), None);
        assert_eq!(template("*${iot:ClientId}").behind("ab"), None);
        assert_eq!(
            template("ab${iot:ClientId}")
                .behind("ab")
                .map(|rests| rests.len()),
            Some(1)
        );
        assert_eq!(template("b${iot:ClientId}").behind("ab"), Some(Vec::new()));
    }

    /// Wildcards by their definition.
    fn book(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|taken| book(rest, &text[taken..])),
            Some(('?', rest)) => text.split_first().is_some_and(|(_, text)| book(rest, text)),
            Some((one, rest)) => text
                .split_first()
                .is_some_and(|(c, text)| c == one && book(rest, text)),
        }
    }

    proptest! {
        #[test]
        fn wildcards_go_by_the_book(pattern in "[ab*?é:]{0,8}", text in "[abé:]{0,8}") {
            let characters = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = book(&characters(&pattern), &characters(&text));
            prop_assert_eq!(fits(&pattern, &text), expected);
        }

        /// What is left behind a prefix says of the rest what the whole said of both.
        #[test]
        fn a_prefix_may_be_taken_off(pattern in "[ab*?:]{0,8}", prefix in "[ab:]{0,5}", text in "[ab:]{0,5}") {
            let whole = fits(&pattern, &format!("{prefix}{text}"));
            let rests = template(&pattern).behind(&prefix).unwrap();
            prop_assert_eq!(rests.iter().any(|rest| rest.fits(&text, |_| None)), whole);
        }
    }
}
