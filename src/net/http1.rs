//! HTTP/1 on a stream, whatever carries it: for the control API, and for the request that asks for
//! WebSocket.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What bounds a connection.
pub(crate) struct Bounds {
    /// Bytes that are held of requests, and of answers: no head is larger.
    pub(crate) buffer: usize,
    /// How long a head may take; `None` where the caller sees to it.
    pub(crate) head_timeout: Option<Duration>,
}

/// How HTTP on a stream ended.
pub(crate) enum Ended<S, W> {
    /// Either side closed it.
    Closed,
    /// With a 101, as the client had asked: what follows `read` on the stream is another protocol.
    Switched { stream: S, read: Bytes },
    /// For the caller's reason, in the middle of whatever it was at.
    GivenUp {
        /// Upgrades never are.
        #[cfg_attr(
            not(feature = "http"),
            expect(dead_code, reason = "W has no value then")
        )]
        stream: S,
        why: W,
    },
}

/// Answers the requests on `stream`, of which `front` was read already. Once `finish` is ready, those
/// that have begun are the last ones; once `give_up` is, nothing more happens.
///
/// # Errors
///
/// What is no HTTP, a head that is too large or too slow, and a stream that failed.
pub(crate) async fn serve<S, F, B, W>(
    front: Bytes,
    stream: S,
    bounds: &Bounds,
    answer: impl Fn(Request<Incoming>) -> F,
    finish: impl Future<Output = ()>,
    give_up: impl Future<Output = W>,
) -> Result<Ended<S, W>, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Response<B>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let has_switched = AtomicBool::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        let may_switch = request.extensions().get::<OnUpgrade>().is_some();
        let (answered, has_switched) = (answer(request), &has_switched);
        async move {
            let answer = answered.await;
            let switches = may_switch && answer.status() == StatusCode::SWITCHING_PROTOCOLS;
            has_switched.store(switches, Ordering::Relaxed);
            Ok::<_, Infallible>(answer)
        }
    });
    let stream = TokioIo::new(Rewound { front, stream });
    let mut connection = builder(bounds).serve_connection(stream, service);
    let (mut finish, mut give_up) = (pin!(finish), pin!(give_up));
    let mut is_finishing = false;
    let given_up = loop {
        tokio::select! {
            ended = &mut connection => break ended.map(|()| None)?,
            why = give_up.as_mut() => break Some(why),
            () = finish.as_mut(), if !is_finishing => {
                is_finishing = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let parts = connection.into_parts();
    let Rewound { front, stream } = parts.io.into_inner();
    Ok(match given_up {
        Some(why) => Ended::GivenUp { stream, why },
        None if has_switched.load(Ordering::Relaxed) => Ended::Switched {
            stream,
            read: joined(parts.read_buf, front),
        },
        None => Ended::Closed,
    })
}

fn builder(bounds: &Bounds) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(bounds.buffer);
    // Without a timer no time is taken.
    if let Some(timeout) = bounds.head_timeout {
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(timeout);
    }
    builder
}

fn joined(first: Bytes, then: Bytes) -> Bytes {
    if then.is_empty() {
        return first;
    }
    let mut both = BytesMut::from(first);
    both.extend_from_slice(&then);
    both.freeze()
}

/// A stream with the bytes in front that were read from it already.
struct Rewound<S> {
    front: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.front.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let count = self.front.len().min(buffer.remaining());
        buffer.put_slice(&self.front.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
