//! `[[source]]` and `[[source.collection]]`.

use url::Url;

use super::{
    document::{Problems, Section, Text, list},
    nearest,
};
use crate::model::{
    conflict::ConflictPolicy,
    ids::{CollectionName, SourceName},
    json::Pointer,
    rules::{ConflictRules, FieldRule, Pattern},
    source::{AuthSpec, CollectionSpec, PullMode, SourceKind, SourceSpec},
};

pub(super) fn read(root: &mut Section<'_>, problems: &mut Problems<'_>) -> Vec<SourceSpec> {
    let mut names: Vec<String> = Vec::new();
    let mut sources = Vec::new();
    for section in root.tables("source", problems) {
        if let Some(source) = source(section, &mut names, problems) {
            sources.push(source);
        }
    }
    sources
}

fn source(mut section: Section<'_>, names: &mut Vec<String>, problems: &mut Problems<'_>) -> Option<SourceSpec> {
    let name = section.required("name", "office", problems);
    if let Some(name) = &name {
        section.what = format!("source `{}`", name.value);
        check_name("source", name, names, problems);
    }
    let _ = section.required("kind", "firebase", problems);
    let kinds = SourceKind::ALL.map(|kind| (kind.word(), kind));
    let kind = section.is_present("kind").then(|| section.choice("kind", &kinds, problems)).flatten();
    let allow_plain = section.flag("allow_plain", problems).unwrap_or(false);
    let url = section.required("url", "https://tides.example.org/", problems);
    if let Some(url) = &url
        && let Err((message, hint)) = check_url(url.value, allow_plain)
    {
        problems.add(&url.span, message, Some(hint));
    }
    refuse_secrets(&mut section, problems);
    let auth = auth(&mut section, problems);
    let user = section.text("user", problems).map(|user| user.value.trim().to_owned()).filter(|user| !user.is_empty());
    let read_only = section.flag("read_only", problems).unwrap_or(false);
    let mut collection_names: Vec<String> = Vec::new();
    let mut collections = Vec::new();
    for row in section.tables("collection", problems) {
        if let Some(collection) = collection(row, &mut collection_names, problems) {
            collections.push(collection);
        }
    }
    section.finish(problems);
    let (name, url) = (SourceName::from(name?.value), url?.value.to_owned());
    Some(SourceSpec { name, kind: kind?, url, auth, user, read_only, allow_plain, collections })
}

fn collection(
    mut section: Section<'_>,
    names: &mut Vec<String>,
    problems: &mut Problems<'_>,
) -> Option<CollectionSpec> {
    let name = section.required("name", "tasks", problems);
    if let Some(name) = &name {
        section.what = format!("collection `{}`", name.value);
        check_name("collection", name, names, problems);
    }
    let path = section.text("path", problems);
    if let Some(place) = path.as_ref().or(name.as_ref())
        && let Err(reason) = check_path(place.value)
    {
        let hint = "write the keys from the root, parted by `/`, for example \"teams/7/tasks\"";
        problems.add(&place.span, format!("`{}` is no path: {reason}", place.value), Some(hint.to_owned()));
    }
    let columns = section.texts("columns", problems);
    let title = section.text("title", problems);
    let pulls = [
        ("auto", PullMode::Auto),
        ("stream", PullMode::Stream),
        ("delta", PullMode::Delta),
        ("windows", PullMode::Windows),
    ];
    let pull = section.choice("pull", &pulls, problems).unwrap_or_default();
    let updated_at = section.text("updated_at", problems);
    if pull == PullMode::Delta && updated_at.is_none() {
        let hint = "name the field the server stamps: updated_at = \"/updatedAt\"";
        problems.add(&section.key_span("pull"), "`pull = \"delta\"` needs `updated_at`", Some(hint.to_owned()));
    }
    refuse_secrets(&mut section, problems);
    let conflicts = conflict_rules(&mut section, problems);
    if conflicts.policy == ConflictPolicy::LastWriteWins && updated_at.is_none() {
        let hint = "name the field the server stamps: updated_at = \"/updatedAt\"";
        let message = "`conflicts = \"last-write-wins\"` needs `updated_at`";
        problems.add(&section.key_span("conflicts"), message, Some(hint.to_owned()));
    }
    section.finish(problems);
    let name = name?.value;
    Some(CollectionSpec {
        name: CollectionName::from(name),
        path: path.map_or(name, |path| path.value).trim_matches('/').to_owned(),
        columns: columns.iter().map(|column| Pointer::parse(column.value)).collect(),
        title: title.map(|title| Pointer::parse(title.value)),
        pull,
        updated_at: updated_at.map(|pointer| Pointer::parse(pointer.value)),
        conflicts,
    })
}

/// `conflicts`, `fields` and `keys`.
fn conflict_rules(section: &mut Section<'_>, problems: &mut Problems<'_>) -> ConflictRules {
    let policies = ConflictPolicy::ALL.map(|policy| (policy.word(), policy));
    let policy = section.choice("conflicts", &policies, problems).unwrap_or_default();
    let mut rules = ConflictRules::of(policy);
    for (pattern, word) in by_place(section, "fields", "fields = { \"/tags\" = \"union\" }", problems) {
        match FieldRule::parse(word.value) {
            Some(rule) => rules.fields.push((pattern, rule)),
            None => {
                let words = FieldRule::ALL.map(FieldRule::word);
                let hint = match nearest(word.value, words) {
                    Some(near) => format!("did you mean `{near}`? these work: {}", list(words)),
                    None => format!("these work: {}", list(words)),
                };
                problems.add(&word.span, format!("`{}` is no rule for a field", word.value), Some(hint));
            }
        }
    }
    for (pattern, name) in by_place(section, "keys", "keys = { \"/addresses\" = \"kind\" }", problems) {
        match name.value.trim_start_matches('/') {
            "" => problems.add(&name.span, "the name of the identifying member is empty", None),
            member => rules.keys.push((pattern, member.to_owned())),
        }
    }
    rules
}

/// The entries of a table from places of a document to one word each.
fn by_place<'d>(
    section: &mut Section<'d>,
    key: &'static str,
    example: &str,
    problems: &mut Problems<'_>,
) -> Vec<(Pattern, Text<'d>)> {
    let Some(mut table) = section.table(key, &format!("`{key}`"), problems) else { return Vec::new() };
    let mut found = Vec::new();
    for (place, mut words) in table.entries(problems) {
        let pattern = match place.value.parse::<Pattern>() {
            Ok(pattern) => pattern,
            Err(reason) => {
                problems.add(&place.span, reason, Some(format!("for example {example}")));
                continue;
            }
        };
        match (words.pop(), words.is_empty()) {
            (Some(word), true) => found.push((pattern, word)),
            _ => {
                let message = format!("`{}` in `{key}` needs one word", place.value);
                problems.add(&place.span, message, Some(format!("for example {example}")));
            }
        }
    }
    found
}

fn auth(section: &mut Section<'_>, problems: &mut Problems<'_>) -> AuthSpec {
    let Some(mut auth) = section.table("auth", "`auth`", problems) else { return AuthSpec::None };
    refuse_secrets(&mut auth, problems);
    let before = problems.count();
    let mut found = Vec::new();
    if let Some(name) = auth.text("token_env", problems) {
        let plausible = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.value.is_empty() || !name.value.chars().all(plausible) {
            let hint = "name the environment variable, not its content: token_env = \"OFFICE_TOKEN\"";
            problems.add(&name.span, "`token_env` is no name of a variable", Some(hint.to_owned()));
        }
        found.push(("token_env", AuthSpec::Env(name.value.to_owned())));
    }
    if let Some(path) = auth.text("token_file", problems) {
        found.push(("token_file", AuthSpec::File(path.value.into())));
    }
    if let Some(command) = auth.text("token_command", problems) {
        if shell_words::split(command.value).is_ok_and(|words| words.is_empty()) {
            problems.add(&command.span, "`token_command` is empty", None);
        } else if let Err(error) = shell_words::split(command.value) {
            problems.add(&command.span, format!("`token_command` cannot be split into words: {error}"), None);
        }
        found.push(("token_command", AuthSpec::Command(command.value.to_owned())));
    }
    match found.len() {
        0 if problems.count() == before && !HIDDEN.iter().any(|key| auth.is_present(key)) => {
            let hint = "name one of `token_env`, `token_file` and `token_command`, or leave `auth` out";
            problems.add(&auth.span, "`auth` says nothing", Some(hint.to_owned()));
        }
        0 | 1 => {}
        _ => {
            let keys = list(found.iter().map(|(key, _)| *key));
            problems.add(&auth.span, format!("{keys} exclude each other"), Some("keep one of them".to_owned()));
        }
    }
    auth.finish(problems);
    found.pop().map_or(AuthSpec::None, |(_, auth)| auth)
}

/// Keys under which people put secrets.
const HIDDEN: [&str; 7] = ["token", "password", "secret", "api_key", "apikey", "bearer", "access_token"];

fn refuse_secrets(section: &mut Section<'_>, problems: &mut Problems<'_>) {
    for key in HIDDEN {
        if section.is_present(key) {
            section.know(key);
            let hint = "put it into an environment variable and name that: auth = { token_env = \"OFFICE_TOKEN\" }; \
                        or use token_file or token_command";
            let message = format!("`{key}`: secrets are not kept in the configuration");
            problems.add(&section.key_span(key), message, Some(hint.to_owned()));
        }
    }
}

fn check_name(what: &str, name: &Text<'_>, names: &mut Vec<String>, problems: &mut Problems<'_>) {
    let bad = |c: char| c == '/' || c.is_whitespace() || c.is_control();
    if name.value.contains(bad) || name.value.starts_with('-') {
        let hint = "use letters, digits, `-`, `_` and `.`; it is what you type on the command line";
        problems.add(&name.span, format!("`{}` is no name for a {what}", name.value.escape_debug()), Some(hint.into()));
    }
    if names.iter().any(|other| other == name.value) {
        let hint = format!("each {what} needs a name of its own");
        problems.add(&name.span, format!("there are two {what}s named `{}`", name.value), Some(hint));
    }
    names.push(name.value.to_owned());
}

fn check_path(path: &str) -> Result<(), String> {
    for key in path.trim_matches('/').split('/') {
        if key.is_empty() {
            return Err("a key in it is empty".to_owned());
        }
        if let Some(c) = key.chars().find(|c| ".$#[]".contains(*c) || c.is_control()) {
            return Err(format!("`{}` is not allowed in a key", c.escape_debug()));
        }
    }
    Ok(())
}

/// Whether a source can have this URL; else (what is wrong, what to do).
pub(super) fn check_url(text: &str, allow_plain: bool) -> Result<Url, (String, String)> {
    let example = "for example https://tides.example.org/ or http://127.0.0.1:9000/?ns=tides";
    let url = Url::parse(text).map_err(|error| (format!("`{text}` is no URL: {error}"), example.to_owned()))?;
    if !url.username().is_empty() || url.password().is_some() {
        let hint = "name where the token comes from instead: auth = { token_env = \"OFFICE_TOKEN\" }";
        return Err(("the URL carries a user or a password".to_owned(), hint.to_owned()));
    }
    if !matches!(url.scheme(), "https" | "http") {
        return Err((format!("`{text}` is neither `https` nor `http`"), example.to_owned()));
    }
    if let Some((name, _)) = url.query_pairs().find(|(name, _)| name != "ns") {
        let hint = match name.as_ref() {
            "auth" | "access_token" => "name where the token comes from: auth = { token_env = \"OFFICE_TOKEN\" }",
            _ => "leave it out; only `?ns=NAME` may follow the URL",
        };
        return Err((format!("the URL has the parameter `{name}`"), hint.to_owned()));
    }
    if url.fragment().is_some() {
        return Err(("the URL has a `#` part".to_owned(), "leave it out".to_owned()));
    }
    if url.path().ends_with(".json") {
        return Err(("the URL ends with `.json`".to_owned(), "leave that out; it is added to each request".to_owned()));
    }
    if url.scheme() == "http" && !is_loopback(&url) && !allow_plain {
        let hint = "use https, or set allow_plain = true for this source";
        return Err((format!("`{text}` would send data and credentials unencrypted"), hint.to_owned()));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
