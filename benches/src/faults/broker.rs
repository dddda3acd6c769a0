//! Brokers that go and come, leaders that move, requests that are answered with errors.
//!
//! In: how many, dice. Out: what was violated. librdkafka's mock cluster does what a real cluster does on a bad day, one
//! thing after the other while the daemon reads; the real broker is killed.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fastrand::Rng;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use shadowprod_benches::Failure;

use super::options::Options;
use super::outcome::Outcome;
use super::round::Round;
use super::stand::Stand;

const BROKERS: i32 = 3;
const FAULTS_A_ROUND: u64 = 10;
/// Rounds from one with hidden topics to the next.
const HIDDEN_EVERY: u64 = 3;
/// Until the first of them comes: what the others hold is read to its end in that time.
const HIDDEN_MS: std::ops::Range<u64> = 3_000..5_000;
const DEAD_LETTERS: &str = "dead-letters";
const PAUSE_MS: std::ops::Range<u64> = 10..250;
const DOWN_MS: std::ops::Range<u64> = 50..2_000;
/// Requests answered with errors by one fault.
const ERRORS: std::ops::RangeInclusive<usize> = 1..=8;
/// What a broker answers on a bad day and a client must try again after.
const FETCH_ERRORS: [RDKafkaRespErr; 6] = [
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
];
const OTHER_ERRORS: [RDKafkaRespErr; 4] = [
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION,
];

type Cluster = MockCluster<'static, DefaultProducerContext>;

/// `count` faults of a mock cluster of three brokers.
pub fn mock(options: &Options, dir: &Path, count: u64, dice: &mut Rng) -> Result<Outcome, Failure> {
    let cluster = MockCluster::new(BROKERS)?;
    let stand = Stand::prepare(options, dir, &cluster.bootstrap_servers())?;
    for (topic, partitions) in stand.topics() {
        cluster.create_topic(&topic, partitions, BROKERS)?;
    }
    stand.produce()?;
    let mut outcome = Outcome::default();
    let mut rounds: u64 = 0;
    while !outcome.is_over(count, stand.violations_max) {
        let dead_letters = format!("{DEAD_LETTERS}-{rounds}");
        cluster.create_topic(&dead_letters, 1, BROKERS)?;
        let mut round = Round::with_dead_letters(&stand, format!("broker-{rounds}"), dead_letters)?;
        rounds += 1;
        // One daemon in three starts for the first time while the cluster gives its topics one by one.
        let hidden = if rounds % HIDDEN_EVERY == 1 { hide(&cluster, &stand, dice)? } else { Vec::new() };
        let incarnation = round.start(&[])?;
        if !hidden.is_empty() {
            outcome.count += 1;
            std::thread::sleep(Duration::from_millis(dice.u64(HIDDEN_MS)));
        }
        for topic in hidden {
            std::thread::sleep(Duration::from_millis(dice.u64(PAUSE_MS)));
            cluster.topic_error(&topic, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)?;
        }
        for _ in 0..FAULTS_A_ROUND.min(count.saturating_sub(outcome.count)) {
            std::thread::sleep(Duration::from_millis(dice.u64(PAUSE_MS)));
            fault(&cluster, &stand, dice)?;
            outcome.count += 1;
        }
        incarnation.kill()?;
        outcome.violations.extend(round.finish()?);
    }
    Ok(outcome)
}

/// Topics that the cluster says it does not have, half of them, in random order.
fn hide(cluster: &Cluster, stand: &Stand, dice: &mut Rng) -> Result<Vec<String>, Failure> {
    let mut topics: Vec<String> = stand.topics().into_keys().collect();
    dice.shuffle(&mut topics);
    topics.truncate(topics.len() / 2);
    for topic in &topics {
        cluster.topic_error(topic, RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)?;
    }
    Ok(topics)
}

fn fault(cluster: &Cluster, stand: &Stand, dice: &mut Rng) -> Result<(), Failure> {
    let broker = dice.i32(1..=BROKERS);
    let partition = &stand.partitions[dice.usize(..stand.partitions.len())];
    match dice.u8(..5) {
        0 => {
            cluster.broker_down(broker)?;
            std::thread::sleep(Duration::from_millis(dice.u64(DOWN_MS)));
            cluster.broker_up(broker)?;
        }
        1 => cluster.partition_leader(&partition.topic, partition.number, Some(broker))?,
        2 => cluster.request_errors(RDKafkaApiKey::Fetch, &errors(&FETCH_ERRORS, dice)),
        3 => {
            let asked = [RDKafkaApiKey::Metadata, RDKafkaApiKey::ListOffsets, RDKafkaApiKey::OffsetCommit];
            cluster.request_errors(asked[dice.usize(..asked.len())], &errors(&OTHER_ERRORS, dice));
        }
        _ => {
            cluster.broker_round_trip_time(broker, Duration::from_millis(300))?;
            std::thread::sleep(Duration::from_millis(dice.u64(DOWN_MS)));
            cluster.broker_round_trip_time(broker, Duration::ZERO)?;
        }
    }
    Ok(())
}

fn errors(of: &[RDKafkaRespErr], dice: &mut Rng) -> Vec<RDKafkaRespErr> {
    (0..dice.usize(ERRORS)).map(|_| of[dice.usize(..of.len())]).collect()
}

/// Ends or restarts the real broker: `script DIR`, and what it is to do.
pub fn control(script: &str, verb: &str) -> Result<(), Failure> {
    let (script, home) = script.split_once(' ').ok_or("SHADOWPROD_TEST_KAFKA_CONTROL is `script DIR`")?;
    let status = Command::new(script).args([verb, home]).status()?;
    if status.success() { Ok(()) } else { Err(format!("{script} {verb} {home}: {status}").into()) }
}

/// SIGKILL for the real broker while the daemon reads, and its return.
pub fn killed(stand: &Stand, count: u64, dice: &mut Rng) -> Result<Outcome, Failure> {
    let script = stand.control.as_ref().ok_or("no SHADOWPROD_TEST_KAFKA_CONTROL")?;
    let mut outcome = Outcome::default();
    while !outcome.is_over(count, stand.violations_max) {
        let number = outcome.count;
        let mut round = Round::new(stand, format!("broker-killed-{number}"))?;
        // One daemon in three starts for the first time while the broker does, which gives its topics one by one.
        let early = (number % 3 != 1).then(|| round.start(&[])).transpose()?;
        std::thread::sleep(Duration::from_millis(dice.u64(300..2_500)));
        control(script, "kill")?;
        std::thread::sleep(Duration::from_millis(dice.u64(DOWN_MS)));
        let incarnation = early.map_or_else(|| round.start(&[]), Ok)?;
        control(script, "restart")?;
        outcome.count += 1;
        // Half of the daemons live on, half are gone with the broker.
        if dice.bool() {
            let end = round.wait(incarnation)?;
            if let super::round::End::Finished(incarnation) | super::round::End::Stuck(incarnation) = end {
                incarnation.kill()?;
            }
        } else {
            incarnation.kill()?;
        }
        outcome.violations.extend(round.finish()?);
    }
    Ok(outcome)
}
