//! Serving: gRPC and HTTP over committed findings, on loopback only.
//!
//! In: the state folder, the number of the newest durable change, readiness. Out: two listening sockets.
//! Nothing is served that a crash could take back, and no question of a client runs on the runtime's threads.

pub mod convert;
pub mod token;
pub mod health;
pub mod reads;
mod explaining;
mod page;
mod refusal;
mod watch;
pub mod grpc;
pub mod http;
pub mod client;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;

pub use health::Health;

use crate::config::ServeConfig;
use crate::explain::Question;
use crate::metrics::Metrics;
use crate::store::StoreError;
use reads::Reads;

/// A connection that does not answer for this long is closed: a watcher behind it frees its place.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Why serving cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can be reached from other machines.
    #[error(
        "[serve] {key} = \"{address}\": not a loopback address. Findings name people and credentials: beyond \
         loopback they are served with TLS only, and TLS is not yet configurable. Use 127.0.0.1 or [::1], and \
         a proxy that ends TLS in front"
    )]
    NotLoopback {
        /// `grpc` or `http`.
        key: &'static str,
        /// What was configured.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("[serve] {key} = \"{address}\": cannot listen: {source}. Is another shadowprod running?")]
    Listen {
        /// `grpc` or `http`.
        key: &'static str,
        /// What was configured.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The store cannot be read.
    #[error("cannot read the store: {0}")]
    Store(#[from] StoreError),
}

/// Two servers at work. Dropping it ends them at once.
#[derive(Debug)]
pub struct Serving {
    /// Where gRPC listens; the port is real also where 0 was configured.
    pub grpc: SocketAddr,
    /// Where HTTP listens.
    pub http: SocketAddr,
    servers: JoinSet<()>,
}

impl Serving {
    /// Waits until both servers ended after `shutdown` turned true, at most this long; then ends them.
    pub async fn ended(mut self, deadline: Duration) {
        let all = async { while self.servers.join_next().await.is_some() {} };
        if tokio::time::timeout(deadline, all).await.is_err() {
            tracing::warn!("connections were still open at the deadline; closing them");
        }
    }
}

/// Refuses what [`start`] would refuse about the addresses, without listening: for `shadowprod check`.
pub fn check(addresses: &ServeConfig) -> Result<(), ServeError> {
    for (key, address) in [("grpc", addresses.grpc), ("http", addresses.http)] {
        if !address.ip().is_loopback() {
            return Err(ServeError::NotLoopback { key, address });
        }
    }
    Ok(())
}

/// Listens on both addresses and serves on the current tokio runtime until `shutdown` is true.
///
/// `committed` carries the number of the newest durable change; the store exists already. `questions` reach the
/// pipeline.
pub async fn start(
    state_dir: &Path,
    addresses: &ServeConfig,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    committed: Receiver<u64>,
    shutdown: Receiver<bool>,
    questions: SyncSender<Question>,
) -> Result<Serving, ServeError> {
    check(addresses)?;
    let grpc = listen("grpc", addresses.grpc).await?;
    let http = listen("http", addresses.http).await?;
    let bound = ServeConfig { grpc: address(&grpc, addresses.grpc), http: address(&http, addresses.http) };
    let dir = state_dir.to_owned();
    let reads = tokio::task::spawn_blocking(move || Reads::open(&dir));
    let reads = Arc::new(reads.await.expect("opening does not panic and is never cancelled")?);

    let explaining = explaining::Explaining::new(questions, metrics.clone());
    let findings =
        grpc::Findings::new(reads.clone(), metrics.clone(), committed, shutdown.clone(), explaining);
    let pages = http::Pages { reads, metrics, health: health.clone(), addresses: bound.clone() };
    let mut servers = JoinSet::new();
    servers.spawn(serve_grpc(grpc, findings, health, shutdown.clone()));
    servers.spawn(serve_http(http, pages, shutdown));
    Ok(Serving { grpc: bound.grpc, http: bound.http, servers })
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { key, address, source })
}

fn address(listener: &TcpListener, configured: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(configured)
}

async fn serve_grpc(
    listener: TcpListener,
    findings: grpc::Findings,
    health: Arc<Health>,
    shutdown: Receiver<bool>,
) {
    let reporter = tonic_health::server::HealthReporter::new();
    let routes = grpc::routes(findings, reporter.clone());
    let reporting = tokio::spawn(grpc::report_health(health, reporter, shutdown.clone()));
    let served = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .add_routes(routes)
        .serve_with_incoming_shutdown(tonic::transport::server::TcpIncoming::from(listener), ends(shutdown))
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the gRPC server ended");
    }
    reporting.abort();
}

async fn serve_http(listener: TcpListener, pages: http::Pages, shutdown: Receiver<bool>) {
    let served = axum::serve(listener, http::router(pages)).with_graceful_shutdown(ends(shutdown)).await;
    if let Err(error) = served {
        tracing::error!(%error, "the HTTP server ended");
    }
}

/// Resolves when the daemon ends, or when nobody is left to say so.
async fn ends(mut shutdown: Receiver<bool>) {
    let _ = shutdown.wait_for(|ends| *ends).await;
}
