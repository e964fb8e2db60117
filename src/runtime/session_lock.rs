//! One writer per session name, by an operating system lock that a killed process cannot leave behind.

use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use crate::{model::ids::SessionName, runtime::RunError};

/// A held session name. The lock is given up when this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct SessionLock {
    pub name: SessionName,
    _file: File,
}

/// Takes `wanted`, or `wanted-2`, `wanted-3`, … where other processes hold the names before.
pub fn acquire(data_dir: &Path, wanted: &SessionName) -> Result<SessionLock, RunError> {
    let dir = data_dir.join("sessions");
    let failed = |what: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| RunError::File { what, path, source }
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed("create", &dir))?;
    for attempt in 1_u32.. {
        let name = if attempt == 1 { wanted.clone() } else { SessionName(format!("{wanted}-{attempt}")) };
        let file_name = percent_encoding::utf8_percent_encode(name.as_str(), percent_encoding::NON_ALPHANUMERIC);
        let path = dir.join(format!("{file_name}.lock"));
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => return Ok(SessionLock { name, _file: file }),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(RunError::File { what: "lock", path, source }),
        }
    }
    unreachable!("the loop ends by returning")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_gets_the_next_name_until_the_first_ends() {
        let dir = tempfile::tempdir().unwrap();
        let first = acquire(dir.path(), &"default".into()).unwrap();
        let second = acquire(dir.path(), &"default".into()).unwrap();
        assert_eq!((first.name.as_str(), second.name.as_str()), ("default", "default-2"));
        drop(first);
        assert_eq!(acquire(dir.path(), &"default".into()).unwrap().name.as_str(), "default");
    }
}
