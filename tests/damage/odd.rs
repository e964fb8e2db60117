//! Values of the wrong kind in a file that is sound as a database.

use ebbtide::{
    model::op::OpState,
    store::{OpenMode, Store},
};
use rusqlite::Connection;

use crate::place::{Maker, clock, session, start, tasks, works};

/// (table, column) of the journal.
fn columns(connection: &Connection) -> Vec<(String, String)> {
    let mut select = connection
        .prepare(
            "SELECT t.name, c.name FROM pragma_table_list t, pragma_table_info(t.name) c WHERE t.type = 'table' \
             AND t.schema = 'main' AND t.name NOT LIKE 'sqlite%' AND t.name NOT LIKE 'shadow%' ORDER BY 1, 2",
        )
        .unwrap();
    select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_value_of_the_wrong_kind_costs_at_most_its_row() {
    let image = Maker::new().everything().quit();
    let all = {
        let dir = image.lay_out("", None);
        columns(&Connection::open(dir.path().join("journal.db")).unwrap())
    };
    assert!(all.len() > 60, "{all:?}");
    for (table, column) in all {
        for value in ["x'00ff01'", "'text'", "-9223372036854775808"] {
            let dir = image.lay_out("", None);
            let connection = Connection::open(dir.path().join("journal.db")).unwrap();
            connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
            let key = if ["meta", "sessions", "switches", "spent", "accounts", "op_counts"].contains(&table.as_str()) {
                format!("\"{column}\" = (SELECT min(\"{column}\") FROM {table})")
            } else {
                format!("rowid = (SELECT min(rowid) FROM {table})")
            };
            let changed = connection.execute(&format!("UPDATE {table} SET \"{column}\" = {value} WHERE {key}"), []);
            drop(connection);
            // Keys and what must not be absent cannot take every value.
            let Ok(_) = changed else { continue };
            let what = format!("{table}.{column} = {value}");
            // The screen's questions are answered before anything is mended.
            let store = Store::open(dir.path(), OpenMode::ReadWrite, clock()).unwrap_or_else(|e| panic!("{what}: {e}"));
            let mut reader = store.reader().unwrap();
            let ops = reader.outbox(&OpState::ALL, None, 1_000).unwrap_or_else(|error| panic!("{what}: {error}"));
            let least = if table == "collections" { 0 } else { image.had.ops.len() - 2 };
            assert!(ops.len() >= least, "{what}: {} of {}", ops.len(), image.had.ops.len());
            let asked = [
                reader.drafts().map(drop),
                reader.conflicts(true).map(drop),
                reader.vault_list(None, None, 100).map(drop),
                reader.sessions().map(drop),
                reader.activity(None, 100).map(drop),
                reader.overview(&[tasks()]).map(drop),
                reader.commit_requests().map(drop),
                reader.guards().map(drop),
                reader.counts().map(drop),
                reader.session(&session()).map(drop),
                reader.collections().map(drop),
            ];
            for (index, answer) in asked.into_iter().enumerate() {
                answer.unwrap_or_else(|error| panic!("{what}, question {index}: {error}"));
            }
            drop(reader);
            store.begin_session(&session(), false).wait().unwrap_or_else(|error| panic!("{what}: {error}"));
            drop(store);
            let found = works(start(dir.path(), &what), &what);
            let (ops, drafts) = (
                image.had.ops.len() - found.ops.len().min(image.had.ops.len()),
                image.had.drafts.len() - found.drafts.len(),
            );
            assert!(ops <= 2 && drafts <= 1, "{what}: {ops} edits and {drafts} drafts are lost");
        }
    }
}

/// The number of a typed key names its draft and its place, beside the columns: one of them is enough.
#[test]
fn a_typed_key_that_stands_in_no_draft_goes_back_into_its_own() {
    let image = Maker::new().everything().quit();
    let all = |edits: &[String]| edits.iter().enumerate().all(|(n, edit)| edit.ends_with(&format!("edit {n}")));
    for wrong in ["id = -5", "id = 999 << 32", "draft = 999", "draft = draft + 1"] {
        let dir = image.lay_out("", None);
        let connection = Connection::open(dir.path().join("journal.db")).unwrap();
        let first = "(SELECT min(id) + 1 FROM draft_edits)";
        connection.execute(&format!("UPDATE draft_edits SET {wrong} WHERE id = {first}"), []).unwrap();
        drop(connection);
        let found = works(start(dir.path(), wrong), wrong);
        found.assert_has(&image.had, wrong, |_| false);
        assert!(found.drafts.iter().all(|draft| all(&draft.edits)), "{wrong}: {:?}", found.drafts);
    }
}
