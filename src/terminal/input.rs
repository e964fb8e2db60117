//! Terminal events as the app's events, and the watch for a terminal that has gone.
//!
//! ## Why a thread of our own
//!
//! On a terminal that has gone crossterm's reading never returns, and its event stream does that reading inside the poll:
//! the event loop would hang at full load. On a thread of its own it hangs nobody; the hang-up watch ends the process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use crossterm::event::{Event as Raw, KeyEventKind, MouseButton, MouseEventKind};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::app::event::{Event, Mouse, MouseKind};

/// How long the thread waits for an event before it looks whether it should stop. Nobody waits for it but
/// [`Inputs::close`].
const LOOK: Duration = Duration::from_millis(200);

/// The input events of the terminal.
#[derive(Debug)]
pub struct Inputs {
    events: UnboundedReceiver<Event>,
    stop: Arc<AtomicBool>,
    stopped: mpsc::Receiver<()>,
}

impl Inputs {
    /// Starts reading. There is one reader at a time: close it before opening another.
    pub fn open() -> Self {
        let (sender, events) = unbounded_channel();
        let (ended, stopped) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let read = move || {
            while !is_over.load(Ordering::Acquire) {
                let event = match crossterm::event::poll(LOOK) {
                    Ok(false) => continue,
                    Ok(true) => crossterm::event::read(),
                    Err(error) => Err(error),
                };
                match event {
                    Ok(raw) => {
                        if translate(raw).is_some_and(|event| sender.send(event).is_err()) {
                            break;
                        }
                    }
                    Err(error) => {
                        tracing::warn!("reading the terminal failed: {error}");
                        break;
                    }
                }
            }
            let _ = ended.send(());
        };
        std::thread::Builder::new().name("input".to_owned()).spawn(read).expect("a thread can be started");
        Self { events, stop, stopped }
    }

    /// The next event the app knows; `None` when the terminal cannot be read any more. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// An event that is there already.
    pub fn ready(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Stops reading and waits (a fifth of a second at most) until the terminal is free for another program.
    pub fn close(self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.stopped.recv_timeout(LOOK * 2);
    }
}

impl Drop for Inputs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// Releases are dropped: some terminals report them, and acting on them would do everything twice.
fn translate(raw: Raw) -> Option<Event> {
    match raw {
        Raw::Key(key) if key.kind == KeyEventKind::Release => None,
        Raw::Key(key) => Some(Event::Key(key.into())),
        Raw::Mouse(mouse) => {
            let kind = match mouse.kind {
                MouseEventKind::Down(MouseButton::Left) => MouseKind::Press,
                MouseEventKind::Drag(MouseButton::Left) => MouseKind::Drag,
                MouseEventKind::Up(MouseButton::Left) => MouseKind::Release,
                MouseEventKind::ScrollUp => MouseKind::ScrollUp,
                MouseEventKind::ScrollDown => MouseKind::ScrollDown,
                _ => return None,
            };
            Some(Event::Mouse(Mouse { column: mouse.column, row: mouse.row, kind }))
        }
        Raw::Paste(text) => Some(Event::Pasted(text.replace("\r\n", "\n").replace('\r', "\n"))),
        Raw::Resize(columns, rows) => Some(Event::Resized { columns, rows }),
        Raw::FocusGained => Some(Event::FocusGained),
        Raw::FocusLost => Some(Event::FocusLost),
    }
}

/// Calls `gone` once when the terminal hangs up. Where SIGHUP is not delivered (an ssh child, nohup) reading would spin;
/// polling for nothing but the hang-up sleeps until it comes.
pub fn watch_hangup(gone: impl FnOnce() + Send + 'static) {
    let watch = move || {
        let stdin = std::io::stdin();
        loop {
            let mut fds = [rustix::event::PollFd::new(&stdin, rustix::event::PollFlags::empty())];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) if !fds[0].revents().is_empty() => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
            }
        }
        gone();
    };
    std::thread::Builder::new().name("hangup".to_owned()).spawn(watch).expect("a thread can be started");
}
