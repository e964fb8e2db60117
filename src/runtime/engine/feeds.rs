//! The open live feeds. Each lives on a task of its own, so that closing one is ending its task.

use std::collections::HashMap;

use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::AbortHandle,
};

use super::leader::{Answer, Answers};
use crate::{
    model::ids::CollectionKey,
    remote::{FeedEvent, Remote},
    sync::{Event, effect::Ticket, event::FeedNews},
};

/// A feed that is open or being opened. Dropping it closes the connection.
struct Open {
    next: UnboundedSender<()>,
    task: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// By the ticket of their opening: a feed that opens late, after it was given up, meets nobody.
#[derive(Default)]
pub(super) struct Feeds(HashMap<Ticket, Open>);

impl Feeds {
    pub(super) fn open(
        &mut self,
        ticket: Ticket,
        collection: CollectionKey,
        since: Option<String>,
        remote: Remote,
        answers: Answers,
    ) {
        // Unbounded, but the machine asks once for each event it got.
        let (next, mut asked) = unbounded_channel::<()>();
        let task = tokio::spawn(async move {
            let (result, exchange) = remote.feed(&collection.collection, since.as_deref()).await;
            let (result, feed) = match result {
                Ok(feed) => (Ok(()), Some(feed)),
                Err(error) => (Err(error), None),
            };
            let opened = Event::FeedOpened { ticket, collection: collection.clone(), result, exchange };
            if !answers.send(Answer::Event(Box::new(opened))) {
                return;
            }
            let Some(mut feed) = feed else { return };
            while asked.recv().await.is_some() {
                let result = feed.next().await.map(news);
                let is_over = result.is_err();
                let event = Event::FeedMoved { ticket, collection: collection.clone(), result, bytes: feed.bytes() };
                if !answers.send(Answer::Event(Box::new(event))) || is_over {
                    return;
                }
            }
        });
        self.0.insert(ticket, Open { next, task: task.abort_handle() });
    }

    pub(super) fn ask(&self, ticket: Ticket) {
        if let Some(open) = self.0.get(&ticket) {
            // A task that ended has sent its last word before.
            let _ = open.next.send(());
        }
    }

    pub(super) fn close(&mut self, ticket: Ticket) {
        self.0.remove(&ticket);
    }
}

fn news(event: FeedEvent) -> FeedNews {
    match event {
        FeedEvent::Everything(records) => FeedNews::Everything(records),
        FeedEvent::Changes(changes) => FeedNews::Changes(changes),
        FeedEvent::Touched(ids) => FeedNews::Touched(ids),
        FeedEvent::KeepAlive => FeedNews::KeepAlive,
        FeedEvent::Cancelled(reason) => FeedNews::Cancelled(reason),
        FeedEvent::Unauthorized => FeedNews::Unauthorized,
    }
}
