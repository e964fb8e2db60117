//! What waits for a writer: requests in three lanes, each with what it wants of its transaction.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::State;
use crate::store::error::{Result, StoreError};

/// How many requests of the engine end the wait for more of them.
pub(super) const MANY: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Lane {
    User = 0,
    Engine = 1,
    Bulk = 2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Durability {
    Normal,
    Full,
}

/// How a request is carried out.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Manner {
    pub lane: Lane,
    pub durability: Durability,
    /// Rows it writes, about.
    pub rows: usize,
    /// Bytes it writes, about.
    pub bytes: usize,
    /// What it does, for an error text: `saving an edit`.
    pub intent: &'static str,
}

pub(super) trait Work<S>: Send {
    fn manner(&self) -> Manner;
    /// `Err` after the savepoint must be rolled back; the error is kept inside, unless the disk is full.
    fn run(&mut self, state: &S) -> Run;
    fn finish(self: Box<Self>, committed: Result<(), &StoreError>);
}

pub(super) enum Run {
    Done,
    Failed,
    DiskFull,
}

pub(super) struct Task<T, W, D> {
    pub(super) manner: Manner,
    pub(super) work: W,
    pub(super) done: Option<D>,
    pub(super) result: Option<Result<T>>,
}

impl<S, T, W, D> Work<S> for Task<T, W, D>
where
    S: State,
    T: Send,
    W: FnMut(&S) -> Result<T> + Send,
    D: FnOnce(Result<T>) + Send,
{
    fn manner(&self) -> Manner {
        self.manner
    }

    fn run(&mut self, state: &S) -> Run {
        let result = catch_unwind(AssertUnwindSafe(|| (self.work)(state)))
            .unwrap_or_else(|_| Err(StoreError::Refused(format!("{}: the request panicked", self.manner.intent))))
            .map_err(|error| error.at(state.path(), self.manner.intent));
        let run = match &result {
            Ok(_) => Run::Done,
            Err(error) if error.is_disk_full() => Run::DiskFull,
            Err(StoreError::Damaged { .. }) => {
                state.suspect();
                Run::Failed
            }
            Err(_) => Run::Failed,
        };
        self.result = Some(result);
        run
    }

    fn finish(mut self: Box<Self>, committed: Result<(), &StoreError>) {
        let result = match (self.result.take(), committed) {
            (Some(Ok(value)), Ok(())) => Ok(value),
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(error.again()),
            (None, Ok(())) => Err(StoreError::Closed),
        };
        if let Some(done) = self.done.take() {
            done(result);
        }
    }
}

pub(super) struct Lanes<S> {
    pub(super) queues: [VecDeque<Box<dyn Work<S>>>; 3],
    pub(super) closed: bool,
    pub(super) checkpoint: bool,
    pub(super) sleep: Sleep,
}

/// What the thread waits for: waking it for nothing costs both sides a system call and a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sleep {
    Awake,
    /// Any request.
    ForWork,
    /// One of the user's, or [`MANY`].
    ForMany,
}

impl<S> Lanes<S> {
    pub(super) fn is_empty(&self) -> bool {
        self.queues.iter().all(VecDeque::is_empty)
    }

    /// Whether a request that just joined ends the thread's sleep.
    pub(super) fn ends_sleep(&self) -> bool {
        match self.sleep {
            Sleep::Awake => false,
            Sleep::ForWork => true,
            Sleep::ForMany => !self.may_gather(),
        }
    }

    /// Only requests of the engine wait, and not many.
    pub(super) fn may_gather(&self) -> bool {
        let [user, engine, _] = &self.queues;
        !self.closed && user.is_empty() && !engine.is_empty() && engine.len() < MANY
    }

    /// The requests of the next transaction: from the first lane that has any, in order; a durable start also takes
    /// durable requests of the later lanes along, a quick one stops before the first durable request.
    pub(super) fn take(&mut self, max_rows: usize) -> VecDeque<Box<dyn Work<S>>> {
        let mut batch = VecDeque::new();
        let mut rows = 0;
        let mut durability = None;
        for (lane, queue) in self.queues.iter_mut().enumerate() {
            while let Some(front) = queue.front() {
                let manner = front.manner();
                let fits = match durability {
                    None => true,
                    Some(Durability::Normal) => manner.durability == Durability::Normal && lane == 0,
                    Some(Durability::Full) => {
                        lane == 0 || (manner.durability == Durability::Full && lane != Lane::Bulk as usize)
                    }
                };
                if !fits || (!batch.is_empty() && rows + manner.rows > max_rows) {
                    return batch;
                }
                durability = durability.or(Some(manner.durability));
                rows += manner.rows;
                batch.push_back(queue.pop_front().expect("the front was just seen"));
                if lane == Lane::Bulk as usize {
                    return batch;
                }
            }
        }
        batch
    }
}
