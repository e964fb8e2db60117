//! The HTTP client against real sockets: every way a server can fail, and what the client makes of it.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use ebbtide::{
    model::{
        ids::{CollectionKey, CollectionName, RecordId, Revision},
        json::{Pointer, same_value},
        op::{OpKind, Precondition},
        rules::ConflictRules,
        source::{AuthSpec, CollectionSpec, Deadlines, PullMode, SourceKind, SourceSpec},
        time::{At, Clock},
        wire::{Answer, Link, PushRequest, ReadError, RemoteChange},
    },
    remote::{FeedEvent, Remote},
    server::{Options, Server},
};
use secrecy::SecretString;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const CANARY: &str = "canary-6f1d9c";

/// Stands still at 1,700,000,000 s.
struct Still;

impl Clock for Still {
    fn at(&self) -> At {
        At::test(0)
    }
}

/// What the scripted server does with one request.
#[derive(Clone)]
enum Act {
    /// Sends these bytes and closes.
    Send(Vec<u8>),
    /// Closes without a byte.
    Close,
    /// Sends these bytes and then nothing more, the connection open.
    SendAndHang(Vec<u8>),
}

/// A server of one answer per connection, in the order of the script; it keeps what it was asked.
struct Scripted {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Scripted {
    async fn start(script: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let task = tokio::spawn(async move {
            let mut script = VecDeque::from(script);
            let mut hanging = Vec::new();
            while let Some(act) = script.pop_front() {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                log.lock().unwrap().push(request);
                match act {
                    Act::Send(bytes) => {
                        // The client may have had enough before all is written.
                        stream.write_all(&bytes).await.ok();
                        stream.shutdown().await.ok();
                    }
                    Act::Close => {}
                    Act::SendAndHang(bytes) => {
                        stream.write_all(&bytes).await.unwrap();
                        hanging.push(stream);
                    }
                }
            }
            std::future::pending::<()>().await;
        });
        Self { address, asked, task }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut got = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&got).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse().unwrap())
                })
                .unwrap_or(0_usize);
            if body.len() >= length {
                return text;
            }
        }
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return text,
            Ok(read) => got.extend_from_slice(&piece[..read]),
        }
    }
}

fn answer(status: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    if !headers.iter().any(|header| header.starts_with("content-type")) {
        text.push_str("content-type: application/json\r\n");
    }
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    format!("{text}\r\n{body}").into_bytes()
}

fn json(body: &str) -> Vec<u8> {
    answer("200 OK", &[], body)
}

fn spec(url: &str, auth: AuthSpec) -> SourceSpec {
    SourceSpec {
        name: "office".into(),
        kind: SourceKind::Firebase,
        url: url.to_owned(),
        auth,
        read_only: false,
        allow_plain: false,
        user: None,
        collections: vec![CollectionSpec {
            name: "tasks".into(),
            path: "tasks".to_owned(),
            columns: Vec::new(),
            title: None,
            pull: PullMode::Auto,
            updated_at: Some(Pointer::parse("/meta/at")),
            conflicts: ConflictRules::default(),
        }],
    }
}

fn short() -> Deadlines {
    Deadlines {
        connect: Duration::from_secs(5),
        read: Duration::from_secs(1),
        total: Duration::from_secs(10),
        bulk: Duration::from_secs(10),
        heartbeat: Duration::from_millis(400),
    }
}

/// For servers that answer as fast as they can, however busy the machine is.
fn patient(url: &str) -> Remote {
    Remote::new(&spec(url, AuthSpec::None), Arc::new(Still)).unwrap()
}

fn remote(url: &str) -> Remote {
    Remote::with_deadlines(&spec(url, AuthSpec::None), Arc::new(Still), short()).unwrap()
}

/// With a token read from a file, and the directory that holds it.
fn signed(url: &str) -> (Remote, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, CANARY).unwrap();
    let remote = Remote::with_deadlines(&spec(url, AuthSpec::File(path)), Arc::new(Still), short()).unwrap();
    (remote, dir)
}

fn tasks() -> CollectionName {
    "tasks".into()
}

fn update() -> PushRequest {
    PushRequest {
        record: CollectionKey::new("office", "tasks").record("t1"),
        kind: OpKind::Update,
        document: Some(json!({"title": "write", "n": 1})),
        precondition: Precondition::Revision(Revision::from("abc")),
    }
}

async fn push_to(act: Act) -> (Answer, ebbtide::model::wire::Exchange) {
    let server = Scripted::start(vec![act]).await;
    remote(&server.url()).push(&update()).await
}

async fn page_from(act: Act) -> Result<ebbtide::remote::Page, ReadError> {
    let server = Scripted::start(vec![act]).await;
    remote(&server.url()).page(&tasks(), None, 10).await.0
}

// --- writes ------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_write_carries_its_precondition_and_its_exact_body() {
    let body = r#"{"title":"write","n":1}"#;
    let server = Scripted::start(vec![
        Act::Send(answer("200 OK", &["etag: new", "date: Tue, 14 Nov 2023 22:13:25 GMT"], body)),
        Act::Send(answer("200 OK", &["etag: null_etag"], "null")),
    ])
    .await;
    let remote = remote(&server.url());
    let (got, exchange) = remote.push(&update()).await;
    assert_eq!(got, Answer::Accepted { revision: Some("new".into()), stored: Some(json!({"title": "write", "n": 1})) });
    assert_eq!((exchange.bytes_up, exchange.bytes_down), (body.len() as u64, body.len() as u64));
    assert_eq!(exchange.clock_offset_ms, Some(5_500));
    assert_eq!(exchange.status, Some(200));
    let delete = PushRequest { kind: OpKind::Delete, document: None, ..update() };
    assert_eq!(remote.push(&delete).await.0, Answer::Accepted { revision: None, stored: None });

    let asked = server.asked();
    let first = asked[0].to_ascii_lowercase();
    assert!(first.starts_with("put /tasks/t1.json http/1.1\r\n"), "{first}");
    assert!(first.contains("\r\nif-match: abc\r\n") && first.contains("\r\nx-firebase-etag: true\r\n"), "{first}");
    assert!(asked[0].ends_with(body), "{}", asked[0]);
    assert!(asked[1].starts_with("DELETE /tasks/t1.json"), "{}", asked[1]);
}

#[tokio::test]
async fn a_create_asks_for_nothing_to_be_there_and_412_tells_what_is() {
    let server =
        Scripted::start(vec![Act::Send(answer("412 Precondition Failed", &["etag: theirs"], r#"{"a":2}"#))]).await;
    let create = PushRequest { kind: OpKind::Create, precondition: Precondition::Absent, ..update() };
    let (got, _) = remote(&server.url()).push(&create).await;
    let current = Some(json!({"a": 2}));
    assert_eq!(got, Answer::PreconditionFailed { current, revision: Some("theirs".into()) });
    assert!(server.asked()[0].contains("if-match: null_etag"));
    let (got, _) = push_to(Act::Send(answer("412 Precondition Failed", &["etag: null_etag"], "null"))).await;
    assert_eq!(got, Answer::PreconditionFailed { current: None, revision: None });
}

#[tokio::test]
async fn a_refused_connection_means_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (got, exchange) = remote(&format!("http://{address}")).push(&update()).await;
    let Answer::NotSent(trouble) = got else { panic!("{got:?}") };
    assert_eq!((trouble.link, trouble.message.as_str()), (Link::Tcp, "connection refused"));
    assert_eq!((exchange.bytes_up, exchange.status, exchange.round_trip), (0, None, None));
}

#[tokio::test]
async fn a_name_nobody_knows_means_not_sent() {
    let (got, _) = remote("https://nobody.invalid").push(&update()).await;
    let Answer::NotSent(trouble) = got else { panic!("{got:?}") };
    assert_eq!((trouble.link, trouble.message.as_str()), (Link::Dns, "name not resolved"));
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_means_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok();
        }
    });
    let (got, _) = remote(&format!("https://{address}")).push(&update()).await;
    task.abort();
    let Answer::NotSent(trouble) = got else { panic!("{got:?}") };
    assert_eq!(trouble.link, Link::Tls, "{trouble:?}");
}

#[tokio::test]
async fn once_the_request_began_every_loss_is_in_doubt() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\ncontent-type: application/json\r\n\r\n{\"title\":".to_vec();
    let hang = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"title\":".to_vec();
    let garbage = b"\x16\x03\x01 nonsense\r\n\r\n".to_vec();
    for (name, act) in [
        ("closed", Act::Close),
        ("cut off", Act::Send(cut)),
        ("stalled", Act::SendAndHang(hang)),
        ("silent", Act::SendAndHang(Vec::new())),
        ("garbage", Act::Send(garbage)),
        ("half a document", Act::Send(json(r#"{"title":"#))),
        ("somebody else's words", Act::Send(json(r#"{"welcome":"to the hotel"}"#))),
        ("chatter", Act::Send(answer("200 OK", &["content-type: text/plain"], "hello"))),
        ("server error", Act::Send(answer("500 Internal Server Error", &[], "{}"))),
        ("bad gateway", Act::Send(answer("502 Bad Gateway", &["content-type: text/html"], "<html>"))),
    ] {
        let (got, exchange) = push_to(act).await;
        assert!(matches!(got, Answer::InDoubt(_)), "{name}: {got:?}");
        assert!(exchange.bytes_up > 0, "{name}");
    }
}

#[tokio::test]
async fn pages_and_redirects_of_a_network_are_a_portal_and_are_not_followed() {
    let elsewhere = Scripted::start(vec![Act::Send(json("{}"))]).await;
    let to = format!("location: {}/login", elsewhere.url());
    for act in [
        Act::Send(answer("200 OK", &["content-type: text/html"], "<html>log in</html>")),
        Act::Send(answer("302 Found", &[&to], "")),
        Act::Send(answer("307 Temporary Redirect", &[&to], "")),
        Act::Send(answer("307 Temporary Redirect", &["location: /tasks/t2.json"], "")),
        Act::Send(answer("511 Network Authentication Required", &[], "{}")),
    ] {
        let (got, _) = push_to(act.clone()).await;
        assert!(matches!(got, Answer::Portal(_)), "{got:?}");
    }
    let read = page_from(Act::Send(answer("302 Found", &[&to], ""))).await;
    assert!(matches!(read, Err(ReadError::Portal(_))), "{read:?}");
    assert_eq!(elsewhere.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_heard_in_both_forms() {
    let (got, _) = push_to(Act::Send(answer("503 Service Unavailable", &["retry-after: 7"], "{}"))).await;
    assert!(matches!(got, Answer::Later { status: 503, after: Some(after), .. } if after.as_secs() == 7), "{got:?}");
    let headers = ["retry-after: Tue, 14 Nov 2023 22:14:25 GMT", "date: Tue, 14 Nov 2023 22:13:25 GMT"];
    let (got, _) = push_to(Act::Send(answer("429 Too Many Requests", &headers, "{}"))).await;
    assert!(matches!(got, Answer::Later { status: 429, after: Some(after), .. } if after.as_secs() == 60), "{got:?}");
    let (_, exchange) = push_to(Act::Send(answer("429 Too Many Requests", &headers, "{}"))).await;
    assert_eq!(exchange.retry_at, None, "the answer says itself how long it is");
    let (_, exchange) = push_to(Act::Send(answer("503 Service Unavailable", &headers[..1], "{}"))).await;
    assert_eq!(exchange.retry_at.map(|until| until.0), Some(1_700_000_065_000), "by whose clock is for others to know");
}

#[tokio::test]
async fn refusals_carry_the_servers_words() {
    let body = r#"{"error":"Invalid data; couldn't parse"}"#;
    let (got, _) = push_to(Act::Send(answer("400 Bad Request", &[], body))).await;
    assert_eq!(got, Answer::Rejected { status: 400, message: "Invalid data; couldn't parse".to_owned() });
    let (got, _) = push_to(Act::Send(answer("401 Unauthorized", &[], r#"{"error":"Auth token is expired"}"#))).await;
    let expired = "Auth token is expired".to_owned();
    assert_eq!(got, Answer::Unauthorized { status: Some(401), is_denied: false, message: expired });
}

#[tokio::test]
async fn denied_by_rules_is_a_refusal_only_where_we_said_who_we_are() {
    let denied = || Act::Send(answer("401 Unauthorized", &[], r#"{"error":"Permission denied"}"#));
    let (got, _) = push_to(denied()).await;
    assert!(matches!(got, Answer::Unauthorized { is_denied: true, .. }), "{got:?}");
    let server = Scripted::start(vec![denied()]).await;
    let (remote, _dir) = signed(&server.url());
    let (got, _) = remote.push(&update()).await;
    assert_eq!(got, Answer::Rejected { status: 401, message: "Permission denied".to_owned() });
}

#[tokio::test]
async fn an_id_that_would_hit_the_collection_is_refused_before_a_byte_is_sent() {
    let server = Scripted::start(vec![]).await;
    let mut delete = PushRequest { kind: OpKind::Delete, document: None, ..update() };
    for id in ["", "..", "a/b", "a.b"] {
        delete.record.id = RecordId::from(id);
        let (got, _) = remote(&server.url()).push(&delete).await;
        assert!(matches!(got, Answer::Rejected { status: 400, .. }), "{id:?}: {got:?}");
    }
    assert_eq!(server.asked(), Vec::<String>::new());
}

// --- credentials ---------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_token_is_sent_and_seen_nowhere_else() {
    let echo = format!(r#"{{"error":"bad token {CANARY}"}}"#);
    let server = Scripted::start(vec![
        Act::Send(answer("401 Unauthorized", &[], &echo)),
        Act::Send(answer("500 Internal Server Error", &[], &echo)),
        Act::Send(answer("401 Unauthorized", &[], &echo)),
        Act::Send(answer("400 Bad Request", &[], &echo)),
        Act::Close,
    ])
    .await;
    let (remote, _dir) = signed(&server.url());
    let mut seen = format!("{remote:?} {} {}", remote.author(), remote.request_hash(&update()));
    seen.push_str(&format!("{:?}", remote.push(&update()).await));
    seen.push_str(&format!("{:?}", remote.push(&update()).await));
    seen.push_str(&format!("{:?}", remote.probe().await));
    seen.push_str(&format!("{:?}", remote.page(&tasks(), None, 5).await));
    seen.push_str(&format!("{:?}", remote.push(&update()).await));
    assert!(!seen.contains(CANARY), "{seen}");
    assert!(seen.contains("[redacted]"), "{seen}");
    for asked in server.asked() {
        assert!(asked.contains(&format!("authorization: Bearer {CANARY}\r\n")), "{asked}");
    }
}

#[tokio::test]
async fn an_id_token_travels_as_auth_and_never_in_an_error() {
    let token = format!("eyJ{CANARY}.payload.signature");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, &token).unwrap();
    let server = Scripted::start(vec![Act::Close, Act::Send(json("null"))]).await;
    let spec = spec(&format!("{}?ns=demo", server.url()), AuthSpec::File(path));
    let remote = Remote::with_deadlines(&spec, Arc::new(Still), short()).unwrap();
    let seen = format!("{:?} {:?}", remote.push(&update()).await, remote.page(&tasks(), None, 5).await);
    assert!(!seen.contains(CANARY), "{seen}");
    for asked in server.asked() {
        let line = asked.lines().next().unwrap();
        assert!(line.contains(&format!("auth={token}")) && line.contains("ns=demo"), "{line}");
    }
}

#[tokio::test]
async fn credentials_that_cannot_be_read_ask_for_credentials() {
    let spec = spec("http://127.0.0.1:9", AuthSpec::Env("EBBTIDE_TEST_NO_SUCH_VARIABLE".to_owned()));
    let remote = Remote::new(&spec, Arc::new(Still)).unwrap();
    let (got, _) = remote.push(&update()).await;
    assert!(
        matches!(&got, Answer::Unauthorized { status: None, message, .. } if message.contains("is not set")),
        "{got:?}"
    );
    let (probe, _) = remote.probe().await;
    assert_eq!(probe.chain.last().map(|fact| (fact.link, fact.ok)), Some((Link::Auth, false)));
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let elsewhere = Scripted::start(vec![Act::Send(json("{}"))]).await;
    let to = format!("location: {}/tasks.json", elsewhere.url());
    let server = Scripted::start(vec![
        Act::Send(answer("307 Temporary Redirect", &[&to], "")),
        Act::Send(answer("307 Temporary Redirect", &["location: /moved.json"], "")),
        Act::Send(json(r#"{"a":{"n":1}}"#)),
    ])
    .await;
    let (remote, _dir) = signed(&server.url());
    assert!(matches!(remote.page(&tasks(), None, 5).await.0, Err(ReadError::Portal(_))));
    assert_eq!(remote.page(&tasks(), None, 5).await.0.unwrap().records.len(), 1);
    assert!(server.asked()[2].starts_with("GET /moved.json") && server.asked()[2].contains(CANARY));
    assert_eq!(elsewhere.asked(), Vec::<String>::new());
}

// --- reads -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_page_asks_for_one_more_and_drops_the_first() {
    let server = Scripted::start(vec![
        Act::Send(json(r#"{"b":{"n":2},"a":{"n": 1}}"#)),
        Act::Send(json(r#"{"b":{"n":2},"c":{"n":3},"d":{"n":4}}"#)),
        Act::Send(json(r#"[null,{"x":1}]"#)),
    ])
    .await;
    let remote = remote(&server.url());
    let first = remote.page(&tasks(), None, 2).await.0.unwrap();
    let ids: Vec<&str> = first.records.iter().map(|record| record.id.as_str()).collect();
    assert_eq!((ids, first.next.clone()), (vec!["a", "b"], Some("b".into())));
    assert_eq!(first.records[0].text, r#"{"n": 1}"#);
    let second = remote.page(&tasks(), first.next.as_ref(), 2).await.0.unwrap();
    let ids: Vec<&str> = second.records.iter().map(|record| record.id.as_str()).collect();
    assert_eq!((ids, second.next), (vec!["c", "d"], Some("d".into())));
    let third = remote.page(&tasks(), Some(&"0".into()), 5).await.0.unwrap();
    assert_eq!((third.records[0].id.as_str(), third.next), ("1", None));
    let asked = server.asked();
    assert!(asked[0].contains("/tasks.json?orderBy=%22$key%22&limitToFirst=2 "), "{}", asked[0]);
    assert!(asked[1].contains("startAt=%22b%22&limitToFirst=3 "), "{}", asked[1]);
}

#[tokio::test]
async fn a_delta_grows_until_its_stamps_move_on() {
    let record = |id: &str, at: u64| format!(r#""{id}":{{"meta":{{"at":{at}}}}}"#);
    let page = |ids: &[(&str, u64)]| {
        let members: Vec<String> = ids.iter().map(|(id, at)| record(id, *at)).collect();
        Act::Send(json(&format!("{{{}}}", members.join(","))))
    };
    let server =
        Scripted::start(vec![page(&[("b", 7), ("a", 7)]), page(&[("c", 9), ("b", 7), ("a", 7), ("d", 7)])]).await;
    let got = remote(&server.url()).delta(&tasks(), "7", 2).await.0.unwrap();
    let ids: Vec<&str> = got.records.iter().map(|record| record.id.as_str()).collect();
    assert_eq!((ids, got.next), (vec!["a", "b", "d", "c"], Some("c".into())));
    assert!(server.asked()[0].contains("orderBy=%22meta%2Fat%22&startAt=7&limitToFirst=2 "), "{}", server.asked()[0]);
    assert!(server.asked()[1].contains("limitToFirst=4 "));
}

#[tokio::test]
async fn an_answer_that_is_not_a_collection_is_dropped_with_its_reason() {
    for (act, link) in [
        (Act::Close, Link::Http),
        (Act::Send(json("{\"a\":")), Link::Shape),
        (Act::Send(json("5")), Link::Shape),
        (Act::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n\xff{}".to_vec()), Link::Shape),
        (Act::SendAndHang(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec()), Link::Http),
    ] {
        let got = page_from(act).await;
        assert!(matches!(&got, Err(ReadError::Unreachable(trouble)) if trouble.link == link), "{link:?} {got:?}");
    }
    let got = page_from(Act::Send(answer("400 Bad Request", &[], r#"{"error":"Index not defined"}"#))).await;
    assert_eq!(got, Err(ReadError::Refused { status: 400, message: "Index not defined".to_owned() }));
}

#[tokio::test]
async fn packed_answers_are_unpacked_and_endless_ones_are_cut_off() {
    // {"a":{"n":1}}
    let packed = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\x4a\x54\xb2\xaa\x56\xca\x53\xb2\x32\xac\xad\x05\x00\xfe\x3a\x53\xe9\x0d\x00\x00\x00";
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        packed.len()
    )
    .into_bytes();
    bytes.extend_from_slice(packed);
    let server =
        Scripted::start(vec![Act::Send(bytes), Act::Send(json(&format!("\"{}\"", "x".repeat(65 << 20))))]).await;
    let client = remote(&server.url());
    assert_eq!(client.page(&tasks(), None, 5).await.0.unwrap().records[0].text, r#"{"n":1}"#);
    let (got, _) = client.fetch(&update().record).await;
    assert!(
        matches!(&got, Err(ReadError::Unreachable(trouble)) if trouble.message.contains("larger than 64 MiB")),
        "an endless answer was taken"
    );
}

// --- probe -------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_probe_names_the_first_broken_link() {
    let chain = |probe: &ebbtide::remote::Probe| {
        probe.chain.iter().map(|fact| format!("{}:{}", fact.link.word(), fact.ok)).collect::<Vec<_>>().join(" ")
    };
    let server = Scripted::start(vec![
        Act::Send(json(r#"{"a":{"n":1}}"#)),
        Act::Send(answer("200 OK", &["content-type: text/html"], "<html>")),
        Act::Send(answer("401 Unauthorized", &[], r#"{"error":"Auth token is expired"}"#)),
        Act::Send(answer("503 Service Unavailable", &["retry-after: 7"], "{}")),
        Act::Close,
        Act::Send(answer("302 Found", &["location: http://portal.invalid/"], "")),
    ])
    .await;
    let client = remote(&server.url());
    let mut got = Vec::new();
    for _ in 0..6 {
        got.push(chain(&client.probe().await.0));
    }
    assert_eq!(
        got,
        [
            "dns:true tcp:true http:true shape:true auth:true",
            "dns:true tcp:true http:true shape:false",
            "dns:true tcp:true http:true shape:true auth:false",
            "dns:true tcp:true http:false",
            "dns:true tcp:true http:false",
            "dns:true tcp:true http:false",
        ]
    );
    let address = server.address;
    drop(server);
    let closed = loop {
        // The aborted task closes its listener at its next poll.
        match TcpStream::connect(address).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(_) => break remote(&format!("http://{address}")).probe().await.0,
        }
    };
    assert_eq!(chain(&closed), "dns:true tcp:false");
    assert_eq!(closed.chain.last().unwrap().detail, "connection refused");
    let (nobody, _) = remote("https://nobody.invalid").probe().await;
    assert_eq!((chain(&nobody).as_str(), nobody.chain[0].detail.as_str()), ("dns:false", "name not resolved"));
}

// --- feed --------------------------------------------------------------------------------------------------------------

fn stream(events: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\r\n{events}")
        .into_bytes()
}

#[tokio::test]
async fn a_feed_tells_what_changed_and_ends_when_the_server_falls_silent() {
    let events = concat!(
        "event: put\ndata: {\"path\":\"/\",\"data\":{\"a\":{\"n\": 1}}}\n\n",
        "event: keep-alive\ndata: null\n\n",
        "event: patch\ndata: {\"path\":\"/\",\"data\":{\"a\":null,\"b/n\":2}}\n\n",
    );
    let server = Scripted::start(vec![Act::SendAndHang(stream(events))]).await;
    let client = remote(&server.url());
    let mut feed = client.feed(&tasks(), None).await.0.unwrap();
    let FeedEvent::Everything(records) = feed.next().await.unwrap() else { panic!("not everything") };
    assert_eq!((records[0].id.as_str(), records[0].text.as_str()), ("a", r#"{"n": 1}"#));
    assert_eq!(feed.next().await, Ok(FeedEvent::KeepAlive));
    assert_eq!(feed.next().await, Ok(FeedEvent::Changes(vec![RemoteChange::Tombstone { id: "a".into() }])));
    assert_eq!(feed.next().await, Ok(FeedEvent::Touched(vec!["b".into()])));
    let silence = feed.next().await;
    assert!(matches!(&silence, Err(ReadError::Unreachable(trouble)) if trouble.link == Link::Http), "{silence:?}");
    assert!(feed.next().await.is_err());
    assert_eq!(feed.bytes(), events.len() as u64);
    let asked = server.asked()[0].to_ascii_lowercase();
    assert!(asked.contains("accept: text/event-stream\r\n") && !asked.contains("gzip"), "{asked}");
}

#[tokio::test]
async fn a_feed_that_is_closed_cancelled_or_never_one_says_so() {
    let server = Scripted::start(vec![
        Act::Send(stream("event: cancel\ndata: null\n\n")),
        Act::Send(stream("event: auth_revoked\ndata: \"expired\"\n\n")),
        Act::Send(stream("event: put\ndata: {\"path\"")),
        Act::Send(answer("200 OK", &["content-type: text/html"], "<html>")),
        Act::Send(json("{}")),
        Act::Send(answer("401 Unauthorized", &[], r#"{"error":"Auth token is expired"}"#)),
        Act::Send(answer("307 Temporary Redirect", &["location: /moved.json"], "")),
        Act::Send(stream("event: keep-alive\ndata: null\n\n")),
    ])
    .await;
    let client = remote(&server.url());
    let mut feed = client.feed(&tasks(), None).await.0.unwrap();
    assert!(matches!(feed.next().await, Ok(FeedEvent::Cancelled(_))));
    let mut feed = client.feed(&tasks(), None).await.0.unwrap();
    assert_eq!(feed.next().await, Ok(FeedEvent::Unauthorized));
    let mut feed = client.feed(&tasks(), None).await.0.unwrap();
    assert!(feed.next().await.is_err());
    assert!(matches!(client.feed(&tasks(), None).await.0, Err(ReadError::Portal(_))));
    assert!(matches!(client.feed(&tasks(), None).await.0, Err(ReadError::Unreachable(t)) if t.link == Link::Shape));
    assert!(matches!(client.feed(&tasks(), None).await.0, Err(ReadError::Unauthorized { .. })));
    let mut feed = client.feed(&tasks(), None).await.0.unwrap();
    assert_eq!(feed.next().await, Ok(FeedEvent::KeepAlive));
    assert!(server.asked()[7].starts_with("GET /moved.json"));
}

// --- the embedded backend ----------------------------------------------------------------------------------------------

async fn backend(seed: serde_json::Value, token: Option<&str>) -> (Server, String) {
    let options = Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        data: None,
        seed: Some(seed),
        token: token.map(|token| SecretString::from(token.to_owned())),
        clock: Arc::new(Still),
    };
    let server = Server::start(options).await.unwrap();
    let url = format!("http://{}", server.address());
    (server, url)
}

fn accepted(answer: Answer) -> Option<Revision> {
    match answer {
        Answer::Accepted { revision, .. } => revision,
        other => panic!("not accepted: {other:?}"),
    }
}

#[tokio::test]
async fn conditional_writes_apply_once_and_tell_who_was_there() {
    let (server, url) = backend(json!({"other": {"x": 1}}), None).await;
    let client = patient(&url);
    let document = json!({"title": "write", "n": 1});
    let changed = json!({"title": "write", "n": 2});
    let create = PushRequest { kind: OpKind::Create, precondition: Precondition::Absent, ..update() };
    let first = accepted(client.push(&create).await.0).expect("an ETag");
    let before = server.writes_applied();

    let (repeat, _) = client.push(&create).await;
    let there = Answer::PreconditionFailed { current: Some(document.clone()), revision: Some(first.clone()) };
    assert_eq!(repeat, there);
    assert_eq!(server.writes_applied(), before);

    let current = client.fetch(&create.record).await.0.unwrap();
    assert_eq!((current.value, current.revision), (Some(document), Some(first.clone())));

    let edit = PushRequest {
        document: Some(changed.clone()),
        precondition: Precondition::Revision(first.clone()),
        ..update()
    };
    let second = accepted(client.push(&edit).await.0).expect("an ETag");
    assert_ne!(first, second);
    let there = Answer::PreconditionFailed { current: Some(changed), revision: Some(second.clone()) };
    assert_eq!(client.push(&edit).await.0, there);

    let stale = PushRequest { kind: OpKind::Delete, document: None, ..edit };
    assert_eq!(client.push(&stale).await.0, there);
    let delete = PushRequest { precondition: Precondition::Revision(second), ..stale };
    assert_eq!(client.push(&delete).await.0, Answer::Accepted { revision: None, stored: None });
    assert_eq!(client.push(&delete).await.0, Answer::PreconditionFailed { current: None, revision: None });
    let gone = client.fetch(&delete.record).await.0.unwrap();
    assert_eq!((gone.value, gone.revision), (None, None));
    assert_eq!(server.writes_applied(), before + 2);
    server.stop().await;
}

#[tokio::test]
async fn ids_and_texts_of_every_kind_come_back_as_they_went() {
    let (server, url) = backend(json!({}), None).await;
    let client = patient(&url);
    let text = r#"{"big":12345678901234567890123,"deep":{"list":[1,2.50,{"x":"é\u0007"}]},"rtl":"שלום","emoji":"👩‍👩‍👧"}"#;
    let document: serde_json::Value = serde_json::from_str(text).unwrap();
    for id in ["a b", "ä%2f", "q?x=1&y", "\"quoted\"", "田中", "-0", "007", "a+b", "a;b,c:d@e=f", "~'()*!"] {
        let request = PushRequest {
            record: CollectionKey::new("office", "tasks").record(id),
            kind: OpKind::Create,
            document: Some(document.clone()),
            precondition: Precondition::Absent,
        };
        let (answer, _) = client.push(&request).await;
        assert!(matches!(answer, Answer::Accepted { .. }), "{id:?}: {answer:?}");
        let got = client.fetch(&request.record).await.0.unwrap().value.unwrap();
        assert!(same_value(&got, &document), "{id:?}: {got}");
    }
    let keys = client.keys(&tasks()).await.0.unwrap();
    assert_eq!(keys.len(), 10);
    let mut after = None;
    let mut paged = Vec::new();
    loop {
        let page = client.page(&tasks(), after.as_ref(), 3).await.0.unwrap();
        for record in page.records {
            assert!(same_value(&serde_json::from_str(&record.text).unwrap(), &document), "{record:?}");
            paged.push(record.id);
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(paged, keys);
    server.stop().await;
}

#[tokio::test]
async fn pages_of_integer_keys_come_whole_and_in_order() {
    let (server, url) =
        backend(json!({"tasks": {"1": {"n": 1}, "2": {"n": 2}, "3": {"n": 3}, "4": {"n": 4}}}), None).await;
    let client = patient(&url);
    let page = client.page(&tasks(), None, 2).await.0.unwrap();
    let next = client.page(&tasks(), page.next.as_ref(), 9).await.0.unwrap();
    let ids: Vec<&str> = page.records.iter().chain(&next.records).map(|record| record.id.as_str()).collect();
    assert_eq!(ids, ["1", "2", "3", "4"]);
    assert_eq!(next.next, None);
    assert_eq!(client.keys(&tasks()).await.0.unwrap().len(), 4);
    assert_eq!(client.keys(&"tasks".into()).await.0.unwrap()[0].as_str(), "1");
    server.stop().await;
}

#[tokio::test]
async fn the_newest_record_is_found_and_one_from_the_future_does_not_count() {
    let seed = json!({"tasks": {
        "a": {"meta": {"at": 1_700_000_000_000_i64}}, "b": {"meta": {"at": 1_700_000_000_500_i64}},
        "c": {"meta": {"at": 4_000_000_000_000_i64}}, "d": {"n": 1},
    }});
    let (server, url) = backend(seed, None).await;
    let client = patient(&url);
    let newest = async |until| {
        let page = client.newest(&tasks(), ebbtide::model::time::Timestamp(until)).await.0.unwrap();
        page.records.into_iter().map(|record| record.id.0).collect::<Vec<_>>()
    };
    assert_eq!(newest(1_700_000_600_000).await, ["b"]);
    assert_eq!(newest(5_000_000_000_000).await, ["c"]);
    server.stop().await;
    let (server, url) = backend(json!({"tasks": {"t": {"meta": {"at": "2026-01-02"}}}}), None).await;
    let page = patient(&url).newest(&tasks(), ebbtide::model::time::Timestamp(0)).await.0.unwrap();
    assert_eq!(page.records.len(), 1, "a stamp that is text has no limit");
    server.stop().await;
}

#[tokio::test]
async fn a_delta_tells_what_is_at_or_after_a_stamp_oldest_first() {
    let mut tasks_seed = serde_json::Map::new();
    for n in 0..30 {
        tasks_seed.insert(format!("t{n:02}"), json!({"meta": {"at": 100 - (n / 10)}, "n": n}));
    }
    let (server, url) = backend(json!({"tasks": tasks_seed}), None).await;
    let client = patient(&url);
    let all = client.delta(&tasks(), "99", 4).await.0.unwrap();
    let ids: Vec<&str> = all.records.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(ids[..10], ["t10", "t11", "t12", "t13", "t14", "t15", "t16", "t17", "t18", "t19"]);
    assert!(ids.len() > 10, "the page was grown until its stamps move on");
    let last = client.delta(&tasks(), "100", 50).await.0.unwrap();
    assert_eq!((last.records.len(), last.next), (10, None));

    let mut feed = client.feed(&tasks(), Some("100")).await.0.unwrap();
    let FeedEvent::Changes(changes) = next_news(&mut feed).await else { panic!("a query never says everything") };
    assert_eq!(changes.len(), 10);
    let fresh = PushRequest {
        record: CollectionKey::new("office", "tasks").record("new"),
        kind: OpKind::Create,
        document: Some(json!({"meta": {"at": 200}})),
        precondition: Precondition::Absent,
    };
    accepted(client.push(&fresh).await.0);
    let FeedEvent::Changes(changes) = next_news(&mut feed).await else { panic!("not a change") };
    assert!(matches!(&changes[..], [RemoteChange::Upsert(record)] if record.id.as_str() == "new"), "{changes:?}");
    drop(feed);
    server.stop().await;
}

#[tokio::test]
async fn the_live_feed_follows_what_is_written() {
    let (server, url) = backend(json!({"tasks": {"t1": {"n": 1}, "t2": {"n": 2}}}), None).await;
    let client = patient(&url);
    let mut feed = client.feed(&tasks(), None).await.0.unwrap();
    let FeedEvent::Everything(records) = next_news(&mut feed).await else { panic!("not everything") };
    assert_eq!(records.len(), 2);

    let record = CollectionKey::new("office", "tasks").record("t1");
    let revision = client.fetch(&record).await.0.unwrap().revision.unwrap();
    let edit = PushRequest {
        record: record.clone(),
        kind: OpKind::Update,
        document: Some(json!({"n": 7})),
        precondition: Precondition::Revision(revision),
    };
    let revision = accepted(client.push(&edit).await.0).unwrap();
    let FeedEvent::Changes(changes) = next_news(&mut feed).await else { panic!("not a change") };
    assert!(
        matches!(&changes[0], RemoteChange::Upsert(record) if record.id.as_str() == "t1" && record.text == r#"{"n":7}"#)
    );

    let delete =
        PushRequest { record, kind: OpKind::Delete, document: None, precondition: Precondition::Revision(revision) };
    client.push(&delete).await;
    let gone = FeedEvent::Changes(vec![RemoteChange::Tombstone { id: "t1".into() }]);
    assert_eq!(next_news(&mut feed).await, gone);
    server.stop().await;
    // However the server says goodbye, the feed ends.
    while let Ok(event) = feed.next().await {
        assert!(matches!(event, FeedEvent::KeepAlive | FeedEvent::Cancelled(_)), "{event:?}");
    }
}

/// The next event that is not a sign of life.
async fn next_news(feed: &mut ebbtide::remote::Feed) -> FeedEvent {
    loop {
        match feed.next().await.unwrap() {
            FeedEvent::KeepAlive => {}
            event => return event,
        }
    }
}

#[tokio::test]
async fn a_backend_with_a_token_wants_it() {
    let (server, url) = backend(json!({"tasks": {"t1": {"n": 1}}}), Some(CANARY)).await;
    let stranger = patient(&url);
    assert!(matches!(stranger.page(&tasks(), None, 5).await.0, Err(ReadError::Unauthorized { .. })));
    assert!(matches!(stranger.push(&update()).await.0, Answer::Unauthorized { .. }));
    assert!(matches!(stranger.feed(&tasks(), None).await.0, Err(ReadError::Unauthorized { .. })));
    let (probe, _) = stranger.probe().await;
    assert_eq!(probe.chain.last().map(|fact| (fact.link, fact.ok)), Some((Link::Auth, false)));
    let (known, dir) = signed(&url);
    assert_eq!(known.page(&tasks(), None, 5).await.0.unwrap().records.len(), 1);
    assert!(known.probe().await.0.result.is_ok());
    std::fs::write(dir.path().join("token"), "another").unwrap();
    known.forget_credentials();
    assert!(matches!(known.push(&update()).await.0, Answer::Unauthorized { .. }));
    server.stop().await;
}

#[tokio::test]
async fn two_requests_that_differ_have_two_hashes_and_the_token_is_in_none() {
    let plain = remote("http://127.0.0.1:9");
    let (signed, _dir) = signed("http://127.0.0.1:9");
    assert_eq!(plain.request_hash(&update()), signed.request_hash(&update()));
    let other = PushRequest { precondition: Precondition::Revision("xyz".into()), ..update() };
    let delete = PushRequest { kind: OpKind::Delete, document: None, ..update() };
    let hashes = [plain.request_hash(&update()), plain.request_hash(&other), plain.request_hash(&delete)];
    assert!(hashes.iter().all(|hash| hash.len() == 64));
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
}
