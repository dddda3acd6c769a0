//! A client that watches findings through every death of the daemon and goes on where it was.
//!
//! In: where an incarnation logs its address. Out: all that was ever told, and the findings as they are listed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use shadowprod::findings::{Finding, FindingChange};
use shadowprod::serve::client::{Client, ClientError, Told, Wanted};
use shadowprod_benches::Failure;

use super::incarnation::{LOOK_EVERY, grpc_of};

/// What a client heard.
#[derive(Debug, Default)]
pub struct Heard {
    /// To go on after it.
    token: String,
    /// Findings that were open when the first watch began.
    pub current: Vec<Finding>,
    pub changes: Vec<FindingChange>,
    /// What the server answered that it must not.
    pub refusals: Vec<String>,
}

/// A watch of one incarnation after the other.
#[derive(Default)]
pub struct Watcher {
    heard: Arc<Mutex<Heard>>,
    following: Option<(JoinHandle<()>, Arc<AtomicBool>)>,
}

impl Watcher {
    pub fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the incarnation that logs here.
    pub fn follow(&mut self, log: PathBuf) -> Result<(), Failure> {
        self.leave();
        let ends = Arc::new(AtomicBool::new(false));
        let (heard, is_over) = (self.heard.clone(), ends.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let follow = move || {
            let address = loop {
                match grpc_of(&log) {
                    Some(address) => break address,
                    None if is_over.load(Ordering::Relaxed) => return,
                    None => std::thread::sleep(LOOK_EVERY),
                }
            };
            if let Err(
                error @ (ClientError::Expired(_) | ClientError::Refused(_) | ClientError::Unreadable(_)),
            ) = runtime.block_on(watch(&address, &heard, &is_over))
            {
                heard.lock().unwrap_or_else(PoisonError::into_inner).refusals.push(error.to_string());
            }
        };
        self.following = Some((std::thread::spawn(follow), ends));
        Ok(())
    }

    /// Ends the thread; the daemon may be gone already.
    pub fn leave(&mut self) {
        if let Some((thread, ends)) = self.following.take() {
            ends.store(true, Ordering::Relaxed);
            if thread.join().is_err() {
                self.heard().refusals.push("the watching client panicked".to_owned());
            }
        }
    }
}

async fn watch(address: &str, heard: &Mutex<Heard>, ends: &AtomicBool) -> Result<(), ClientError> {
    let lock = || heard.lock().unwrap_or_else(PoisonError::into_inner);
    let token = lock().token.clone();
    let mut watching = Client::connect(address).await?.watch("", &token).await?;
    while !ends.load(Ordering::Relaxed) {
        let Ok(next) = tokio::time::timeout(LOOK_EVERY, watching.next()).await else { continue };
        let (token, told) = next?;
        let mut heard = lock();
        heard.token = token;
        match told {
            Told::Current(finding) => heard.current.push(finding),
            Told::Change(change) => heard.changes.push(change),
            Told::Bookmark => {}
        }
    }
    Ok(())
}

/// The confirmed findings of the daemon at this address, in id order; `None` where it does not answer.
pub fn confirmed(address: &str) -> Result<Option<Vec<Finding>>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let list = async { Client::connect(address).await?.list(&Wanted::default()).await };
    let answer = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(5), list).await });
    let Ok(Ok(mut findings)) = answer else { return Ok(None) };
    findings.retain(|finding| finding.confirmed);
    findings.sort_by(|a, b| a.finding_id.cmp(&b.finding_id));
    Ok(Some(findings))
}
