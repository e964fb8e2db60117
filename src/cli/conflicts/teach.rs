//! `conflicts teach`: a rule for a field, tried on the open conflicts before it is kept.

use clap::Args;
use serde_json::{Value, json};

use super::resolve;
use crate::{
    cli::{
        DONE, Outcome,
        edit::wake,
        output::{self, Data, count, table, talk},
        report::Failure,
        world::{self, World},
    },
    config,
    merge::{self, Foreseen, Lesson},
    model::{
        conflict::Conflict,
        ids::CollectionKey,
        rules::{ConflictRules, FieldRule, Pattern},
        sync_status::SyncRequest,
    },
    store::Reader,
};

/// Make a rule for a field, and see what it would settle
///
/// Without --apply nothing is changed. With it the rule is written to the configuration, and the open conflicts it
/// settles are resolved; what loses is kept in the vault.
#[derive(Debug, Args)]
#[command(after_long_help = SHAPE)]
pub(in crate::cli) struct TeachArgs {
    /// The collection, or source/collection
    #[arg(value_name = "COLLECTION")]
    collection: String,
    /// The place: /stock, or /items/*/count for every element
    #[arg(value_name = "PLACE", value_parser = parse_pattern)]
    place: Pattern,
    /// manual, mine, theirs, max, min, union, add, text or server-owned
    #[arg(value_name = "RULE", value_parser = parse_rule)]
    rule: FieldRule,
    /// Keep the rule and settle what it settles
    #[arg(long)]
    apply: bool,
}

const SHAPE: &str = "\
JSON:
  {\"source\", \"collection\", \"pointer\", \"rule\", \"applied\", \"open\": open conflicts of the collection,
   \"conflicts\": [{\"conflict\", \"id\", \"fields\": [{\"pointer\", \"result\": null where absent}],
   \"settled\": true where nothing else is undecided, \"document\": the record then, or null}]}";

fn parse_pattern(text: &str) -> Result<Pattern, String> {
    text.parse()
}

fn parse_rule(word: &str) -> Result<FieldRule, String> {
    let words = FieldRule::ALL.map(FieldRule::word);
    FieldRule::parse(word).ok_or_else(|| match config::nearest(word, words) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the rules are {}", words.join(", ")),
    })
}

/// A lesson of a resolution that is not a rule yet.
pub(super) struct Offer {
    collection: CollectionKey,
    lesson: Lesson,
    decides: usize,
    settles: usize,
    open: usize,
}

/// What a resolution offers to learn, with what it would do to the conflicts that are still open.
pub(super) fn offers(
    reader: &mut Reader,
    conflict: &Conflict,
    rules: &ConflictRules,
    lessons: &[Lesson],
) -> Result<Vec<Offer>, Failure> {
    let collection = &conflict.record.collection;
    let open = of_collection(reader, collection)?;
    let offer = |lesson: &Lesson| {
        let foreseen = merge::foresee(lesson, rules, &open);
        let settles = foreseen.iter().filter(|each| each.document.is_some()).count();
        let (collection, lesson) = (collection.clone(), lesson.clone());
        Offer { collection, lesson, decides: foreseen.len(), settles, open: open.len() }
    };
    let is_new = |lesson: &&Lesson| !rules.fields.contains(&(lesson.pattern.clone(), lesson.rule));
    Ok(lessons.iter().filter(is_new).map(offer).collect())
}

impl Offer {
    pub fn words(&self) -> String {
        let Lesson { pattern, rule } = &self.lesson;
        let (collection, place) = (self.collection.to_string(), pattern.to_string());
        let command =
            shell_words::join(["ebbtide", "conflicts", "teach", &*collection, &*place, rule.word(), "--apply"]);
        let settles = match self.open {
            0 => String::new(),
            open => format!(" It would settle {} of {}.", self.settles, count(open as u64, "open conflict")),
        };
        format!("always `{}` for {pattern} in {}?{settles} {command}", rule.word(), self.collection.collection)
    }

    pub fn shape(&self) -> Value {
        json!({
            "pointer": self.lesson.pattern,
            "rule": self.lesson.rule,
            "decides": self.decides,
            "settles": self.settles,
        })
    }
}

fn of_collection(reader: &mut Reader, collection: &CollectionKey) -> Result<Vec<Conflict>, Failure> {
    let mut open = reader.conflicts(false)?;
    open.retain(|conflict| conflict.record.collection == *collection);
    Ok(open)
}

pub(super) fn run(world: &World, args: &TeachArgs) -> Outcome {
    let config = world.config()?;
    let target = world::find(&config, &args.collection)?;
    let collection = target.key();
    let lesson = Lesson { pattern: args.place.clone(), rule: args.rule };
    let open = of_collection(&mut world.reader()?, &collection)?;
    let foreseen = merge::foresee(&lesson, &target.collection.conflicts, &open);
    let settled: Vec<&Foreseen> = foreseen.iter().filter(|each| each.document.is_some()).collect();
    if args.apply {
        config::keep_rule(&world.paths.config, &collection, &lesson.pattern, lesson.rule)?;
        let store = world.store()?;
        for each in &settled {
            let Some(conflict) = open.iter().find(|conflict| conflict.id == each.conflict) else { continue };
            let document = each.document.clone().flatten();
            let take = merge::taken(conflict, document.as_ref());
            resolve::settle(world, &store, &config, conflict, take, document)?;
        }
        let (pattern, rule) = (lesson.pattern.clone(), lesson.rule);
        store.request(SyncRequest::Learn { collection: collection.clone(), pattern, rule }, world.now()).wait()?;
        wake(&store, world)?;
    }
    if world.json {
        output::json(&json!({
            "source": collection.source,
            "collection": collection.collection,
            "pointer": lesson.pattern,
            "rule": lesson.rule,
            "applied": args.apply,
            "open": open.len(),
            "conflicts": foreseen.iter().map(shape).collect::<Vec<Value>>(),
        }))?;
    } else if !foreseen.is_empty() {
        print(&foreseen)?;
    }
    let (settles, open) = (settled.len(), count(open.len() as u64, "open conflict"));
    match args.apply {
        true => talk(&format!(
            "{} = \"{}\" is kept for {collection}: {settles} of {open} settled; a running ebbtide syncs by it from \
             now on",
            lesson.pattern,
            lesson.rule.word()
        )),
        false => talk(&format!("it would settle {settles} of {open}; nothing was changed, --apply keeps the rule")),
    }
    Ok(DONE)
}

fn shape(each: &Foreseen) -> Value {
    let fields = each.fields.iter();
    let fields: Vec<Value> =
        fields.map(|field| json!({"pointer": field.pointer, "result": field.result.clone().flatten()})).collect();
    json!({
        "conflict": each.conflict,
        "id": each.record.id,
        "fields": fields,
        "settled": each.document.is_some(),
        "document": each.document.clone().flatten(),
    })
}

fn print(foreseen: &[Foreseen]) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for each in foreseen {
        for field in &each.fields {
            let result = field.result.clone().flatten().map_or("(absent)".to_owned(), |value| value.to_string());
            let left = if each.document.is_some() { "settled" } else { "more to choose" };
            rows.push(vec![
                format!("c{}", each.conflict),
                each.record.to_string(),
                field.pointer.to_string(),
                result,
                left.to_owned(),
            ]);
        }
    }
    let mut data = Data::new();
    for line in table(&["ID", "RECORD", "PLACE", "BECOMES", "THEN"], &rows, 60) {
        data.exact(&line)?;
    }
    data.finish()?;
    Ok(())
}
