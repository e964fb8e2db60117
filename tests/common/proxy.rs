//! A proxy in front of the backend that misbehaves as it is told, one request at a time.
//!
//! It understands as much HTTP as it takes to tell requests apart and to find the end of an answer; the bytes go through
//! as they are. Faults are given per kind of request and used up in order; what is not hit passes.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
};

/// The pace of [`Fault::DripUp`] and [`Fault::DripDown`]: slow enough that no answer is whole within a short deadline.
const DRIP: Duration = Duration::from_millis(150);

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Create,
    Update,
    Delete,
    /// Any read that ends by itself.
    Read,
    Stream,
}

impl Kind {
    pub fn is_write(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Delete)
    }

    fn of(head: &Head) -> Self {
        match head.method.as_str() {
            "DELETE" => Self::Delete,
            "PUT" if head.value("if-match").is_some_and(|tag| tag == "null_etag") => Self::Create,
            "PUT" | "PATCH" | "POST" => Self::Update,
            _ if head.value("accept").is_some_and(|kind| kind.contains("event-stream")) => Self::Stream,
            _ => Self::Read,
        }
    }
}

/// Where an answer breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// So many bytes from its first one.
    Byte(usize),
    /// So many bytes of its body.
    Body(usize),
    /// Before its very last byte. A stream has none: in the midst of its first event.
    Last,
}

/// Where a request is held until [`Proxy::release`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The server has seen nothing of it.
    BeforeSending,
    /// The server has seen half of it.
    HalfSent,
    /// The server has applied and answered it; the client has not heard.
    BeforeAnswer,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// None: what it is used up on passes as if it were not there.
    Pass,
    /// Never passed on, the connection reset.
    DropRequest,
    /// Passed on; the answer is swallowed, the connection reset.
    DropAnswer,
    /// Passed on as soon as the client has given up: it may meet its own repeat.
    DelayPastDeadline,
    /// Held there; goes on when released, whether or not the client still waits.
    Hold(Point),
    /// Passed on twice; the second answer is dropped. Events of a stream come twice.
    Duplicate,
    /// The answer ends there, the connection closed.
    Truncate(Place),
    /// The answer stops there, the connection open.
    Silence(Place),
    /// The request goes on byte by byte.
    DripUp,
    /// The answer comes byte by byte.
    DripDown,
    /// Answered by the proxy; the server hears nothing.
    Say(Vec<u8>),
    /// Passed on and applied; then this is answered instead.
    SayAfter(Vec<u8>),
    /// Read, and never answered.
    HalfOpen,
    /// Passed on unless it bears this token, which the answer calls expired.
    Expire(&'static str),
}

/// A request that arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub kind: Kind,
    pub method: String,
    pub path: String,
    /// Whether a fault was used on it.
    pub was_hit: bool,
}

pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: SocketAddr,
    state: Mutex<State>,
    gate: watch::Sender<Gate>,
    /// How often held requests were released.
    released: watch::Sender<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Gate {
    is_open: bool,
    /// Connections of an older generation are closed.
    generation: u64,
}

#[derive(Default)]
struct State {
    rules: Vec<(Option<Kind>, VecDeque<Fault>, Option<Fault>)>,
    seen: Vec<Seen>,
    hits: u64,
    held: u64,
    /// Requests that went on to the server after they were held or delayed, and were answered there.
    late: u64,
    /// Held answers that were passed on.
    answered_late: u64,
    connections: u64,
    is_refusing: bool,
}

impl Proxy {
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = watch::Sender::new(Gate { is_open: true, generation: 0 });
        let shared = Arc::new(Shared { to, state: Mutex::default(), gate, released: watch::Sender::new(0) });
        tokio::spawn(serve(listener, address, Arc::clone(&shared)));
        Self { address, shared }
    }

    // --- faults -----------------------------------------------------------------------------------------------------

    /// The next requests of this kind (`None`: any) meet these, one each.
    pub fn fail(&self, kind: Option<Kind>, faults: impl IntoIterator<Item = Fault>) {
        self.state().rules.push((kind, faults.into_iter().collect(), None));
    }

    /// Every request of this kind (`None`: any) meets this, until [`Proxy::heal`].
    pub fn fail_always(&self, kind: Option<Kind>, fault: Fault) {
        self.state().rules.push((kind, VecDeque::new(), Some(fault)));
    }

    /// Forgets every fault that was not met yet.
    pub fn heal(&self) {
        self.state().rules.clear();
    }

    /// Nothing listens any more, and what was open is closed.
    pub fn cut(&self) {
        self.shared.gate.send_modify(|gate| (gate.is_open, gate.generation) = (false, gate.generation + 1));
        super::wait_for("the proxy to refuse", || self.state().is_refusing.then_some(()));
    }

    pub fn restore(&self) {
        self.shared.gate.send_modify(|gate| gate.is_open = true);
    }

    /// Closes what is open, and goes on listening.
    pub fn hang_up(&self) {
        self.shared.gate.send_modify(|gate| gate.generation += 1);
    }

    /// Lets the requests that are held go on.
    pub fn release(&self) {
        self.shared.released.send_modify(|count| *count += 1);
    }

    // --- what happened ----------------------------------------------------------------------------------------------

    /// How many faults were used up.
    pub fn hits(&self) -> u64 {
        self.state().hits
    }

    /// How many requests came to a point where they are held.
    pub fn held(&self) -> u64 {
        self.state().held
    }

    /// How many held or delayed requests the server has answered since.
    pub fn late(&self) -> u64 {
        self.state().late
    }

    /// How many held answers were passed on since.
    pub fn answered_late(&self) -> u64 {
        self.state().answered_late
    }

    pub fn connections(&self) -> u64 {
        self.state().connections
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// How many requests of a kind came.
    pub fn count(&self, kind: Kind) -> usize {
        self.state().seen.iter().filter(|seen| seen.kind == kind).count()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The fault of a request that just came.
    fn meet(&self, head: &Head) -> Option<Fault> {
        let kind = Kind::of(head);
        let mut state = self.state();
        let bears = |token: &str| head.value("authorization").is_some_and(|value| value.ends_with(token));
        let mut found = None;
        for (wanted, faults, always) in &mut state.rules {
            if wanted.is_some_and(|wanted| wanted != kind) {
                continue;
            }
            found = match faults.front().or(always.as_ref()) {
                Some(Fault::Expire(token)) if !bears(token) => None,
                Some(_) => faults.pop_front().or_else(|| always.clone()),
                None => None,
            };
            if found.is_some() {
                break;
            }
        }
        state.hits += u64::from(found.as_ref().is_some_and(|fault| *fault != Fault::Pass));
        state.seen.push(Seen { kind, method: head.method.clone(), path: head.path.clone(), was_hit: found.is_some() });
        found
    }
}

/// Somebody a client is sent to and should not go to. It keeps what it is told.
pub struct Stranger {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Stranger {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut said = vec![0; 64 * 1024];
                let read = client.read(&mut said).await.unwrap_or(0);
                said.truncate(read);
                log.lock().unwrap().push(said);
                let _ = client.write_all(&answer("200 OK", &[], "null")).await;
            }
        });
        Self { address, heard }
    }

    /// What each connection said.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap().clone()
    }
}

/// An answer with a body of JSON, unless the headers say otherwise, on a connection that ends with it.
pub fn answer(status: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let kind = match headers.iter().any(|header| header.to_ascii_lowercase().starts_with("content-type:")) {
        true => "",
        false => "content-type: application/json\r\n",
    };
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{kind}{headers}\r\n{body}")
        .into_bytes()
}

// --- carrying -------------------------------------------------------------------------------------------------------

async fn serve(listener: TcpListener, address: SocketAddr, shared: Arc<Shared>) {
    let mut gate = shared.gate.subscribe();
    let mut listening = Some(listener);
    let mut reserved = None;
    loop {
        let now = *gate.borrow_and_update();
        if now.is_open && listening.is_none() {
            // The port was kept all the time, so this cannot meet anybody else.
            let socket: TcpSocket = reserved.take().unwrap();
            listening = Some(socket.listen(64).unwrap());
        }
        if !now.is_open && listening.is_some() {
            // A port that is bound and not listened to refuses connections.
            drop(listening.take());
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            // A process that is just being started holds a copy of the listener until it is another program.
            while socket.bind(address).is_err() {
                tokio::task::yield_now().await;
            }
            reserved = Some(socket);
        }
        shared.state().is_refusing = listening.is_none();
        let Some(open) = &listening else {
            if gate.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            changed = gate.changed() => if changed.is_err() { return },
            accepted = open.accept() => {
                let Ok((client, _)) = accepted else { continue };
                shared.state().connections += 1;
                let (mut ends, shared) = (gate.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    tokio::select! {
                        _ = carry(client, &shared) => {}
                        _ = ends.wait_for(|gate| gate.generation > now.generation) => {}
                    }
                });
            }
        }
    }
}

/// One client connection, request by request. `None`: it ended.
async fn carry(client: TcpStream, shared: &Arc<Shared>) -> Option<()> {
    client.set_nodelay(true).ok()?;
    let mut client = Wire::new(client);
    let mut server: Option<Wire> = None;
    loop {
        let head = client.head().await?;
        let fault = shared.meet(&head);
        if fault == Some(Fault::DripUp) {
            return drip_up(client, head, shared).await;
        }
        if matches!(fault, Some(Fault::Hold(Point::HalfSent))) {
            return hold_half_sent(client, head, shared).await;
        }
        let mut request = head.bytes.clone();
        let mut body = client.body(&head, false);
        while let Some(piece) = client.piece(&mut body).await? {
            request.extend(piece);
        }
        let Some(fault) = fault.filter(|fault| *fault != Fault::Pass) else {
            let mut to = match server.take() {
                Some(to) => to,
                None => Wire::connect(shared.to).await?,
            };
            to.stream.write_all(&request).await.ok()?;
            pass(&mut client, &mut to, None).await?;
            server = Some(to);
            continue;
        };
        return misbehave(client, request, fault, shared).await;
    }
}

/// Ends with the connection: after a fault nothing of it can be relied on.
async fn misbehave(mut client: Wire, request: Vec<u8>, fault: Fault, shared: &Arc<Shared>) -> Option<()> {
    match fault {
        Fault::DropRequest => client.reset(),
        Fault::HalfOpen => client.gone().await,
        Fault::Say(answer) => {
            client.stream.write_all(&answer).await.ok()?;
            client.stream.shutdown().await.ok()?;
        }
        Fault::Expire(_) => {
            let answer = answer("401 Unauthorized", &[], r#"{"error":"Auth token is expired"}"#);
            client.stream.write_all(&answer).await.ok()?;
            client.stream.shutdown().await.ok()?;
        }
        Fault::DropAnswer => {
            applied(&request, shared).await?;
            client.reset();
        }
        Fault::SayAfter(answer) => {
            applied(&request, shared).await?;
            client.stream.write_all(&answer).await.ok()?;
            client.stream.shutdown().await.ok()?;
        }
        Fault::DelayPastDeadline => {
            client.gone().await;
            let (request, shared) = (request, Arc::clone(shared));
            // Nothing that happens to the connections stops what the network has swallowed.
            tokio::spawn(async move { deliver_late(&request, &shared).await });
        }
        Fault::Hold(Point::BeforeAnswer) => {
            let mut to = Wire::connect(shared.to).await?;
            to.stream.write_all(&request).await.ok()?;
            let whole = whole_answer(&mut to).await?;
            shared.held().await;
            client.stream.write_all(&whole).await.ok()?;
            shared.state().answered_late += 1;
            client.gone().await;
        }
        Fault::Hold(_) => {
            let shared = Arc::clone(shared);
            let task = tokio::spawn(async move {
                shared.held().await;
                deliver_late(&request, &shared).await;
            });
            client.gone().await;
            drop(task);
        }
        Fault::Duplicate => {
            let mut to = Wire::connect(shared.to).await?;
            to.stream.write_all(&request).await.ok()?;
            let head = pass(&mut client, &mut to, Some(&Fault::Duplicate)).await;
            applied(&request, shared).await?;
            head?;
        }
        Fault::Truncate(_) | Fault::Silence(_) | Fault::DripDown => {
            let mut to = Wire::connect(shared.to).await?;
            to.stream.write_all(&request).await.ok()?;
            pass(&mut client, &mut to, Some(&fault)).await?;
        }
        Fault::DripUp | Fault::Pass => {}
    }
    Some(())
}

impl Shared {
    /// Counts a request as held and waits until it is released.
    async fn held(&self) {
        let mut released = self.released.subscribe();
        released.borrow_and_update();
        self.state().held += 1;
        let _ = released.changed().await;
    }
}

/// Passes a request on and waits until the server has answered it. A stream answers with its head.
async fn applied(request: &[u8], shared: &Shared) -> Option<Vec<u8>> {
    let mut to = Wire::connect(shared.to).await?;
    to.stream.write_all(request).await.ok()?;
    whole_answer(&mut to).await
}

async fn deliver_late(request: &[u8], shared: &Shared) {
    if applied(request, shared).await.is_some() {
        shared.state().late += 1;
    }
}

async fn whole_answer(to: &mut Wire) -> Option<Vec<u8>> {
    let head = to.head().await?;
    let mut whole = head.bytes.clone();
    if head.is_stream() {
        return Some(whole);
    }
    let mut body = to.body(&head, true);
    while let Some(piece) = to.piece(&mut body).await? {
        whole.extend(piece);
    }
    Some(whole)
}

/// Passes an answer on, with the fault, if there is one. `None`: the connection is of no use any more.
async fn pass(client: &mut Wire, server: &mut Wire, fault: Option<&Fault>) -> Option<()> {
    let head = server.head().await?;
    let mut body = server.body(&head, true);
    let is_stream = head.is_stream();
    let end = match fault {
        Some(Fault::Truncate(place) | Fault::Silence(place)) => match (*place, &body) {
            (Place::Byte(count), _) => Some(count),
            (Place::Body(count), _) => Some(head.bytes.len() + count),
            (Place::Last, Body::Length(length)) => Some(head.bytes.len() + length - 1),
            (Place::Last, _) if is_stream => Some(head.bytes.len() + 30),
            (Place::Last, _) => None,
        },
        _ => None,
    };
    let before_last =
        matches!(fault, Some(Fault::Truncate(Place::Last) | Fault::Silence(Place::Last))) && end.is_none();
    let mut sent = 0;
    let mut piece = Some(head.bytes.clone());
    while let Some(bytes) = piece {
        let is_last = before_last && bytes.starts_with(b"0\r\n");
        let length = match end {
            Some(end) => bytes.len().min(end - sent),
            None if is_last => bytes.len() - 1,
            None => bytes.len(),
        };
        if fault == Some(&Fault::DripDown) {
            for byte in &bytes {
                tokio::time::sleep(DRIP).await;
                client.stream.write_all(&[*byte]).await.ok()?;
            }
        } else {
            client.stream.write_all(&bytes[..length]).await.ok()?;
        }
        if fault == Some(&Fault::Duplicate) && is_stream && sent > 0 {
            client.stream.write_all(&bytes).await.ok()?;
        }
        sent += length;
        if is_last || end == Some(sent) {
            if matches!(fault, Some(Fault::Silence(_))) {
                client.gone().await;
            }
            return None;
        }
        // A client that hangs up ends the stream at the server too.
        piece = tokio::select! {
            piece = server.piece(&mut body) => piece?,
            () = client.gone(), if is_stream => return None,
        };
    }
    // What ends with the connection ends it here too.
    (!matches!(body, Body::UntilClose)).then_some(())
}

async fn drip_up(mut client: Wire, head: Head, shared: &Shared) -> Option<()> {
    let mut server = Wire::connect(shared.to).await?;
    for byte in &head.bytes {
        tokio::select! {
            () = tokio::time::sleep(DRIP) => server.stream.write_all(&[*byte]).await.ok()?,
            () = client.gone(), if !Kind::of(&head).is_write() => return None,
        }
    }
    pass(&mut client, &mut server, None).await
}

async fn hold_half_sent(mut client: Wire, head: Head, shared: &Arc<Shared>) -> Option<()> {
    let mut request = head.bytes.clone();
    let mut body = client.body(&head, false);
    while let Some(piece) = client.piece(&mut body).await? {
        request.extend(piece);
    }
    let mut server = Wire::connect(shared.to).await?;
    let (first, second) = request.split_at(request.len() / 2);
    server.stream.write_all(first).await.ok()?;
    let (second, shared) = (second.to_vec(), Arc::clone(shared));
    tokio::spawn(async move {
        shared.held().await;
        if server.stream.write_all(&second).await.is_ok() && whole_answer(&mut server).await.is_some() {
            shared.state().late += 1;
        }
    });
    client.gone().await;
    None
}

/// The first lines of a request or an answer.
struct Head {
    bytes: Vec<u8>,
    /// Of a request.
    method: String,
    path: String,
    /// Of an answer; 0 for a request.
    status: u16,
    /// Names in lower case.
    values: Vec<(String, String)>,
}

impl Head {
    fn read(bytes: Vec<u8>) -> Self {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut lines = text.split("\r\n");
        let mut first = lines.next().unwrap_or("").split(' ');
        let (method, path) = (first.next().unwrap_or("").to_owned(), first.next().unwrap_or("").to_owned());
        let values = lines.filter_map(|line| line.split_once(':'));
        let values = values.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        let status = if method.starts_with("HTTP/") { path.parse().unwrap_or(0) } else { 0 };
        Self { bytes, method, path, status, values }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn is_stream(&self) -> bool {
        self.value("content-type").is_some_and(|kind| kind.contains("event-stream"))
    }
}

/// What is left of a body.
enum Body {
    Length(usize),
    Chunked,
    UntilClose,
    Over,
}

/// A connection and what was read of it too early.
struct Wire {
    stream: TcpStream,
    ahead: Vec<u8>,
}

impl Wire {
    fn new(stream: TcpStream) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    async fn connect(to: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(to).await.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self::new(stream))
    }

    /// Reads until the empty line. `None` where the connection ends before.
    async fn head(&mut self) -> Option<Head> {
        loop {
            if let Some(end) = find(&self.ahead, b"\r\n\r\n") {
                let rest = self.ahead.split_off(end + 4);
                return Some(Head::read(std::mem::replace(&mut self.ahead, rest)));
            }
            self.more().await?;
        }
    }

    fn body(&self, head: &Head, is_answer: bool) -> Body {
        let length = head.value("content-length").and_then(|length| length.parse().ok());
        match (head.value("transfer-encoding"), length) {
            _ if matches!(head.status, 204 | 304) => Body::Over,
            (Some(kind), _) if kind.contains("chunked") => Body::Chunked,
            (_, Some(0)) => Body::Over,
            (_, Some(length)) => Body::Length(length),
            _ if is_answer => Body::UntilClose,
            _ => Body::Over,
        }
    }

    /// The next bytes of a body as they are on the wire: whole chunks where it is chunked. `Some(None)`: it is complete.
    /// `None`: the connection broke. Safe to cancel.
    async fn piece(&mut self, body: &mut Body) -> Option<Option<Vec<u8>>> {
        match body {
            Body::Over => Some(None),
            Body::Length(left) => {
                while self.ahead.is_empty() {
                    self.more().await?;
                }
                let rest = self.ahead.split_off(self.ahead.len().min(*left));
                let piece = std::mem::replace(&mut self.ahead, rest);
                *left -= piece.len();
                if *left == 0 {
                    *body = Body::Over;
                }
                Some(Some(piece))
            }
            Body::Chunked => loop {
                if let Some(line) = find(&self.ahead, b"\r\n") {
                    let digits = String::from_utf8_lossy(&self.ahead[..line]).into_owned();
                    let size = usize::from_str_radix(digits.split(';').next()?.trim(), 16).ok()?;
                    let whole = line + 2 + size + 2;
                    if self.ahead.len() >= whole {
                        let rest = self.ahead.split_off(whole);
                        if size == 0 {
                            *body = Body::Over;
                        }
                        return Some(Some(std::mem::replace(&mut self.ahead, rest)));
                    }
                }
                self.more().await?;
            },
            Body::UntilClose => {
                if self.ahead.is_empty() && self.more().await.is_none() {
                    return Some(None);
                }
                Some(Some(std::mem::take(&mut self.ahead)))
            }
        }
    }

    async fn more(&mut self) -> Option<()> {
        let mut read = [0; 16 * 1024];
        let count = self.stream.read(&mut read).await.ok().filter(|count| *count > 0)?;
        self.ahead.extend_from_slice(&read[..count]);
        Some(())
    }

    /// Waits until the other side has hung up.
    async fn gone(&mut self) {
        while self.more().await.is_some() {}
    }

    fn reset(&mut self) {
        let _ = self.stream.set_zero_linger();
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
