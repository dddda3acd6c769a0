//! The client side of FindingService, for `shadowprod findings`, `explain`, `why-not` and `demo`.
//!
//! In: a server's address and a question. Out: findings of the domain. Errors say what to do.

use shadowprod_proto::v1::finding_service_client::FindingServiceClient;
use shadowprod_proto::v1::watch_findings_response::Event;
use shadowprod_proto::v1::{
    ExplainFindingRequest, ExplainSubjectRequest, GetFindingRequest, ListFindingsRequest,
    WatchFindingsRequest, WatchFindingsResponse,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use super::convert::{self, ConvertError};
use super::refusal;
use crate::explain::Explanation;
use crate::findings::{Finding, FindingChange};

const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
/// A connection without an answer for this long is dead.
const KEEPALIVE: std::time::Duration = std::time::Duration::from_secs(20);

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not a URL.
    #[error("`{server}` is no server address; expected a URL such as http://127.0.0.1:50551")]
    Address {
        /// What was given.
        server: String,
    },
    /// Nobody listens.
    #[error(
        "no shadowprod daemon answers at {server}: {reason}. Start one with `shadowprod run --config FILE` or \
         `shadowprod demo`, or name another with --server"
    )]
    Unreachable {
        /// Its address.
        server: String,
        /// What the system said.
        reason: String,
    },
    /// No finding has this id.
    #[error("{0}")]
    NotFound(String),
    /// The resume token leads nowhere any more.
    #[error("{0}")]
    Expired(String),
    /// The connection broke or the daemon ends: ask again.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// Too many ask: ask again later.
    #[error("the server is busy: {0}")]
    Busy(String),
    /// The server refuses.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The server's answer is not of this version.
    #[error(transparent)]
    Unreadable(#[from] ConvertError),
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let message = status.message().to_owned();
        let reason = status.get_details_error_info().map(|details| details.reason).unwrap_or_default();
        match status.code() {
            Code::NotFound => Self::NotFound(message),
            Code::OutOfRange if reason == refusal::TOKEN_EXPIRED => Self::Expired(message),
            Code::ResourceExhausted => Self::Busy(message),
            Code::Unavailable | Code::Unknown | Code::Cancelled => Self::Lost(message),
            _ => Self::Refused(message),
        }
    }
}

/// Which findings; an empty text matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `open` or `resolved`.
    pub state: String,
    /// Detection id.
    pub detection: String,
    /// This severity and worse.
    pub severity_min: String,
    /// Person id.
    pub owner: String,
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// A finding that is open as the watch begins.
    Current(Finding),
    /// What happened.
    Change(FindingChange),
    /// Everything durable was told.
    Bookmark,
}

/// A connection.
#[derive(Debug, Clone)]
pub struct Client {
    service: FindingServiceClient<Channel>,
}

impl Client {
    /// Connects now, so that a daemon that is not there is said at once.
    pub async fn connect(server: &str) -> Result<Self, ClientError> {
        let bad_address = || ClientError::Address { server: server.to_owned() };
        let endpoint = Endpoint::from_shared(server.to_owned()).map_err(|_| bad_address())?;
        if endpoint.uri().scheme().is_none() || endpoint.uri().authority().is_none() {
            return Err(bad_address());
        }
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE);
        let channel = endpoint.connect().await.map_err(|error| ClientError::Unreachable {
            server: server.to_owned(),
            reason: root_cause(&error),
        })?;
        Ok(Self { service: FindingServiceClient::new(channel) })
    }

    /// All findings that match, worst first.
    pub async fn list(&mut self, wanted: &Wanted) -> Result<Vec<Finding>, ClientError> {
        let mut findings = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListFindingsRequest {
                page_size: crate::limits::PAGE_SIZE_MAX,
                page_token,
                detection: wanted.detection.clone(),
                state: wanted.state.clone(),
                severity_min: wanted.severity_min.clone(),
                owner: wanted.owner.clone(),
                ..ListFindingsRequest::default()
            };
            let page = self.service.list_findings(request).await?.into_inner();
            for message in page.findings {
                findings.push(convert::finding(message)?);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(findings);
            }
        }
    }

    /// One finding.
    pub async fn get(&mut self, finding_id: &str) -> Result<Finding, ClientError> {
        let request = GetFindingRequest { finding_id: finding_id.to_owned() };
        let response = self.service.get_finding(request).await?.into_inner();
        Ok(convert::finding(response.finding.ok_or(ConvertError::Missing { field: "finding" })?)?)
    }

    /// Why a finding is there.
    pub async fn explain(&mut self, finding_id: &str) -> Result<Explanation, ClientError> {
        let request = ExplainFindingRequest { finding_id: finding_id.to_owned() };
        explained(self.service.explain_finding(request).await?.into_inner().explanation)
    }

    /// What a subject lacks for a detection to fire on it.
    pub async fn why_not(&mut self, detection: &str, subject: &str) -> Result<Explanation, ClientError> {
        let (detection, subject_id) = (detection.to_owned(), subject.to_owned());
        let request = ExplainSubjectRequest { detection, subject_id };
        explained(self.service.explain_subject(request).await?.into_inner().explanation)
    }

    /// Watches findings of one detection, or of all where it is empty.
    pub async fn watch(&mut self, detection: &str, resume_token: &str) -> Result<Watching, ClientError> {
        let request = WatchFindingsRequest {
            resume_token: resume_token.to_owned(),
            detection: detection.to_owned(),
            ..WatchFindingsRequest::default()
        };
        Ok(Watching { stream: self.service.watch_findings(request).await?.into_inner() })
    }
}

/// A watch at work.
#[derive(Debug)]
pub struct Watching {
    stream: Streaming<WatchFindingsResponse>,
}

impl Watching {
    /// The next thing told, with the token to go on after it.
    pub async fn next(&mut self) -> Result<(String, Told), ClientError> {
        let response = self.stream.message().await?;
        let response = response.ok_or_else(|| ClientError::Lost("the server ended the watch".to_owned()))?;
        let told = match response.event.ok_or(ConvertError::Missing { field: "event" })? {
            Event::Current(message) => Told::Current(convert::finding(message)?),
            Event::Change(message) => Told::Change(convert::change(message)?),
            Event::Bookmark(_) => Told::Bookmark,
        };
        Ok((response.resume_token, told))
    }
}

fn explained(message: Option<shadowprod_proto::v1::Explanation>) -> Result<Explanation, ClientError> {
    Ok(convert::explanation(message.ok_or(ConvertError::Missing { field: "explanation" })?)?)
}

/// tonic says "transport error"; what the system said is at the end of the chain.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
