//! `shadowprod.v1.FindingService` over gRPC, with health and reflection beside it.
//!
//! In: requests. Out: committed findings. Nothing here computes; the store is read on blocking threads.

use std::sync::Arc;

use shadowprod_proto::v1::finding_service_server::{FindingService, FindingServiceServer};
use shadowprod_proto::v1::{
    ExplainFindingRequest, ExplainFindingResponse, ExplainSubjectRequest, ExplainSubjectResponse,
    GetFindingRequest, GetFindingResponse, ListFindingsRequest, ListFindingsResponse, WatchFindingsRequest,
    WatchFindingsResponse,
};
use shadowprod_proto::{FILE_DESCRIPTOR_SET, Message};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::{Routes, RoutesBuilder};
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::convert::finding_message;
use super::explaining::{self, Explaining};
use super::health::Health;
use super::reads::Reads;
use super::watch::{Filter, Place, Watcher};
use super::{page, refusal, token};
use crate::explain::{self, Ask, When};
use crate::findings::Finding;
use crate::limits::{PAGE_BYTES_MAX, WATCH_QUEUE_MAX, WATCHERS_MAX};
use crate::metrics::Metrics;
use crate::store::ListQuery;

const SERVICE: &str = "shadowprod.v1.FindingService";

/// The service's parts.
pub(super) struct Findings {
    reads: Arc<Reads>,
    metrics: Arc<Metrics>,
    committed: watch::Receiver<u64>,
    shutdown: watch::Receiver<bool>,
    places: Arc<Semaphore>,
    explaining: Explaining,
}

impl Findings {
    /// A service without watchers.
    pub(super) fn new(
        reads: Arc<Reads>,
        metrics: Arc<Metrics>,
        committed: watch::Receiver<u64>,
        shutdown: watch::Receiver<bool>,
        explaining: Explaining,
    ) -> Self {
        let places = Arc::new(Semaphore::new(WATCHERS_MAX));
        Self { reads, metrics, committed, shutdown, places, explaining }
    }

    async fn get(&self, id: String) -> Result<Finding, Status> {
        if id.is_empty() {
            return Err(refusal::bad_field("finding_id", "empty; give the id of a finding"));
        }
        let asked = id.clone();
        let found = self.reads.read(move |reader| reader.get(&asked)).await;
        found.map_err(|error| refusal::store_failed(&error))?.ok_or_else(|| refusal::unknown_finding(&id))
    }

    fn take_place(&self) -> Result<Place, Status> {
        let permit = self.places.clone().try_acquire_owned().map_err(|_| refusal::too_many_watchers())?;
        Ok(Place::taken(self.metrics.clone(), permit))
    }
}

/// FindingService, health, and reflection in both versions that clients ask for.
pub(super) fn routes(findings: Findings, reporter: HealthReporter) -> Routes {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let sound = "the descriptor sets were made by the compiler that made the code";
    let health = tonic_health::server::HealthService::from_health_reporter(reporter);
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(FindingServiceServer::new(findings))
        .add_service(tonic_health::pb::health_server::HealthServer::new(health))
        .add_service(reflection().build_v1().expect(sound))
        .add_service(reflection().build_v1alpha().expect(sound));
    routes.routes()
}

/// Keeps gRPC health in step with readiness until the daemon ends.
pub(super) async fn report_health(
    health: Arc<Health>,
    reporter: HealthReporter,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut ready = health.subscribe();
    loop {
        let status =
            if *ready.borrow_and_update() { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status("", status).await;
        reporter.set_service_status(SERVICE, status).await;
        tokio::select! {
            changed = ready.changed() => if changed.is_err() { break },
            _ = shutdown.wait_for(|ends| *ends) => break,
        }
    }
    reporter.set_service_status("", ServingStatus::NotServing).await;
    reporter.set_service_status(SERVICE, ServingStatus::NotServing).await;
}

#[tonic::async_trait]
impl FindingService for Findings {
    type WatchFindingsStream = ReceiverStream<Result<WatchFindingsResponse, Status>>;

    async fn list_findings(
        &self,
        request: Request<ListFindingsRequest>,
    ) -> Result<Response<ListFindingsResponse>, Status> {
        let mut query = list_query(request.into_inner())?;
        loop {
            let page = page::read(&self.reads, query.clone()).await?;
            let response = ListFindingsResponse {
                findings: page.findings.iter().map(finding_message).collect(),
                next_page_token: page.next_page_token.unwrap_or_default(),
            };
            let count = page.findings.len() as u32;
            if response.encoded_len() <= PAGE_BYTES_MAX || count <= 1 {
                return Ok(Response::new(response));
            }
            query.page_size = count / 2;
        }
    }

    async fn get_finding(
        &self,
        request: Request<GetFindingRequest>,
    ) -> Result<Response<GetFindingResponse>, Status> {
        let finding = self.get(request.into_inner().finding_id).await?;
        Ok(Response::new(GetFindingResponse { finding: Some(finding_message(&finding)) }))
    }

    async fn watch_findings(
        &self,
        request: Request<WatchFindingsRequest>,
    ) -> Result<Response<Self::WatchFindingsStream>, Status> {
        let request = request.into_inner();
        let begin =
            token::decode(self.reads.instance(), &request.resume_token).map_err(refusal::bad_token)?;
        let place = self.take_place()?;
        let (responses, stream) = mpsc::channel(WATCH_QUEUE_MAX);
        let watcher = Watcher {
            reads: self.reads.clone(),
            filter: Filter::of(&request),
            committed: self.committed.clone(),
            shutdown: self.shutdown.clone(),
            responses,
            place,
        };
        tokio::spawn(watcher.run(begin));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn explain_finding(
        &self,
        request: Request<ExplainFindingRequest>,
    ) -> Result<Response<ExplainFindingResponse>, Status> {
        let finding = self.get(request.into_inner().finding_id).await?;
        let at = explain::made_at(&finding).unwrap_or(finding.last_seen).as_microsecond();
        let ask = Ask {
            detection: finding.detection.clone(),
            subject: finding.subject.id.clone(),
            when: if finding.confirmed { When::Grid(at) } else { When::Early(at) },
        };
        let explanation = self.explaining.explain(ask, Some(finding)).await?;
        Ok(Response::new(ExplainFindingResponse { explanation: Some(explaining::message(explanation)) }))
    }

    async fn explain_subject(
        &self,
        request: Request<ExplainSubjectRequest>,
    ) -> Result<Response<ExplainSubjectResponse>, Status> {
        let ExplainSubjectRequest { detection, subject_id } = request.into_inner();
        if subject_id.is_empty() {
            return Err(refusal::bad_field("subject_id", "empty; give the id of a subject"));
        }
        let ask = Ask { detection, subject: subject_id, when: When::Now };
        let explanation = self.explaining.explain(ask, None).await?;
        Ok(Response::new(ExplainSubjectResponse { explanation: Some(explaining::message(explanation)) }))
    }
}

fn list_query(request: ListFindingsRequest) -> Result<ListQuery, Status> {
    Ok(ListQuery {
        severity_min: page::severity(&request.severity_min)?,
        state: page::state(&request.state)?,
        detection: page::wanted(request.detection),
        subject_kind: page::wanted(request.subject_kind),
        subject_id: page::wanted(request.subject_id),
        owner: page::wanted(request.owner),
        page_size: page::size(request.page_size),
        page_token: page::wanted(request.page_token),
    })
}
