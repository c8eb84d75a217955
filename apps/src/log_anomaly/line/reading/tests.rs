//! Lines of all formats, and lines that are none.

use super::super::route::UserAgentClass;
use super::*;

const RECORD: &str = "2026-11-27T10:00:00Z";

fn record_ms() -> i64 {
    ms(RECORD)
}

fn ms(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

fn reader() -> Reader {
    let (service, token_key) = ("shop".to_owned(), b"key".to_vec());
    Reader::new(ReaderSettings { service, zone: TimeZone::UTC, token_key })
}

fn read(line: &str) -> Read {
    reader().read(line.as_bytes(), record_ms()).unwrap()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn json_by_its_names() {
    let Read { line, oddities } = read(
        r#"{"timestamp":"2026-11-27T09:59:00Z","level":"WARN","service":"cart","message":"slow","user_id":7,
            "ip":"10.0.0.1","method":"post","path":"/cart/17?x=1","status":"201","latency_ms":84.5,"cart_size":3,
            "user_agent":"curl/8.5.0","token":"secret","unknown":{"a":[1]}}"#,
    );
    assert_eq!(oddities, []);
    assert_eq!((line.format, line.timestamp), (Format::Json, ms("2026-11-27T09:59:00Z")));
    assert_eq!((line.level, line.service.as_str()), (some("warn"), "cart"));
    assert_eq!(
        (line.user_id, line.method, line.route),
        (some("7"), some("POST"), some("/cart/{}"))
    );
    assert_eq!((line.status, line.latency_ms, line.cart_size), (Some(201), Some(84.5), Some(3)));
    assert_eq!(line.user_agent_class, Some(UserAgentClass::Bot));
    let token = line.token.unwrap();
    assert!(token.len() == 8 && token != "secret", "{token}");
}

#[test]
fn piped_by_place_and_by_label() {
    let Read { line, oddities } = read(
        "2026-11-27T09:59:00Z | ERROR | req-1 | s-1 | u-1 | login | POST | /auth/login | Referrer: Direct Entry | \
         IP: 10.0.0.1 | Agent: Mozilla/5.0 | odd | Response Time: 0.84s | Cart Size: 3 | Token: t0p | \
         Auth Method: JWT | Port: 8443 | 401 Unauthorized | Detail: no such user | or key",
    );
    assert_eq!(oddities, []);
    assert_eq!((line.format, line.level), (Format::Piped, some("error")));
    assert_eq!(
        (line.request_id, line.session_id, line.user_id),
        (some("req-1"), some("s-1"), some("u-1"))
    );
    assert_eq!(
        (line.action, line.method, line.path),
        (some("login"), some("POST"), some("/auth/login"))
    );
    assert_eq!((line.referrer, line.ip), (None, some("10.0.0.1")));
    assert_eq!(line.user_agent, some("Mozilla/5.0 | odd"));
    assert_eq!((line.latency_ms, line.cart_size, line.status), (Some(840.0), Some(3), Some(401)));
    assert_eq!((line.auth_method, line.message.as_str()), (some("JWT"), "no such user | or key"));
    assert_ne!(line.token, some("t0p"));
    // Without labels, and without the last of the eight.
    let line = read("2026-11-27T09:59:00Z | INFO | r | - | - | browse | GET").line;
    assert_eq!((line.user_id, line.path, line.message.as_str()), (None, None, "browse GET"));
}

#[test]
fn access_and_error_logs_of_apache() {
    let line =
        read(r#"10.0.0.1 - frank [27/Nov/2026:09:00:00 +0100] "GET /a/7 HTTP/1.0" 200 2326"#).line;
    assert_eq!((line.format, line.timestamp), (Format::Common, ms("2026-11-27T08:00:00Z")));
    assert_eq!((line.ip, line.user_id, line.status), (some("10.0.0.1"), some("frank"), Some(200)));
    assert_eq!(
        (line.method, line.route, line.service.as_str()),
        (some("GET"), some("/a/{}"), "httpd")
    );
    let line = read(
        r#"2001:db8::1 - - [27/Nov/2026:09:00:00 +0000] "GET /a HTTP/1.1" 404 - "http://x/" "an \"odd\" agent""#,
    )
    .line;
    assert_eq!((line.format, line.referrer), (Format::Combined, some("http://x/")));
    assert_eq!((line.user_agent, line.ip), (some("an \"odd\" agent"), some("2001:db8::1")));
    let line =
        read("[Sun Dec 04 04:47:44 2005] [error] mod_jk child workerEnv in error state 6").line;
    assert_eq!((line.format, line.level), (Format::ApacheError, some("error")));
    assert_eq!(line.message, "mod_jk child workerEnv in error state 6");
    let line =
        read("[Fri Nov 27 09:00:00.5 2026] [core:warn] [pid 7:tid 8] [client 10.0.0.1:99] AH1: no")
            .line;
    assert_eq!(
        (line.level, line.ip, line.message.as_str()),
        (some("warn"), some("10.0.0.1"), "AH1: no")
    );
}

#[test]
fn syslog_of_both_kinds_and_repeated_messages() {
    let line =
        read("Nov 27 06:55:46 LabSZ sshd[24200]: Invalid user webmaster from 173.234.31.186").line;
    assert_eq!((line.format, line.service.as_str()), (Format::Rfc3164, "sshd"));
    assert_eq!((line.timestamp, line.repeated), (ms("2026-11-27T06:55:46Z"), 1));
    let line =
        read("<34>Nov  1 22:14:15 host su: message repeated 5 times: [ failed for root]").line;
    assert_eq!(
        (line.level, line.repeated, line.message.as_str()),
        (some("crit"), 5, "failed for root")
    );
    let line =
        read(r#"<165>1 2026-11-27T09:00:00.003Z host app - ID47 [x@1 a="]\""][y b="c"] went well"#)
            .line;
    assert_eq!((line.format, line.service.as_str()), (Format::Rfc5424, "app"));
    assert_eq!((line.level, line.message.as_str()), (some("notice"), "went well"));
}

#[test]
fn openstack_with_its_requests() {
    let line = read(
        "nova-api.log.1.2017-05-16_13:53:08 2017-05-16 00:00:00.008 25746 INFO nova.osapi_compute.wsgi.server \
         [req-38101a0b 113d3a99 54fadb41 - - -] 10.11.10.1 \"GET /v2/54fadb412c4e40cd/servers HTTP/1.1\" status: 200 \
         len: 1893 time: 0.25",
    )
    .line;
    assert_eq!((line.format, line.service.as_str()), (Format::Openstack, "nova-api"));
    assert_eq!((line.request_id, line.ip), (some("req-38101a0b"), some("10.11.10.1")));
    assert_eq!(
        (line.route, line.status, line.latency_ms),
        (some("/v2/{}/servers"), Some(200), Some(250.0))
    );
}

#[test]
fn what_is_odd_is_left_out_and_said() {
    let Read { line, oddities } = read(
        r#"{"timestamp":"2099-01-01T00:00:00Z","status":1000,"latency_ms":-1,"ip":"fe80::1%eth0","message":"m"}"#,
    );
    assert_eq!(oddities, [Oddity::Time, Oddity::Status, Oddity::Latency, Oddity::Address]);
    assert_eq!(
        (line.timestamp, line.status, line.latency_ms, line.ip),
        (record_ms(), None, None, None)
    );
    for latency in ["\"NaN\"", "1e12", "\"soon\""] {
        let line = format!(r#"{{"message":"m","latency_ms":{latency}}}"#);
        assert_eq!(read(&line).oddities, [Oddity::Latency], "{latency}");
    }
    assert_eq!(read(r#"{"status":99,"message":"m"}"#).oddities, [Oddity::Status]);
    let odd = reader().read(b"{\"message\":\"a\xffb\"}", record_ms()).unwrap();
    assert_eq!((odd.line.message.as_str(), odd.oddities), ("a\u{fffd}b", vec![Oddity::Replaced]));
}

#[test]
fn what_is_no_line_says_why() {
    let bad = |line: &[u8]| reader().read(line, record_ms()).unwrap_err();
    for line in
        ["hello", "[notice] x", "12 13 14", "<999>1 x", "Foo 12 10:00:00 host x: y", "a | b | c"]
    {
        assert_eq!(bad(line.as_bytes()), BadLine::UnknownFormat, "{line}");
    }
    assert!(matches!(bad(b"{\"message\": "), BadLine::BadJson(_)));
    assert!(matches!(
        bad("[".repeat(60_000).replacen('[', "{\"a\":[", 1).as_bytes()),
        BadLine::BadJson(_)
    ));
    for line in ["", "  ", "{}", "{\"level\":\"info\"}"] {
        assert_eq!(bad(line.as_bytes()), BadLine::Empty, "{line}");
    }
    assert_eq!(bad(&vec![b'a'; 65_537]), BadLine::TooLong(65_537));
    let names: Vec<String> = ["hello", "{", ""].map(|line| bad(line.as_bytes()).to_string()).into();
    assert!(names[0].starts_with("UnknownFormat") && names[1].starts_with("BadJson"), "{names:?}");
}
