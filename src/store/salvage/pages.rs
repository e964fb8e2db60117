//! A database file as pages, its log laid over it, and the cells of a b-tree page, without SQLite.
//!
//! Nothing here believes a number: every offset, length and page number of the file is checked against the file.

use std::{collections::HashSet, fs::File, io, os::unix::fs::FileExt, path::Path};

use rusqlite::types::Value;

use crate::store::{
    files::{self, Look},
    salvage::wal::{self, Log},
};

/// Every journal was made with it.
pub(super) const PAGE: usize = 4096;

/// The pages of a database and its log.
pub(super) struct Image {
    file: Option<File>,
    log: Option<File>,
    pages: Log,
    /// Pages of the database, those cut off at its end included as far as they are there.
    pub count: u32,
}

/// A cell of a leaf: the row's number (0 in an index) and its values.
pub(super) type Cell = (i64, Vec<Value>);

/// What a b-tree page holds.
pub(super) enum Page {
    /// Child pages, and the cells an inner index page holds itself.
    Inner(Vec<u32>, Vec<Option<Cell>>),
    /// Cells; `None` for one that cannot be read.
    Leaf(Vec<Option<Cell>>),
    Unknown,
}

impl Image {
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = match files::look(path) {
            Ok(Look::Missing) => None,
            _ => Some(File::open(path)?),
        };
        let log_path = files::beside(path, "-wal");
        let pages = wal::read(&log_path, PAGE)?;
        let log = if pages.pages.is_empty() { None } else { Some(File::open(&log_path)?) };
        let length = file.as_ref().map_or(Ok(0), |file| file.metadata().map(|about| about.len()))?;
        let count = u32::try_from(length.div_ceil(PAGE as u64)).unwrap_or(u32::MAX);
        let highest = pages.pages.keys().copied().max().unwrap_or(0);
        Ok(Self { file, log, pages, count: count.max(highest) })
    }

    pub fn has_broken_log(&self) -> bool {
        self.pages.is_broken
    }

    /// The database as it was before the first bad frame of its log.
    pub fn before_the_break(mut self) -> Self {
        self.pages.pages = std::mem::take(&mut self.pages.sound);
        self
    }

    /// A page's bytes, zeros where the file ends inside it; `None` where there is no such page or the disk cannot read it.
    pub fn page(&self, number: u32) -> Option<Vec<u8>> {
        if number == 0 || number > self.count {
            return None;
        }
        let mut bytes = vec![0; PAGE];
        if let (Some(offset), Some(log)) = (self.pages.pages.get(&number), &self.log) {
            return log.read_exact_at(&mut bytes, *offset).ok().map(|()| bytes);
        }
        let file = self.file.as_ref()?;
        let begin = u64::from(number - 1) * PAGE as u64;
        let mut got = 0;
        while got < PAGE {
            match file.read_at(&mut bytes[got..], begin + got as u64) {
                Ok(0) => break,
                Ok(read) => got += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        (got > 0).then_some(bytes)
    }

    /// Reads a page as part of a b-tree.
    pub fn read(&self, number: u32) -> Page {
        let Some(bytes) = self.page(number) else { return Page::Unknown };
        let begin = if number == 1 { 100 } else { 0 };
        let cells = usize::from(u16_at(&bytes, begin + 3));
        let (first, is_inner) = match bytes[begin] {
            0x0d | 0x0a => (begin + 8, false),
            0x05 | 0x02 => (begin + 12, true),
            _ => return Page::Unknown,
        };
        if first + cells * 2 > PAGE {
            return Page::Unknown;
        }
        let is_table = matches!(bytes[begin], 0x0d | 0x05);
        let starts = (0..cells).map(|cell| usize::from(u16_at(&bytes, first + cell * 2)));
        if !is_inner {
            return Page::Leaf(starts.map(|start| self.cell(&bytes, start, is_table)).collect());
        }
        let mut children = Vec::with_capacity(cells + 1);
        let mut own = Vec::new();
        for start in starts {
            children.push(u32_at(&bytes, start).unwrap_or(0));
            if !is_table {
                own.push(self.cell(&bytes, start + 4, false));
            }
        }
        children.push(u32_at(&bytes, begin + 8).unwrap_or(0));
        Page::Inner(children, own)
    }

    /// A leaf cell at `start`, its overflow pages included.
    fn cell(&self, page: &[u8], start: usize, is_table: bool) -> Option<Cell> {
        let mut at = start;
        let size = usize::try_from(varint(page, &mut at)?).ok()?;
        let rowid = if is_table { varint(page, &mut at)? as i64 } else { 0 };
        let most = if is_table { PAGE - 35 } else { (PAGE - 12) * 64 / 255 - 23 };
        if size <= most {
            return Some((rowid, record(page.get(at..at + size)?)?));
        }
        if size as u64 > u64::from(self.count) * PAGE as u64 {
            return None;
        }
        let least = (PAGE - 12) * 32 / 255 - 23;
        let fitting = least + (size - least) % (PAGE - 4);
        let local = if fitting <= most { fitting } else { least };
        let mut payload = page.get(at..at + local)?.to_vec();
        let mut next = u32_at(page, at + local)?;
        let mut seen = HashSet::new();
        while payload.len() < size {
            if !seen.insert(next) {
                return None;
            }
            let overflow = self.page(next)?;
            let wanted = (size - payload.len()).min(PAGE - 4);
            payload.extend_from_slice(&overflow[4..4 + wanted]);
            next = u32_at(&overflow, 0)?;
        }
        Some((rowid, record(&payload)?))
    }

    /// Pages that hold nothing any more, as far as the list of them can be followed.
    pub fn free(&self) -> HashSet<u32> {
        let mut free = HashSet::new();
        let mut trunk = self.page(1).and_then(|first| u32_at(&first, 32)).unwrap_or(0);
        while trunk != 0 && free.insert(trunk) {
            let Some(bytes) = self.page(trunk) else { break };
            let leaves = u32_at(&bytes, 4).unwrap_or(0).min((PAGE as u32 - 8) / 4);
            free.extend((0..leaves as usize).filter_map(|leaf| u32_at(&bytes, 8 + leaf * 4)));
            trunk = u32_at(&bytes, 0).unwrap_or(0);
        }
        free
    }

    /// `PRAGMA user_version` as the first page has it.
    pub fn version(&self) -> i64 {
        self.page(1).and_then(|first| u32_at(&first, 60)).map_or(0, i64::from)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |two| u16::from_be_bytes([two[0], two[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for index in 0..9 {
        let byte = *bytes.get(*at)?;
        *at += 1;
        if index == 8 {
            return Some(value << 8 | u64::from(byte));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The values of a record; `None` where its lengths do not add up. Text that is not UTF-8 comes back as a blob.
fn record(payload: &[u8]) -> Option<Vec<Value>> {
    let mut at = 0;
    let header = usize::try_from(varint(payload, &mut at)?).ok()?;
    if header < at || header > payload.len() {
        return None;
    }
    let mut values = Vec::new();
    let mut body = header;
    while at < header {
        let kind = varint(payload, &mut at)?;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind as usize,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => usize::try_from((kind - 12) / 2).ok()?,
        };
        let bytes = payload.get(body..body.checked_add(length)?)?;
        body += length;
        values.push(match kind {
            0 => Value::Null,
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            7 => Value::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
            1..=6 => Value::Integer(integer(bytes)),
            _ if kind % 2 == 0 => Value::Blob(bytes.to_vec()),
            _ => match String::from_utf8(bytes.to_vec()) {
                Ok(text) => Value::Text(text),
                Err(bytes) => Value::Blob(bytes.into_bytes()),
            },
        });
    }
    (at == header && body == payload.len()).then_some(values)
}

fn integer(bytes: &[u8]) -> i64 {
    let sign = if bytes[0] & 0x80 != 0 { -1 } else { 0 };
    bytes.iter().fold(sign, |value, byte| value << 8 | i64::from(*byte))
}
