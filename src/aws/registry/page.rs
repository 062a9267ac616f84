//! Lists in pages: a stable order, and tokens that say where to go on.

use std::ops::Bound;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Error;

/// Most items of a page, and as many as there are when nobody says how many (section 3 of the operations).
const LIMIT_MAX: usize = 250;

/// Which part of a list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page<'a> {
    /// `maxResults` or `pageSize`: 1 to 250.
    pub limit: Option<usize>,
    /// `nextToken` or `marker`: what the page before this one gave.
    pub token: Option<&'a str>,
    /// From the last to the first, where the service has `isAscendingOrder`.
    pub is_descending: bool,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// In the order of the list.
    pub items: Vec<T>,
    /// For the next part, if there is one.
    pub next: Option<String>,
}

impl<T> Listed<T> {
    /// The same list of something else.
    pub fn map<U>(self, map: impl FnMut(T) -> U) -> Listed<U> {
        Listed {
            items: self.items.into_iter().map(map).collect(),
            next: self.next,
        }
    }

    /// The same list of what these are the names of.
    pub(super) fn look_up<U>(self, find: impl FnMut(T) -> Option<U>) -> Listed<U> {
        Listed {
            items: self.items.into_iter().filter_map(find).collect(),
            next: self.next,
        }
    }
}

impl Page<'_> {
    /// Behind which position of the list the page begins.
    ///
    /// # Errors
    ///
    /// InvalidRequest if the token is not one of this list's, or nobody could want such a limit.
    pub(super) fn after(&self, list: &str) -> Result<Option<String>, Error> {
        if let Some(limit) = self.limit
            && !(1..=LIMIT_MAX).contains(&limit)
        {
            return Err(Error::InvalidRequest(format!(
                "1 validation error detected: Value '{limit}' at the page size failed to satisfy \
                 constraint: Member must be between 1 and {LIMIT_MAX}"
            )));
        }
        let Some(token) = self.token else {
            return Ok(None);
        };
        let bytes = URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
        let text = String::from_utf8(bytes).unwrap_or_default();
        match text.split_once('\n') {
            Some((of, position)) if of == list => Ok(Some(position.to_owned())),
            _ => Err(Error::InvalidRequest(format!(
                "The token {token} is not of this list."
            ))),
        }
    }

    /// One page of what begins behind [`Self::after`].
    pub(super) fn gather<T>(
        &self,
        list: &str,
        items: impl Iterator<Item = T>,
        position: impl Fn(&T) -> String,
    ) -> Listed<T> {
        let limit = self.limit.unwrap_or(LIMIT_MAX);
        let mut items = items.peekable();
        let page: Vec<T> = items.by_ref().take(limit).collect();
        let next = items.peek().and_then(|_| {
            let last = position(page.last()?);
            Some(URL_SAFE_NO_PAD.encode(format!("{list}\n{last}")))
        });
        Listed { items: page, next }
    }
}

/// What is behind a position of a list by name, or all of it.
pub(super) fn behind_name(after: Option<&str>) -> (Bound<&str>, Bound<&str>) {
    (
        after.map_or(Bound::Unbounded, Bound::Excluded),
        Bound::Unbounded,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: usize, token: Option<&str>) -> Page<'_> {
        Page {
            limit: Some(limit),
            token,
            is_descending: false,
        }
    }

    #[test]
    fn pages_follow_each_other_and_the_last_one_has_no_token() {
        let all = ["a", "b", "c"];
        let first = page(2, None).gather("l", all.iter(), ToString::to_string);
        assert_eq!(first.items, [&"a", &"b"]);
        let token = first.next.unwrap();
        let after = page(2, Some(&token)).after("l").unwrap().unwrap();
        assert_eq!(after, "b");
        let rest = all.iter().filter(|item| **item > after.as_str());
        let last = page(2, Some(&token)).gather("l", rest, ToString::to_string);
        assert_eq!((last.items, last.next), (vec![&"c"], None));
    }

    #[test]
    fn token_of_another_list_and_absurd_limits_are_refused() {
        let token = page(1, None).gather("l", ["a", "b"].iter(), ToString::to_string);
        let token = token.next.unwrap();
        assert!(page(1, Some(&token)).after("other").is_err());
        assert!(page(1, Some("?")).after("l").is_err());
        assert!(page(0, None).after("l").is_err());
        assert!(page(251, None).after("l").is_err());
        assert!(page(250, None).after("l").is_ok());
    }
}
