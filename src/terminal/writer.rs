//! The thread that writes to the terminal.
//!
//! One frame at a time: a new frame is drawn only when the last one was written, so a terminal that stops reading drops
//! frames and holds up nothing else.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

/// A handle to the writing thread.
#[derive(Debug, Clone)]
pub struct Writer {
    frames: mpsc::Sender<Vec<u8>>,
    busy: Arc<AtomicBool>,
}

impl Writer {
    /// Starts the thread. `written` is called on it after each write: `Err` means that the terminal is gone.
    pub fn start(written: impl Fn(std::io::Result<()>) + Send + 'static) -> Self {
        let write = |bytes: &[u8]| {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(bytes).and_then(|()| stdout.flush())
        };
        Self::start_on(write, written)
    }

    /// The same for a terminal that is somewhere else.
    pub(super) fn start_on(
        mut terminal: impl FnMut(&[u8]) -> std::io::Result<()> + Send + 'static,
        written: impl Fn(std::io::Result<()>) + Send + 'static,
    ) -> Self {
        let (frames, incoming) = mpsc::channel::<Vec<u8>>();
        let busy = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&busy);
        let write = move || {
            while let Ok(bytes) = incoming.recv() {
                let result = terminal(&bytes);
                done.store(false, Ordering::Release);
                written(result);
            }
        };
        std::thread::Builder::new().name("terminal".to_owned()).spawn(write).expect("a thread can be started");
        Self { frames, busy }
    }

    /// True while the last frame is not written yet.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Hands bytes to the thread. Never blocks.
    pub fn send(&self, bytes: Vec<u8>) {
        self.busy.store(true, Ordering::Release);
        if self.frames.send(bytes).is_err() {
            self.busy.store(false, Ordering::Release);
        }
    }
}
