//! What is to be sent next, read beside the loop: a batch of changes is read and decoded in the time of several requests.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    model::{
        ids::{RecordKey, SourceName},
        time::Timestamp,
    },
    store::{Reader, Store, StoreError},
    sync::event::{Chain, OutboxSlice},
};

/// Reads the outbox on a thread of the runtime's pool, one question after the other.
pub(super) struct Outbox {
    reader: Arc<Mutex<Reader>>,
    /// The journal counts the ops of all sources.
    has_several: bool,
}

/// Chains of a source that may go at `now`, but for the records in `exclude`.
pub(super) struct Question {
    pub(super) source: SourceName,
    pub(super) now: Timestamp,
    pub(super) exclude: Vec<RecordKey>,
    pub(super) limit: usize,
}

impl Outbox {
    pub(super) fn new(store: &Store, sources: usize) -> Result<Self, StoreError> {
        Ok(Self { reader: Arc::new(Mutex::new(store.reader()?)), has_several: sources > 1 })
    }

    pub(super) fn read(&self, question: Question) -> impl Future<Output = Result<OutboxSlice, String>> + Send + use<> {
        let (reader, has_several) = (Arc::clone(&self.reader), self.has_several);
        let read = tokio::task::spawn_blocking(move || {
            slice(&mut reader.lock().unwrap_or_else(PoisonError::into_inner), &question, has_several)
        });
        async move {
            match read.await {
                Ok(slice) => slice.map_err(|error| error.to_string()),
                Err(error) => Err(format!("the outbox could not be read: {error}")),
            }
        }
    }
}

fn slice(reader: &mut Reader, question: &Question, has_several: bool) -> Result<OutboxSlice, StoreError> {
    let Question { source, now, exclude, limit } = question;
    let chains = reader.ready(source, *now, exclude, *limit)?;
    let chains: Vec<Chain> =
        chains.into_iter().map(|chain| Chain { record: chain.record, ops: chain.ops, base: chain.base }).collect();
    let counts = reader.counts()?;
    let next_attempt = reader.next_attempt(source)?;
    // With several sources, a lane without anything to send says so.
    let to_go = match has_several && chains.is_empty() && next_attempt.is_none() && exclude.is_empty() {
        true => 0,
        false => counts.queued + counts.in_flight + counts.in_doubt,
    };
    Ok(OutboxSlice { chains, next_attempt, to_go })
}
