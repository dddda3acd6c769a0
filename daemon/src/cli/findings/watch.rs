//! `shadowprod findings watch`: tells as it happens, and goes on where it was after a lost connection.
//!
//! In: a daemon that may come and go. Out: one line a finding or change. A finding that was shown is told of
//! until it leaves the filter, that last step included.

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::{OutputFormat, Stopped, WatchArguments, print_json, table};
use crate::findings::{ChangeKind, Finding, FindingChange};
use crate::serve::client::{Client, ClientError, Told};

const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// The JSON mapping of `WatchFindingsResponse`.
#[derive(Serialize)]
struct Line<'a> {
    resume_token: &'a str,
    #[serde(flatten)]
    event: Event<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Event<'a> {
    Current(&'a Finding),
    Change(&'a FindingChange),
    Bookmark {},
}

/// A watch across connections.
struct Watch<'a> {
    arguments: &'a WatchArguments,
    token: String,
    shown: HashSet<String>,
    /// Whether anything came since the last connection was made: the wait before the next one starts anew.
    answered: bool,
}

/// Watches until the reader of the output goes.
pub(super) async fn watch(arguments: &WatchArguments) -> Result<ExitCode, Stopped> {
    let token = arguments.resume.clone();
    let mut watch = Watch { arguments, token, shown: HashSet::new(), answered: false };
    let mut client = Client::connect(&arguments.server.server).await?;
    let mut wait = RETRY_FIRST;
    loop {
        let error = match watch.follow(&mut client).await {
            Stopped::Client(error) => error,
            stopped @ (Stopped::ReaderGone | Stopped::Output(_)) => return Err(stopped),
        };
        match error {
            ClientError::Lost(why) => eprintln!("connection lost ({why}); connecting again"),
            ClientError::Busy(why) => eprintln!("{why}; trying again"),
            ClientError::Expired(why) if !watch.token.is_empty() => {
                eprintln!("{why}; beginning with the open findings");
                watch.token.clear();
            }
            other => return Err(other.into()),
        }
        wait = if watch.answered { RETRY_FIRST } else { (wait * 2).min(RETRY_MAX) };
        watch.answered = false;
        client = reconnect(arguments, &mut wait).await?;
    }
}

/// Tries until a daemon answers.
async fn reconnect(arguments: &WatchArguments, wait: &mut Duration) -> Result<Client, ClientError> {
    loop {
        tokio::time::sleep(*wait).await;
        match Client::connect(&arguments.server.server).await {
            Err(ClientError::Unreachable { .. }) => *wait = (*wait * 2).min(RETRY_MAX),
            connected => return connected,
        }
    }
}

impl Watch<'_> {
    /// Shows what one connection tells until it ends; says why it did.
    async fn follow(&mut self, client: &mut Client) -> Stopped {
        let detection = self.arguments.filter.detection.as_deref().unwrap_or_default();
        let mut watching = match client.watch(detection, &self.token).await {
            Ok(watching) => watching,
            Err(error) => return error.into(),
        };
        loop {
            let (token, told) = match watching.next().await {
                Ok(next) => next,
                Err(error) => return error.into(),
            };
            self.answered = true;
            if let Err(error) = self.show(&token, &told) {
                return error.into();
            }
            self.token = token;
        }
    }

    fn show(&mut self, token: &str, told: &Told) -> std::io::Result<()> {
        let (finding, event) = match told {
            Told::Current(finding) => (Some(finding), Event::Current(finding)),
            Told::Change(change) => (Some(&change.finding), Event::Change(change)),
            Told::Bookmark => (None, Event::Bookmark {}),
        };
        if finding.is_some_and(|finding| !self.concerns(finding)) {
            return Ok(());
        }
        match self.arguments.server.format {
            OutputFormat::Json => print_json(&Line { resume_token: token, event }),
            OutputFormat::Text => show_text(told),
        }
    }

    /// Whether the finding matches the filter, or did when it was last shown.
    fn concerns(&mut self, finding: &Finding) -> bool {
        if self.arguments.filter.matches(finding) {
            self.shown.insert(finding.finding_id.clone());
            return true;
        }
        self.shown.remove(&finding.finding_id)
    }
}

fn show_text(told: &Told) -> std::io::Result<()> {
    match told {
        Told::Current(finding) => table::write_step(table::state_name(finding), finding),
        Told::Change(change) if change.kind == ChangeKind::Refreshed => Ok(()),
        Told::Change(change) => table::write_step(change.kind.name(), &change.finding),
        Told::Bookmark => Ok(()),
    }
}
