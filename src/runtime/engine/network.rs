//! Hints of the operating system that the network changed: a reason to look, never evidence.
//!
//! The kernel tells of new and lost addresses by itself (netlink on Linux, the system's own notifications elsewhere), so
//! that nothing here wakes up while nothing changes. A burst of changes, as when a Wi-Fi comes up, is one hint.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use futures_util::StreamExt as _;
use if_watch::tokio::IfWatcher;
use tokio::task::AbortHandle;

use super::leader::{Answer, Answers};
use crate::sync::Event;

/// A burst of changes is over after this much silence.
const QUIET: Duration = Duration::from_millis(300);

/// The watching task; dropping it ends it.
pub(super) struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts watching. Where the system does not allow it, probes alone find out, as they do anyway.
pub(super) fn watch(answers: Answers) -> Watch {
    let task = tokio::spawn(async move {
        let ended = match IfWatcher::new() {
            Ok(watcher) => follow(watcher, &answers).await,
            Err(error) => error,
        };
        tracing::info!("changes of the network are not watched: {ended}");
    });
    Watch(task.abort_handle())
}

async fn follow(mut watcher: IfWatcher, answers: &Answers) -> std::io::Error {
    let mut addresses = Addresses::default();
    loop {
        match watcher.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return error,
            None => return std::io::ErrorKind::UnexpectedEof.into(),
        }
        while let Ok(Some(event)) = tokio::time::timeout(QUIET, watcher.next()).await {
            if let Err(error) = event {
                return error;
            }
        }
        if addresses.changed(watcher.iter().map(ipnet::IpNet::addr)) {
            answers.send(Answer::Event(Box::new(Event::NetworkChanged)));
        }
    }
}

/// The addresses this computer had when last looked at.
#[derive(Default)]
struct Addresses(Option<BTreeSet<IpAddr>>);

impl Addresses {
    /// Whether these are others than before. The first ones are no news; the computer's own loopback never is.
    fn changed(&mut self, now: impl Iterator<Item = IpAddr>) -> bool {
        let now: BTreeSet<IpAddr> = now.filter(|address| !address.is_loopback()).collect();
        let changed = self.0.as_ref().is_some_and(|before| *before != now);
        self.0 = Some(now);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_set_of_addresses_is_a_hint() {
        let mut addresses = Addresses::default();
        let set = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>().into_iter();
        assert!(!addresses.changed(set(&["127.0.0.1"])), "what was there at the start");
        assert!(!addresses.changed(set(&["127.0.0.1", "::1"])));
        assert!(addresses.changed(set(&["127.0.0.1", "192.0.2.7"])), "a network came");
        assert!(!addresses.changed(set(&["192.0.2.7", "127.0.0.1"])), "it came and went while nobody looked");
        assert!(addresses.changed(set(&["127.0.0.1", "198.51.100.4"])), "another network");
        assert!(addresses.changed(set(&["127.0.0.1"])), "it went");
    }

    #[tokio::test]
    async fn this_system_can_be_watched_or_says_why_not() {
        let mut watcher = match IfWatcher::new() {
            Ok(watcher) => watcher,
            Err(error) => return assert!(!error.to_string().is_empty()),
        };
        // A computer that can run this test has an address.
        assert!(matches!(watcher.next().await, Some(Ok(if_watch::IfEvent::Up(_)))));
    }
}
