//! Taking the terminal and giving it back.
//!
//! ## Why our own guard
//!
//! `ratatui::restore` prints to stderr when it fails, which panics on a dead terminal, and knows nothing of mouse capture
//! or bracketed paste. Everything here ignores write errors: a terminal that is gone needs nothing back. The modes are our
//! own too: crossterm takes whatever it finds for the state to return to, also where an editor or a killed run left it.

use std::{
    io::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use crossterm::{
    QueueableCommand as _, cursor,
    event::{
        DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste, EnableFocusChange,
        EnableMouseCapture,
    },
    terminal,
};
use rustix::termios::{InputModes, LocalModes, OptionalActions, OutputModes, Termios, tcgetattr, tcsetattr};

/// True while the terminal is ours; read by the panic hook and by every exit path.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The modes to give back.
static MODES: Mutex<Option<Termios>> = Mutex::new(None);

/// Giving back takes no longer: a terminal that stopped reading must not hold up the end. One that reads, on a machine
/// however busy, gets its modes back.
const PATIENCE: Duration = Duration::from_millis(700);

/// Ends what a program may have left behind that was killed, or did not clean up: cursor keys and keypad of an editor, a
/// scroll region, no wrapping, insert mode, a colour.
const CLEAN: &[u8] = b"\x1b[?1l\x1b>\x1b[r\x1b[?6l\x1b[?7h\x1b[4l\x1b[0m\x1b(B\x0f";

/// Holds the terminal in raw mode on the alternate screen. Dropping it gives the terminal back.
#[derive(Debug)]
pub struct Guard {
    mouse: bool,
}

impl Guard {
    /// Takes the terminal. Fails before anything was changed, or gives back what it took.
    pub fn take(mouse: bool) -> std::io::Result<Self> {
        crossterm::style::force_color_output(true);
        let found = tcgetattr(rustix::stdio::stdin())?;
        *modes() = Some(if is_raw(&found) { cooked(found) } else { found });
        let guard = Self { mouse };
        guard.enter()?;
        Ok(guard)
    }

    /// Enters (again, after a suspension or an editor), whatever was left of the terminal meanwhile.
    pub fn enter(&self) -> std::io::Result<()> {
        if let Some(mut raw) = modes().clone() {
            raw.make_raw();
            tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw)?;
        }
        TAKEN.store(true, Ordering::SeqCst);
        let mut out = Vec::new();
        out.queue(terminal::EnterAlternateScreen)?;
        out.write_all(CLEAN)?;
        // A run that was killed may have left this very screen, and what is blank is not painted.
        out.queue(terminal::Clear(terminal::ClearType::All))?;
        out.queue(DisableMouseCapture)?.queue(EnableBracketedPaste)?.queue(EnableFocusChange)?.queue(cursor::Hide)?;
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

/// Gives the terminal back. Idempotent, never fails, never panics, never waits for long.
pub fn release() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    if let Some(found) = modes().as_ref() {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, found);
    }
    // A frame may be half written.
    let mut out = b"\x1b[?2026l".to_vec();
    out.extend_from_slice(CLEAN);
    let queued = (|| -> std::io::Result<()> {
        out.queue(DisableMouseCapture)?.queue(DisableFocusChange)?.queue(DisableBracketedPaste)?;
        out.queue(crossterm::style::ResetColor)?.queue(terminal::LeaveAlternateScreen)?.queue(cursor::Show)?;
        Ok(())
    })();
    if queued.is_ok() {
        write_patiently(std::io::stdout(), out);
    }
}

/// Writes on a thread of its own and waits for a moment: a terminal that does not read blocks its writer for good.
/// True where all was written.
pub fn write_patiently(mut to: impl std::io::Write + Send + 'static, bytes: Vec<u8>) -> bool {
    let (done, written) = mpsc::channel();
    let write = move || {
        let _ = done.send(to.write_all(&bytes).and_then(|()| to.flush()).is_ok());
    };
    let started = std::thread::Builder::new().name("release".to_owned()).spawn(write);
    started.is_ok() && written.recv_timeout(PATIENCE).unwrap_or(false)
}

fn modes() -> std::sync::MutexGuard<'static, Option<Termios>> {
    MODES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True for the modes a full-screen program works in. No shell starts a program so: a run that was killed left them.
fn is_raw(modes: &Termios) -> bool {
    let line = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
    !modes.local_modes.intersects(line) && !modes.output_modes.contains(OutputModes::OPOST)
}

/// What a shell would have handed over: lines, echo, signals, line ends (`stty sane`).
fn cooked(mut modes: Termios) -> Termios {
    modes.input_modes |= InputModes::BRKINT | InputModes::ICRNL | InputModes::IXON;
    modes.input_modes -= InputModes::IGNBRK | InputModes::INLCR | InputModes::IGNCR;
    modes.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
    modes.local_modes |= LocalModes::ISIG
        | LocalModes::ICANON
        | LocalModes::IEXTEN
        | LocalModes::ECHO
        | LocalModes::ECHOE
        | LocalModes::ECHOK
        | LocalModes::ECHOCTL
        | LocalModes::ECHOKE;
    modes
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
            write_patiently(std::io::stderr(), text.into_bytes());
            std::process::exit(101);
        }
        previous(info);
    }));
}
