//! Envoy JSON access logs and AWS CloudTrail records, one line an event, event time rising.
//!
//! In: a seed. Out: lines; 94 of 100 are access logs, which gives a mean of about 650 bytes. Shapes follow
//! <https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage> and
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference.html>.

use fastrand::Rng;
use jiff::Timestamp;

/// Where a line belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// Envoy access log.
    Gateway,
    /// CloudTrail.
    CloudTrail,
}

/// Hosts asked for and their routes: unpromoted pilots, a promoted one, and what is no pilot.
const TARGETS: &[(&str, &str, &str)] = &[
    ("claims-summary.internal.larkfield.example", "claims-summary", "/claims-summary/v1/chat/completions"),
    ("claims-triage.internal.larkfield.example", "claims-triage", "/claims-triage/v2/score"),
    ("answers.larkfield.example", "support-answers", "/support-answers/v1/chat/completions"),
    ("kb.larkfield.example", "kb", "/v1/kb/articles/search"),
    ("shop.larkfield.example", "shop", "/shop/v3/checkout/quote"),
];
/// Callers: SPIFFE ids of the workloads.
const CALLERS: &[&str] = &[
    "spiffe://prod.larkfield.example/ns/claims/sa/portal",
    "spiffe://prod.larkfield.example/ns/support/sa/crm",
    "spiffe://prod.larkfield.example/ns/shop/sa/cart",
    "spiffe://prod.larkfield.example/ns/shop/sa/search",
    "spiffe://staging.larkfield.example/ns/platform/sa/nightly-reports",
];
const CLIENTS: &[&str] = &["python-httpx/0.27.2", "Go-http-client/2.0", "okhttp/4.12.0", "axios/1.7.9"];
const STATUSES: &[u16] = &[200, 200, 200, 200, 200, 200, 200, 200, 404, 429, 503];
const ACTIONS: &[(&str, &str)] = &[
    ("s3.amazonaws.com", "GetObject"),
    ("bedrock.amazonaws.com", "InvokeModel"),
    ("sts.amazonaws.com", "GetCallerIdentity"),
    ("dynamodb.amazonaws.com", "Query"),
    ("ec2.amazonaws.com", "DescribeInstances"),
];
const ROLES: &[&str] = &["claims-triage", "claims-summary", "policy-desk", "etl-exports"];
/// Access keys in use.
const KEYS: u32 = 5_000;
/// First event: a Monday.
const START_MICROS: i64 = 1_772_409_600_000_000;

/// Lines without end, event times `step_micros` apart.
pub struct Logs {
    random: Rng,
    micros: i64,
    step_micros: i64,
}

impl Logs {
    /// The lines of `seed`; `rate` of them, at least 1, are a second of event time.
    pub fn new(seed: u64, rate: u32) -> Self {
        let step_micros = 1_000_000 / i64::from(rate.max(1));
        Self { random: Rng::with_seed(seed), micros: START_MICROS, step_micros }
    }

    /// The next line and where it belongs.
    pub fn next_line(&mut self) -> (Log, String) {
        self.micros += self.step_micros;
        if self.random.u32(0..100) < 94 {
            (Log::Gateway, self.envoy())
        } else {
            (Log::CloudTrail, self.cloudtrail())
        }
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.usize(0..of.len())]
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_microsecond(self.micros).expect("benches end before the year 9999")
    }

    fn id(&mut self) -> String {
        let (a, b) = (self.random.u64(..), self.random.u64(..));
        let (first, second, third) = (a >> 32, (a >> 16) & 0xffff, a & 0xfff);
        format!("{first:08x}-{second:04x}-4{third:03x}-{:04x}-{:012x}", b >> 48, b & 0xffff_ffff_ffff)
    }

    fn envoy(&mut self) -> String {
        let (host, route, path) = self.one(TARGETS);
        let (caller, client, status) = (self.one(CALLERS), self.one(CLIENTS), self.one(STATUSES));
        let (ip, port) = (self.random.u8(1..250), self.random.u16(32_768..60_999));
        let (sent, received) = (self.random.u16(200..9_000), self.random.u16(100..4_000));
        let (duration, upstream, id) = (self.random.u16(3..2_500), self.random.u8(2..250), self.id());
        let time = self.time();
        format!(
            r#"{{":authority":"{host}","bytes_received":{received},"bytes_sent":{sent},"downstream_peer_uri_san":"{caller}","downstream_remote_address":"10.20.4.{ip}:{port}","duration":{duration},"method":"POST","protocol":"HTTP/2","response_code":{status},"response_code_details":"via_upstream","response_flags":"-","route_name":"{route}","start_time":"{time:.3}","upstream_host":"10.20.210.{upstream}:8080","user-agent":"{client}","x-envoy-origin-path":"{path}","x-forwarded-for":"10.20.4.{ip}","x-request-id":"{id}"}}"#
        )
    }

    fn cloudtrail(&mut self) -> String {
        let ((source, action), role) = (self.one(ACTIONS), self.one(ROLES));
        let (key, ip) = (self.random.u32(0..KEYS), self.random.u8(1..250));
        let (id, request, time) = (self.id(), self.id(), self.time());
        format!(
            r#"{{"eventVersion":"1.11","userIdentity":{{"type":"AssumedRole","principalId":"AROAEXAMPLE{key:08}:{role}-{key}","arn":"arn:aws:sts::111122223333:assumed-role/{role}/{role}-{key}","accountId":"111122223333","accessKeyId":"ASIAEXAMPLE{key:08}","sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"AROAEXAMPLE{key:08}","arn":"arn:aws:iam::111122223333:role/{role}","accountId":"111122223333","userName":"{role}"}},"attributes":{{"creationDate":"2026-03-02T00:00:00Z","mfaAuthenticated":"false"}}}}}},"eventTime":"{time:.0}","eventSource":"{source}","eventName":"{action}","awsRegion":"eu-west-1","sourceIPAddress":"198.51.100.{ip}","userAgent":"Boto3/1.35.42 md/Botocore#1.35.42 os/linux#5.10 lang/python#3.12.6 exec-env/AWS_Lambda_python3.12","requestParameters":null,"responseElements":null,"requestID":"{request}","eventID":"{id}","readOnly":true,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management"}}"#
        )
    }
}

/// A CloudTrail record of access key number `key`.
pub fn access_key_event(key: usize, time: Timestamp) -> String {
    format!(
        r#"{{"eventVersion":"1.11","userIdentity":{{"type":"IAMUser","principalId":"AIDAEXAMPLE{key:08}","arn":"arn:aws:iam::111122223333:user/batch-{key}","accountId":"111122223333","accessKeyId":"AKIAEXAMPLE{key:08}","userName":"batch-{key}"}},"eventTime":"{time:.0}","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"eu-west-1","sourceIPAddress":"198.51.100.7","userAgent":"Boto3/1.35.42 md/Botocore#1.35.42 os/linux#5.10 lang/python#3.12.6 exec-env/AWS_Lambda_python3.12","requestParameters":null,"responseElements":null,"requestID":"r-{key}","eventID":"e-{key}-{time}","readOnly":true,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management"}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_for_the_same_seed_and_as_large_as_said() {
        let lines = |seed| {
            let mut logs = Logs::new(seed, 1_000);
            (0..10_000).map(|_| logs.next_line().1).collect::<Vec<_>>()
        };
        assert_eq!(lines(1), lines(1));
        assert_ne!(lines(1), lines(2));
        let mean = lines(1).iter().map(String::len).sum::<usize>() / 10_000;
        assert!((620..690).contains(&mean), "{mean}");
    }
}
