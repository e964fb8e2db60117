//! When the first frame of a start is there. Bytes are stamped as they are read and looked at afterwards, so that reading
//! them costs nothing of what is measured.

use std::{
    io::Read as _,
    num::NonZero,
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use crate::common::{Workspace, program};

pub const COLUMNS: u16 = 120;
pub const ROWS: u16 = 36;

const END_OF_FRAME: &[u8] = b"\x1b[?2026l";

/// Starts the program offline and ends it again: how long until the first frame was whole. `text` must be in it.
pub fn first_frame(workspace: &Workspace, text: &str) -> Duration {
    let size = PtySize { rows: ROWS, cols: COLUMNS, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).expect("a pty");
    let mut command = CommandBuilder::new(program());
    command.env("TERM", "xterm-256color");
    command.arg("--offline");
    command.arg("--data-dir");
    command.arg(workspace.data());
    command.arg("--config");
    command.arg(workspace.config());
    let mut reader = pair.master.try_clone_reader().expect("a reader");
    let (sent, chunks) = mpsc::channel();
    let reading = std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            if sent.send((Instant::now(), buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    let begin = Instant::now();
    let mut child = pair.slave.spawn_command(command).expect("the program starts");
    drop(pair.slave);
    let mut bytes = Vec::new();
    let took = loop {
        match chunks.recv_timeout(Duration::from_secs(30)) {
            Ok((at, chunk)) => {
                let from = bytes.len().saturating_sub(END_OF_FRAME.len());
                bytes.extend(chunk);
                if bytes[from..].windows(END_OF_FRAME.len()).any(|part| part == END_OF_FRAME) {
                    break at - begin;
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => panic!("no frame came"),
        }
    };
    let pid = child.process_id().expect("the program runs");
    let _ = std::process::Command::new("kill").arg(pid.to_string()).status();
    child.wait().expect("the program ends");
    drop(chunks);
    drop(pair.master);
    reading.join().expect("the reader ends");
    let cells = |count| NonZero::new(count).expect("a terminal has cells");
    let mut parser = vt100::Parser::new(cells(ROWS), cells(COLUMNS), 0);
    let end = bytes.windows(END_OF_FRAME.len()).position(|part| part == END_OF_FRAME).expect("a frame");
    parser.process(&bytes[..end]);
    let shown = parser.screen().contents();
    assert!(shown.contains(text), "`{text}` is not in the first frame:\n{shown}");
    took
}

pub fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1_000.0
}
