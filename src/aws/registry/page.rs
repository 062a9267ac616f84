//! Lists in pages: a stable order, and tokens that say where to go on. Tokens are Base64, as the service's
//! model has it of markers.

use std::ops::Bound;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::auth::hex;

use super::Error;

/// Of a checksum: against accidents, not against anybody.
const CHECKSUM_BYTES: usize = 6;

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
    /// Most items of a page, and as many as there are when nobody says how many (section 3 of the operations).
    pub const LIMIT_MAX: usize = 250;

    /// Behind which position of the list the page begins.
    ///
    /// # Errors
    ///
    /// InvalidRequest if the token is not one of this list's, or nobody could want such a limit.
    pub(crate) fn after(&self, list: &str) -> Result<Option<String>, Error> {
        if let Some(limit) = self.limit
            && !(1..=Self::LIMIT_MAX).contains(&limit)
        {
            return Err(Error::InvalidRequest(format!(
                "1 validation error detected: Value '{limit}' at the page size failed to satisfy \
                 constraint: Member must be between 1 and {}",
                Self::LIMIT_MAX
            )));
        }
        let Some(token) = self.token else {
            return Ok(None);
        };
        let bytes = STANDARD.decode(token).unwrap_or_default();
        let text = String::from_utf8(bytes).unwrap_or_default();
        match text.split_once('\n') {
            Some((sum, position)) if sum == checksum(list, position) => {
                Ok(Some(position.to_owned()))
            }
            _ => Err(Error::InvalidRequest(format!(
                "The token {token} is not of this list."
            ))),
        }
    }

    /// One page of what begins behind [`Self::after`].
    pub(crate) fn gather<T>(
        &self,
        list: &str,
        items: impl Iterator<Item = T>,
        position: impl Fn(&T) -> String,
    ) -> Listed<T> {
        let limit = self.limit.unwrap_or(Self::LIMIT_MAX);
        let mut items = items.peekable();
        let page: Vec<T> = items.by_ref().take(limit).collect();
        let next = items.peek().and_then(|_| {
            let last = position(page.last()?);
            Some(STANDARD.encode(format!("{}\n{last}", checksum(list, &last))))
        });
        Listed { items: page, next }
    }
}

/// What shows that a token is whole, and one of a list.
fn checksum(list: &str, position: &str) -> String {
    let sum = digest(&SHA256, format!("{list}\n{position}").as_bytes());
    hex(&sum.as_ref()[..CHECKSUM_BYTES])
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
        assert!(page(1, Some(&token[..token.len() - 4])).after("l").is_err());
        assert!(page(0, None).after("l").is_err());
        assert!(page(251, None).after("l").is_err());
        assert!(page(250, None).after("l").is_ok());
    }
}
