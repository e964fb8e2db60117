//! Terminal events as the app's events, and the watch for a terminal that has gone.

use crossterm::event::{Event as Raw, EventStream, KeyEventKind, MouseButton, MouseEventKind};
use futures_util::StreamExt as _;

use crate::app::event::{Event, Mouse, MouseKind};

/// The stream of input events. Dropping it stops reading, which an editor or a suspension needs.
pub struct Inputs(EventStream);

impl Inputs {
    pub fn open() -> Self {
        Self(EventStream::new())
    }

    /// The next event the app knows; `None` when the terminal is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.0.next().await? {
                Ok(raw) => {
                    if let Some(event) = translate(raw) {
                        return Some(event);
                    }
                }
                Err(error) => {
                    tracing::warn!("reading the terminal failed: {error}");
                    return None;
                }
            }
        }
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
