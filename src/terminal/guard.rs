//! Taking the terminal and giving it back.
//!
//! ## Why our own guard
//!
//! `ratatui::restore` prints to stderr when it fails, which panics on a dead terminal, and knows nothing of mouse capture
//! or bracketed paste. Everything here ignores write errors: a terminal that is gone needs nothing back.

use std::{
    io::Write as _,
    sync::atomic::{AtomicBool, Ordering},
};

use crossterm::{
    QueueableCommand as _, cursor,
    event::{
        DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste, EnableFocusChange,
        EnableMouseCapture,
    },
    terminal,
};

/// True while the terminal is ours; read by the panic hook and by every exit path.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Holds the terminal in raw mode on the alternate screen. Dropping it gives the terminal back.
#[derive(Debug)]
pub struct Guard {
    mouse: bool,
}

impl Guard {
    /// Takes the terminal. Fails before anything was changed, or gives back what it took.
    pub fn take(mouse: bool) -> std::io::Result<Self> {
        crossterm::style::force_color_output(true);
        let guard = Self { mouse };
        guard.enter()?;
        Ok(guard)
    }

    /// Enters (again, after a suspension or an editor).
    pub fn enter(&self) -> std::io::Result<()> {
        terminal::enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let mut out = Vec::new();
        out.queue(terminal::EnterAlternateScreen)?
            .queue(EnableBracketedPaste)?
            .queue(EnableFocusChange)?
            .queue(cursor::Hide)?;
        if self.mouse {
            out.queue(EnableMouseCapture)?;
        }
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&out)?;
        stdout.flush()
    }

    /// Leaves for a while (a suspension, an editor); [`Guard::enter`] comes back.
    pub fn leave(&self) {
        release();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        release();
    }
}

/// Gives the terminal back. Idempotent, never fails, never panics.
pub fn release() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = Vec::new();
    let queued = (|| -> std::io::Result<()> {
        out.write_all(b"\x1b[?2026l")?;
        out.queue(DisableMouseCapture)?.queue(DisableFocusChange)?.queue(DisableBracketedPaste)?;
        out.queue(crossterm::style::ResetColor)?.queue(terminal::LeaveAlternateScreen)?.queue(cursor::Show)?;
        Ok(())
    })();
    if queued.is_ok() {
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(&out).and_then(|()| stdout.flush());
    }
    let _ = terminal::disable_raw_mode();
}

/// On a panic, in whichever thread: the terminal is given back first, then the message goes to stderr and the process ends
/// with 101. Never writes application state: what was painted is already on disk, and a start finds it.
pub fn install_panic_hook() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let was_taken = TAKEN.load(Ordering::SeqCst);
        release();
        tracing::error!("panic: {info}");
        if was_taken {
            let text = format!(
                "ebbtide stopped because of a defect of its own: {info}\nYour work is saved; start it again to go on.\n"
            );
            let _ = std::io::stderr().write_all(text.as_bytes());
            std::process::exit(101);
        }
        previous(info);
    }));
}
