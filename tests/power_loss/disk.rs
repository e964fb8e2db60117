//! Files as a disk holds them: what is durable, and what only the operating system knows.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    common::Random,
    trace::{Call, Event},
};

const SECTOR: usize = 512;

#[derive(Debug, Clone)]
pub struct Disk {
    inodes: Vec<Inode>,
    /// The names as running programs see them, and as they are on disk.
    seen: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    /// Changes of names since they were last durable, in order.
    changes: Vec<Name>,
    dirs: Vec<PathBuf>,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    /// Writes and cuts since the last sync, in order.
    pending: Vec<Pending>,
    length: u64,
}

#[derive(Debug, Clone)]
enum Pending {
    Write(u64, Vec<u8>),
    Cut(u64),
}

#[derive(Debug, Clone)]
enum Name {
    Make(PathBuf, usize),
    Move(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Disk {
    /// All that is in a directory, durable.
    pub fn of(dir: &Path) -> Self {
        let mut disk = Self {
            inodes: Vec::new(),
            seen: BTreeMap::new(),
            durable: BTreeMap::new(),
            changes: Vec::new(),
            dirs: Vec::new(),
        };
        for entry in std::fs::read_dir(dir).unwrap().flatten().filter(|entry| entry.path().is_file()) {
            // Shared memory is made anew; the ballast's bytes mean nothing.
            if entry.path().to_string_lossy().ends_with("-shm") || entry.file_name() == "ballast" {
                continue;
            }
            let durable = std::fs::read(entry.path()).unwrap();
            let path = PathBuf::from(entry.file_name());
            disk.seen.insert(path.clone(), disk.inodes.len());
            disk.durable.insert(path, disk.inodes.len());
            disk.inodes.push(Inode { length: durable.len() as u64, durable, pending: Vec::new() });
        }
        disk
    }

    pub fn carry_out(&mut self, events: &[Event]) {
        for Event { path, call } in events {
            if path.to_string_lossy().ends_with("-shm") || path.as_os_str() == "ballast" {
                continue;
            }
            match call {
                Call::Said => {}
                Call::MakeDir => self.dirs.push(path.clone()),
                Call::Create => {
                    self.inode(path);
                }
                Call::Write(offset, bytes) => {
                    let inode = self.inode(path);
                    let inode = &mut self.inodes[inode];
                    let offset = offset.unwrap_or(inode.length);
                    inode.length = inode.length.max(offset + bytes.len() as u64);
                    inode.pending.push(Pending::Write(offset, bytes.clone()));
                }
                Call::Truncate(length) => {
                    let inode = self.inode(path);
                    self.inodes[inode].length = *length;
                    self.inodes[inode].pending.push(Pending::Cut(*length));
                }
                Call::Rename(to) => {
                    if let Some(inode) = self.seen.remove(path) {
                        self.seen.insert(to.clone(), inode);
                        self.changes.push(Name::Move(path.clone(), to.clone()));
                    }
                }
                Call::Unlink => {
                    if self.seen.remove(path).is_some() {
                        self.changes.push(Name::Remove(path.clone()));
                    }
                }
                Call::Sync => self.sync(path),
            }
        }
    }

    /// The file of a name, made where there is none.
    fn inode(&mut self, path: &Path) -> usize {
        if let Some(inode) = self.seen.get(path) {
            return *inode;
        }
        self.inodes.push(Inode::default());
        let inode = self.inodes.len() - 1;
        self.seen.insert(path.to_path_buf(), inode);
        self.changes.push(Name::Make(path.to_path_buf(), inode));
        inode
    }

    fn sync(&mut self, path: &Path) {
        if let Some(inode) = self.seen.get(path).copied() {
            let inode = &mut self.inodes[inode];
            for pending in std::mem::take(&mut inode.pending) {
                apply(&mut inode.durable, &pending, |_| true);
            }
            // Its own name, and nothing before that depends on another directory entry's order.
            let made = self.changes.iter().position(|change| matches!(change, Name::Make(name, _) if name == path));
            if let Some(made) = made {
                for change in self.changes.drain(..=made).collect::<Vec<_>>() {
                    rename(&mut self.durable, &change);
                }
            }
        } else {
            // A directory: the names in it.
            for change in std::mem::take(&mut self.changes) {
                rename(&mut self.durable, &change);
            }
        }
    }

    /// Writes one of the states the files may have after the power was lost now: nothing unsynced (0), any whole writes
    /// (1), any sectors (2).
    pub fn after_power_loss(&self, random: &mut Random, way: usize, into: &Path) {
        let mut names = self.durable.clone();
        let kept = random.below(self.changes.len() + 1);
        for change in &self.changes[..kept] {
            rename(&mut names, change);
        }
        for dir in &self.dirs {
            std::fs::create_dir_all(into.join(dir)).unwrap();
        }
        for (path, inode) in names {
            let inode = &self.inodes[inode];
            let mut bytes = inode.durable.clone();
            for pending in &inode.pending {
                match way {
                    0 => {}
                    1 if random.below(2) == 0 => {}
                    1 => apply(&mut bytes, pending, |_| true),
                    _ => apply(&mut bytes, pending, |_| random.below(3) > 0),
                }
            }
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(into.join(parent)).unwrap();
            }
            std::fs::write(into.join(path), bytes).unwrap();
        }
    }
}

fn rename(names: &mut BTreeMap<PathBuf, usize>, change: &Name) {
    match change {
        Name::Make(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        Name::Move(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        Name::Remove(path) => {
            names.remove(path);
        }
    }
}

/// Writes the sectors that `reach` the disk; what lies between is zeros.
fn apply(bytes: &mut Vec<u8>, pending: &Pending, mut reach: impl FnMut(usize) -> bool) {
    match pending {
        Pending::Cut(length) => {
            if reach(0) {
                bytes.resize(usize::try_from(*length).unwrap(), 0);
            }
        }
        Pending::Write(offset, data) => {
            let mut at = usize::try_from(*offset).unwrap();
            let mut rest = data.as_slice();
            while !rest.is_empty() {
                let (part, more) = rest.split_at((SECTOR - at % SECTOR).min(rest.len()));
                if reach(at) {
                    if bytes.len() < at + part.len() {
                        bytes.resize(at + part.len(), 0);
                    }
                    bytes[at..at + part.len()].copy_from_slice(part);
                }
                (at, rest) = (at + part.len(), more);
            }
        }
    }
}
