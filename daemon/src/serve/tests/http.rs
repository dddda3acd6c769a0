//! HTTP over a plain socket: what curl, Grafana and Prometheus see.

use std::io::{Read, Write};

use super::*;

fn get(house: &House, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(house.serving.http).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn http_readiness_gives_status_and_reasons() {
    let house = House::start().await;
    let (status, answer) = get(&house, "/readyz", "Host: localhost\r\n");
    assert_eq!(status, 503);
    assert!(
        answer.contains(
            r#"{"ready":false,"components":{"pipeline":{"status":"not_ready","reason":"starting"}}}"#
        )
    );
    house.health.set("pipeline", Ok(()));
    assert_eq!(get(&house, "/readyz", "Host: 127.0.0.1:9464\r\n").0, 200);
    assert_eq!(get(&house, "/healthz", "Host: [::1]:9464\r\n").0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_findings_are_the_same_bytes_as_the_ndjson_of_findings() {
    let mut house = House::start().await;
    house.commit(vec![opened(1), opened(2)]);
    let line = |n| serde_json::to_string(&finding(n, Severity::High)).unwrap();
    let (status, answer) = get(&house, "/api/v1/findings?format=ndjson&state=open", "Host: localhost\r\n");
    assert_eq!((status, body(&answer)), (200, format!("{}\n{}\n", line(2), line(1)).as_str()));
    assert!(answer.contains("content-type: application/x-ndjson"), "{answer}");
    let (_, answer) = get(&house, "/api/v1/findings", "Host: localhost\r\n");
    assert_eq!(body(&answer), format!("[\n{},\n{}\n]\n", line(2), line(1)));

    let (_, answer) = get(&house, "/api/v1/findings?page_size=1", "Host: localhost\r\n");
    let link = answer.lines().find_map(|l| l.strip_prefix("link: <")).unwrap();
    let path = format!("/api/v1/findings{}&page_size=1&format=ndjson", link.split_once('>').unwrap().0);
    assert_eq!(body(&get(&house, &path, "Host: localhost\r\n").1), line(1) + "\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_refuses_what_it_does_not_know_and_names_it() {
    let house = House::start().await;
    let cases = [
        ("/api/v1/findings?state=ajar", 400, "state"),
        ("/api/v1/findings?format=csv", 400, "format"),
        ("/api/v1/findings?sate=open", 400, "sate"),
        ("/api/v1/findings?page_token=x", 400, "page_token"),
        ("/api/v2", 404, ""),
    ];
    for (path, expected, named) in cases {
        let (status, answer) = get(&house, path, "Host: localhost\r\n");
        assert!(status == expected && body(&answer).contains(named), "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_refuses_a_host_name_that_a_web_page_made_up() {
    let house = House::start().await;
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example:9464"] {
        assert_eq!(get(&house, "/api/v1/findings", &format!("Host: {host}\r\n")).0, 403, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_metrics_are_in_the_format_that_was_asked_for() {
    let house = House::start().await;
    let accept = "Host: localhost\r\nAccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
    let (_, answer) = get(&house, "/metrics", accept);
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"), "{answer}");
    assert!(answer.ends_with("# EOF\n"));
    let (_, answer) = get(&house, "/metrics", "Host: localhost\r\n");
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
}
