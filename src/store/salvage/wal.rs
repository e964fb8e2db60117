//! The write-ahead log as bytes: which frames can be trusted, without SQLite.
//!
//! SQLite reads a log up to its first bad frame and drops what is behind it without a word, so that one flipped bit takes
//! every later commit along. The checksum of each frame goes on from the one stored in the frame before: a frame behind
//! a bad one can still be proved good.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

const HEADER: usize = 32;
const FRAME: usize = 24;

/// The committed pages of a log.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Where the newest content of each page begins.
    pub pages: HashMap<u32, u64>,
    /// The same up to the first bad frame: what SQLite sees.
    pub sound: HashMap<u32, u64>,
    /// The size of the database in pages after the last commit.
    pub size: Option<u32>,
    /// Committed frames stand behind one that cannot be read: SQLite would drop them.
    pub is_broken: bool,
}

/// Reads a log whole; an empty one where there is none.
pub(super) fn read(path: &Path, page_size: usize) -> io::Result<Log> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Log::default()),
        Err(error) => return Err(error),
    };
    let mut input = BufReader::with_capacity(1 << 20, file);
    let mut header = [0_u8; HEADER];
    if !fill(&mut input, &mut header)? {
        return Ok(Log::default());
    }
    let header = Header::parse(&header);
    // SQLite looks at nothing behind a header that is not right.
    let mut sound = header.is_right;
    let (mut log, mut waiting) = (Log::default(), Vec::new());
    let (mut seed, mut salt) = (header.checksum, header.is_right.then_some(header.salt));
    let mut frame = vec![0_u8; FRAME + page_size];
    let mut offset = HEADER as u64;
    while fill(&mut input, &mut frame)? {
        let (head, page) = frame.split_at(FRAME);
        let salts = (word(head, 8), word(head, 12));
        let stored = (word(head, 16), word(head, 20));
        let good = salt.is_none_or(|salt| salt == salts)
            && sum(sum(seed, &head[..8], header.big_endian), page, header.big_endian) == stored;
        if good {
            salt = Some(salts);
            waiting.push((word(head, 0), offset + FRAME as u64));
            let size = word(head, 4);
            if size > 0 {
                log.is_broken |= !sound;
                if sound {
                    log.sound.extend(waiting.iter().copied());
                }
                log.pages.extend(waiting.drain(..));
                log.size = Some(size);
            }
        } else {
            sound = false;
        }
        seed = stored;
        offset += frame.len() as u64;
    }
    Ok(log)
}

struct Header {
    is_right: bool,
    big_endian: bool,
    salt: (u32, u32),
    checksum: (u32, u32),
}

impl Header {
    fn parse(bytes: &[u8; HEADER]) -> Self {
        let magic = word(bytes, 0);
        let big_endian = if magic & !1 == 0x377f_0682 { magic & 1 == 1 } else { cfg!(target_endian = "big") };
        let checksum = (word(bytes, 24), word(bytes, 28));
        let is_right = magic & !1 == 0x377f_0682
            && word(bytes, 4) == 3_007_000
            && sum((0, 0), &bytes[..24], big_endian) == checksum;
        Self { is_right, big_endian, salt: (word(bytes, 16), word(bytes, 20)), checksum }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// SQLite's checksum of a multiple of eight bytes, going on from `seed`.
fn sum(seed: (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    let (mut a, mut b) = seed;
    for &[b0, b1, b2, b3, b4, b5, b6, b7] in bytes.as_chunks().0 {
        let (first, second) = match big_endian {
            true => (u32::from_be_bytes([b0, b1, b2, b3]), u32::from_be_bytes([b4, b5, b6, b7])),
            false => (u32::from_le_bytes([b0, b1, b2, b3]), u32::from_le_bytes([b4, b5, b6, b7])),
        };
        a = a.wrapping_add(first).wrapping_add(b);
        b = b.wrapping_add(second).wrapping_add(a);
    }
    (a, b)
}

/// Fills the buffer; false where the file ends before.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    /// A log of `n` commits of one row each, copied while it is open.
    fn log(n: u32) -> (tempfile::TempDir, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let connection = Connection::open(dir.path().join("a.db")).unwrap();
        connection
            .execute_batch("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t (n INTEGER, x TEXT)")
            .unwrap();
        for n in 0..n {
            connection.execute("INSERT INTO t VALUES (?1, ?2)", (n, "x".repeat(1_500))).unwrap();
        }
        let bytes = std::fs::read(dir.path().join("a.db-wal")).unwrap();
        (dir, bytes)
    }

    fn read_bytes(bytes: &[u8]) -> Log {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.db-wal");
        std::fs::write(&path, bytes).unwrap();
        read(&path, 4096).unwrap()
    }

    #[test]
    fn a_whole_log_is_sound_and_a_torn_end_is_no_damage() {
        let (_dir, bytes) = log(6);
        let whole = read_bytes(&bytes);
        assert!(!whole.is_broken);
        assert!(whole.pages.len() >= 4, "{whole:?}");
        for cut in [1, 24, 1000, 4119, 4120] {
            assert!(!read_bytes(&bytes[..bytes.len() - cut]).is_broken, "cut by {cut}");
        }
        assert!(read_bytes(&bytes[..31]).pages.is_empty());
    }

    #[test]
    fn one_bad_bit_anywhere_before_the_last_commit_is_noticed_and_costs_one_frame() {
        let (_dir, bytes) = log(6);
        let whole = read_bytes(&bytes);
        let last = bytes.len() - (FRAME + 4096);
        for at in (0..last).step_by(97) {
            // The checkpoint counter of the header is covered by its checksum like the rest.
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            let read = read_bytes(&bad);
            assert!(read.is_broken, "a flip at {at}");
            assert_eq!(read.size, whole.size, "the last commit is found behind a flip at {at}");
        }
    }
}
