//! What strace wrote, as events on the files of a data dir.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

pub const CALLS: &str =
    "openat,write,pwrite64,fsync,fdatasync,ftruncate,rename,renameat,renameat2,unlink,unlinkat,mkdir";

/// A call that succeeded, in the order the calls ended.
#[derive(Debug, Clone)]
pub struct Event {
    /// Relative to the data dir; empty for the answer.
    pub path: PathBuf,
    pub call: Call,
}

#[derive(Debug, Clone)]
pub enum Call {
    /// Opened for writing and made where it was not there.
    Create,
    /// At an offset; `None` appends.
    Write(Option<u64>, Vec<u8>),
    Truncate(u64),
    Sync,
    Rename(PathBuf),
    Unlink,
    MakeDir,
    /// The program wrote to its standard output.
    Said,
}

pub fn parse(text: &str, data: &Path) -> Vec<Event> {
    let mut begun: HashMap<&str, String> = HashMap::new();
    let mut events = Vec::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begin) = rest.strip_suffix("<unfinished ...>") {
            begun.insert(thread, begin.to_owned());
            continue;
        }
        let whole = match rest.strip_prefix("<... ").and_then(|rest| rest.split_once("resumed>")) {
            Some((_, end)) => begun.remove(thread).unwrap_or_default() + end,
            None => rest.to_owned(),
        };
        events.extend(event(&whole, data));
    }
    events
}

fn event(line: &str, data: &Path) -> Option<Event> {
    let (name, rest) = line.split_once('(')?;
    let (args, result) = rest.rsplit_once(" = ")?;
    if result.starts_with('-') {
        return None;
    }
    let strings = strings(args);
    let text =
        |index: usize| strings.get(index).map(|bytes| PathBuf::from(String::from_utf8_lossy(bytes).into_owned()));
    let within = |path: PathBuf| path.strip_prefix(data).ok().map(Path::to_path_buf);
    // `7</path>`: strace prints the paths of descriptors in hex too.
    let descriptor = || {
        let inside = args.split_once('<')?.1.split_once('>')?.0;
        let path = String::from_utf8_lossy(&unhex(inside)).into_owned();
        Some((args.split('<').next()?.trim().parse::<i32>().ok(), PathBuf::from(path.trim_end_matches(" (deleted)"))))
    };
    let made = |path: Option<PathBuf>, call: Call| Some(Event { path: within(path?)?, call });
    match name {
        "write" | "pwrite64" => {
            let (number, path) = descriptor()?;
            let bytes = strings.first()?.clone();
            let written: usize = result.split_whitespace().next()?.parse().ok()?;
            if number == Some(1) && name == "write" {
                return Some(Event { path: PathBuf::new(), call: Call::Said });
            }
            let offset =
                (name == "pwrite64").then(|| args.rsplit(", ").next()?.trim_end_matches(')').parse().ok()).flatten();
            made(Some(path), Call::Write(offset, bytes[..written.min(bytes.len())].to_vec()))
        }
        "fsync" | "fdatasync" => made(Some(descriptor()?.1), Call::Sync),
        "ftruncate" => {
            let length = args.rsplit(", ").next()?.trim_end_matches(')').parse().ok()?;
            made(Some(descriptor()?.1), Call::Truncate(length))
        }
        "rename" | "renameat" | "renameat2" => made(text(0), Call::Rename(within(text(1)?)?)),
        "unlink" | "unlinkat" => made(text(0), Call::Unlink),
        "mkdir" => made(text(0), Call::MakeDir),
        "openat" if args.contains("O_CREAT") => made(text(0), Call::Create),
        _ => None,
    }
}

/// The strings between quotes, which strace prints in hex.
fn strings(args: &str) -> Vec<Vec<u8>> {
    args.split('"').skip(1).step_by(2).map(unhex).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    text.split("\\x").skip(1).filter_map(|two| u8::from_str_radix(two.get(..2)?, 16).ok()).collect()
}
