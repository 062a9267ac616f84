//! JSON answers that may be long: written in pieces, each charged before it is filled, and given
//! back piece by piece as the connection takes them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Display;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use serde::Serialize;

use crate::budget::{Budget, Charge, Full, Kind};

use super::error::ApiError;
use super::waits::Missed;

/// Bytes of the first piece: so much may be held also of what the budget keeps for what is small.
const FIRST: usize = 16 * 1024;

/// Bytes of each further piece.
const PIECE: usize = 64 * 1024;

/// A list ends with the entry that makes it this long, even where its limit allows more.
const LIST_BYTES: usize = 4 << 20;

/// An answer that is being written.
pub(super) struct Answer {
    pieces: VecDeque<Bytes>,
    /// The last piece, as far as it is written.
    last: Vec<u8>,
    len: usize,
    charge: Charge,
}

impl Answer {
    fn new(budget: Budget) -> Self {
        Self {
            pieces: VecDeque::new(),
            last: Vec::new(),
            len: 0,
            charge: Charge::none(budget, Kind::Http),
        }
    }

    /// An answer that is one value.
    ///
    /// # Errors
    ///
    /// 503 while there is no room for it.
    pub(super) fn of(value: &impl Serialize, budget: Budget) -> Result<Response, ApiError> {
        let mut answer = Self::new(budget);
        answer.json(value)?;
        Ok(answer.finish())
    }

    /// An answer of this kind that is written already.
    ///
    /// # Errors
    ///
    /// 503 while there is no room for it.
    #[cfg(feature = "aws")]
    pub(super) fn written(
        bytes: &[u8],
        kind: &'static str,
        budget: Budget,
    ) -> Result<Response, ApiError> {
        Self::filled(kind, budget, |answer| io::Write::write_all(answer, bytes))
    }

    /// An answer of this kind that `fill` writes.
    ///
    /// # Errors
    ///
    /// 503 while there is no room for it.
    pub(super) fn filled(
        kind: &'static str,
        budget: Budget,
        fill: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> Result<Response, ApiError> {
        let mut answer = Self::new(budget);
        fill(&mut answer).map_err(|_| no_room(Full))?;
        let mut response = answer.finish();
        let kind = HeaderValue::from_static(kind);
        response.headers_mut().insert(CONTENT_TYPE, kind);
        Ok(response)
    }

    /// An answer that is one value, or 408 with it and with what was missed.
    ///
    /// # Errors
    ///
    /// 503 while there is no room for it.
    pub(super) fn of_wait(
        missed: Option<&Missed>,
        value: &impl Serialize,
        budget: Budget,
    ) -> Result<Response, ApiError> {
        #[derive(Serialize)]
        struct Body<'a, T> {
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<&'a str>,
            #[serde(flatten)]
            value: &'a T,
        }
        let error = missed.map(Missed::text);
        let answer = Self::of(&Body { error, value }, budget)?;
        Ok(Missed::mark(missed, answer))
    }

    /// An object with a list, `name`, and how long it would be in all, `total`. `entries` is asked
    /// for one entry after the other, as long as the answer is short enough.
    ///
    /// # Errors
    ///
    /// 503 while there is no room for it.
    pub(super) fn list<T: Serialize>(
        name: &'static str,
        entries: impl IntoIterator<Item = T>,
        total: usize,
        budget: Budget,
    ) -> Result<Response, ApiError> {
        Self::list_of_wait(None, name, entries, &[("total", &total)], budget)
    }

    /// The same with these numbers behind it, or 408 with that and with what was missed.
    ///
    /// # Errors
    ///
    /// 503 while there is no room for it.
    pub(super) fn list_of_wait<T: Serialize>(
        missed: Option<&Missed>,
        name: &'static str,
        entries: impl IntoIterator<Item = T>,
        numbers: &[(&'static str, &dyn Display)],
        budget: Budget,
    ) -> Result<Response, ApiError> {
        let mut answer = Self::new(budget);
        answer.text("{")?;
        if let Some(missed) = missed {
            answer.text("\"error\":")?;
            answer.json(&missed.text())?;
            answer.text(",")?;
        }
        answer.text(&format!("\"{name}\":["))?;
        let start = answer.len;
        for entry in entries {
            if answer.len > start {
                answer.text(",")?;
            }
            answer.json(&entry)?;
            if answer.len >= LIST_BYTES {
                break;
            }
        }
        answer.text("]")?;
        for (name, number) in numbers {
            answer.text(&format!(",\"{name}\":{number}"))?;
        }
        answer.text("}")?;
        Ok(Missed::mark(missed, answer.finish()))
    }

    fn text(&mut self, text: &str) -> Result<(), ApiError> {
        io::Write::write_all(self, text.as_bytes()).map_err(|_| no_room(Full))
    }

    fn json(&mut self, value: &impl Serialize) -> Result<(), ApiError> {
        serde_json::to_writer(self, value).map_err(|error| match error.is_io() {
            true => no_room(Full),
            false => ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        })
    }

    fn finish(mut self) -> Response {
        self.pieces.push_back(std::mem::take(&mut self.last).into());
        let body = Pieces {
            pieces: self.pieces,
            left: self.len,
            charge: self.charge,
        };
        let mut response = Response::new(Body::new(body));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }
}

/// Fails when there is no room for another piece.
impl io::Write for Answer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.last.len() == self.last.capacity() {
            let full = |_| io::Error::from(io::ErrorKind::OutOfMemory);
            let size = if self.len == 0 { FIRST } else { PIECE };
            self.charge.grow(size).map_err(full)?;
            let filled = std::mem::replace(&mut self.last, Vec::with_capacity(size));
            if !filled.is_empty() {
                self.pieces.push_back(filled.into());
            }
        }
        let room = self.last.capacity() - self.last.len();
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or(bytes);
        self.last.extend_from_slice(taken);
        self.len += taken.len();
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is left of an answer.
struct Pieces {
    pieces: VecDeque<Bytes>,
    /// Bytes in `pieces`.
    left: usize,
    charge: Charge,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(piece) = self.pieces.pop_front() else {
            return Poll::Ready(None);
        };
        self.left -= piece.len();
        // The connection holds it now, within the bound of its buffer.
        self.charge.shrink(piece.len());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

/// The refusal of what would be held.
pub(super) fn no_room(_: Full) -> ApiError {
    let error = "requests hold as much as they may together; try again";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error)
}

#[cfg(test)]
mod tests {
    use crate::budget::Owned;

    use super::*;

    #[tokio::test]
    async fn answer_comes_as_it_was_written_and_gives_back_what_it_held() {
        let budget = Owned::new(8 << 20);
        let long = "x".repeat(3 * PIECE);
        let response = Answer::list("names", [&*long, "y"], 7, *budget).expect("room");
        assert!(budget.used_by(Kind::Http) > 3 * PIECE);
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        let expected = format!("{{\"names\":[\"{long}\",\"y\"],\"total\":7}}");
        assert_eq!(body.expect("a body"), expected);
        assert_eq!(budget.used_by(Kind::Http), 0);
    }

    #[test]
    fn list_asks_for_no_entry_beyond_its_bound() {
        let budget = Owned::new(32 << 20);
        let mut asked = 0;
        let entries = std::iter::repeat_with(|| {
            asked += 1;
            "x".repeat(1 << 20)
        });
        Answer::list("names", entries, usize::MAX, *budget).expect("room");
        assert_eq!(asked, 4);
    }

    #[test]
    fn answer_for_which_there_is_no_room_is_refused() {
        let budget = Owned::new(8 * PIECE);
        let long = "x".repeat(4 * PIECE);
        let refused = Answer::of(&long, *budget).expect_err("a refusal");
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(budget.used_by(Kind::Http), 0);
    }

    #[test]
    fn last_part_of_the_budget_is_left_to_short_answers() {
        let budget = Owned::new(16 << 20);
        let _queues = Charge::new(*budget, Kind::Queues, 7 << 20).expect("room");
        let _packets = Charge::new(*budget, Kind::Packets, 7 << 20).expect("room");
        // A sixteenth is kept for what is small: the second piece does not fit any more.
        let _sessions = Charge::new(*budget, Kind::Sessions, (1 << 20) - FIRST).expect("room");
        assert!(Answer::of(&"x".repeat(2 * FIRST), *budget).is_err());
        assert!(Answer::of(&"x".repeat(FIRST / 2), *budget).is_ok());
    }
}
