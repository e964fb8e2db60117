//! What `outbox plan` says is what the server gets, byte for byte.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use crate::place::{Place, Serve};

/// One request as the server got it.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Stands before the server and writes every request down, in the order in which they were complete.
struct Recorder {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    fn before(serve: &Serve) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let server = serve.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let all = Arc::clone(&seen);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (server, all) = (TcpStream::connect(&server).unwrap(), Arc::clone(&all));
                std::thread::spawn(move || pass(client, server, &all));
            }
        });
        Self { url, seen }
    }

    fn writes(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|request| request.method != "GET").cloned().collect()
    }

    fn lookups(&self) -> Vec<String> {
        let asked = |request: &&Seen| request.method == "GET" && request.header("x-firebase-etag").is_some();
        self.seen.lock().unwrap().iter().filter(asked).map(|request| request.path.clone()).collect()
    }
}

fn pass(client: TcpStream, mut server: TcpStream, all: &Mutex<Vec<Seen>>) {
    let (mut answers, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(std::net::Shutdown::Both);
    });
    let mut reader = BufReader::new(client);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                let _ = server.shutdown(std::net::Shutdown::Both);
                return;
            }
            head.push(line.clone());
            if line == "\r\n" {
                break;
            }
        }
        let mut first = head[0].split(' ').map(str::to_owned);
        let (method, path) = (first.next().unwrap(), first.next().unwrap());
        let headers: Vec<(String, String)> = head
            .iter()
            .skip(1)
            .filter_map(|line| line.trim_end().split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length =
            headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, text)| text.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let seen = Seen { method, path, headers, body: String::from_utf8(body.clone()).unwrap() };
        all.lock().unwrap().push(seen);
        if server.write_all(head.concat().as_bytes()).and_then(|()| server.write_all(&body)).is_err() {
            return;
        }
    }
}

fn begin() -> (Place, Serve, Recorder) {
    let place = Place::new();
    place.write("seed.json", include_str!("../../assets/demo/seed.json"));
    let serve = place.serve(&["--seed", "seed.json", "--data", "server.db"]);
    let recorder = Recorder::before(&serve);
    let run = place.run(&["init", &recorder.url, "--kind", "firebase", "--name", "harbour", "--collection", "vessels"]);
    assert_eq!(run.code, 0, "{run:?}");
    place.write("config.toml", &format!("{}\n[sync]\nparallel = 1\n", place.read("config.toml")));
    place.json(&["sync"], 0);
    (place, serve, recorder)
}

fn etag(serve: &Serve, id: &str) -> String {
    let address = serve.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(
        stream,
        "GET /vessels/{id}.json HTTP/1.1\r\nHost: {address}\r\nX-Firebase-ETag: true\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let line = answer.lines().find(|line| line.to_ascii_lowercase().starts_with("etag: ")).unwrap();
    line[6..].to_owned()
}

fn seq(queued: &Value) -> String {
    queued["seq"].to_string()
}

#[test]
fn what_is_planned_is_what_is_sent() {
    let (place, serve, recorder) = begin();
    // Two edits of one record become one write.
    place.json(&["patch", "vessels", "9100000", r#"{"flag":"🇨🇱"}"#], 0);
    place.json(&["patch", "vessels", "9100000", r#"{"name":"it's \"quoted\""}"#], 0);
    place.json(&["put", "vessels", "new-one", r#"{"name":"Offline","n":1.50}"#], 0);
    place.json(&["delete", "vessels", "9100037"], 0);
    place.json(&["put", "vessels", "never", r#"{"a":1}"#], 0);
    place.json(&["delete", "vessels", "never"], 0);
    // These two wait while the server's copy moves: elsewhere, and at the same place.
    let ids: Vec<String> = serde_json::from_str::<Value>(&serve.request("GET", "/vessels.json?shallow=true", "").1)
        .unwrap()
        .as_object()
        .unwrap()
        .keys()
        .filter(|id| !["9100000", "9100037"].contains(&id.as_str()))
        .take(3)
        .cloned()
        .collect();
    let (merged, fought, held) = (&ids[0], &ids[1], &ids[2]);
    let waiting = [
        place.json(&["patch", "vessels", merged, r#"{"note":"mine"}"#], 0),
        place.json(&["patch", "vessels", fought, r#"{"name":"mine"}"#], 0),
        place.json(&["patch", "vessels", held, r#"{"name":"held"}"#], 0),
    ];
    place.json(&["outbox", "hold", "--all"], 0);
    serve.request("PATCH", &format!("/vessels/{merged}.json"), r#"{"elsewhere":true}"#);
    serve.request("PATCH", &format!("/vessels/{fought}.json"), r#"{"name":"theirs"}"#);
    place.json(&["sync"], 3);
    assert_eq!(recorder.writes(), [], "all is held");
    place.json(&["outbox", "release", "--all"], 0);
    place.json(&["outbox", "hold", &seq(&waiting[2])], 0);

    let plan = place.json(&["outbox", "plan"], 0);
    let steps = plan["requests"].as_array().unwrap();
    let acts: Vec<(&str, &str)> =
        steps.iter().map(|step| (step["id"].as_str().unwrap(), step["act"].as_str().unwrap())).collect();
    assert_eq!(
        acts,
        [
            ("9100000", "write"),
            ("new-one", "write"),
            ("9100037", "write"),
            ("never", "nothing"),
            (merged.as_str(), "write"),
            (fought.as_str(), "conflict"),
            (held.as_str(), "write"),
        ],
        "{plan:#}"
    );
    assert_eq!(steps[0]["ops"].as_array().unwrap().len(), 2);
    assert_eq!((&steps[4]["merged"], &steps[6]["waits"]["for"]), (&json!(true), &json!("held")));
    assert!(steps[5]["notes"][0].as_str().unwrap().contains("/name"), "{plan:#}");
    let etags: Vec<String> = ["9100000", "9100037", merged].map(|id| etag(&serve, id)).into_iter().collect();

    let before = recorder.lookups().len();
    place.json(&["sync"], 4);
    let sent = recorder.writes();
    let planned: Vec<&Value> = steps.iter().filter(|step| step["act"] == "write" && step["waits"].is_null()).collect();
    assert_eq!(sent.len(), planned.len(), "{sent:#?}");
    let mut looked_up = etags.iter();
    for (sent, planned) in sent.iter().zip(&planned) {
        assert_eq!(sent.method, planned["method"].as_str().unwrap());
        assert_eq!(format!("{}{}", recorder.url, sent.path), planned["url"].as_str().unwrap());
        assert_eq!(sent.body, planned["body"].as_str().unwrap_or(""));
        assert_eq!(sent.body.len() as u64, planned["bytes"].as_u64().unwrap());
        for (name, value) in planned["headers"].as_object().unwrap() {
            if name != "if-match" {
                assert_eq!(sent.header(name), value.as_str(), "{name}");
            }
        }
        let if_match = match planned["precondition"].as_str().unwrap() {
            "lookup" => looked_up.next().unwrap().as_str(),
            _ => planned["if_match"].as_str().unwrap(),
        };
        assert_eq!(sent.header("if-match"), Some(if_match), "{planned:#}");
    }
    // Every planned lookup was made; the conflict was found by one too.
    let lookups = recorder.lookups();
    for planned in planned.iter().filter(|planned| !planned["lookup"].is_null()) {
        let path = planned["lookup"]["url"].as_str().unwrap().trim_start_matches(&recorder.url);
        assert!(lookups[before..].iter().any(|seen| seen == path), "{path} in {lookups:?}");
    }
    assert_eq!(place.json(&["conflicts", "list"], 0)[0]["id"], json!(fought));
    assert_eq!(place.json(&["outbox", "plan"], 0)["totals"]["requests"], 1, "the held one");
}

#[test]
fn a_copied_command_does_what_the_sender_would_do_and_never_shows_the_token() {
    let place = Place::new();
    place.write("seed.json", r#"{"tasks": {"t1": {"title": "it's one", "n": 1}}}"#);
    let mut command = place.command(&["serve", "--seed", "seed.json", "--token-env", "SECRET"]);
    command.env("SECRET", TOKEN);
    let serve = Serve::spawn(command);
    let config = format!(
        "[[source]]\nname = \"office\"\nkind = \"firebase\"\nurl = \"{}\"\nauth = {{ token_env = \"SECRET\" }}\n\
         [[source.collection]]\nname = \"tasks\"\n",
        serve.url
    );
    place.write("config.toml", &config);
    let run = |args: &[&str]| {
        let output = place.command(args).env("SECRET", TOKEN).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run(&["sync"]).0, Some(0));
    assert_eq!(run(&["patch", "tasks", "t1", r#"{"title":"it's $(two) `three`"}"#]).0, Some(0));
    assert_eq!(run(&["put", "tasks", "t2", r#"{"n":2}"#]).0, Some(0));
    let (code, script, _) = run(&["outbox", "plan", "--curl"]);
    assert_eq!(code, Some(0));
    for text in [&script, &run(&["outbox", "plan"]).1, &run(&["outbox", "plan", "--json"]).1] {
        assert!(!text.contains(TOKEN), "{text}");
        assert!(text.contains("SECRET") || text.starts_with('{'), "{text}");
    }
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        eprintln!("there is no curl here: the commands were not run");
        return;
    }
    let shell = std::process::Command::new("sh").args(["-c", &script]).env("SECRET", TOKEN).output().unwrap();
    assert!(shell.status.success(), "{shell:?}\n{script}");
    let synced = run(&["sync", "--json"]);
    assert_eq!(synced.0, Some(0), "{synced:?}");
    let status: Value = serde_json::from_str(&synced.1).unwrap();
    assert_eq!(status["outbox"]["pending"], 0);
    let got: Value = serde_json::from_str(&run(&["get", "tasks", "t1", "--json"]).1).unwrap();
    assert_eq!(got["base"], json!({"title": "it's $(two) `three`", "n": 1}));
}

const TOKEN: &str = "a-token-nobody-may-see";
