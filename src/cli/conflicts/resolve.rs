//! `conflicts resolve` and `conflicts undo`.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, IsTerminal},
};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{load, marks, parse_number, teach};
use crate::{
    app::effect::Subject,
    cli::{
        DONE, Outcome, check,
        edit::{author, wake},
        output::{self, count, talk},
        report::Failure,
        world::{self, Target, World},
    },
    merge::{self, Field, Merged, Pick},
    model::{
        conflict::{Conflict, Take},
        ids::OpId,
        json::{self as text, Limits, Pointer},
        rules::ConflictRules,
    },
    runtime::external_editor::{self, EditorFile},
    store::{Resolve, Store, Unresolved},
};

/// Settle a conflict; the version that loses is kept in the vault
///
/// With --take or --merged the record is settled as a whole. With --field what fits together is merged, and each
/// place that needs you is chosen; `conflicts show` lists them.
#[derive(Debug, Args)]
#[command(after_long_help = RESOLVE_SHAPE)]
pub(in crate::cli) struct ResolveArgs {
    /// Its number, as `conflicts list` shows it (12 or c12)
    #[arg(value_name = "ID", value_parser = parse_number)]
    conflict: i64,
    /// Whose version to keep; with --field: at the places not named
    #[arg(long, value_enum, conflicts_with = "merged")]
    take: Option<Side>,
    /// A version of your own: JSON, `-` for standard input, or @FILE
    #[arg(long, value_name = "JSON|-|@FILE", conflicts_with_all = ["field", "edit"])]
    merged: Option<String>,
    /// A choice for one place: /price=mine, theirs, base or absent, or a JSON value: /tags='["a"]'
    #[arg(long, value_name = "PLACE=CHOICE", value_parser = parse_choice, conflicts_with = "edit")]
    field: Vec<(Pointer, Pick)>,
    /// Open $EDITOR on the merged document, with both versions at the places that need you
    #[arg(long, conflicts_with = "take")]
    edit: bool,
}

const RESOLVE_SHAPE: &str = "\
Examples:
  ebbtide conflicts resolve c12 --take theirs
  ebbtide conflicts resolve c12 --field /price=mine --field /tags='[\"a\",\"b\"]'
  ebbtide conflicts resolve c12 --edit

Exit code 1, and nothing is changed, while a place is undecided.

JSON:
  {\"conflict\", \"resolution\": mine|theirs|base|merged, \"seq\": the new edit, or null where there
   is nothing to send, \"teaches\": [{\"pointer\", \"rule\", \"decides\": open conflicts it would decide
   something in, \"settles\": those it would settle}]: what `conflicts teach` can make a rule of}";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Side {
    /// Your edit, on top of the server's version
    Mine,
    /// The server's version; the edit is dropped
    Theirs,
    /// What both sides started from
    Base,
}

impl Side {
    fn pick(self) -> Pick {
        match self {
            Self::Mine => Pick::Mine,
            Self::Theirs => Pick::Theirs,
            Self::Base => Pick::Base,
        }
    }
}

fn parse_choice(argument: &str) -> Result<(Pointer, Pick), String> {
    let example = "write /price=mine, theirs, base, absent, or a JSON value";
    let (place, choice) = argument.split_once('=').ok_or(example)?;
    if !place.starts_with('/') {
        return Err(format!("`{place}` is no place; {example}"));
    }
    let pick = match choice {
        "mine" => Pick::Mine,
        "theirs" => Pick::Theirs,
        "base" => Pick::Base,
        "absent" => Pick::Absent,
        value => Pick::Value(text::parse(value, Limits::default()).map_err(|invalid| {
            format!("`{value}` is no choice and no JSON ({invalid}); a text stands in double quotes: '\"{value}\"'")
        })?),
    };
    Ok((Pointer::parse(place), pick))
}

pub(super) fn resolve(world: &World, args: &ResolveArgs) -> Outcome {
    if args.take.is_none() && args.merged.is_none() && args.field.is_empty() && !args.edit {
        let text = format!("c{} is resolved by what you say of it, and nothing is said", args.conflict);
        return Err(Failure::usage(text).hint(
            "--take mine or theirs, --field /price=mine for each place, --merged JSON, or --edit; `ebbtide conflicts show` \
             shows the places",
        ));
    }
    let given = args.merged.as_deref().map(check::read_argument).transpose()?;
    let config = world.config()?;
    let store = world.store()?;
    let conflict = load(&mut store.reader()?, args.conflict)?;
    if conflict.resolved_at.is_some() {
        return Err(Failure::failed(format!("conflict c{} is resolved already", conflict.id))
            .hint(format!("`ebbtide conflicts undo c{}` opens it again", conflict.id)));
    }
    let target = target(&config, &conflict);
    let rules = target.map(|target| target.collection.conflicts.clone()).unwrap_or_default();
    let merged = merge::merge_conflict(&conflict, &rules);
    let mut left: Option<EditorFile> = None;
    let (take, document, picks) = match (given, args.take) {
        (Some(document), _) => whole(&merged, document),
        (None, _) if args.edit => {
            let (document, file) = edited(world, &conflict, &merged)?;
            left = Some(file);
            whole(&merged, document)
        }
        (None, Some(side)) if args.field.is_empty() => {
            let document = match side {
                Side::Mine => conflict.mine.clone(),
                Side::Theirs => None,
                Side::Base => conflict.base.clone(),
            };
            let take = match side {
                Side::Mine => Take::Mine,
                Side::Theirs => Take::Theirs,
                Side::Base => Take::Base,
            };
            (take, document, BTreeMap::from([(Pointer::root(), side.pick())]))
        }
        (None, rest) => {
            let picks = field_picks(&conflict, &merged, args, rest)?;
            let document = merged.document(&picks).map_err(|open| undecided(&conflict, &merged, &open))?;
            (Take::Merged, document, picks)
        }
    };
    let document = match (&document, take, target) {
        (Some(document), Take::Merged, Some(target)) => {
            Some(check::document(&target, conflict.record.id.as_str(), document)?)
        }
        (Some(_), Take::Merged, None) => return Err(not_configured(&conflict)),
        _ => document,
    };
    let seq = settle(world, &store, &config, &conflict, take, document)?;
    if let Some(file) = left {
        file.forget();
    }
    wake(&store, world)?;
    let offers = teach::offers(&mut store.reader()?, &conflict, &rules, &merge::lessons(&merged, &picks))?;
    if world.json {
        let teaches: Vec<Value> = offers.iter().map(teach::Offer::shape).collect();
        output::json(&json!({"conflict": conflict.id, "resolution": take.word(), "seq": seq, "teaches": teaches}))?;
    }
    match seq {
        Some(seq) => talk(&format!("c{} resolved as {}: queued as {seq}", conflict.id, take.word())),
        None => talk(&format!("c{} resolved as {}: nothing to send", conflict.id, take.word())),
    }
    offers.iter().for_each(|offer| talk(&offer.words()));
    Ok(DONE)
}

/// Queues the resolution. Answers the number of the new op, where one is needed.
pub(super) fn settle(
    world: &World,
    store: &Store,
    config: &crate::config::Config,
    conflict: &Conflict,
    take: Take,
    document: Option<Value>,
) -> Result<Option<crate::model::ids::Seq>, Failure> {
    let at = world.at();
    let source = world::find_source(config, &conflict.record.collection.source);
    let author = source.map(author).unwrap_or_default();
    let (seen, op_id, at) = (Some(conflict.detected_at), OpId::new(&at), at.wall);
    let resolve = Resolve { conflict: conflict.id, take, document, seen, op_id, at, author };
    store.resolve(resolve).wait().map_err(|error| {
        Failure::store("the conflict was not resolved", error)
            .or_hint("`ebbtide conflicts list` shows those that are open")
    })
}

fn target<'c>(config: &'c crate::config::Config, conflict: &Conflict) -> Option<Target<'c>> {
    let source = world::find_source(config, &conflict.record.collection.source)?;
    Some(Target { source, collection: source.collection(&conflict.record.collection.collection)? })
}

fn not_configured(conflict: &Conflict) -> Failure {
    Failure::usage(format!("the collection `{}` is not configured any more", conflict.record.collection))
        .hint("configure it again, or resolve with --take")
}

/// A document made as a whole, and what it chose at the places that needed a choice.
fn whole(merged: &Merged, document: Value) -> (Take, Option<Value>, BTreeMap<Pointer, Pick>) {
    let pick = |field: &Field| match field.pointer.get(&document) {
        Some(value) => (field.pointer.clone(), Pick::Value(value.clone())),
        None => (field.pointer.clone(), Pick::Absent),
    };
    let picks = merged.undecided().map(pick).collect();
    (Take::Merged, Some(document), picks)
}

fn field_picks(
    conflict: &Conflict,
    merged: &Merged,
    args: &ResolveArgs,
    rest: Option<Side>,
) -> Result<BTreeMap<Pointer, Pick>, Failure> {
    let mut picks: BTreeMap<Pointer, Pick> = args.field.iter().cloned().collect();
    if let Some(stranger) = merged.strangers(&picks).first() {
        let places: Vec<String> = merged.fields.iter().take(12).map(|field| format!("`{}`", field.pointer)).collect();
        let is_whole = merged.fields.iter().any(|field| field.pointer.is_root());
        return Err(Failure::usage(format!("nothing differs at `{stranger}` in c{}", conflict.id)).hint(
            match is_whole {
                true => "it is about the record as a whole: --take mine or theirs, or --merged JSON".to_owned(),
                false => format!("the places are {}", places.join(", ")),
            },
        ));
    }
    if let Some(side) = rest {
        let named: Vec<Pointer> = picks.keys().cloned().collect();
        let open = merged.undecided().filter(|field| !named.iter().any(|place| place.contains(&field.pointer)));
        picks.extend(open.map(|field| (field.pointer.clone(), side.pick())));
    }
    Ok(picks)
}

fn undecided(conflict: &Conflict, merged: &Merged, open: &[Pointer]) -> Failure {
    let failure = Failure::failed(format!("c{} is undecided at {}", conflict.id, count(open.len() as u64, "place")));
    let side = |value: &Option<Value>| value.as_ref().map_or("absent".to_owned(), Value::to_string);
    let told = open.iter().filter_map(|place| merged.fields.iter().find(|field| field.pointer == *place));
    let first = open.first().map(ToString::to_string).unwrap_or_default();
    told.fold(failure, |failure, field| {
        failure.because(format!(
            "{}: base {}, mine {}, theirs {}",
            field.pointer,
            side(&field.base),
            side(&field.mine),
            side(&field.theirs)
        ))
    })
    .hint(match first.is_empty() {
        true => "the record as a whole is in question: --take mine or --take theirs".to_owned(),
        false => format!("add --field {first}=mine, theirs, base, absent or a value; or --take for all that are left"),
    })
}

/// The document the user's editor leaves. A text that is no document is shown again where somebody is there to ask.
/// Its file goes when the conflict is settled: until then a dashboard would find it.
fn edited(world: &World, conflict: &Conflict, merged: &Merged) -> Result<(Value, EditorFile), Failure> {
    let mut text = marks::write(merged).ok_or_else(|| {
        Failure::usage(format!("one side of c{} deleted the record: there is no text to edit", conflict.id))
            .hint("--take mine or --take theirs")
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io("could not start the editor", &error))?;
    let mut before: Option<EditorFile> = None;
    loop {
        let edit = external_editor::edit(&world.paths.data_dir, Subject::Merge(conflict.id), &text, ".json");
        let (left, file) = runtime
            .block_on(edit)
            .map_err(|reason| Failure::failed("the conflict was not resolved").because(reason))?;
        text = left;
        if let Some(before) = before.take() {
            before.forget();
        }
        let reason = match marks::read(&text) {
            Ok(document) => return Ok((document, file)),
            Err(reason) => reason,
        };
        if !io::stdin().is_terminal() {
            return Err(Failure::failed(format!("c{} is not resolved: the edited text is no document", conflict.id))
                .because(file.give_up(reason.to_string()).to_string())
                .hint("run it again, or give the document with --merged @FILE"));
        }
        before = Some(file);
        talk(&format!("{reason}\nEnter opens the editor again, Ctrl-C leaves the conflict as it is"));
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line).map_err(|error| Failure::io("could not read the answer", &error))?
            == 0
        {
            return Err(Failure::failed(format!("c{} is not resolved", conflict.id)).because(reason));
        }
    }
}

/// Take a resolution back
///
/// While it is unsent the conflict is open again as it was; else an edit that reverses it is queued.
#[derive(Debug, Args)]
#[command(after_long_help = UNDO_SHAPE)]
pub(in crate::cli) struct UndoArgs {
    /// Its number, as `conflicts list --resolved` shows it (12 or c12)
    #[arg(value_name = "ID", value_parser = parse_number)]
    conflict: i64,
}

const UNDO_SHAPE: &str = "\
JSON:
  {\"conflict\", \"open\": true where it is open again, \"seq\": the edit that reverses it, or null}";

pub(super) fn undo(world: &World, args: &UndoArgs) -> Outcome {
    let store = world.store()?;
    let at = world.at();
    let number = args.conflict;
    let undone = store.unresolve(number, OpId::new(&at), at.wall).wait().map_err(|error| {
        Failure::store("the resolution was not taken back", error)
            .or_hint("`ebbtide conflicts list --resolved` shows those that are resolved")
    })?;
    wake(&store, world)?;
    let seq = match undone {
        Unresolved::Open => None,
        Unresolved::Reversed(seq) => Some(seq),
    };
    if world.json {
        output::json(&json!({"conflict": number, "open": seq.is_none(), "seq": seq}))?;
    }
    match seq {
        None => talk(&format!("c{number} is open again")),
        Some(seq) => talk(&format!("the resolution of c{number} may have been sent: its reverse is queued as {seq}")),
    }
    Ok(DONE)
}

/// The rules a conflict is merged under.
pub(super) fn rules_of(config: &crate::config::Config, conflict: &Conflict) -> ConflictRules {
    target(config, conflict).map(|target| target.collection.conflicts.clone()).unwrap_or_default()
}
