//! `list`, `get`, `search`: looking at the local data, with pending edits already in it.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{
    DONE, Outcome,
    output::{self, Data, count, table, talk},
    report::Failure,
    shapes,
    world::{self, Target, World},
};
use crate::{
    model::{
        ids::{CollectionKey, RecordId},
        json::Pointer,
        query::{Anchor, Filter, FilterUse, ListQuery, MARKS, Row, Sort, Window},
        time::Timestamp,
    },
    store::Reader,
};

/// How long one question may take before what was found so far is shown.
const DEADLINE: Duration = Duration::from_secs(10);

/// List the records of a collection
///
/// Shown is the last known server copy with your pending edits in it.
#[derive(Debug, Args)]
#[command(after_long_help = LIST_SHAPE)]
pub(super) struct ListArgs {
    /// The collection, or source/collection
    #[arg(value_name = "C")]
    collection: String,
    /// Words and field:value terms that must all match, e.g. 'status:open "exact words"'
    ///
    /// A word is how one of the record, or of the field, begins. A field is a path (address.city), or a name.
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Only records after this id
    #[arg(long, value_name = "ID")]
    after: Option<String>,
}

const LIST_SHAPE: &str = "\
JSON:
  {\"source\", \"collection\", \"total\": records without the filter, \"matching\": N or null,
   \"records\": [{\"id\", \"state\", \"local\": the record}], \"next\": ID for --after, or null at the end,
   \"partial\": true where the search took too long and was ended,
   \"last_pull\": when it was read from its server last, or null}";

pub(super) fn list(world: &World, args: &ListArgs) -> Outcome {
    let config = world.config()?;
    let target = world::find(&config, &args.collection)?;
    let mut reader = world.reader()?;
    let query = ListQuery {
        collection: target.key(),
        columns: target.collection.columns.clone(),
        filter: Filter(args.filter.clone()),
        sort: Sort::default(),
    };
    let anchor = args.after.as_deref().map_or(Anchor::First, |id| Anchor::After(RecordId::from(id)));
    let limit = usize::try_from(args.limit).expect("32 bits fit");
    let window = reader.window(&query, &anchor, limit, DEADLINE)?;
    match &window.filter {
        FilterUse::Narrows => {}
        FilterUse::NothingToFind => talk("the filter has no letter or digit to look for: every record matches"),
        FilterUse::UnknownMark(word) => {
            talk(&format!("`is:{word}` is no mark, so that nothing matches; there are: {}", MARKS.join(", ")));
        }
    }
    let next = window.rows.last().filter(|_| !window.at_end).map(|row| row.id.clone());
    let last_pull = never_read(&mut reader, &target)?;
    if world.json {
        output::json(&list_document(&mut reader, &target, &window, (next.as_ref(), last_pull))?)?;
        return Ok(DONE);
    }
    if window.rows.is_empty() && !window.partial {
        let is_told = matches!(window.filter, FilterUse::UnknownMark(_)) || (window.total == 0 && last_pull.is_none());
        if !is_told {
            talk(&nothing_found(&window, args));
        }
        return Ok(DONE);
    }
    let names: Vec<String> = query.columns.iter().map(heading).collect();
    let headings: Vec<&str> = [" ", "ID"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let mut data = Data::new();
    let rows: Vec<Vec<String>> = window.rows.iter().map(cells).collect();
    for line in table(&headings, &rows, 60) {
        data.exact(&line)?;
    }
    data.finish()?;
    if let Some(next) = next {
        talk(&format!("more follow: --after {next}"));
    }
    if window.partial {
        talk("the search took too long and was ended; there may be more");
    }
    Ok(DONE)
}

/// Why a list has no row.
fn nothing_found(window: &Window, args: &ListArgs) -> String {
    match (&args.after, args.filter.trim().is_empty()) {
        (Some(after), _) => format!("nothing follows `{after}`"),
        (None, true) => format!("`{}` has no records", args.collection),
        (None, false) => format!("none of {} matches `{}`", count(window.total, "record"), args.filter.trim()),
    }
}

fn list_document(
    reader: &mut Reader,
    target: &Target<'_>,
    window: &Window,
    (next, last_pull): (Option<&RecordId>, Option<Timestamp>),
) -> Result<Value, Failure> {
    let mut records = Vec::with_capacity(window.rows.len());
    for row in &window.rows {
        let view = reader.shown(&target.key().record(row.id.clone()))?;
        records.push(json!({"id": row.id, "state": view.mark.word(), "local": view.local}));
    }
    Ok(json!({
        "source": target.source.name,
        "collection": target.collection.name,
        "total": window.total,
        "matching": window.matching,
        "records": records,
        "next": next,
        "partial": window.partial,
        "last_pull": shapes::maybe_time(last_pull),
    }))
}

/// When a collection was read last; says of one that never was that it is no empty one.
pub(super) fn never_read(reader: &mut Reader, target: &Target<'_>) -> Result<Option<Timestamp>, Failure> {
    let overview = reader.overview(&[target.key()])?.pop();
    let last_pull = overview.as_ref().and_then(|overview| overview.last_pull);
    if last_pull.is_none() && overview.is_none_or(|overview| overview.records == 0) {
        talk(&format!("`{}` was never synced: nothing of it is here yet; `ebbtide sync` reads it", target.key()));
    }
    Ok(last_pull)
}

/// The last token of the pointer, loud.
fn heading(pointer: &Pointer) -> String {
    pointer.tokens().last().map_or_else(|| "VALUE".to_owned(), |token| token.to_uppercase())
}

fn cells(row: &Row) -> Vec<String> {
    let columns = row.cells.iter().map(|cell| cell.clone().unwrap_or_default());
    [row.mark.symbol().to_string(), row.id.to_string()].into_iter().chain(columns).collect()
}

/// Show one record
#[derive(Debug, Args)]
#[command(after_long_help = GET_SHAPE)]
pub(super) struct GetArgs {
    /// The collection, or source/collection
    #[arg(value_name = "C")]
    collection: String,
    /// The id of the record; `C/ID` in one word will do as well
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    id: String,
}

const GET_SHAPE: &str = "\
JSON:
  {\"id\", \"source\", \"collection\", \"local\": the record with your pending edits, \"base\": the last known server
   copy, \"revision\": its version or null, \"state\": synced|changed|new|delete|held|draft|rejected|conflict,
   \"pending\": [SEQ of its edits in the outbox], \"received_at\"}
  `local` is null where a delete is pending, `base` where the server has no copy.";

pub(super) fn get(world: &World, args: &GetArgs) -> Outcome {
    let config = world.config()?;
    let target = world::find(&config, &args.collection)?;
    let view = world.reader()?.shown(&target.key().record(args.id.as_str()))?;
    if view.local.is_none() && view.base.is_none() && view.ops.is_empty() {
        return Err(missing(&target, &args.id));
    }
    if world.json {
        output::json(&shapes::record(&view))?;
        return Ok(DONE);
    }
    let Some(local) = &view.local else {
        return Err(Failure::failed(format!("`{}/{}` is deleted here", target.collection.name, args.id))
            .hint("--json shows the server's copy; `ebbtide outbox list` shows the delete that waits"));
    };
    let mut data = Data::new();
    for line in serde_json::to_string_pretty(local).expect("a value is JSON").lines() {
        data.line(line)?;
    }
    data.finish()?;
    Ok(DONE)
}

/// There is no such record here.
pub(super) fn missing(target: &Target<'_>, id: &str) -> Failure {
    Failure::failed(format!("there is no record `{id}` in `{}`", target.collection.name)).hint(format!(
        "`ebbtide list {}` shows what is here; `ebbtide sync` fetches what is there",
        target.collection.name
    ))
}

/// Search the text of all records
#[derive(Debug, Args)]
#[command(after_long_help = SEARCH_SHAPE)]
pub(super) struct SearchArgs {
    /// Words that must all be there, in any field; the last one may be a beginning
    #[arg(value_name = "QUERY")]
    query: String,
    /// Only in this collection; can be given several times
    #[arg(long, value_name = "C")]
    collection: Vec<String>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

const SEARCH_SHAPE: &str = "\
JSON:
  [{\"source\", \"collection\", \"id\", \"snippet\"}], the best match first";

pub(super) fn search(world: &World, args: &SearchArgs) -> Outcome {
    let config = world.config()?;
    let asked: Result<Vec<CollectionKey>, Failure> =
        args.collection.iter().map(|name| world::find(&config, name).map(|target| target.key())).collect();
    let mut collections = asked?;
    if collections.is_empty() {
        collections = config.sources.iter().flat_map(|source| source.keys()).collect();
    }
    let limit = usize::try_from(args.limit).expect("32 bits fit");
    let found = world.reader()?.search(&collections, &args.query, limit, DEADLINE)?;
    if world.json {
        let rows: Vec<Value> = found
            .iter()
            .map(|(key, snippet)| {
                let (source, collection) = (&key.collection.source, &key.collection.collection);
                json!({"source": source, "collection": collection, "id": key.id, "snippet": snippet})
            })
            .collect();
        output::json(&rows)?;
        return Ok(DONE);
    }
    let rows: Vec<Vec<String>> = found.iter().map(|(key, snippet)| vec![key.to_string(), snippet.clone()]).collect();
    let mut data = Data::new();
    for line in table(&["RECORD", "TEXT"], &rows, 90) {
        data.exact(&line)?;
    }
    data.finish()?;
    if rows.is_empty() {
        talk("nothing found");
    }
    Ok(DONE)
}
