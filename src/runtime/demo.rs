//! `ebbtide demo`: an embedded backend on loopback, sample data, and a network that can be cut.
//!
//! ```text
//! dashboard ── remote ──> gateway (the switch) ──> embedded backend (backend.db in the demo's data dir)
//! ```
//!
//! Backend and gateway live on a thread of their own, so that cutting, serving and painting do not wait for each other.

use std::{
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::{
    config::{self, Config, Paths},
    model::{
        draft::DraftTarget,
        ids::{RecordKey, SessionName},
        json::{self, Pointer},
        op::{Op, OpKind, OpState, Precondition},
        source::SourceSpec,
        time::Clock,
        wire::{Answer, PushRequest},
    },
    remote::Remote,
    runtime::{
        RunError,
        clock::SystemClock,
        dashboard::{self, DashboardOptions, DemoControl},
        gateway::Gateway,
    },
    server::{Options, Server},
    store::{self, OpenMode, Store},
};

/// The sample data, as one tree: `{collection: {id: record}}`.
const SEED: &str = include_str!("../../assets/demo/seed.json");
/// The demo's configuration; its URL is replaced by the gateway's.
const CONFIG: &str = include_str!("../../assets/demo/config.toml");
const KEPT: &str = "demo.json";
/// So often a demo looks what other windows on its data dir did to the network they share.
const LOOK: Duration = Duration::from_millis(500);
/// What the source is called there.
const SOURCE: &str = "demo";

pub struct DemoOptions {
    pub data_dir: PathBuf,
    /// Start over: the demo's data is removed first.
    pub reset: bool,
    pub session: Option<SessionName>,
    pub fresh: bool,
    pub offline: bool,
}

/// What the last start left, in `demo.json`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// The ports, taken again where they are free: the URL is part of the source's identity.
    backend: u16,
    gateway: u16,
    /// The network was cut.
    #[serde(default)]
    cut: bool,
}

impl Kept {
    fn read(data_dir: &Path) -> Self {
        let bytes = std::fs::read(data_dir.join(KEPT)).ok();
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    fn write(self, data_dir: &Path) -> Result<(), RunError> {
        let path = data_dir.join(KEPT);
        let text = serde_json::to_string(&self).expect("numbers are JSON");
        config::replace(&path, &text).map_err(|source| RunError::File { what: "write", path, source })
    }
}

pub fn run(options: DemoOptions) -> Result<ExitCode, RunError> {
    let DemoOptions { data_dir, reset, session, fresh, offline } = options;
    create(&data_dir)?;
    if reset {
        remove(&data_dir)?;
    }
    let world = World::start(&data_dir)?;
    let paths = Paths { config: data_dir.join("config.toml"), data_dir };
    let config = match configure(&paths.config, world.gateway, world.is_host) {
        Ok(config) => config,
        Err(error) => {
            world.stop();
            return Err(error);
        }
    };
    world.watch(&config, &paths.data_dir);
    let control: Box<dyn DemoControl> =
        Box::new(Control { commands: world.commands.clone(), was_cut: world.was_cut, tell: Arc::clone(&world.tell) });
    let options = DashboardOptions { paths, config, session, fresh, read_only: false, offline };
    let result = dashboard::run_with(options, Some(control));
    world.stop();
    result
}

/// The demo's configuration, a file in its data dir: rules are kept there, and commands can be pointed at it. The address in
/// it is that of the network all demos on the data dir share.
fn configure(path: &Path, gateway: SocketAddr, is_host: bool) -> Result<Config, RunError> {
    if !path.exists() {
        config::replace(path, CONFIG).map_err(|source| RunError::File {
            what: "write",
            path: path.to_owned(),
            source,
        })?;
    }
    let url = format!("http://{gateway}");
    let mut config = config::load(path)?;
    // A source that was added to the file is somebody's own.
    for source in config.sources.iter_mut().filter(|source| source.name.as_str() == SOURCE) {
        if is_host {
            config::keep_url(path, &source.name, &url)?;
        }
        source.url.clone_from(&url);
    }
    Ok(config)
}

/// Removes what the demo made, and only that: files it does not know stay. Refused while the demo is open: what is typed there
/// would be lost with the files.
fn remove(data_dir: &Path) -> Result<(), RunError> {
    let held = store::hold_alone(data_dir).map_err(|source| RunError::Reset { dir: data_dir.to_owned(), source })?;
    for name in ["journal.db", "mirror.db", "search.db", "backend.db"] {
        for suffix in ["", "-wal", "-shm"] {
            remove_file(&data_dir.join(format!("{name}{suffix}")))?;
        }
    }
    remove_file(&data_dir.join("config.toml"))?;
    remove_file(&data_dir.join(KEPT))?;
    drop(held);
    Ok(())
}

fn remove_file(path: &Path) -> Result<(), RunError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(RunError::File { what: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn create(data_dir: &Path) -> Result<(), RunError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(|source| RunError::File {
        what: "create",
        path: data_dir.to_owned(),
        source,
    })
}

enum Command {
    Cut(bool),
    Watch { source: Box<SourceSpec>, data_dir: PathBuf },
    SomebodyEdits,
    Stop(oneshot::Sender<()>),
}

/// Told whenever the network was cut or restored in another window.
type Tell = Arc<Mutex<Option<Box<dyn Fn(bool) + Send>>>>;

/// The backend and the network of the demo.
struct World {
    gateway: SocketAddr,
    /// Backend and network run here, not in another demo on the same data dir.
    is_host: bool,
    /// Its network is cut from the beginning, as it was at the end.
    was_cut: bool,
    tell: Tell,
    commands: mpsc::UnboundedSender<Command>,
    thread: std::thread::JoinHandle<()>,
}

struct Control {
    commands: mpsc::UnboundedSender<Command>,
    was_cut: bool,
    tell: Tell,
}

impl DemoControl for Control {
    fn watch_network(&self, tell: Box<dyn Fn(bool) + Send>) {
        *self.tell.lock().unwrap_or_else(PoisonError::into_inner) = Some(tell);
    }

    fn set_network_cut(&self, cut: bool) {
        let _ = self.commands.send(Command::Cut(cut));
    }

    fn is_network_cut(&self) -> bool {
        self.was_cut
    }

    fn somebody_edits(&self) {
        let _ = self.commands.send(Command::SomebodyEdits);
    }
}

impl World {
    /// Starts the backend (or joins the one of a demo that already runs on this data dir) and the gateway.
    fn start(data_dir: &Path) -> Result<Self, RunError> {
        let (commands, incoming) = mpsc::unbounded_channel();
        let (ready, started) = std::sync::mpsc::channel();
        let data_dir = data_dir.to_owned();
        let tell = Tell::default();
        let told = Arc::clone(&tell);
        let serve = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(source) => return drop(ready.send(Err(RunError::Terminal(source)))),
            };
            runtime.block_on(async {
                match backend(&data_dir).await {
                    Ok((host, kept)) => {
                        let _ = ready.send(Ok((loopback(kept.gateway), host.is_some(), kept.cut)));
                        serve_commands(data_dir, host, kept, told, incoming).await;
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            });
        };
        let thread = std::thread::Builder::new().name("demo".to_owned()).spawn(serve).expect("a thread can be started");
        let (gateway, is_host, was_cut) = started.recv().expect("the demo's thread answers before it ends")?;
        Ok(Self { gateway, is_host, was_cut, tell, commands, thread })
    }

    fn watch(&self, config: &Config, data_dir: &Path) {
        if let Some(source) = config.sources.first() {
            let command = Command::Watch { source: Box::new(source.clone()), data_dir: data_dir.to_owned() };
            let _ = self.commands.send(command);
        }
    }

    fn stop(self) {
        let (stopped, wait) = oneshot::channel();
        if self.commands.send(Command::Stop(stopped)).is_ok() {
            let _ = wait.blocking_recv();
        }
        let _ = self.thread.join();
    }
}

/// What runs in one demo of a data dir, for all of them.
struct Host {
    server: Server,
    gateway: Gateway,
}

/// The backend and the network where this process runs them, and where they are.
async fn backend(data_dir: &Path) -> Result<(Option<Host>, Kept), RunError> {
    let host = take_over(data_dir, Kept::read(data_dir)).await?;
    let mut kept = Kept::read(data_dir);
    // The demo that runs them may be just beginning.
    for _ in 0..100 {
        if kept.gateway != 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        kept = Kept::read(data_dir);
    }
    Ok((host, kept))
}

/// Starts the backend and its network, as they were last, unless another demo on this data dir runs them.
async fn take_over(data_dir: &Path, last: Kept) -> Result<Option<Host>, RunError> {
    let path = data_dir.join("backend.lock");
    let open = std::fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let lock = open.map_err(|source| RunError::File { what: "open", path, source })?;
    if lock.try_lock().is_err() {
        return Ok(None);
    }
    let server = start_server(data_dir, last.backend).await?;
    let gateway = Gateway::start(last.gateway, server.address()).await;
    let gateway = gateway.map_err(|source| RunError::File { what: "listen for", path: data_dir.join(KEPT), source })?;
    gateway.set_cut(last.cut);
    let kept = Kept { backend: server.address().port(), gateway: gateway.address().port(), ..last };
    if kept != last {
        kept.write(data_dir)?;
    }
    // Held for the life of the process.
    std::mem::forget(lock);
    Ok(Some(Host { server, gateway }))
}

async fn start_server(data_dir: &Path, preferred: u16) -> Result<Server, RunError> {
    let seed: Value = serde_json::from_str(SEED).expect("the sample data is checked by a test of this module");
    let options = |port| Options {
        listen: loopback(port),
        data: Some(data_dir.join("backend.db")),
        seed: Some(seed.clone()),
        token: None,
        clock: Arc::new(SystemClock::new()),
    };
    match Server::start(options(preferred)).await {
        Ok(server) => Ok(server),
        Err(_) if preferred != 0 => Ok(Server::start(options(0)).await?),
        Err(error) => Err(error.into()),
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Carries out what is asked for here, and follows what is asked for in other windows: the file says how the network is.
async fn serve_commands(
    data_dir: PathBuf,
    mut host: Option<Host>,
    kept: Kept,
    tell: Tell,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let mut somebody = None;
    let mut known = kept.cut;
    let mut look = tokio::time::interval(LOOK);
    loop {
        let command = tokio::select! {
            command = commands.recv() => command,
            _ = look.tick() => {
                let kept = Kept::read(&data_dir);
                if host.is_none() {
                    // The demo that ran the backend may have ended: the next one runs it, on the same ports.
                    match take_over(&data_dir, kept).await {
                        Ok(taken) => host = taken,
                        Err(error) => tracing::warn!("the backend of the demo that ended cannot be taken over: {error}"),
                    }
                }
                if kept.gateway != 0 && std::mem::replace(&mut known, kept.cut) != kept.cut {
                    host.iter().for_each(|host| host.gateway.set_cut(kept.cut));
                    if let Some(tell) = &*tell.lock().unwrap_or_else(PoisonError::into_inner) {
                        tell(kept.cut);
                    }
                }
                continue;
            }
        };
        let Some(command) = command else { return };
        match command {
            Command::Cut(cut) => {
                known = cut;
                host.iter().for_each(|host| host.gateway.set_cut(cut));
                if let Err(error) = (Kept { cut, ..Kept::read(&data_dir) }).write(&data_dir) {
                    tracing::warn!("other windows and the next start will not know how the network is: {error}");
                }
            }
            Command::Watch { source, data_dir } => {
                somebody = Somebody::new(*source, loopback(kept.backend), data_dir);
            }
            Command::SomebodyEdits => {
                if let Some(somebody) = &mut somebody {
                    somebody.edit().await;
                }
            }
            Command::Stop(stopped) => {
                if let Some(host) = host.take() {
                    host.server.stop().await;
                }
                let _ = stopped.send(());
                return;
            }
        }
    }
}

/// Another client of the same backend, past the gateway: it works while the app's network is cut.
struct Somebody {
    remote: Remote,
    source: SourceSpec,
    data_dir: PathBuf,
    clock: Arc<SystemClock>,
    turn: u64,
}

impl Somebody {
    fn new(mut source: SourceSpec, backend: SocketAddr, data_dir: PathBuf) -> Option<Self> {
        source.url = format!("http://{backend}");
        let clock = Arc::new(SystemClock::new());
        let remote = Remote::new(&source, Arc::clone(&clock) as Arc<dyn Clock>)
            .inspect_err(|error| tracing::error!("nobody else can edit: {error}"))
            .ok()?;
        Some(Self { remote, source, data_dir, clock, turn: 0 })
    }

    /// Changes up to two records with a draft here, up to two with pending edits (so that there is a draft to merge and a
    /// conflict to see), and one of each collection.
    async fn edit(&mut self) {
        self.turn += 1;
        let (data_dir, clock) = (self.data_dir.clone(), Arc::clone(&self.clock));
        // The store's threads are waited for, which an async task must not do.
        let pending = tokio::task::spawn_blocking(move || pending_records(&data_dir, clock)).await;
        let mut records = pending.unwrap_or_default();
        for key in self.source.keys() {
            let after = self.random_id();
            let (page, _) = self.remote.page(&key.collection, after.as_ref(), 1).await;
            if let Ok(page) = page {
                records.extend(page.records.into_iter().map(|record| (key.record(record.id), None)));
            }
        }
        for (record, place) in records {
            if let Err(reason) = self.change(&record, place).await {
                tracing::warn!("somebody else could not edit {record}: {reason}");
            }
        }
    }

    /// An id to start from, so that other records change each time: a letter or digit as it falls.
    fn random_id(&self) -> Option<crate::model::ids::RecordId> {
        let byte = self.clock.at().entropy[0];
        Some(char::from(b'0' + byte % 75).to_string().into())
    }

    /// Changes the place that was edited here, so that the two edits meet; else the first text of the record.
    async fn change(&self, record: &RecordKey, place: Option<Pointer>) -> Result<(), String> {
        let (current, _) = self.remote.fetch(record).await;
        let current = current.map_err(|error| format!("{error:?}"))?;
        let Some(Value::Object(members)) = current.value else { return Err("it is gone".to_owned()) };
        let revision = current.revision.ok_or("it has no revision")?;
        let first_text =
            members.iter().find(|(_, value)| value.is_string()).map(|(name, _)| Pointer::root().child(name));
        let mut document = Some(Value::Object(members));
        // Somebody else keeps the types: a place that holds no text is left to its first text.
        let is_text =
            |place: &Pointer| document.as_ref().and_then(|document| place.get(document)).is_some_and(Value::is_string);
        let place = place.filter(is_text).or(first_text);
        if let Some(place) = place {
            let before =
                document.as_ref().and_then(|document| place.get(document)).and_then(Value::as_str).unwrap_or_default();
            let text =
                format!("{} (edit {} by somebody else)", before.split(" (edit ").next().unwrap_or_default(), self.turn);
            json::set(&mut document, &place, Some(Value::from(text.trim_start())));
        }
        json::set(&mut document, &Pointer::root().child("touched_by"), Some(Value::from("somebody else")));
        let request = PushRequest {
            record: record.clone(),
            kind: OpKind::Update,
            document,
            precondition: Precondition::Revision(revision),
        };
        match self.remote.push(&request).await.0 {
            Answer::Accepted { .. } => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }
}

/// The two records with the newest drafts, and the two others with the oldest edits that wait; each with the first place that
/// is changed (none for a whole record).
fn pending_records(data_dir: &Path, clock: Arc<SystemClock>) -> Vec<(RecordKey, Option<Pointer>)> {
    let read = Store::open(data_dir, OpenMode::ReadWrite, clock).and_then(|store| {
        let mut reader = store.reader()?;
        Ok((reader.drafts()?, reader.outbox(&[OpState::Queued, OpState::Held], None, 8)?))
    });
    let (mut drafts, ops) = read.unwrap_or_default();
    drafts.sort_by_key(|draft| std::cmp::Reverse(draft.updated_at));
    // A new record is not there yet.
    let typed =
        drafts.into_iter().filter(|draft| draft.key.target != DraftTarget::New).map(|draft| match draft.key.target {
            DraftTarget::Field(place) => (draft.key.record, Some(place)),
            _ => (draft.key.record, None),
        });
    let place = |op: &Op| op.changes.first().map(|change| change.pointer.clone()).filter(|place| !place.is_root());
    let mut records: Vec<(RecordKey, Option<Pointer>)> = Vec::new();
    let mut take_two = |found: &mut dyn Iterator<Item = (RecordKey, Option<Pointer>)>| {
        let most = records.len() + 2;
        for (record, place) in found {
            if records.len() < most && !records.iter().any(|(known, _)| *known == record) {
                records.push((record, place));
            }
        }
    };
    take_two(&mut typed.into_iter());
    take_two(&mut ops.into_iter().map(|op| (op.record.clone(), place(&op))));
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_data_and_its_configuration_are_sound() {
        let config = config::parse(CONFIG, Path::new("assets/demo/config.toml")).unwrap();
        let seed: Value = serde_json::from_str(SEED).unwrap();
        let collections: Vec<&str> = config.sources[0].collections.iter().map(|spec| spec.path.as_str()).collect();
        assert!(collections.len() >= 3);
        let records: usize = collections.iter().map(|path| seed[path].as_object().unwrap().len()).sum();
        assert!((1_800..=2_500).contains(&records), "{records} records");
    }

    #[test]
    fn its_configuration_is_a_file_that_keeps_what_is_put_into_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let (first, second) = (loopback(4001), loopback(4002));
        assert_eq!(configure(&path, first, true).unwrap().sources[0].url, "http://127.0.0.1:4001");
        let url = || config::load(&path).unwrap().sources[0].url.clone();
        assert_eq!(url(), "http://127.0.0.1:4001");
        let vessels = crate::model::ids::CollectionKey::new("demo", "vessels");
        let (place, rule) = ("/flag".parse().unwrap(), crate::model::rules::FieldRule::Theirs);
        config::keep_rule(&path, &vessels, &place, rule).unwrap();
        // Another demo beside the one that runs the backend.
        assert_eq!(configure(&path, second, false).unwrap().sources[0].url, "http://127.0.0.1:4002");
        assert_eq!(url(), "http://127.0.0.1:4001");
        let again = configure(&path, second, true).unwrap();
        assert_eq!(url(), "http://127.0.0.1:4002");
        let kept = again.sources[0].collection(&vessels.collection).unwrap().conflicts.rule_of(&place);
        assert_eq!(kept, Some(rule));
        let own = "[[source]]\nname = \"own\"\nkind = \"firebase\"\nurl = \"https://own.example\"\n";
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "\n" + own).unwrap();
        let with_own = configure(&path, first, true).unwrap();
        let urls: Vec<&str> = with_own.sources.iter().map(|source| source.url.as_str()).collect();
        assert_eq!(urls, ["http://127.0.0.1:4001", "https://own.example"]);
        std::fs::write(&path, "[[source]\n").unwrap();
        assert!(matches!(configure(&path, first, true), Err(RunError::Config(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[[source]\n");
    }
}
