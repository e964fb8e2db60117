//! The program in a pseudo-terminal: keys in, whole frames out.
//!
//! The program wraps each frame in synchronized update, so a frame is what stands on the screen at `ESC[?2026l`: tests wait
//! for frames, never for time.

use std::{
    io::{Read as _, Write as _},
    num::NonZero,
    path::Path,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

const END_OF_FRAME: &[u8] = b"\x1b[?2026l";

struct Seen {
    parser: vt100::Parser,
    /// What stood on the screen after each frame.
    frames: Vec<Frame>,
    bytes: Vec<u8>,
    /// The begin of a character.
    pending: Vec<u8>,
    tail: Vec<u8>,
    closed: bool,
    /// The terminal takes nothing any more, as one whose window hangs.
    paused: bool,
}

/// One painted frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The rows as text, padded to the width.
    pub rows: Vec<String>,
    /// Column and row, where the cursor is shown.
    pub cursor: Option<(u16, u16)>,
}

impl Frame {
    pub fn text(&self) -> String {
        self.rows.join("\n")
    }

    pub fn contains(&self, text: &str) -> bool {
        self.rows.iter().any(|row| row.contains(text))
    }
}

/// A running program in a terminal of its own.
pub struct Pty {
    seen: Arc<(Mutex<Seen>, Condvar)>,
    writer: Box<dyn std::io::Write + Send>,
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
}

impl Pty {
    /// Starts the program under test with these arguments.
    pub fn start(args: &[&str], columns: u16, rows: u16, env: &[(&str, &str)]) -> Self {
        Self::start_program(&super::program(), args, columns, rows, env)
    }

    pub fn start_program(program: &Path, args: &[&str], columns: u16, rows: u16, env: &[(&str, &str)]) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pty can be opened");
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.cwd(std::env::current_dir().expect("the tests run somewhere"));
        command.env("TERM", "xterm-256color");
        for name in ["NO_COLOR", "EDITOR", "VISUAL", "EBBTIDE_CONFIG", "EBBTIDE_DATA_DIR"] {
            command.env_remove(name);
        }
        for (name, value) in env {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("a pty can be read");
        let writer = pair.master.take_writer().expect("a pty can be written");
        let parser = vt100::Parser::new(cells(rows), cells(columns), 0);
        let seen = Seen {
            parser,
            frames: Vec::new(),
            bytes: Vec::new(),
            pending: Vec::new(),
            tail: Vec::new(),
            closed: false,
            paused: false,
        };
        let seen = Arc::new((Mutex::new(seen), Condvar::new()));
        let sink = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            loop {
                let count = reader.read(&mut buffer).unwrap_or(0);
                let seen = sink.0.lock().expect("no test thread panicked with the lock");
                let mut seen =
                    sink.1.wait_while(seen, |seen| seen.paused).expect("no test thread panicked with the lock");
                if count == 0 {
                    seen.closed = true;
                    sink.1.notify_all();
                    return;
                }
                seen.take(&buffer[..count]);
                sink.1.notify_all();
            }
        });
        Self { seen, writer, master: pair.master, child }
    }

    pub fn send(&mut self, keys: &str) {
        self.send_bytes(keys.as_bytes());
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).and_then(|()| self.writer.flush()).expect("the terminal takes keys");
    }

    /// Presses Esc so many times, each by itself: two keys in one read would be Alt and the second.
    pub fn escape(&mut self, times: usize) {
        for _ in 0..times {
            let frames = self.frames();
            self.send("\x1b");
            self.wait_frames(frames + 1, Duration::from_millis(300));
        }
    }

    pub fn paste(&mut self, text: &str) {
        self.send(&format!("\x1b[200~{text}\x1b[201~"));
    }

    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.seen.0.lock().unwrap().parser.screen_mut().set_size(cells(rows), cells(columns));
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        self.master.resize(size).expect("a pty can be resized");
    }

    /// How many frames were painted so far.
    pub fn frames(&self) -> usize {
        self.seen.0.lock().unwrap().frames.len()
    }

    pub fn frame(&self, index: usize) -> Frame {
        self.seen.0.lock().unwrap().frames[index].clone()
    }

    pub fn last_frame(&self) -> Option<Frame> {
        self.seen.0.lock().unwrap().frames.last().cloned()
    }

    /// The screen as it stands, between frames too (after the program left it, say).
    pub fn screen(&self) -> Frame {
        Frame::of(self.seen.0.lock().unwrap().parser.screen())
    }

    /// Looks at the screen's cells, colours included.
    pub fn with_screen<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(self.seen.0.lock().unwrap().parser.screen())
    }

    /// All bytes the program wrote.
    pub fn bytes(&self) -> Vec<u8> {
        self.seen.0.lock().unwrap().bytes.clone()
    }

    /// Waits for a frame that satisfies the condition, beginning with the present one. Panics after 30 s with the screen.
    pub fn wait(&self, what: &str, condition: impl Fn(&Frame) -> bool) -> Frame {
        let end = Instant::now() + Duration::from_secs(30);
        let mut seen = self.seen.0.lock().unwrap();
        loop {
            if let Some(frame) = seen.frames.last()
                && condition(frame)
            {
                return frame.clone();
            }
            let now = Instant::now();
            let text = Frame::of(seen.parser.screen()).text();
            assert!(now < end, "waited 30 s for {what}; the screen:\n{text}");
            assert!(!seen.closed, "the program ended while waiting for {what}; the screen:\n{text}");
            seen = self.seen.1.wait_timeout(seen, end - now).unwrap().0;
        }
    }

    pub fn wait_text(&self, text: &str) -> Frame {
        self.wait(&format!("`{text}`"), |frame| frame.contains(text))
    }

    /// Waits until `count` frames were painted or the program ended; answers how many there are.
    pub fn wait_frames(&self, count: usize, patience: Duration) -> usize {
        let end = Instant::now() + patience;
        let mut seen = self.seen.0.lock().unwrap();
        while seen.frames.len() < count && !seen.closed {
            let now = Instant::now();
            if now >= end {
                break;
            }
            seen = self.seen.1.wait_timeout(seen, end - now).unwrap().0;
        }
        seen.frames.len()
    }

    /// Stops reading what the program writes, or goes on.
    pub fn pause(&self, paused: bool) {
        self.seen.0.lock().unwrap().paused = paused;
        self.seen.1.notify_all();
    }

    /// Waits for what stands on the screen, painted by whatever program.
    pub fn wait_screen(&self, what: &str, condition: impl Fn(&Frame) -> bool) -> Frame {
        super::wait_for(what, || {
            let frame = self.screen();
            if condition(&frame) { Some(frame) } else { None }
        })
    }

    /// The terminal device, for programs that change its modes.
    pub fn device(&self) -> std::path::PathBuf {
        self.master.tty_name().expect("a pty has a name")
    }

    /// Keeps the terminal's modes as they are when its last program ends.
    pub fn hold(&self) -> std::fs::File {
        use std::os::unix::fs::OpenOptionsExt as _;
        const O_NOCTTY: i32 = 0o400;
        std::fs::OpenOptions::new().read(true).write(true).custom_flags(O_NOCTTY).open(self.device()).expect("opened")
    }

    /// The terminal's modes, as `stty -a` words them.
    pub fn modes(&self) -> String {
        let output = std::process::Command::new("stty").arg("-a").arg("-F").arg(self.device()).output().expect("stty");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `kill -9`, then everything that was already written is read.
    pub fn kill(&mut self) {
        self.signal(9);
        self.wait_exit();
    }

    pub fn signal(&self, signal: i32) {
        let pid = self.child.process_id().expect("the program runs");
        let status = std::process::Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{signal} {pid}");
    }

    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("the program runs")
    }

    /// The exit code, once there is one; the output is not waited for.
    pub fn try_exit(&mut self) -> Option<u32> {
        self.child.try_wait().expect("a child can be waited for").map(|status| status.exit_code())
    }

    /// Waits for the exit, then for the end of the output; answers the exit code.
    pub fn wait_exit(&mut self) -> u32 {
        let code = super::wait_for("the program's exit", || self.child.try_wait().expect("a child can be waited for"))
            .exit_code();
        let end = Instant::now() + Duration::from_secs(5);
        let mut seen = self.seen.0.lock().unwrap();
        while !seen.closed && Instant::now() < end {
            seen = self.seen.1.wait_timeout(seen, Duration::from_millis(50)).unwrap().0;
        }
        code
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Seen {
    fn take(&mut self, read: &[u8]) {
        self.bytes.extend_from_slice(read);
        // The parser loses what follows a character that comes in two pieces.
        self.pending.extend_from_slice(read);
        let cut = self.pending.split_off(whole(&self.pending));
        let bytes = std::mem::replace(&mut self.pending, cut);
        let mut start = 0;
        for end in 1..=bytes.len() {
            self.tail.push(bytes[end - 1]);
            if self.tail.len() > END_OF_FRAME.len() {
                self.tail.remove(0);
            }
            if self.tail == END_OF_FRAME {
                self.parser.process(&bytes[start..end]);
                start = end;
                let frame = Frame::of(self.parser.screen());
                self.frames.push(frame);
            }
        }
        self.parser.process(&bytes[start..]);
    }
}

/// How many of the bytes there are before a character of which the end is still to come.
pub fn whole(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let wanted = match bytes[bytes.len() - back] {
            0x80..=0xbf => continue,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
            _ => 1,
        };
        return bytes.len() - if wanted > back { back } else { 0 };
    }
    bytes.len()
}

impl Frame {
    fn of(screen: &vt100::Screen) -> Self {
        let (_, columns) = screen.size();
        let rows = screen.rows(0, columns.get()).collect();
        let (row, column) = screen.cursor_position();
        Self { rows, cursor: (!screen.hide_cursor()).then_some((column, row)) }
    }
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a terminal has cells")
}
