//! Looks at the broker for all [streams](super::streams) together, four times a second, and tells each what has
//! changed. There is one of it while there are streams.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior};

use crate::broker::{Seen, Standing, Step, Subject, What};
use crate::config::Config;
use crate::engine::Engine;
use crate::excerpt::beginning;
use crate::time::{Calendar, milliseconds};

use super::Api;
use super::streams::{FRAME, Holding, Sampling, Stream, Told, Topic, frame};
use super::v1::Stats;

/// Between two looks.
const TICK: Duration = Duration::from_millis(250);

/// The counters come with every so many looks: all sessions are summed up for them.
const TICKS_PER_STATS: u64 = 4;

/// A stream that is told nothing for longer is sent a frame that says nothing, well before it counts as idle.
const QUIET: Duration = Duration::from_secs(5);

/// Steps of a group in one frame.
const STEPS: usize = 100;

/// Characters of a client identifier in a step.
const NAME: usize = 256;

/// Bytes of a step besides its names.
const STEP: usize = 100;

#[derive(Serialize)]
struct Counters<'a> {
    /// Milliseconds since these streams began, for rates.
    at_ms: u64,
    #[serde(flatten)]
    stats: &'a Stats,
}

#[derive(Serialize)]
struct Generation {
    /// Another number than before: something has changed.
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<usize>,
}

#[derive(Serialize)]
struct JournalState {
    on: bool,
    /// The number of its last row.
    last: u64,
}

#[derive(Serialize)]
struct Turns {
    share: String,
    filter: String,
    /// `false`: there is no such group.
    exists: bool,
    number: u64,
    cursor: usize,
    members: usize,
    queued: usize,
    dropped: u64,
    /// Steps that came too fast.
    skipped: u64,
    steps: Vec<ShownStep>,
}

#[derive(Serialize)]
struct ShownStep {
    /// By the broker's clock, in milliseconds since 1970.
    at_ms: u64,
    event: &'static str,
    client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
}

/// Tells the streams until there are none, or the broker stops.
pub(super) async fn sample(api: Api, sampling: Sampling) {
    tokio::select! {
        biased;
        () = api.engine.stopping.cancelled() => {}
        () = tell(&api, sampling) => {}
    }
}

/// How long a stream may say nothing.
pub(super) fn quiet(config: &Config) -> Duration {
    QUIET.min(config.http_idle_timeout / 3)
}

/// Tells the streams until there are none.
async fn tell(api: &Api, mut sampling: Sampling) {
    let began = Instant::now();
    let broker = &api.engine.broker;
    let mut watchers =
        [Subject::Clients, Subject::Subscriptions].map(|of| broker.watcher(of, None));
    let quiet = quiet(broker.config());
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut tick, mut clients) = (0_u64, 0);
    loop {
        let now = ticks.tick().await;
        let Some(streams) = sampling.streams() else {
            return;
        };
        clients += u64::from(has_changed(&mut watchers).await);
        let is_time = tick % TICKS_PER_STATS == 0;
        tick += 1;
        let is_due =
            |stream: &Arc<Stream>| stream.wanted.stats && (is_time || !stream.told.lock().stats);
        // What fails for want of room comes with a later look.
        if streams.iter().any(is_due)
            && let Ok(overview) = api.overview().await
        {
            let stats = &Stats::new(overview, &api.engine);
            let at_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let frame = frame(Topic::Stats, &Counters { at_ms, stats });
            for stream in streams.iter().filter(|stream| is_due(stream)) {
                stream.told.lock().stats = true;
                stream.tell(Topic::Stats, frame.clone());
            }
        }
        let (engine, calendar, asking) = (api.engine.clone(), api.calendar, streams.clone());
        let _ = api
            .jobs
            .run(move || look(&engine, &calendar, clients, &asking))
            .await;
        if let Some(before) = now.checked_sub(quiet) {
            streams.iter().for_each(|stream| stream.keep_alive(before));
        }
    }
}

/// Whether any of these has heard of a change since the last time.
async fn has_changed(watchers: &mut [crate::broker::Watcher<'_>]) -> bool {
    poll_fn(|cx| {
        let mut changed = false;
        for watcher in &mut *watchers {
            changed |= watcher.poll_changed(cx).is_ready();
        }
        Poll::Ready(changed)
    })
    .await
}

/// Looks at what the streams are about, and tells them what is new to them.
fn look(engine: &Arc<Engine>, calendar: &Calendar, clients: u64, streams: &[Arc<Stream>]) {
    let asks_for_groups = streams.iter().any(|stream| stream.wanted.groups);
    let groups = asks_for_groups.then(|| engine.broker.groups_mark(clients));
    for stream in streams {
        let mut told = stream.told.lock();
        if stream.wanted.clients && told.clients.replace(clients) != Some(clients) {
            let generation = Generation {
                generation: clients,
                total: None,
            };
            stream.tell(Topic::Clients, frame(Topic::Clients, &generation));
        }
        if stream.wanted.groups
            && let Some((total, mark)) = groups
            && told.groups.replace((total, mark)) != Some((total, mark))
        {
            let generation = Generation {
                // A number that JavaScript keeps.
                generation: mark >> 11,
                total: Some(total),
            };
            stream.tell(Topic::Groups, frame(Topic::Groups, &generation));
        }
        if stream.wanted.topics {
            tell_topics(engine, stream, &mut told);
        }
        let tap = engine.broker.tap();
        let journal = (tap.has_journal(), tap.last_row());
        if stream.wanted.journal && told.journal.replace(journal) != Some(journal) {
            let (on, last) = journal;
            let state = JournalState { on, last };
            stream.tell(Topic::Journal, frame(Topic::Journal, &state));
        }
        if let Some((share, filter)) = &stream.wanted.turns {
            tell_turns(engine, calendar, stream, &mut told, share, filter);
        }
    }
}

/// Tells a stream that a topic has another value. The first time, values begin to be kept for it; they do again
/// where somebody has dropped them.
fn tell_topics(engine: &Arc<Engine>, stream: &Stream, told: &mut Told) {
    match &told.holding {
        None => told.holding = Some(Holding::new(engine)),
        Some(_) => engine.broker.look_at_values(engine.clock.now().now),
    }
    let generation = engine.broker.values_generation();
    if told.topics.replace(generation) != Some(generation) {
        let generation = Generation {
            generation,
            total: None,
        };
        stream.tell(Topic::Topics, frame(Topic::Topics, &generation));
    }
}

/// Tells a stream how its group goes on, once it has taken how it went before.
fn tell_turns(
    engine: &Arc<Engine>,
    calendar: &Calendar,
    stream: &Stream,
    told: &mut Told,
    share: &str,
    filter: &str,
) {
    if !stream.has_taken(Topic::Turns) {
        return;
    }
    told.watch(&engine.broker, share, filter);
    let seen = told.watching.as_mut().map(|watching| watching.look(STEPS));
    let standing = seen.as_ref().map(|seen| seen.standing);
    let has_steps = seen.as_ref().is_some_and(Seen::has_steps);
    if told.standing.replace(standing) == Some(standing) && !has_steps {
        return;
    }
    let turns = Turns::new(share, filter, seen, calendar);
    stream.tell(Topic::Turns, frame(Topic::Turns, &turns));
}

impl Turns {
    fn new(share: &str, filter: &str, seen: Option<Seen>, calendar: &Calendar) -> Self {
        let exists = seen.is_some();
        let (standing, steps, mut skipped) = match seen {
            Some(seen) => (seen.standing, seen.steps, seen.skipped),
            None => (Standing::default(), Vec::new(), 0),
        };
        // The last ones, as far as they fit.
        let (mut shown, mut bytes) = (Vec::new(), 0);
        for step in steps.iter().rev() {
            let step = ShownStep::new(step, calendar);
            bytes += step.size();
            if bytes > FRAME / 2 {
                skipped += (steps.len() - shown.len()) as u64;
                break;
            }
            shown.push(step);
        }
        shown.reverse();
        Self {
            share: share.to_owned(),
            filter: filter.to_owned(),
            exists,
            number: standing.number,
            cursor: standing.cursor,
            members: standing.members,
            queued: standing.queued,
            dropped: standing.dropped,
            skipped,
            steps: shown,
        }
    }
}

impl ShownStep {
    fn new(step: &Step, calendar: &Calendar) -> Self {
        let (event, number, from) = match &step.what {
            What::Pick(number) => ("pick", Some(*number), None),
            What::Redelivery(number, from) => ("redelivery", Some(*number), from.as_deref()),
            What::Join => ("join", None, None),
            What::Leave => ("leave", None, None),
            What::Away => ("away", None, None),
            What::Back => ("back", None, None),
        };
        Self {
            at_ms: milliseconds(calendar.date(step.at)),
            event,
            client_id: beginning(&step.client_id, NAME).into_owned(),
            from: from.map(|from| beginning(from, NAME).into_owned()),
            number,
        }
    }

    /// Its bytes as JSON, nearly: some characters take more.
    fn size(&self) -> usize {
        STEP + self.client_id.len() + self.from.as_ref().map_or(0, String::len)
    }
}
