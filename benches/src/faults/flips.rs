//! States with a bit flipped or a tail torn off: never read as anything else than what was written.
//!
//! In: how many, dice. Out: what was violated. Each damaged copy is read whole, as a start and its clients read it: that
//! fails, or gives what was written up to some commit, or the damage was where nothing is.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use shadowprod::ingest::payload_hash;
use shadowprod::store::{ListQuery, QuarantineQuery, Store, StoreError};
use shadowprod_benches::Failure;

use super::outcome::Outcome;
use super::round::{End, Round, keep};
use super::stand::Stand;

const DATABASE: &str = "shadowprod.db";
const LOG: &str = "shadowprod.db-wal";
/// Of SQLite's write-ahead log: <https://www.sqlite.org/fileformat2.html#walformat>.
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// Of a page: its header and the first places of its rows, <https://www.sqlite.org/fileformat2.html#b_tree_pages>.
const PAGE_HEAD: usize = 48;
const KILLED_AFTER: Duration = Duration::from_millis(2_500);
/// One in so many is a torn tail.
const TORN_EVERY: u64 = 5;

pub fn run(stand: &Stand, count: u64, dice: &mut Rng) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let (mut refused, mut unchanged, mut earlier) = (0_u64, 0_u64, 0_u64);
    for state in [finished(stand)?, killed(stand)?] {
        let sound = Sound::read(&state, &stand.dir.join("flips"))?;
        for n in 0..count.div_ceil(2) {
            if outcome.is_over(count, stand.violations_max) {
                break;
            }
            let damage = sound.damage(dice, n % TORN_EVERY == 0);
            outcome.count += 1;
            match sound.read_as(&damage.database, &damage.log) {
                Err(_) => refused += 1,
                Ok(read) if read == sound.last => unchanged += 1,
                Ok(read) if sound.commits.contains(&read) => earlier += 1,
                Ok(_) => {
                    // Reading it has brought the log into the database.
                    sound.write(&damage.database, &damage.log)?;
                    keep(&format!("flips-{}", outcome.violations.len()), &[&sound.scratch])?;
                    outcome
                        .violations
                        .push(format!("{}: read as something that was never written", damage.what));
                }
            }
        }
    }
    outcome.note =
        format!("{refused} refused, {earlier} back to an earlier commit, {unchanged} without a trace");
    Ok(outcome)
}

/// The state of a daemon that came to the end and stopped: everything is in the database.
fn finished(stand: &Stand) -> Result<PathBuf, Failure> {
    let mut round = Round::new(stand, "flips-finished".to_owned())?;
    let incarnation = round.start(&[])?;
    match round.wait(incarnation)? {
        End::Finished(incarnation) => incarnation.stop(Duration::from_secs(30))?,
        End::Ended(_) | End::Stuck(_) => return Err("an undisturbed daemon did not come to its end".into()),
    };
    Ok(round.state())
}

/// The state of a daemon that was killed: its last commits are in the write-ahead log.
fn killed(stand: &Stand) -> Result<PathBuf, Failure> {
    let mut round = Round::new(stand, "flips-killed".to_owned())?;
    let incarnation = round.start(&[])?;
    std::thread::sleep(KILLED_AFTER);
    incarnation.kill()?;
    Ok(round.state())
}

/// A table or an index: its name, places and lengths of its pages in the database file.
type Table = (String, Vec<(usize, usize)>);

/// Where in the database file each table and index lies.
fn pages(state: &Path) -> Result<Vec<Table>, Failure> {
    let sql = "SELECT name, pgoffset, pgsize FROM dbstat ORDER BY name, pgoffset";
    let connection = rusqlite::Connection::open(state.join(DATABASE))?;
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query([])?;
    let mut tables: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let place = (usize::try_from(row.get::<_, i64>(1)?)?, usize::try_from(row.get::<_, i64>(2)?)?);
        tables.entry(row.get(0)?).or_default().push(place);
    }
    Ok(tables.into_iter().collect())
}

/// A copy in which something is not as it was written.
struct Damage {
    what: String,
    database: Vec<u8>,
    log: Vec<u8>,
}

/// A state as it was written.
struct Sound {
    scratch: PathBuf,
    database: Vec<u8>,
    log: Vec<u8>,
    tables: Vec<Table>,
    /// What is read of it.
    last: u64,
    /// What is read of it as of each commit that is in the log.
    commits: HashSet<u64>,
}

impl Sound {
    fn read(state: &Path, scratch: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(scratch)?;
        let database = std::fs::read(state.join(DATABASE))?;
        let log = std::fs::read(state.join(LOG)).unwrap_or_default();
        let tables = pages(state)?;
        let (scratch, commits) = (scratch.to_owned(), HashSet::new());
        let mut sound = Self { scratch, database, log, tables, last: 0, commits };
        sound.last = sound.read_as(&sound.database, &sound.log)?;
        for end in sound.commit_ends() {
            sound.insert_commit(end);
        }
        // A database whose log is gone altogether.
        sound.insert_commit(0);
        Ok(sound)
    }

    /// What is read where the log ends there; nothing where a later part of it was brought into the database already.
    fn insert_commit(&mut self, log_end: usize) {
        if let Ok(read) = self.read_as(&self.database, &self.log[..log_end]) {
            self.commits.insert(read);
        }
    }

    /// Where in the log a commit ends.
    fn commit_ends(&self) -> Vec<usize> {
        let page =
            u32::from_be_bytes(self.log.get(8..12).map_or([0; 4], |b| b.try_into().unwrap_or_default()));
        let frame = FRAME_HEADER + page as usize;
        let places = (LOG_HEADER..self.log.len()).step_by(frame.max(FRAME_HEADER + 512));
        let ends = places.filter(|place| {
            let pages = self.log.get(place + 4..place + 8);
            pages.is_some_and(|pages| pages != [0; 4])
        });
        ends.map(|place| place + frame).filter(|end| *end <= self.log.len()).collect()
    }

    /// A byte of the database: any; or of a table or an index picked first, so that the few pages of a small one are hit as
    /// often as rows of rollups, which take nearly all of a state; or of the head of such a page, which says how many rows
    /// there are and where: no checksum of a row is over it.
    fn place(&self, dice: &mut Rng) -> usize {
        let (_, pages) = &self.tables[dice.usize(..self.tables.len())];
        let (start, len) = pages[dice.usize(..pages.len())];
        match dice.u8(..3) {
            0 => dice.usize(..self.database.len()),
            1 => start + dice.usize(..len),
            _ => start + dice.usize(..len.min(PAGE_HEAD)),
        }
    }

    /// The table or index that a byte of the database file belongs to, and how far into its page it is.
    fn table_at(&self, place: usize) -> Option<String> {
        let pages = self.tables.iter().flat_map(|(name, pages)| pages.iter().map(move |page| (name, page)));
        let mut holding = pages.filter(|(_, (at, len))| (*at..at + len).contains(&place));
        holding.next().map(|(name, (at, _))| format!(" ({name}, byte {} of its page)", place - at))
    }

    fn damage(&self, dice: &mut Rng, torn: bool) -> Damage {
        let (mut database, mut log) = (self.database.clone(), self.log.clone());
        let in_log = !log.is_empty() && dice.bool();
        let (name, file) = if in_log { (LOG, &mut log) } else { (DATABASE, &mut database) };
        let place =
            if in_log || torn { dice.usize(..file.len()) } else { self.place(dice).min(file.len() - 1) };
        let what = if torn {
            file.truncate(place);
            format!("{name} torn at {place}")
        } else {
            let bit = dice.u8(..8);
            file[place] ^= 1 << bit;
            let table = self.table_at(place).filter(|_| !in_log).unwrap_or_default();
            format!("{name} bit {bit} of byte {place}{table}")
        };
        Damage { what, database, log }
    }

    /// Such a state, to be read.
    fn write(&self, database: &[u8], log: &[u8]) -> std::io::Result<()> {
        let _absent = std::fs::remove_file(self.scratch.join("shadowprod.db-shm"));
        std::fs::write(self.scratch.join(DATABASE), database)?;
        std::fs::write(self.scratch.join(LOG), log)
    }

    /// A hash of everything that can be read of such a state.
    fn read_as(&self, database: &[u8], log: &[u8]) -> Result<u64, StoreError> {
        self.write(database, log)
            .map_err(|source| StoreError::Folder { path: self.scratch.clone(), source })?;
        let (store, recovered) = Store::open(&self.scratch)?;
        let reader = store.reader()?;
        let told = (
            reader.list(&ListQuery::default())?,
            reader.open_findings()?,
            reader.changes_after(0, usize::MAX >> 1)?,
            reader.quarantined(&QuarantineQuery::default())?,
            reader.dead_letters(0, usize::MAX >> 1)?,
            reader.reject_totals()?,
            store.history()?,
        );
        store.verify_chain()?;
        let segments = store.segments()?;
        let segments: Vec<_> = segments
            .iter()
            .map(|s| (s.id, &s.rollup, s.version, &s.sha256, payload_hash(&s.bytes)))
            .collect();
        Ok(payload_hash(format!("{segments:?} {recovered:?} {told:?}").as_bytes()))
    }
}
