//! The configuration's behaviours, as tests.

use std::{path::Path, time::Duration};

use super::*;
use crate::model::{
    conflict::ConflictPolicy,
    json::Pointer,
    rules::{ConflictRules, FieldRule},
    source::{AuthSpec, Deadlines, PullMode, SourceKind, VaultSettings},
};

fn errors(text: &str) -> Vec<String> {
    let errors = parse(text, Path::new("config.toml")).expect_err("the text is wrong").errors;
    errors
        .into_iter()
        .map(|error| match &error.hint {
            Some(hint) => format!("{error} ({hint})"),
            None => error.to_string(),
        })
        .collect()
}

fn source(more: &str) -> String {
    format!("[[source]]\nname = \"a\"\nkind = \"firebase\"\nurl = \"https://a.example\"\n{more}")
}

#[test]
fn the_example_is_a_configuration_and_says_the_defaults() {
    let config = parse(EXAMPLE, Path::new("config.example.toml")).unwrap();
    assert_eq!(config.ui, UiSettings::default());
    assert_eq!(config.sync, SyncSettings::default());
    let office = &config.sources[0];
    assert_eq!((office.name.as_str(), office.kind), ("office", SourceKind::Firebase));
    assert_eq!(office.auth, AuthSpec::Env("OFFICE_TOKEN".to_owned()));
    assert_eq!(office.collections[0].path, "teams/7/tasks");
    assert_eq!(office.collections[0].columns[2], Pointer::parse("/due/date"));
    assert_eq!(office.collections[1].path, "people");
    assert_eq!(office.collections[1].conflicts, ConflictRules::default());
    let tasks = &office.collections[0].conflicts;
    assert_eq!(tasks.policy, ConflictPolicy::Manual);
    assert_eq!(tasks.rule(&Pointer::parse("/items/3/count")), Some(FieldRule::Add));
    assert_eq!(tasks.key(&Pointer::parse("/items")), Some("sku"));
}

#[test]
fn every_policy_and_rule_is_read_under_its_word() {
    let collection = |more: &str| source(&format!("[[source.collection]]\nname = \"c\"\nupdated_at = \"/u\"\n{more}"));
    for policy in ConflictPolicy::ALL {
        let text = collection(&format!("conflicts = \"{}\"\n", policy.word()));
        let config = parse(&text, Path::new("config.toml")).unwrap();
        assert_eq!(config.sources[0].collections[0].conflicts.policy, policy);
    }
    for rule in FieldRule::ALL {
        let text = collection(&format!("[source.collection.fields]\n\"/a/*\" = \"{}\"\n", rule.word()));
        let config = parse(&text, Path::new("config.toml")).unwrap();
        assert_eq!(config.sources[0].collections[0].conflicts.rule(&Pointer::parse("/a/b")), Some(rule));
    }
}

#[test]
fn wrong_conflict_rules_are_named_with_their_place() {
    let text = source(
        "[[source.collection]]\nname = \"c\"\nconflicts = \"last-write-win\"\n\
         fields = { \"tags\" = \"union\", \"/stock\" = \"sum\", \"/n\" = [\"max\", \"min\"], \"/t\" = \"thiers\" }\n\
         keys = { \"/items\" = 7 }\n\n\
         [[source.collection]]\nname = \"d\"\nconflicts = \"last-write-wins\"\n",
    );
    let found = errors(&text);
    assert_eq!(found.len(), 7, "{found:#?}");
    assert!(
        found[0].contains("line 7, column 13") && found[0].contains("did you mean `last-write-wins`?"),
        "{found:#?}"
    );
    let all = found.join("\n");
    for words in [
        "`tags` is not a place; write it like `/tags`",
        "`sum` is no rule for a field",
        "`/n` in `fields` needs one word",
        "`thiers` is no rule for a field (did you mean `theirs`?",
        "`/items` in `keys` is a whole number",
        "`conflicts = \"last-write-wins\"` needs `updated_at` (name the field the server stamps",
    ] {
        assert!(all.contains(words), "{words} is missing in\n{all}");
    }
}

#[test]
fn the_demo_has_a_configuration_of_at_least_three_collections() {
    let text = include_str!("../../assets/demo/config.toml");
    let config = parse(text, Path::new("demo/config.toml")).unwrap();
    assert_eq!(config.sources.len(), 1);
    assert!(config.sources[0].collections.len() >= 3);
    let seed: serde_json::Value = serde_json::from_str(include_str!("../../assets/demo/seed.json")).unwrap();
    for collection in &config.sources[0].collections {
        let records = seed[&collection.path].as_object().expect("each collection is in the seed");
        for column in &collection.columns {
            let with = records.values().filter(|record| column.get(record).is_some()).count();
            assert!(with * 2 > records.len(), "{} of {} have {column}", with, collection.name);
        }
    }
}

#[test]
fn a_missing_file_is_an_empty_configuration() {
    assert_eq!(load(Path::new("/nonexistent/ebbtide.toml")), Ok(Config::default()));
}

#[test]
fn all_errors_are_reported_together_with_their_places() {
    let text = "[ui]\nmose = true\n\n[[source]]\nname = \"a\"\nkind = \"couchdb\"\nurl = \"ftp://a\"\ncolour = 1\n\n\
                [sync]\nparallel = 0\nprobe_every = \"soon\"\n";
    assert_eq!(
        errors(text),
        [
            "line 2, column 1: unknown key `mose` in [ui] (did you mean `mouse`?)",
            "line 6, column 8: `couchdb` is no kind that works (only `firebase` works in this version)",
            "line 7, column 7: `ftp://a` is neither `https` nor `http` (for example https://tides.example.org/ or \
             http://127.0.0.1:9000/?ns=tides)",
            "line 8, column 1: unknown key `colour` in source `a` (known keys are `name`, `kind`, `allow_plain`, `url`, \
             `auth`, `user`, `read_only` and `collection`)",
            "line 11, column 12: `parallel` is 0, outside of 1 to 64",
            "line 12, column 15: `probe_every` is no duration: `soon` does not begin with a number (write a number and \
             a unit: \"30s\", \"5m\", \"1h30m\", \"7d\"; or a number of seconds)",
        ]
    );
}

#[test]
fn a_broken_file_is_reported_at_its_place_only() {
    let found = parse("[ui]\ntheme = \"default\nmouse = 3\n", Path::new("c")).unwrap_err().errors;
    assert!(found.iter().all(|error| error.line == 2), "{found:?}");
}

#[test]
fn what_is_missing_is_named_with_an_example() {
    let found = errors("[[source]]\nkind = \"firebase\"\n");
    assert_eq!(found[0], "line 1, column 1: this source has no `name` (add name = \"office\")");
    assert_eq!(found[1], "line 1, column 1: this source has no `url` (add url = \"https://tides.example.org/\")");
}

#[test]
fn secrets_are_refused_wherever_they_stand() {
    for text in [
        source("token = \"abc\""),
        source("auth = { password = \"abc\" }"),
        source("auth = { token = \"abc\" }"),
        "[[source]]\nname = \"a\"\nkind = \"firebase\"\nurl = \"https://user:pw@a.example\"\n".to_owned(),
        "[[source]]\nname = \"a\"\nkind = \"firebase\"\nurl = \"https://a.example/?auth=abc\"\n".to_owned(),
    ] {
        let found = errors(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("token_env") && !found[0].contains("abc") && !found[0].contains("pw"), "{found:?}");
    }
}

#[test]
fn one_way_to_the_token_is_enough() {
    let found = errors(&source("auth = { token_env = \"A\", token_file = \"/b\" }"));
    assert!(found[0].contains("`token_env` and `token_file` exclude each other"), "{found:?}");
    assert!(errors(&source("auth = {}"))[0].contains("`auth` says nothing"));
    let config = parse(&source("auth = { token_command = \"pass show x\" }"), Path::new("c")).unwrap();
    assert_eq!(config.sources[0].auth, AuthSpec::Command("pass show x".to_owned()));
}

#[test]
fn names_are_unique_and_can_be_typed() {
    let twice = format!("{}\n{}", source(""), source("[[source.collection]]\nname = \"x/y\"\n"));
    let found = errors(&twice);
    assert!(found[0].contains("there are two sources named `a`"), "{found:?}");
    assert!(found[1].contains("`x/y` is no name for a collection"), "{found:?}");
}

#[test]
fn plain_http_goes_to_this_computer_only_unless_allowed() {
    let at = |url: &str, more: &str| format!("[[source]]\nname = \"a\"\nkind = \"firebase\"\nurl = \"{url}\"\n{more}");
    for fine in ["http://127.0.0.1:9000/?ns=x", "http://[::1]:9000", "http://localhost:9000", "https://a.example/b"] {
        assert!(parse(&at(fine, ""), Path::new("c")).is_ok(), "{fine}");
    }
    assert!(errors(&at("http://a.example", ""))[0].contains("unencrypted"));
    assert!(parse(&at("http://a.example", "allow_plain = true"), Path::new("c")).is_ok());
}

#[test]
fn delta_needs_the_field_the_server_stamps() {
    let with = |more: &str| source(&format!("[[source.collection]]\nname = \"t\"\npull = \"delta\"\n{more}"));
    assert!(errors(&with(""))[0].contains("needs `updated_at`"));
    let config = parse(&with("updated_at = \"/at\""), Path::new("c")).unwrap();
    assert_eq!(config.sources[0].collections[0].pull, PullMode::Delta);
}

#[test]
fn spans_are_words_or_seconds() {
    let config = parse("[sync]\naudit_mb_per_hour = 0\naudit_every = \"30m\"\n", Path::new("c")).unwrap();
    assert_eq!((config.sync.audit_budget, config.sync.audit_every), (0, Duration::from_secs(1_800)));
    let config = parse("[sync]\nprobe_every = 45\nsweep_every = \"1h30m\"\nkeep = \"30d\"\n", Path::new("c")).unwrap();
    assert_eq!(config.sync.probe_every, Duration::from_secs(45));
    assert_eq!(config.sync.sweep_every, Duration::from_secs(5_400));
    assert_eq!(config.sync.keep, Duration::from_secs(30 * 86_400));
    assert_eq!(config.sync.vault, VaultSettings::default());
    let config = parse("[vault]\nkeep_days = 2\nkeep_mb = 10\n", Path::new("c")).unwrap();
    assert_eq!(config.sync.vault, VaultSettings { keep: Duration::from_secs(2 * 86_400), most: 10 << 20 });
    let config = parse("[sync]\nread_timeout = \"90s\"\nheartbeat = 60\n", Path::new("c")).unwrap();
    let usual = Deadlines::default();
    let wanted = Deadlines { read: Duration::from_secs(90), heartbeat: Duration::from_secs(60), ..usual };
    assert_eq!(config.sync.deadlines, wanted);
    assert!(parse("[sync]\nconnect_timeout = \"10ms\"\n", Path::new("c")).is_err());
}

#[test]
fn adding_a_source_keeps_everything_else_as_it_is() {
    let before = "# mine\n[ui] # colours\nmouse = false\n\n[[source]]\nname = \"a\"  # first\nkind = \"firebase\"\n\
                  url = \"https://a.example\"\n";
    let config = parse(before, Path::new("c")).unwrap();
    let new = NewSource {
        name: "b".to_owned(),
        kind: SourceKind::Firebase,
        url: "http://127.0.0.1:9000/".to_owned(),
        token_env: Some("B_TOKEN".to_owned()),
        allow_plain: false,
        collections: vec!["tasks".to_owned(), "teams/7/people".to_owned()],
    };
    let after = add_source(before, &config, &new).unwrap();
    assert!(after.starts_with(before.trim_end()), "{after}");
    let read = parse(&after, Path::new("c")).unwrap();
    assert_eq!(read.sources.len(), 2);
    assert_eq!(read.sources[1].auth, AuthSpec::Env("B_TOKEN".to_owned()));
    assert_eq!(read.sources[1].collections[1].path, "teams/7/people");
    assert_eq!(read.sources[1].collections[1].name.as_str(), "people");
    assert_eq!(add_source(&after, &read, &new), Err(EditError::Duplicate("b".to_owned())));
    let fresh = add_source("", &Config::default(), &new).unwrap();
    assert!(fresh.starts_with("# ebbtide's configuration") && fresh.contains("prints.\n\n[[source]]\n"), "{fresh}");
    assert_eq!(parse(&fresh, Path::new("c")).unwrap().sources.len(), 1);
}

#[test]
fn the_nearest_word_is_found_and_nothing_far_off() {
    assert_eq!(nearest("colums", ["columns", "path"]), Some("columns"));
    assert_eq!(nearest("Taks", ["tasks", "people"]), Some("tasks"));
    assert_eq!(nearest("xyz", ["tasks", "people"]), None);
}

#[test]
fn keys_and_themes_that_do_not_exist_are_reported_where_they_stand() {
    let text = "[ui]\ntheme = \"ligth\"\n\n[ui.keys]\nopne_help = \"F1\"\nopen_help = [\"no-such-key-at-all\"]\n";
    let found = errors(text);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0].starts_with("line 2, column 9: `ligth` is no theme that works (did you mean `light`?"),
        "{found:?}"
    );
    assert!(found[1].starts_with("line 5, column 1: there is no command `opne_help` (did you mean"), "{found:?}");
    assert!(found[2].starts_with("line 6, column 1: `no-such-key-at-all` is not a key"), "{found:?}");
}

#[test]
fn a_rule_is_written_beside_the_others_and_every_comment_stays() {
    let text = "# mine\n[[source]]\nname = \"a\"\nkind = \"firebase\"\nurl = \"https://a.example\" # there\n\n\
                [[source.collection]]\nname = \"c\" # the first\n\n[[source.collection]]\nname = \"d\"\n\
                fields = { \"/n\" = \"max\" } # numbers\n\n[[source.collection]]\nname = \"e\"\n\n\
                [source.collection.fields]\n\"/x\" = \"mine\" # x\n";
    let rule = |text: &str, name: &str, place: &str, rule| {
        let key = crate::model::ids::CollectionKey::new("a", name);
        edit::set_rule(text, &key, &place.parse().unwrap(), rule).unwrap()
    };
    let mut written = rule(text, "c", "/stock", FieldRule::Theirs);
    written = rule(&written, "d", "/items/*/n", FieldRule::Add);
    written = rule(&written, "e", "/x", FieldRule::ServerOwned);
    for kept in ["# mine", "# there", "# the first", "# numbers", "\"/x\" = \"server-owned\" # x"] {
        assert!(written.contains(kept), "{kept} is missing in\n{written}");
    }
    let config = parse(&written, Path::new("c")).unwrap();
    let rules: Vec<_> = config.sources[0].collections.iter().map(|spec| spec.conflicts.fields.clone()).collect();
    let at = |place: &str, rule| (place.parse().unwrap(), rule);
    assert_eq!(
        rules,
        [
            vec![at("/stock", FieldRule::Theirs)],
            vec![at("/items/*/n", FieldRule::Add), at("/n", FieldRule::Max)],
            vec![at("/x", FieldRule::ServerOwned)],
        ]
    );
    let unknown = crate::model::ids::CollectionKey::new("a", "zzz");
    assert_eq!(
        edit::set_rule(text, &unknown, &"/x".parse().unwrap(), FieldRule::Mine),
        Err(EditError::Unknown(unknown.clone()))
    );
}

#[test]
fn a_rule_is_kept_in_the_file_and_a_file_that_cannot_be_written_stays_as_it_is() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let text = "[[source]]\nname = \"a\"\nkind = \"firebase\"\nurl = \"https://a.example\"\n\n\
                [[source.collection]]\nname = \"c\" # the first\n";
    std::fs::write(&path, text).unwrap();
    let key = crate::model::ids::CollectionKey::new("a", "c");
    let place: crate::model::rules::Pattern = "/stock".parse().unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    let refused = keep_rule(&path, &key, &place, FieldRule::Theirs);
    assert!(matches!(refused, Err(NotWritten::Write { .. })), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    keep_rule(&path, &key, &place, FieldRule::Theirs).unwrap();
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written.contains("# the first"), "{written}");
    let rules = &load(&path).unwrap().sources[0].collections[0].conflicts;
    assert_eq!(rules.rule_of(&place), Some(FieldRule::Theirs));
    let gone = keep_rule(&dir.path().join("none.toml"), &key, &place, FieldRule::Theirs);
    assert!(matches!(gone, Err(NotWritten::Read { .. })), "{gone:?}");
}
