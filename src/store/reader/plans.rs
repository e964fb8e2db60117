//! The plans of the questions that must not grow with the collection, and the schema they rest on, as snapshots.

use std::sync::Arc;

use crate::{
    model::time::{At, Clock},
    store::{
        OpenMode, Reader, Store,
        journal::{claims, ops, shadow},
        mirror::sweeps::VANISHED,
        reader::{
            item::{BASE, SHADOW},
            outbox::{LATEST, NEXT, PENDING, READY, SETTLED},
            scan::{Way, range_statement, sorted_statement},
        },
    },
};

struct Still;

impl Clock for Still {
    fn at(&self) -> At {
        At::test(0)
    }
}

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/schema"));
    settings.set_prepend_module_to_snapshot(false);
    settings
}

fn reader() -> (tempfile::TempDir, Reader) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), OpenMode::ReadWrite, Arc::new(Still)).unwrap();
    let reader = store.reader().unwrap();
    (dir, reader)
}

fn plan(reader: &Reader, statement: &str) -> String {
    let mut explain = reader.connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
    let count = explain.parameter_count();
    let lines = explain
        .query_map(rusqlite::params_from_iter(vec![rusqlite::types::Null; count]), |row| row.get::<_, String>(3))
        .unwrap()
        .collect::<rusqlite::Result<Vec<_>>>()
        .unwrap();
    lines.join("\n")
}

#[test]
fn no_question_of_a_page_scans_or_counts_off() {
    let (_dir, reader) = reader();
    let of_ops = |condition: &str| {
        format!(
            "SELECT {} FROM main.ops o JOIN main.collections c ON c.id = o.collection WHERE {condition}",
            ops::COLUMNS
        )
    };
    let questions = [
        ("records forward", range_statement("m.records", BASE, false, false, Way::Up)),
        ("records backward", range_statement("m.records", BASE, true, true, Way::Down)),
        ("pending records forward", range_statement("main.shadow", SHADOW, false, false, Way::Up)),
        ("pending records backward", range_statement("main.shadow", SHADOW, true, true, Way::Down)),
        ("sorted from the start", sorted_statement(Way::Up, None)),
        ("sorted forward", sorted_statement(Way::Up, Some(false))),
        ("sorted backward", sorted_statement(Way::Down, Some(true))),
        ("a record by its number", "SELECT body FROM m.records WHERE change = ?1 AND +collection = ?2".to_owned()),
        ("unfed records", "SELECT change FROM m.records WHERE change > ?1 AND +collection = ?2 LIMIT ?3".to_owned()),
        ("the next changes to send", READY.to_owned()),
        ("the next attempt", NEXT.to_owned()),
        ("the outbox", of_ops(&format!("{PENDING} ORDER BY o.place, o.seq LIMIT ?3"))),
        ("the changes that went", of_ops(&format!("{SETTLED} {LATEST} LIMIT ?3"))),
        (
            "the changes of a record",
            of_ops("o.collection = ?1 AND o.key = ?2 AND o.settled_at IS NULL ORDER BY o.place, o.seq"),
        ),
        ("rows that vanished", VANISHED.to_owned()),
        ("in flight", "SELECT seq FROM main.ops WHERE state = 'in_flight' ORDER BY seq".to_owned()),
        ("in need of a person", "SELECT seq FROM main.ops WHERE state = 'auth' AND collection = ?1".to_owned()),
    ];
    let mut text = String::new();
    for (name, statement) in questions {
        let plan = plan(&reader, &statement);
        let scans = plan.lines().any(|line| line.starts_with("SCAN") && !line.contains("USING"));
        assert!(!scans && !statement.contains("OFFSET"), "{name}: {plan}");
        text.push_str(&format!("{name}\n{statement}\n    {}\n\n", plan.replace('\n', "\n    ")));
    }
    settings().bind(|| insta::assert_snapshot!("plans", text));
}

/// Their triggers included.
#[test]
fn what_is_written_for_every_op_that_is_sent_makes_no_temporary_table() {
    let (_dir, reader) = reader();
    for statement in [claims::CLAIMED, claims::ACKED, shadow::CLAIMED, shadow::REMOVED] {
        let mut explain = reader.connection.prepare(&format!("EXPLAIN {statement}")).unwrap();
        let count = explain.parameter_count();
        let steps = explain
            .query_map(rusqlite::params_from_iter(vec![rusqlite::types::Null; count]), |row| row.get::<_, String>(1))
            .unwrap()
            .collect::<rusqlite::Result<Vec<_>>>()
            .unwrap();
        assert!(!steps.iter().any(|step| step.starts_with("OpenEphemeral")), "{statement}: {steps:?}");
    }
}

#[test]
fn the_schema_is_what_was_agreed() {
    let (_dir, reader) = reader();
    for (schema, name) in [("main", "journal"), ("m", "mirror"), ("s", "search")] {
        let mut select = reader
            .connection
            .prepare(&format!(
                "SELECT type || ' ' || name || coalesce(char(10) || sql, '') FROM {schema}.sqlite_schema \
                 WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name"
            ))
            .unwrap();
        let parts = select.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<Vec<String>>>().unwrap();
        let version: i64 =
            reader.connection.pragma_query_value(Some(schema), "user_version", |row| row.get(0)).unwrap();
        let text = format!("schema {version}\n\n{}\n", parts.join("\n\n"));
        settings().bind(|| insta::assert_snapshot!(name, text));
    }
}
