//! The listener: connections with bounds, TLS where it is asked for, on a thread of its own with a small runtime.
//!
//! It is not the listener of metrics and health: those must answer when this one is busy, and need no token.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, oneshot};

use crate::api::access::keep_telling;
use crate::api::dispatch::answer;
use crate::api::state::State;
use crate::api::tls::Tls;

/// Most connections at once; more wait.
const MAX_CONNECTIONS: usize = 512;

/// How long the head of a request may take, and a connection may be idle.
const HEAD_LIMIT: Duration = Duration::from_secs(15);

/// Most headers of a request, and most bytes of its head.
const MAX_HEADERS: usize = 64;
const MAX_HEAD_BYTES: usize = 16 << 10;

/// How long what is being answered may still take when the service stops.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// Threads for questions that block.
const MAX_BLOCKING: usize = 16;

/// The running listener. It stops when this is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Listens when this returns.
    ///
    /// # Errors
    /// The address cannot be bound or the thread cannot be started.
    pub(crate) fn open(
        listen: SocketAddr,
        tls: Option<Tls>,
        state: Arc<State>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(MAX_BLOCKING)
            .thread_name("api")
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread =
            std::thread::Builder::new().name("api-listen".to_owned()).spawn(move || {
                runtime.block_on(async move {
                    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                    tokio::spawn(keep_telling(Arc::clone(&state)));
                    tokio::select! {
                        () = accept(listener, tls, state) => {}
                        _ = stopped => {}
                    }
                });
                runtime.shutdown_timeout(STOP_LIMIT);
            })?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// The address that is bound, with the real port where 0 was asked for.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // WHY: both fail only when the listener has gone already, which is what is wanted.
        if let Some(stop) = self.stop.take() {
            _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, tls: Option<Tls>, state: Arc<State>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, peer)) = listener.accept().await else {
            // WHY: out of file descriptors, most likely; some come back as connections end.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // WHY: an answer is one small write, and must not wait for more.
        _ = stream.set_nodelay(true);
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            match tls {
                None => converse(stream, peer.ip(), state).await,
                Some(tls) => {
                    let greeted = tokio::time::timeout(HEAD_LIMIT, tls.accept(stream)).await;
                    if let Ok(Ok(stream)) = greeted {
                        converse(stream, peer.ip(), state).await;
                    }
                }
            }
            drop(place);
        });
    }
}

async fn converse<S>(stream: S, peer: IpAddr, state: Arc<State>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let state = Arc::clone(&state);
        async move {
            Ok::<_, core::convert::Infallible>(answer(state, peer, request.map(Body::new)).await)
        }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES);
    // WHY: what ends a conversation is the caller's affair: gone away, or no HTTP.
    _ = server.serve_connection(TokioIo::new(stream), service).await;
}
