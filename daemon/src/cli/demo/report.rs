//! What a person reads at the end of a demo.
//!
//! In: a verdict, addresses. Out: text. Findings themselves are printed by `cli::findings`.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;
use std::path::PathBuf;

use shadowprod_world::{ExpectedSubject, Label};

use crate::cli::judge::{Unexpected, Verdict};

/// Planted against found, and the look-alikes.
pub struct VerdictText<'a>(pub &'a Verdict);

impl Display for VerdictText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Verdict { found, missed, unexpected, quiet } = self.0;
        writeln!(f, "Planted incidents: {} found, {} missed", found.len(), missed.len())?;
        for one in found {
            writeln!(f, "  found   {}", LabelText(&one.label))?;
        }
        for label in missed {
            writeln!(f, "  MISSED  {}", LabelText(label))?;
        }
        writeln!(f, "Findings that nobody planted: {}", unexpected.len())?;
        for Unexpected { sighting, look_alike } in unexpected {
            let finding = &sighting.finding;
            let name = look_alike.as_ref().map(|n| format!(" (look-alike: {n})")).unwrap_or_default();
            writeln!(
                f,
                "  UNEXPECTED  {} {}{name}: {}",
                finding.detection, finding.subject.id, finding.title
            )?;
        }
        writeln!(f, "Look-alikes that stayed quiet: {}", quiet.len())?;
        writeln!(f, "  {}", quiet.join(", "))
    }
}

struct LabelText<'a>(&'a Label);

impl Display for LabelText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Label { detection, subject, why, .. } = self.0;
        match subject {
            ExpectedSubject::Pilot(pilot) => write!(f, "{detection:<30} pilot {pilot}: {why}"),
            ExpectedSubject::Caller(caller) => write!(f, "{detection:<30} {caller}: {why}"),
            ExpectedSubject::Source(source) => write!(f, "{detection:<30} source {source}: {why}"),
            ExpectedSubject::Credential { kind, .. } => write!(f, "{detection:<30} {kind}: {why}"),
        }
    }
}

/// Where to look further while the demo is up.
pub struct NextSteps {
    /// gRPC address.
    pub grpc: SocketAddr,
    /// HTTP address.
    pub http: SocketAddr,
    /// The demo's config.
    pub config: PathBuf,
}

impl Display for NextSteps {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { grpc, http, config } = self;
        let call = "shadowprod.v1.FindingService/ListFindings";
        writeln!(f, "Look further, while this runs:")?;
        writeln!(f, "  shadowprod findings list --server http://{grpc}")?;
        writeln!(f, "  shadowprod findings watch --server http://{grpc}")?;
        writeln!(f, "  grpcurl -plaintext -d '{{}}' {grpc} {call}")?;
        writeln!(f, "  buf curl --protocol grpc --http2-prior-knowledge --data '{{}}' http://{grpc}/{call}")?;
        writeln!(f, "  curl http://{http}/metrics")?;
        writeln!(f, "  curl http://{http}/readyz")?;
        writeln!(f, "  shadowprod check --config {}", config.display())?;
        writeln!(
            f,
            "  grafana/ holds the dashboard, alert rules and routes for Prometheus and Alertmanager"
        )?;
        write!(f, "Ctrl-C ends it.")
    }
}
