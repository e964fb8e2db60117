//! The signals of a shell's job control and of a closing terminal, heard on the event loop.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// End, with this exit code (the shell's convention: 128 and the signal's number).
    End(u8),
    Suspend,
    Continue,
}

/// The signals of a shell's job control and of a closing terminal.
pub struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    hang_up: Option<Signal>,
    suspend: Option<Signal>,
    resume: Option<Signal>,
}

impl Signals {
    pub fn new() -> Self {
        let listen = |kind| signal(kind).inspect_err(|error| tracing::warn!("a signal cannot be heard: {error}")).ok();
        Self {
            terminate: listen(SignalKind::terminate()),
            interrupt: listen(SignalKind::interrupt()),
            hang_up: listen(SignalKind::hangup()),
            suspend: listen(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw())),
            resume: listen(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw())),
        }
    }

    /// The next signal. Cancel-safe.
    pub async fn next(&mut self) -> Received {
        async fn heard(signal: &mut Option<Signal>) {
            let received = match signal {
                Some(signal) => signal.recv().await,
                None => None,
            };
            if received.is_none() {
                std::future::pending().await
            }
        }
        tokio::select! {
            () = heard(&mut self.terminate) => Received::End(143),
            () = heard(&mut self.interrupt) => Received::End(130),
            () = heard(&mut self.hang_up) => Received::End(129),
            () = heard(&mut self.suspend) => Received::Suspend,
            () = heard(&mut self.resume) => Received::Continue,
        }
    }
}
