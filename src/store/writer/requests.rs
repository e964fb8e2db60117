//! What waits for a writer: requests in three lanes, each with what it wants of its transaction.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::State;
use crate::store::error::{Result, StoreError};

/// How many requests of the engine end the wait for more of them.
pub(super) const MANY: usize = 64;

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
    /// A request slot is empty, or soon will be, until this is written: it is not kept waiting for others.
    pub hurry: bool,
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
    /// One that waits is in a hurry.
    pub(super) hurry: bool,
    pub(super) sleep: Sleep,
}

/// What the thread waits for: waking it for nothing costs both sides a system call and a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sleep {
    Awake,
    /// Any request.
    ForWork,
    /// One of the user's, one in a hurry, or [`MANY`].
    ForMany,
    /// The same, while what comes along with the one in a hurry arrives.
    ForMore,
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
            Sleep::ForMany => self.hurry || !self.may_gather(),
            Sleep::ForMore => !self.may_gather(),
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
        let batch = self.next_batch(max_rows);
        self.hurry = self.queues.iter().flatten().any(|work| work.manner().hurry);
        batch
    }

    fn next_batch(&mut self, max_rows: usize) -> VecDeque<Box<dyn Work<S>>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Asked(Manner);

    impl Work<()> for Asked {
        fn manner(&self) -> Manner {
            self.0
        }

        fn run(&mut self, (): &()) -> Run {
            Run::Done
        }

        fn finish(self: Box<Self>, _: Result<(), &StoreError>) {}
    }

    fn lanes(hurries: &[bool]) -> Lanes<()> {
        let asked = |hurry: &bool| -> Box<dyn Work<()>> {
            let lane = Lane::Engine;
            Box::new(Asked(Manner { lane, durability: Durability::Full, hurry: *hurry, rows: 1, bytes: 1, intent: "" }))
        };
        let queues = [VecDeque::new(), hurries.iter().map(asked).collect(), VecDeque::new()];
        let hurry = hurries.contains(&true);
        Lanes { queues, closed: false, checkpoint: false, hurry, sleep: Sleep::ForMany }
    }

    #[test]
    fn one_in_a_hurry_ends_the_wait_for_many_and_then_only_many_do() {
        assert!(!lanes(&[false, false]).ends_sleep());
        let mut waiting = lanes(&[false, true]);
        assert!(waiting.ends_sleep());
        waiting.sleep = Sleep::ForMore;
        assert!(!waiting.ends_sleep(), "what comes along with it is let in");
        assert!(lanes(&[false; MANY]).ends_sleep());
    }

    #[test]
    fn a_hurry_lasts_until_the_last_one_was_taken() {
        let mut waiting = lanes(&[true, false, true]);
        assert_eq!(waiting.take(2).len(), 2);
        assert!(waiting.hurry, "the third is left");
        assert_eq!(waiting.take(2).len(), 1);
        assert!(!waiting.hurry);
    }
}
