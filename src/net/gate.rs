//! A gate before what takes much of a core: few are inside at a time, a bounded number wait, and the
//! addresses that they come from take turns.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::auth::Source;
use crate::auth::line::{Full, Line, Ticket};

/// A gate. Clones lead to the same place.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Mutex<State>>);

struct State {
    /// Places inside; while there is one, nobody waits.
    free: usize,
    line: Line<oneshot::Sender<()>>,
}

/// A place inside, until it is dropped.
pub(super) struct Place(Gate);

/// Whoever waits; gives the place in the line back when dropped.
struct Waiting {
    gate: Gate,
    ticket: Ticket,
    called: oneshot::Receiver<()>,
    is_inside: bool,
}

impl Gate {
    /// A gate with so many places inside, before which so many may wait.
    pub(crate) fn new(places: usize, waiting: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            free: places,
            line: Line::new(waiting),
        })))
    }

    /// Waits for a place inside. Giving up is dropping the future.
    ///
    /// # Errors
    ///
    /// Too many wait already.
    pub(super) async fn enter(&self, source: Source) -> Result<Place, Full> {
        match self.join(source)? {
            None => Ok(Place(self.clone())),
            Some(waiting) => Ok(waiting.await),
        }
    }

    /// How many wait.
    #[cfg(all(test, feature = "tls"))]
    pub(super) fn waiting(&self) -> usize {
        self.0.lock().line.len()
    }

    /// Takes a place if there is one, or waits for it.
    fn join(&self, source: Source) -> Result<Option<Waiting>, Full> {
        let mut state = self.0.lock();
        if let Some(free) = state.free.checked_sub(1) {
            state.free = free;
            return Ok(None);
        }
        let (call, called) = oneshot::channel();
        let ticket = state.line.join(source, call)?;
        Ok(Some(Waiting {
            gate: self.clone(),
            ticket,
            called,
            is_inside: false,
        }))
    }

    /// Gives a place to whoever's turn it is.
    fn pass_on(&self) {
        loop {
            let next = {
                let mut state = self.0.lock();
                let next = state.line.next();
                if next.is_none() {
                    state.free += 1;
                }
                next
            };
            // Whoever does not listen any more has given up meanwhile.
            if next.is_none_or(|call| call.send(()).is_ok()) {
                return;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.pass_on();
    }
}

impl Future for Waiting {
    type Output = Place;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Place> {
        // The gate, which this one holds, calls whoever waits.
        Pin::new(&mut self.called).poll(cx).map(|_| {
            self.is_inside = true;
            Place(self.gate.clone())
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.is_inside || self.gate.0.lock().line.leave(self.ticket).is_some() {
            return;
        }
        // A call that comes from now on fails, and one that came is handed on.
        self.called.close();
        if self.called.try_recv().is_ok() {
            self.gate.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn source(number: u8) -> Source {
        IpAddr::from(Ipv4Addr::new(192, 0, 2, number)).into()
    }

    fn waiting(gate: &Gate, number: u8) -> Waiting {
        let joined = gate.join(source(number)).unwrap();
        joined.expect("no place is free")
    }

    #[tokio::test]
    async fn no_more_are_inside_than_there_are_places() {
        let gate = Gate::new(2, 10);
        let first = gate.enter(source(1)).await.unwrap();
        let _second = gate.enter(source(1)).await.unwrap();
        let mut third = waiting(&gate, 1);
        let poll = futures_poll(&mut third).await;
        assert!(poll.is_pending());
        drop(first);
        assert!(futures_poll(&mut third).await.is_ready());
    }

    #[tokio::test]
    async fn addresses_take_turns() {
        let gate = Gate::new(1, 10);
        let inside = gate.enter(source(1)).await.unwrap();
        let (mut first, mut second) = (waiting(&gate, 1), waiting(&gate, 1));
        let mut other = waiting(&gate, 2);
        drop(inside);
        let inside = Pin::new(&mut first).await;
        drop(inside);
        assert!(futures_poll(&mut second).await.is_pending());
        let inside = Pin::new(&mut other).await;
        drop(inside);
        assert!(futures_poll(&mut second).await.is_ready());
    }

    #[tokio::test]
    async fn whoever_gives_up_takes_nobodys_place() {
        let gate = Gate::new(1, 4);
        let inside = gate.enter(source(1)).await.unwrap();
        let (waits, called) = (waiting(&gate, 1), waiting(&gate, 1));
        assert_eq!(gate.join(source(1)).err(), Some(Full));
        drop(waits);
        assert_eq!(gate.0.lock().line.len(), 1);
        drop(inside);
        // Its turn has come, and it goes before it saw that.
        drop(called);
        assert_eq!(gate.0.lock().free, 1);
        gate.enter(source(1)).await.unwrap();
    }

    /// What a future says now.
    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
    }
}
