//! Who listens where, and what waits to be told to whom.
//!
//! A listener registers first and takes its snapshot afterwards; what it is told carries the number of the write, and what
//! the snapshot already holds is skipped. So nothing is missed and nothing is told twice, without the writer waiting.
//!
//! **Invariant:** a listener that does not read holds at most `queue_bytes`; beyond that its queue is thrown
//! away and it is told `cancel`.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::Notify;

use super::store::{Applied, Capped, Change, Kind, Tree};

/// What is told to a listener.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Message {
    Put {
        path: Vec<String>,
        data: Arc<str>,
    },
    /// `data` is an object whose keys may be paths.
    Patch {
        path: Vec<String>,
        data: Arc<str>,
    },
    /// For queries: this child, or (`None`) anything, may have changed.
    Touched(Option<String>),
}

/// Why a stream ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The data became too much, or may no longer be read.
    Cancelled,
    Revoked(String),
    Stopped,
}

pub(super) enum Next {
    Message(u64, Message),
    End(End),
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<(u64, Message)>,
    bytes: usize,
    end: Option<End>,
}

pub(super) struct Listener {
    path: Vec<String>,
    /// Queries are told what was touched and look for themselves.
    is_query: bool,
    queue: Mutex<Queue>,
    wake: Notify,
}

impl Listener {
    pub(super) fn path(&self) -> &[String] {
        &self.path
    }

    /// Waits for the next message. An end is told before messages that still wait.
    pub(super) async fn next(&self) -> Next {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            self.wake.notified().await;
        }
    }

    fn take(&self) -> Option<Next> {
        let mut queue = self.lock();
        if let Some(end) = &queue.end {
            return Some(Next::End(end.clone()));
        }
        let (number, message) = queue.messages.pop_front()?;
        queue.bytes -= message.size();
        Some(Next::Message(number, message))
    }

    pub(super) fn end(&self, end: End) {
        let mut queue = self.lock();
        queue.messages = VecDeque::new();
        queue.bytes = 0;
        queue.end.get_or_insert(end);
        drop(queue);
        self.wake.notify_one();
    }

    fn push(&self, number: u64, message: Option<Message>, limit: usize) {
        let Some(message) = message else { return self.end(End::Cancelled) };
        let mut queue = self.lock();
        if queue.end.is_some() {
            return;
        }
        if queue.bytes + message.size() > limit {
            drop(queue);
            return self.end(End::Cancelled);
        }
        let repeats =
            matches!((&message, queue.messages.back()), (Message::Touched(_), Some((_, last))) if *last == message);
        if !repeats {
            queue.bytes += message.size();
            queue.messages.push_back((number, message));
        }
        drop(queue);
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Message {
    fn size(&self) -> usize {
        64 + match self {
            Message::Put { path, data } | Message::Patch { path, data } => {
                data.len() + path.iter().map(String::len).sum::<usize>()
            }
            Message::Touched(key) => key.as_ref().map_or(0, String::len),
        }
    }
}

/// All listeners of a server. They leave by being dropped.
pub(super) struct Listeners {
    list: Mutex<Vec<Weak<Listener>>>,
    queue_bytes: usize,
}

impl Listeners {
    pub(super) fn new(queue_bytes: usize) -> Self {
        Self { list: Mutex::default(), queue_bytes }
    }

    pub(super) fn add(&self, path: Vec<String>, is_query: bool) -> Arc<Listener> {
        let listener = Arc::new(Listener { path, is_query, queue: Mutex::default(), wake: Notify::new() });
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|listener| listener.strong_count() > 0);
        list.push(Arc::downgrade(&listener));
        listener
    }

    pub(super) fn all(&self) -> Vec<Arc<Listener>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }

    /// Tells everybody whom the write concerns. Called by the writer thread, in the order of the writes.
    pub(super) fn tell(&self, applied: &Applied) {
        let listeners = self.all();
        if listeners.is_empty() {
            return;
        }
        let mut texts: Vec<Option<Option<Arc<str>>>> = vec![None; applied.changes.len()];
        let mut text_of = |at: usize| {
            let text = texts[at].get_or_insert_with(|| match &applied.changes[at] {
                Change::Value { tree, .. } => text(tree.as_ref(), self.queue_bytes),
                Change::Priority { .. } => None,
            });
            text.clone()
        };
        for listener in &listeners {
            self.tell_one(listener, applied, &mut text_of);
        }
    }

    fn tell_one(&self, listener: &Listener, applied: &Applied, text_of: &mut impl FnMut(usize) -> Option<Arc<str>>) {
        let push = |message| listener.push(applied.number, message, self.queue_bytes);
        let depth = listener.path.len();
        if let Kind::Patch { base } = &applied.kind
            && !listener.is_query
            && base.starts_with(&listener.path)
        {
            let data = patch_text(applied, base.len(), text_of);
            return push(data.map(|data| Message::Patch { path: base[depth..].to_vec(), data }));
        }
        for (at, change) in applied.changes.iter().enumerate() {
            let path = change.path();
            let (is_below, is_above) = (path.starts_with(&listener.path), listener.path.starts_with(path));
            match change {
                _ if listener.is_query && (is_below || is_above) => {
                    push(Some(Message::Touched(path.get(depth).cloned())));
                }
                Change::Value { .. } if is_below => {
                    push(text_of(at).map(|data| Message::Put { path: path[depth..].to_vec(), data }));
                }
                Change::Value { tree, .. } if is_above => {
                    let below = tree.as_ref().and_then(|tree| tree.below(&listener.path[path.len()..]));
                    push(text(below.as_deref(), self.queue_bytes).map(|data| Message::Put { path: Vec::new(), data }));
                }
                _ => {}
            }
        }
    }
}

fn patch_text(applied: &Applied, base: usize, text_of: &mut impl FnMut(usize) -> Option<Arc<str>>) -> Option<Arc<str>> {
    let mut data = String::from("{");
    for (at, change) in applied.changes.iter().enumerate() {
        if let Change::Priority { .. } = change {
            continue;
        }
        if data.len() > 1 {
            data.push(',');
        }
        data.push_str(&serde_json::Value::from(change.path()[base..].join("/")).to_string());
        data.push(':');
        data.push_str(&text_of(at)?);
    }
    data.push('}');
    Some(data.into())
}

/// `None`: more than a listener may hold.
fn text(tree: Option<&Tree>, limit: usize) -> Option<Arc<str>> {
    let Some(tree) = tree else { return Some("null".into()) };
    let mut text = Capped::new(limit);
    tree.render(&mut text).ok()?;
    Some(text.text.into())
}
