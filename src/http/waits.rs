//! Requests that wait for something in the broker. They end when it is so, when their time is up, when the
//! client goes, or when the broker stops; nothing looks in between.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::broker::{Broker, Glimpse, Subject};
use crate::config::parse_duration;
use crate::engine::wait::{self, NotSeen};

use super::Api;
use super::activity::Activity;
use super::error::{ApiError, excerpt};
use super::query::Parameters;

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);

/// Requests that wait at one time: half of the connections that one entrance has places for, so that there
/// is always one for a request that does not.
const AT_ONCE: usize = 128;

/// The parameter that says how long to wait.
const WAIT: &str = "wait";

/// Those who wait.
#[derive(Clone)]
pub(super) struct Waits(Arc<Semaphore>);

impl Waits {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// What a request has to say to its connection before it waits, if it came on one.
#[derive(Clone, Default)]
pub(super) struct Patience(Option<Arc<Activity>>);

impl Patience {
    pub(super) fn of(activity: Arc<Activity>) -> Self {
        Self(Some(activity))
    }

    /// Allows the request so much time beyond what others have.
    pub(super) fn grant(&self, time: Duration) {
        if let Some(activity) = &self.0 {
            activity.grant(time);
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Patience {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// How long a request is to wait; `None`: it asks for how things are.
///
/// # Errors
///
/// 400 if it is no time, or too long a one.
pub(super) fn asked(parameters: &Parameters) -> Result<Option<Duration>, ApiError> {
    time(parameters, WAIT)
}

/// The time that a parameter says.
///
/// # Errors
///
/// 400 if it is no time, or too long a one.
pub(super) fn time(
    parameters: &Parameters,
    name: &'static str,
) -> Result<Option<Duration>, ApiError> {
    let Some(text) = parameters.text(name) else {
        return Ok(None);
    };
    let invalid = |error| ApiError::invalid(name, error);
    // A number and a unit; the sums and the longer units of settings are not for so short a time.
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_plain = unit.len() < text.len() && ["", "ms", "s", "m"].contains(&unit);
    let within = parse_duration(text).filter(|_| is_plain).ok_or_else(|| {
        let error = format!("'{}' is no time, as 5s, 500ms or 5", excerpt(text));
        invalid(error)
    })?;
    match within <= LONGEST {
        true => Ok(Some(within)),
        false => Err(invalid(format!(
            "'{}' is longer than {LONGEST:?}",
            excerpt(text)
        ))),
    }
}

/// The same for what can only be waited for.
///
/// # Errors
///
/// 400 if it is not there.
pub(super) fn demanded(parameters: &Parameters) -> Result<Duration, ApiError> {
    asked(parameters)?.ok_or_else(|| ApiError::invalid(WAIT, "missing parameter 'wait'"))
}

/// What says what to wait for has no meaning without a wait.
///
/// # Errors
///
/// 400 for the first of `names` that is there.
pub(super) fn refuse_conditions(
    parameters: &Parameters,
    names: &[&'static str],
) -> Result<(), ApiError> {
    match names.iter().find(|name| parameters.text(name).is_some()) {
        None => Ok(()),
        Some(name) => {
            let error = format!("'{name}' says what to wait for, and there is no 'wait'");
            Err(ApiError::invalid(*name, error))
        }
    }
}

/// What a wait was for and did not come.
pub(super) struct Missed(String);

impl Missed {
    fn within(what: &str, within: Duration) -> Self {
        Self(format!("{what} within {within:?}"))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// The answer with what there is instead.
    pub(super) fn mark(missed: Option<&Self>, mut answer: Response) -> Response {
        if missed.is_some() {
            *answer.status_mut() = StatusCode::REQUEST_TIMEOUT;
        }
        answer
    }
}

/// A wait that is over. It keeps its place until it is answered: what was accepted is not refused when it
/// has come true, and no more answers are due at once than may wait.
pub(super) struct Waited {
    missed: Option<Missed>,
    place: OwnedSemaphorePermit,
}

/// What `answer` makes of how things are and of what a wait has missed; `waited` is `None` for a request that
/// did not wait.
///
/// # Errors
///
/// Those of `answer`; 503 for one that did not wait, if too many wait for their turn already.
pub(super) async fn answer(
    api: &Api,
    waited: Option<Waited>,
    answer: impl FnOnce(Option<&Missed>) -> Result<Response, ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    match waited {
        None => api.jobs.run(move || answer(None)).await?,
        Some(Waited { missed, place }) => {
            let job = move || answer(missed.as_ref());
            api.jobs.run_in(place, job).await?
        }
    }
}

/// Waits until `look` finds something, or `catch` does in what is so for a moment. What is missed, if the time is up, is
/// `what` within that time.
///
/// # Errors
///
/// 503 while too many wait, and when the broker stops.
pub(super) async fn until<T: Send + 'static>(
    api: &Api,
    patience: &Patience,
    (within, what): (Duration, &str),
    subjects: &[Subject],
    look: impl FnMut(&Broker) -> Option<T>,
    catch: impl Fn(&Glimpse<'_>) -> Option<T> + Send + Sync + 'static,
) -> Result<(Waited, Option<T>), ApiError> {
    let place = begin(api, patience, within)?;
    let (missed, found) = match wait::until(&api.engine, subjects, within, look, catch).await {
        Ok(found) => (None, Some(found)),
        Err(NotSeen::TimedOut) => (Some(Missed::within(what, within)), None),
        Err(NotSeen::Stopped) => return Err(stopping()),
    };
    Ok((Waited { missed, place }, found))
}

/// Waits for `future`, which is woken by what it waits for. Returns what was missed, if the time is up.
///
/// # Errors
///
/// 503 while too many wait, and when the broker stops.
pub(super) async fn for_future<T>(
    api: &Api,
    patience: &Patience,
    within: Duration,
    what: &str,
    future: impl Future<Output = T>,
) -> Result<Result<T, Missed>, ApiError> {
    let _place = begin(api, patience, within)?;
    match wait::for_future(&api.engine, within, future).await {
        Ok(found) => Ok(Ok(found)),
        Err(NotSeen::TimedOut) => Ok(Err(Missed::within(what, within))),
        Err(NotSeen::Stopped) => Err(stopping()),
    }
}

/// A place among those who wait, and the patience of the connection.
fn begin(
    api: &Api,
    patience: &Patience,
    within: Duration,
) -> Result<OwnedSemaphorePermit, ApiError> {
    let error = "too many requests wait already; try again";
    let place = api.waits.0.clone().try_acquire_owned();
    let place = place.map_err(|_| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error))?;
    patience.grant(within);
    Ok(place)
}

fn stopping() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the broker is stopping")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(text: &str) -> Result<Option<Duration>, ApiError> {
        let uri = format!("/?wait={text}").parse().expect("a URI");
        asked(&Parameters::parse(&uri, &[WAIT]).expect("one parameter"))
    }

    #[test]
    fn wait_is_a_time_up_to_a_minute() {
        for (text, millis) in [("5s", 5000), ("500ms", 500), ("60", 60_000), ("1m", 60_000)] {
            let expected = Some(Duration::from_millis(millis));
            assert_eq!(wait(text).expect(text), expected);
        }
        for (text, error) in [
            ("61s", "'61s' is longer than 60s"),
            ("-1", "'-1' is no time, as 5s, 500ms or 5"),
            ("soon", "'soon' is no time, as 5s, 500ms or 5"),
            ("+5", "'+5' is no time, as 5s, 500ms or 5"),
            ("s", "'s' is no time, as 5s, 500ms or 5"),
            ("1s5ms", "'1s5ms' is no time, as 5s, 500ms or 5"),
            ("%205s", "' 5s' is no time, as 5s, 500ms or 5"),
        ] {
            assert_eq!(wait(text).expect_err(text).text(), error);
        }
    }
}
