//! One writer per session name, by an operating system lock that a killed process cannot leave behind.

use crate::{
    model::ids::SessionName,
    store::{Lock, Store, StoreError},
};

/// A held session name. The lock is given up when this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct SessionLock {
    pub name: SessionName,
    /// `None` where the data is only read: nothing of the session is written then.
    _lock: Option<Lock>,
}

/// Takes the name; `None` where another process holds it.
pub fn take(store: &Store, name: &SessionName) -> Result<Option<SessionLock>, StoreError> {
    Ok(store.lock_session(name)?.map(|lock| SessionLock { name: name.clone(), _lock: Some(lock) }))
}

/// Takes `wanted`, or `wanted-2`, `wanted-3`, … where other processes hold the names before.
pub fn acquire(store: &Store, wanted: &SessionName) -> Result<SessionLock, StoreError> {
    for attempt in 1_u32.. {
        let name = if attempt == 1 { wanted.clone() } else { SessionName(format!("{wanted}-{attempt}")) };
        match take(store, &name) {
            Ok(Some(lock)) => return Ok(lock),
            Ok(None) => {}
            Err(StoreError::ReadOnly) => return Ok(SessionLock { name: wanted.clone(), _lock: None }),
            Err(error) => return Err(error),
        }
    }
    unreachable!("the loop ends by returning")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{runtime::clock::SystemClock, store::OpenMode};

    #[test]
    fn a_second_start_gets_the_next_name_until_the_first_ends() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), OpenMode::ReadWrite, Arc::new(SystemClock::new())).unwrap();
        let first = acquire(&store, &"default".into()).unwrap();
        let second = acquire(&store, &"default".into()).unwrap();
        assert_eq!((first.name.as_str(), second.name.as_str()), ("default", "default-2"));
        drop(first);
        assert_eq!(acquire(&store, &"default".into()).unwrap().name.as_str(), "default");
    }
}
