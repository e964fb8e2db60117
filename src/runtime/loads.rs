//! The reading thread of the dashboard: answers the app's needs off the event loop.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use tokio::sync::mpsc::UnboundedSender;

use crate::{
    app::{
        effect::{Need, Ticket},
        event::{Event, Found},
        panes::{drafts::DraftRow, editor::check::Terms},
    },
    model::{ids::CollectionKey, op::OpState, vault::VaultQuery},
    runtime::plan::Planner,
    store::{Reader, StoreError},
    sync::position,
};

/// How long one question may take before it answers with what it has.
const DEADLINE: Duration = Duration::from_millis(250);

/// A handle to the reading thread; the thread ends when it is dropped.
pub struct Loader {
    questions: mpsc::Sender<(Ticket, Need)>,
}

impl Loader {
    /// Starts the thread with a reader of its own. Answers go to `events`.
    pub fn start(
        mut reader: Reader,
        keys: Vec<CollectionKey>,
        planner: Planner,
        events: UnboundedSender<Event>,
    ) -> Self {
        let (questions, incoming) = mpsc::channel::<(Ticket, Need)>();
        let serve = move || {
            while let Ok((ticket, need)) = incoming.recv() {
                let event = match answer(&mut reader, &keys, &planner, &need) {
                    Ok(found) => Event::Loaded { ticket, found },
                    Err(error) => Event::LoadFailed { ticket, message: error.to_string() },
                };
                if events.send(event).is_err() {
                    break;
                }
            }
        };
        std::thread::Builder::new().name("reader".to_owned()).spawn(serve).expect("a thread can be started");
        Self { questions }
    }

    pub fn ask(&self, ticket: Ticket, need: Need) {
        if self.questions.send((ticket, need)).is_err() {
            tracing::error!("the reading thread is gone");
        }
    }
}

/// Answers one need from local data.
pub fn answer(
    reader: &mut Reader,
    keys: &[CollectionKey],
    planner: &Planner,
    need: &Need,
) -> Result<Found, StoreError> {
    Ok(match need {
        Need::Window { query, anchor, limit } => {
            Found::Window(Box::new(reader.window(query, anchor, *limit, DEADLINE)?))
        }
        Need::Rank { query, id } => {
            let (rank, matching) = reader.rank(query, id, DEADLINE)?;
            Found::Rank(rank, matching)
        }
        Need::Record(key) => Found::Record(Arc::new(reader.record(key)?)),
        Need::Shown(key) => Found::Record(Arc::new(reader.shown(key)?)),
        Need::Overview => {
            let mut overview = reader.overview(keys)?;
            for collection in &mut overview {
                let position = position(collection.checkpoint.as_deref());
                collection.asks = position.guard.is_some() && !position.is_detached;
            }
            Found::Overview(overview)
        }
        Need::Outbox { after, limit, history } => {
            let pending: Vec<OpState> = OpState::ALL.into_iter().filter(|state| state.is_pending()).collect();
            let settled: Vec<OpState> = OpState::ALL.into_iter().filter(|state| !state.is_pending()).collect();
            let ops = reader.outbox(&pending, *after, *limit)?;
            let history = if *history == 0 { Vec::new() } else { reader.outbox(&settled, None, *history)? };
            Found::Outbox { ops, history, counts: reader.counts()? }
        }
        Need::Op(seq) => Found::Op(reader.op(*seq)?.map(Box::new)),
        Need::Plan(seq) => Found::Plan(planner.of_op(reader, *seq)?.map(Box::new)),
        Need::Vault { text, limit } => {
            let query = VaultQuery { text: text.clone(), ..VaultQuery::default() };
            Found::Vault(reader.vault_search(&query, None, *limit)?)
        }
        Need::KeptVersion(id) => Found::KeptVersion(reader.kept_version(*id)?.map(Box::new)),
        Need::Conflicts => Found::Conflicts(reader.conflicts(false)?),
        Need::Drafts { limit } => {
            let (listed, total) = reader.draft_list(*limit)?;
            let mut rows = Vec::with_capacity(listed.len());
            for (number, key) in listed {
                let view = reader.record(&key.record)?;
                let terms = Terms::of(planner.spec(&key.record.collection.source), &key.record.collection);
                let draft = view.drafts.iter().find(|draft| draft.key == key);
                rows.extend(draft.map(|draft| DraftRow::of(number, draft, &view, &terms)));
            }
            Found::Drafts(rows, total)
        }
        Need::Activity { before, limit } => Found::Activity(reader.activity(*before, *limit)?),
        Need::Sessions => Found::Sessions(reader.sessions()?),
        Need::Moments(session) => Found::Moments(reader.moments(session)?, reader.drafts()?),
    })
}
