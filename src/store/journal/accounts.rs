//! Who made an edit, and who may send it.
//!
//! An edit is stamped with the account that was signed in at its source last. **Invariant:** an edit of another account is
//! not claimed: it waits in `auth` until that account is back, or the user confirms that this one sends it. An edit made
//! before anybody was known belongs to whoever comes first.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{
    model::{
        activity::{Activity, Severity},
        ids::{RecordId, Seq, SourceName},
        op::{OpError, OpState},
        sync_status::{Account, Foreign},
        time::Timestamp,
    },
    store::{
        error::Result,
        journal::{Journal, Place, activity, shadow},
    },
};

/// A pending op `o` of somebody else than the account `a` of its source.
const FOREIGN: &str = "o.author <> '' AND o.author <> a.principal AND o.confirmed_as IS NOT a.principal";

/// This account is signed in now. Ops of others that could have gone wait; answers how many.
pub(in crate::store) fn sign_in(journal: &Journal, source: &SourceName, principal: &str, at: Timestamp) -> Result<u64> {
    journal
        .connection
        .prepare_cached(
            "INSERT INTO accounts (source, principal, since) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE \
             SET since = CASE WHEN principal = excluded.principal THEN since ELSE excluded.since END, \
                 principal = excluded.principal",
        )?
        .execute(params![source.as_str(), principal, at.0])?;
    let foreign = select(journal, source, "o.state IN ('queued', 'in_doubt')")?;
    for (place, seq, author) in &foreign {
        park(journal, place, *seq, author, principal, at)?;
    }
    if !foreign.is_empty() {
        let text =
            format!("{} of another account wait at `{source}`: you are signed in as {principal}", changes(&foreign));
        let hint = format!("confirm them in the outbox, or with `ebbtide outbox confirm --source {source}`");
        activity::note(journal, &[Activity::new(at, Severity::Warning, "outbox", text).with_hint(hint)])?;
    }
    Ok(foreign.len() as u64)
}

/// The user lets the account of today send what another one made. Answers how many ops may go.
pub(in crate::store) fn confirm(journal: &Journal, source: &SourceName, at: Timestamp) -> Result<u64> {
    let foreign = select(journal, source, "o.state IN ('auth', 'queued', 'held', 'blocked', 'in_doubt')")?;
    for (place, seq, _) in &foreign {
        journal
            .connection
            .prepare_cached(
                "UPDATE ops SET confirmed_as = (SELECT principal FROM accounts WHERE source = ?2), last_error = NULL, \
                 state = CASE WHEN state <> 'auth' THEN state WHEN was_in_doubt THEN 'in_doubt' ELSE 'queued' END \
                 WHERE seq = ?1",
            )?
            .execute(params![seq.0, source.as_str()])?;
        journal.settle_order(place, at)?;
        shadow::restate(journal, place)?;
    }
    if !foreign.is_empty() {
        let text = format!("{} of another account may go to `{source}` now: you confirmed it", changes(&foreign));
        activity::note(journal, &[Activity::new(at, Severity::Info, "outbox", text)])?;
    }
    Ok(foreign.len() as u64)
}

/// An op that was made out of another by the program goes under the same consent: the user was asked once.
pub(in crate::store) fn inherit(journal: &Journal, from: Seq, to: Seq) -> Result<()> {
    journal
        .connection
        .prepare_cached("UPDATE ops SET confirmed_as = (SELECT confirmed_as FROM ops WHERE seq = ?1) WHERE seq = ?2")?
        .execute((from.0, to.0))?;
    Ok(())
}

/// An op takes another over: it goes under a consent only where both do.
pub(in crate::store) fn share(journal: &Journal, seq: Seq, with: Seq) -> Result<()> {
    journal
        .connection
        .prepare_cached(
            "UPDATE ops SET confirmed_as = NULL WHERE seq = ?1 \
             AND confirmed_as IS NOT (SELECT confirmed_as FROM ops WHERE seq = ?2)",
        )?
        .execute((seq.0, with.0))?;
    Ok(())
}

/// Whether an op must wait for another account; parks it if so. Asked by the claim.
pub(in crate::store) fn keeps_back(
    journal: &Journal,
    place: &Place,
    (seq, author): (Seq, &str),
    at: Timestamp,
) -> Result<bool> {
    if author.is_empty() {
        return Ok(false);
    }
    let found: Option<(String, String)> = journal
        .connection
        .prepare_cached(&format!(
            "SELECT o.author, a.principal FROM ops o JOIN collections c ON c.id = o.collection \
             JOIN accounts a ON a.source = c.source WHERE o.seq = ?1 AND {FOREIGN}"
        ))?
        .query_row([seq.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((author, principal)) = found else { return Ok(false) };
    park(journal, place, seq, &author, &principal, at)?;
    Ok(true)
}

fn park(journal: &Journal, place: &Place, seq: Seq, author: &str, principal: &str, at: Timestamp) -> Result<()> {
    let error = OpError { at, status: None, message: format!("made as {author}, signed in as {principal}") };
    journal
        .connection
        .prepare_cached(
            "UPDATE ops SET was_in_doubt = (was_in_doubt OR state = 'in_doubt'), state = ?2, last_error = ?3, \
             next_attempt_at = NULL WHERE seq = ?1",
        )?
        .execute(params![seq.0, OpState::Auth.word(), serde_json::to_string(&error).expect("errors are plain JSON")])?;
    journal.settle_order(place, at)?;
    shadow::restate(journal, place)
}

fn select(journal: &Journal, source: &SourceName, states: &str) -> Result<Vec<(Place, Seq, String)>> {
    let mut select = journal.connection.prepare_cached(&format!(
        "SELECT o.collection, o.key, o.record, o.seq, o.author FROM ops o JOIN collections c ON c.id = o.collection \
         JOIN accounts a ON a.source = c.source WHERE c.source = ?1 AND o.settled_at IS NULL AND {states} AND {FOREIGN}"
    ))?;
    let found = select.query_map([source.as_str()], |row| {
        let place = Place { collection: row.get(0)?, key: row.get(1)?, id: RecordId(row.get(2)?) };
        Ok((place, Seq(row.get(3)?), row.get(4)?))
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn changes(found: &[(Place, Seq, String)]) -> String {
    match found.len() {
        1 => "1 change".to_owned(),
        n => format!("{n} changes"),
    }
}

/// Every known account, with what waits for others at its source.
pub(in crate::store) fn all(connection: &Connection) -> Result<Vec<(SourceName, Account)>> {
    let mut select = connection.prepare_cached("SELECT source, principal FROM main.accounts ORDER BY source")?;
    let known = select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let mut accounts = Vec::new();
    for row in known {
        let (source, principal) = row?;
        let mut select = connection.prepare_cached(&format!(
            "SELECT o.author, count(*) FROM main.ops o JOIN main.collections c ON c.id = o.collection \
             JOIN main.accounts a ON a.source = c.source \
             WHERE c.source = ?1 AND o.settled_at IS NULL AND o.state = 'auth' AND {FOREIGN} \
             GROUP BY o.author ORDER BY o.author"
        ))?;
        let foreign = select.query_map([&source], |row| {
            Ok(Foreign { author: row.get(0)?, ops: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0) })
        })?;
        let foreign = foreign.collect::<rusqlite::Result<_>>()?;
        accounts.push((source.as_str().into(), Account { principal: Some(principal), foreign }));
    }
    Ok(accounts)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use serde_json::json;

    use super::*;
    use crate::{
        model::{
            edit,
            ids::{CollectionKey, OpId},
            op::{NewOp, OpKind, Precondition},
            time::{At, Clock},
        },
        store::{Claim, OpenMode, QueueEdit, Store},
    };

    #[derive(Default)]
    struct Ticking(AtomicU64);

    impl Clock for Ticking {
        fn at(&self) -> At {
            At::test(self.0.fetch_add(1, Ordering::Relaxed))
        }
    }

    struct World {
        _dir: tempfile::TempDir,
        store: Store,
        made: u64,
    }

    impl World {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path(), OpenMode::ReadWrite, Arc::new(Ticking::default())).unwrap();
            Self { _dir: dir, store, made: 0 }
        }

        fn create(&mut self, id: &str) -> Seq {
            self.made += 1;
            let document = Some(json!({"n": self.made}));
            let op = NewOp {
                op_id: OpId::new(&At::test(1_000 + self.made)),
                record: CollectionKey::new("s", "c").record(id),
                kind: OpKind::Create,
                changes: edit::diff(None, document.as_ref()),
                document,
                base: None,
                base_revision: None,
                created_at: At::test(self.made).wall,
                author: String::new(),
            };
            self.store.queue(QueueEdit { op, draft: None, session: None, activity: None }).wait().unwrap().seq
        }

        fn sign_in(&self, who: &str) -> u64 {
            self.store.sign_in("s".into(), who.to_owned(), At::test(50).wall).wait().unwrap()
        }

        fn op(&self, seq: Seq) -> crate::model::op::Op {
            self.store.reader().unwrap().outbox(&[], None, 100).unwrap().into_iter().find(|op| op.seq == seq).unwrap()
        }

        fn claim(&self, seq: Seq) -> bool {
            let op = self.op(seq);
            let claim = Claim {
                known: None,
                head: seq,
                absorbs: Vec::new(),
                kind: op.kind,
                sent_document: op.document,
                precondition: Precondition::Absent,
                request_hash: "hash".to_owned(),
                at: At::test(60).wall,
            };
            self.store.claim(claim).wait().unwrap().is_some()
        }

        fn account(&self) -> Account {
            self.store.reader().unwrap().accounts().unwrap().into_iter().next().map(|(_, account)| account).unwrap()
        }
    }

    #[test]
    fn an_edit_is_made_by_whoever_was_signed_in_last_and_waits_for_another_until_it_is_confirmed() {
        let mut world = World::new();
        let nobodys = world.create("a");
        world.sign_in("ann");
        let anns = world.create("b");
        assert_eq!((world.op(nobodys).author.as_str(), world.op(anns).author.as_str()), ("", "ann"));
        assert_eq!(world.sign_in("ann"), 0, "her own edits do not wait");
        assert_eq!(world.sign_in("bob"), 1);
        let waiting = world.op(anns);
        assert_eq!(waiting.state, OpState::Auth);
        assert_eq!(waiting.last_error.map(|error| error.message), Some("made as ann, signed in as bob".to_owned()));
        assert_eq!(waiting.attempts, 0);
        assert_eq!(world.op(nobodys).state, OpState::Queued, "what nobody made goes with the first who comes");
        assert_eq!(world.account().foreign, [Foreign { author: "ann".to_owned(), ops: 1 }]);
        assert_eq!(world.store.release_auth("s".into()).wait().unwrap(), 0, "good credentials are no consent");
        assert_eq!(world.store.confirm_author("s".into(), At::test(70).wall).wait().unwrap(), 1);
        assert_eq!(world.op(anns).state, OpState::Queued);
        assert!(world.account().foreign.is_empty());
        assert_eq!(world.sign_in("bob"), 0, "asked once");
        assert!(world.claim(anns));
    }

    #[test]
    fn the_one_who_made_it_comes_back_and_it_goes() {
        let mut world = World::new();
        world.sign_in("ann");
        let anns = world.create("a");
        world.sign_in("bob");
        assert_eq!(world.op(anns).state, OpState::Auth);
        world.sign_in("ann");
        assert_eq!(world.store.release_auth("s".into()).wait().unwrap(), 1);
        assert!(world.claim(anns));
    }

    #[test]
    fn the_claim_itself_keeps_an_edit_of_another_account_back() {
        let mut world = World::new();
        world.sign_in("ann");
        let anns = world.create("a");
        world.sign_in("bob");
        // Somebody retries it: that is no consent either.
        world.store.command(vec![anns], crate::model::op::OpCommand::Retry, At::test(80).wall).wait().unwrap();
        assert_eq!(world.op(anns).state, OpState::Queued);
        assert!(!world.claim(anns));
        assert_eq!(world.op(anns).state, OpState::Auth);
    }

    #[test]
    fn a_doubt_outlives_the_wait_for_an_account() {
        let mut world = World::new();
        world.sign_in("ann");
        let anns = world.create("a");
        assert!(world.claim(anns));
        world.store.recover_in_flight(At::test(90).wall).wait().unwrap();
        assert_eq!(world.sign_in("bob"), 1);
        assert_eq!((world.op(anns).state, world.op(anns).was_in_doubt), (OpState::Auth, true));
        world.store.confirm_author("s".into(), At::test(95).wall).wait().unwrap();
        assert_eq!((world.op(anns).state, world.op(anns).was_in_doubt), (OpState::InDoubt, true));
        assert!(world.claim(anns), "the identical write is repeated");
    }

    #[test]
    fn bytes_add_up_and_a_switch_stays() {
        use crate::model::spend::{Spent, SpentRow};
        let world = World::new();
        let row = |day, received| SpentRow {
            day,
            source: "s".into(),
            collection: Some("c".into()),
            spent: Spent { sent: 1, received },
        };
        world.store.add_spent(vec![row(100, 10)]).wait().unwrap();
        world.store.add_spent(vec![row(100, 5), row(131, 7)]).wait().unwrap();
        let mut reader = world.store.reader().unwrap();
        assert_eq!(reader.spent(131).unwrap(), [row(131, 7)]);
        assert_eq!(reader.spent(100).unwrap(), [], "a month later nobody asks");
        assert_eq!(reader.forced_offline().unwrap(), None);
        world.store.force_offline(Some(At::test(5).wall)).wait().unwrap();
        world.store.force_offline(Some(At::test(9).wall)).wait().unwrap();
        assert_eq!(reader.forced_offline().unwrap(), Some(At::test(5).wall));
        world.store.force_offline(None).wait().unwrap();
        assert_eq!(reader.forced_offline().unwrap(), None);
    }
}
