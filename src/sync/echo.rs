//! What we wrote ourselves while a reading was under way: keeps an older reading from covering a newer base.
//!
//! A page, a snapshot or a live event may have been read by the server before a write of ours that is acknowledged by
//! now. Firebase's readings carry no revision to tell, so the lane remembers its own acknowledged documents for as
//! long as some reading of the collection is open.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use serde_json::Value;

use crate::model::{
    ids::RecordId,
    json::Fingerprint,
    wire::{RemoteChange, RemoteRecord},
};

/// A live feed that has not shown an echo for this long will not.
const KEEP: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
struct Echo {
    /// Monotonic time of the newest acknowledgement.
    at: Duration,
    /// The server's text as of that acknowledgement; `None`: deleted.
    latest: Option<String>,
    print: Option<Fingerprint>,
    /// Its echo was heard: it came before the answer.
    is_heard: bool,
    /// Fingerprints of earlier writes whose echo may still come.
    older: Vec<Option<Fingerprint>>,
    /// Somebody else's change was heard since: what looks like an echo may be theirs too, bringing our text back.
    is_overtaken: bool,
}

/// What looked like the echo of a write that is not answered yet.
#[derive(Debug, Clone)]
struct Early {
    print: Option<Fingerprint>,
    /// The record was asked for, because the write ended without an answer that says what is there.
    is_asked: bool,
}

/// The own writes of one collection.
#[derive(Debug, Clone, Default)]
pub(super) struct Echoes {
    by_id: HashMap<RecordId, Echo>,
    early: HashMap<RecordId, Early>,
    /// Looked through again when there are more than this: each is looked at a few times, however many there are.
    tidy_from: usize,
}

/// What to do with a change a live feed brought.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Heard {
    /// Ours, or older than ours: nothing to do.
    Echo,
    /// Somebody else's, but perhaps from before our own write: ask for the record.
    Unclear,
    /// Somebody else's.
    News(RemoteChange),
}

impl Echoes {
    pub(super) fn note(&mut self, id: &RecordId, document: Option<&Value>, now: Duration) {
        let print = document.map(Fingerprint::of);
        let latest = document.map(Value::to_string);
        let is_heard = self.early.remove(id).is_some_and(|early| early.print == print);
        let mut older = match self.by_id.remove(id) {
            Some(mut echo) if !echo.is_overtaken => {
                echo.older.extend((!echo.is_heard).then_some(echo.print));
                echo.older
            }
            _ => Vec::new(),
        };
        if is_heard {
            // Echoes come in the order of the writes.
            older.clear();
        }
        self.by_id.insert(id.clone(), Echo { at: now, latest, print, is_heard, older, is_overtaken: false });
    }

    /// Records whose write was taken for heard and ended without an answer that says what is there: it may have been
    /// somebody else's.
    pub(super) fn unanswered(&mut self, is_working_on: impl Fn(&RecordId) -> bool) -> Vec<RecordId> {
        let ended = self.early.iter_mut().filter(|(id, early)| !early.is_asked && !is_working_on(id));
        let ask = |(id, early): (&RecordId, &mut Early)| {
            early.is_asked = true;
            id.clone()
        };
        ended.map(ask).collect()
    }

    /// What we wrote since a reading began: it may not have seen that.
    pub(super) fn written_since(&self, began: Duration) -> impl Iterator<Item = &RecordId> {
        self.by_id.iter().filter(move |(_, echo)| echo.at >= began).map(|(id, _)| id)
    }

    /// No reading is open any more, or none that began before that. `is_live`: the oldest is a feed that has shown what was
    /// there before.
    pub(super) fn forget(&mut self, now: Duration, oldest_reading: Option<Duration>, is_live: bool) {
        match oldest_reading {
            None => {
                self.by_id.clear();
                self.early.clear();
            }
            Some(began) if self.by_id.len() > self.tidy_from.max(64) => {
                let keep_from = if is_live { began.max(now.saturating_sub(KEEP)) } else { began };
                self.by_id.retain(|_, echo| echo.at >= keep_from);
                self.tidy_from = self.by_id.len() * 2;
            }
            Some(_) => {}
        }
    }

    /// Corrects rows that were read from `began` on: where we wrote since, our own text stands in their place, or nothing
    /// where we deleted it. A row that says otherwise is from before that, or somebody else's from after it, of which no
    /// other news may come: it is `unclear`, to be asked for.
    pub(super) fn correct(
        &self,
        rows: impl IntoIterator<Item = RemoteChange>,
        began: Duration,
        unclear: &mut BTreeSet<RecordId>,
    ) -> Vec<RemoteChange> {
        let corrected = rows.into_iter().filter_map(|change| {
            let id = change.id();
            let Some(echo) = self.by_id.get(id).filter(|echo| echo.at >= began) else { return Some(change) };
            if print_of(&change) != echo.print {
                unclear.insert(id.clone());
            }
            let text = echo.latest.clone()?;
            Some(RemoteChange::Upsert(RemoteRecord { id: id.clone(), revision: None, text }))
        });
        corrected.collect()
    }

    /// What we wrote since a reading of everything began and it did not bring: it is from before that, or somebody removed
    /// the record since.
    pub(super) fn not_in(&self, records: &[RemoteRecord], began: Duration) -> Vec<RecordId> {
        let ours = self.by_id.iter().filter(|(_, echo)| echo.at >= began && echo.latest.is_some());
        let mut ours: HashSet<&RecordId> = ours.map(|(id, _)| id).collect();
        for record in records {
            ours.remove(&record.id);
        }
        ours.into_iter().cloned().collect()
    }

    /// Tells our own echoes in a live feed from news. `sent` is the document on its way right now, where there is one: its
    /// echo may come before its answer, and is then none a second time. `is_read` says that the record is being fetched:
    /// then the write is remembered beyond its echo, because the answer may be older.
    pub(super) fn hear(&mut self, change: RemoteChange, sent: Option<Option<&Value>>, is_read: bool) -> Heard {
        let id = change.id();
        let known = self.by_id.contains_key(id);
        if !known && sent.is_none() {
            return Heard::News(change);
        }
        let print = print_of(&change);
        if let Some(echo) = self.by_id.get_mut(id).filter(|echo| !echo.is_overtaken) {
            if echo.print == print && !echo.is_heard {
                (echo.is_heard, echo.older) = (true, Vec::new());
                if sent.is_none() && !is_read {
                    self.by_id.remove(&id.clone());
                }
                return Heard::Echo;
            }
            if let Some(position) = echo.older.iter().position(|older| *older == print) {
                echo.older.drain(..=position);
                return Heard::Echo;
            }
        }
        let is_early = !self.early.contains_key(id) && sent.is_some_and(|sent| sent.map(Fingerprint::of) == print);
        if is_early {
            self.early.insert(id.clone(), Early { print, is_asked: false });
            return Heard::Echo;
        }
        if let Some(echo) = self.by_id.get_mut(id) {
            echo.is_overtaken = true;
        }
        Heard::Unclear
    }
}

fn print_of(change: &RemoteChange) -> Option<Fingerprint> {
    match change {
        RemoteChange::Upsert(record) => {
            serde_json::from_str::<Value>(&record.text).ok().map(|value| Fingerprint::of(&value))
        }
        RemoteChange::Tombstone { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn put(text: &str) -> RemoteChange {
        RemoteChange::Upsert(RemoteRecord { id: "r".into(), revision: None, text: text.to_owned() })
    }

    #[test]
    fn an_old_echo_does_not_cover_a_newer_acknowledgement() {
        let mut echoes = Echoes::default();
        echoes.note(&"r".into(), Some(&json!({"n": 1})), Duration::from_secs(1));
        echoes.note(&"r".into(), Some(&json!({"n": 2})), Duration::from_secs(2));
        assert_eq!(echoes.hear(put(r#"{"n":1}"#), None, false), Heard::Echo);
        assert_eq!(echoes.hear(put(r#"{"n":2}"#), None, false), Heard::Echo);
        assert_eq!(echoes.hear(put(r#"{"n":1}"#), None, false), Heard::News(put(r#"{"n":1}"#)), "somebody put it back");
    }

    #[test]
    fn a_foreign_change_beside_our_own_is_looked_up() {
        let mut echoes = Echoes::default();
        echoes.note(&"r".into(), Some(&json!({"n": 2})), Duration::from_secs(2));
        assert_eq!(echoes.hear(put(r#"{"n":7}"#), None, false), Heard::Unclear);
        let sent = json!({"n": 3});
        assert_eq!(echoes.hear(put(r#"{"n":3}"#), Some(Some(&sent)), false), Heard::Echo);
    }

    #[test]
    fn our_own_text_brought_back_by_somebody_else_is_looked_up() {
        let mut echoes = Echoes::default();
        echoes.note(&"r".into(), Some(&json!({"n": 2})), Duration::from_secs(2));
        assert_eq!(echoes.hear(put(r#"{"n":7}"#), None, false), Heard::Unclear);
        assert_eq!(echoes.hear(put(r#"{"n":2}"#), None, false), Heard::Unclear);
    }

    #[test]
    fn an_echo_before_its_answer_is_none_a_second_time() {
        let (one, two) = (json!({"n": 1}), json!({"n": 2}));
        let mut echoes = Echoes::default();
        for (document, at) in [(&one, 1), (&two, 2)] {
            assert_eq!(echoes.hear(put(&document.to_string()), Some(Some(document)), false), Heard::Echo);
            echoes.note(&"r".into(), Some(document), Duration::from_secs(at));
        }
        let mut others = echoes.clone();
        assert_eq!(echoes.hear(put(r#"{"n":1}"#), None, false), Heard::Unclear, "somebody put the first one back");
        assert_eq!(others.hear(put(r#"{"n":2}"#), None, false), Heard::Unclear, "somebody put the second one back");
    }

    #[test]
    fn an_echo_before_its_answer_is_remembered_beyond_anothers_change() {
        let ours = json!({"n": 1});
        let mut echoes = Echoes::default();
        assert_eq!(echoes.hear(put(r#"{"n":1}"#), Some(Some(&ours)), false), Heard::Echo);
        assert_eq!(echoes.hear(put(r#"{"n":7}"#), Some(Some(&ours)), false), Heard::Unclear);
        echoes.note(&"r".into(), Some(&ours), Duration::from_secs(1));
        assert_eq!(echoes.hear(put(r#"{"n":1}"#), None, false), Heard::Unclear);
    }

    #[test]
    fn what_was_taken_for_an_echo_is_asked_for_once_where_the_write_ends_without_an_answer() {
        let ours = json!({"n": 1});
        let mut echoes = Echoes::default();
        assert_eq!(echoes.hear(put(r#"{"n":1}"#), Some(Some(&ours)), false), Heard::Echo);
        assert_eq!(echoes.unanswered(|_| true), Vec::<RecordId>::new());
        assert_eq!(echoes.unanswered(|_| false), [RecordId::from("r")]);
        assert_eq!(echoes.unanswered(|_| false), Vec::<RecordId>::new());
    }

    #[test]
    fn what_an_open_reading_needs_is_kept_however_long_it_takes() {
        let seconds = Duration::from_secs;
        let mut echoes = Echoes::default();
        for record in 0..200 {
            echoes.note(&format!("r{record}").into(), Some(&json!(record)), seconds(record));
        }
        echoes.forget(seconds(500), Some(seconds(100)), false);
        assert_eq!(echoes.written_since(Duration::ZERO).count(), 100, "what it began after");
        echoes.tidy_from = 0;
        echoes.forget(seconds(200), Some(seconds(100)), true);
        assert_eq!(echoes.written_since(Duration::ZERO).count(), 60, "a live feed has shown them all by now");
    }

    #[test]
    fn a_page_read_before_our_write_shows_our_write() {
        let mut echoes = Echoes::default();
        echoes.note(&"r".into(), Some(&json!({"n": 2})), Duration::from_secs(5));
        let correct = |echoes: &Echoes, text: &str, began: u64| {
            let mut unclear = BTreeSet::new();
            let rows = echoes.correct([put(text)], Duration::from_secs(began), &mut unclear);
            (rows, unclear.len())
        };
        assert_eq!(correct(&echoes, r#"{"n":1}"#, 4), (vec![put(r#"{"n":2}"#)], 1), "older than ours, or newer");
        assert_eq!(correct(&echoes, r#"{"n":2}"#, 4), (vec![put(r#"{"n":2}"#)], 0), "ours");
        assert_eq!(correct(&echoes, r#"{"n":9}"#, 6), (vec![put(r#"{"n":9}"#)], 0), "read after ours");
        echoes.note(&"r".into(), None, Duration::from_secs(7));
        assert_eq!(correct(&echoes, r#"{"n":1}"#, 4), (Vec::new(), 1), "deleted by us, or made anew since");
    }
}
