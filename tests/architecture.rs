//! The floors and fences of `src/lib.rs`, checked on the sources: a module names only lower floors, never a sibling, and
//! a library stays behind the one module that may use it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

const FLOORS: [&[&str]; 7] = [
    &["model"],
    &["merge"],
    &["app", "sync"],
    &["ui", "store", "remote", "server", "terminal"],
    &["config"],
    &["runtime"],
    &["cli"],
];

/// (library, modules that may name it)
const FENCES: [(&str, &[&str]); 7] = [
    ("rusqlite", &["store", "server"]),
    ("rusqlite_migration", &["store", "server"]),
    ("reqwest", &["remote"]),
    ("axum", &["server"]),
    ("crossterm", &["terminal"]),
    ("ratatui", &["ui", "terminal", "runtime"]),
    ("tokio", &["ui", "store", "remote", "server", "terminal", "config", "runtime", "cli"]),
];

fn sources() -> Vec<(String, PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    let module = |path: &Path| {
        let first = path.strip_prefix(&root).unwrap().components().next().unwrap();
        first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
    };
    let read = |path: PathBuf| (module(&path), path.clone(), std::fs::read_to_string(&path).unwrap());
    paths.into_iter().map(read).filter(|(module, ..)| !["lib", "main"].contains(&module.as_str())).collect()
}

fn floor(module: &str) -> usize {
    FLOORS.iter().position(|modules| modules.contains(&module)).unwrap_or_else(|| panic!("`{module}` has no floor"))
}

/// The code of a file without its comments: a doc link may name any floor.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines.map(|(number, line)| (number, line.split("//").next().unwrap_or("")))
}

/// The modules a file names: `crate::name` anywhere, and `name::` inside a `use crate::{ … }` group.
fn named(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let source: String = code(text).map(|(_, line)| format!("{line}\n")).collect();
    for part in source.split("crate::").skip(1) {
        match part.strip_prefix('{') {
            Some(group) => names.extend(first_names(group)),
            None => names.extend(part.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().map(str::to_owned)),
        }
    }
    names
}

/// The names at the top level of a `{ a::b, c::{d, e}, … }` group.
fn first_names(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut word, mut at_start) = (0_usize, Vec::new(), String::new(), true);
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            c if at_start && (c.is_alphanumeric() || c == '_') => word.push(c),
            c if at_start && c.is_whitespace() && word.is_empty() => {}
            _ => {
                if at_start && !word.is_empty() {
                    names.push(std::mem::take(&mut word));
                }
                at_start = false;
            }
        }
        if at_start && matches!(c, ',') && !word.is_empty() {
            names.push(std::mem::take(&mut word));
        }
    }
    if !word.is_empty() {
        names.push(word);
    }
    names
}

#[test]
fn a_module_names_only_lower_floors() {
    let all: BTreeSet<&str> = FLOORS.iter().flat_map(|modules| modules.iter().copied()).collect();
    let mut broken = Vec::new();
    for (module, path, text) in sources() {
        for name in named(&text) {
            if name != module && all.contains(name.as_str()) && floor(&name) >= floor(&module) {
                broken.push(format!("{}: `{module}` names `{name}`", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken floors:\n{}", broken.join("\n"));
}

#[test]
fn a_library_stays_behind_its_fence() {
    let mut broken = Vec::new();
    for (module, path, text) in sources() {
        for (library, allowed) in FENCES {
            if allowed.contains(&module.as_str()) {
                continue;
            }
            let inside = format!("{library}::");
            for (number, line) in code(&text) {
                let start = line.find(&inside);
                let whole = start.is_some_and(|at| {
                    at == 0 || !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                });
                if whole {
                    broken.push(format!("{}:{number}: `{library}` in `{module}`", path.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "broken fences:\n{}", broken.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let mute: Vec<String> = sources()
        .into_iter()
        .filter(|(_, _, text)| !text.starts_with("//!"))
        .map(|(_, path, _)| path.display().to_string())
        .collect();
    assert!(mute.is_empty(), "no module doc:\n{}", mute.join("\n"));
}

#[test]
fn groups_of_names_are_read_to_their_end() {
    let text =
        "use crate::{\n    app::{App, event::Event},\n    model::ids,\n    ui,\n};\nfn f() { crate::store::open() }";
    let expected = ["app", "model", "store", "ui"].map(str::to_owned);
    assert_eq!(named(text), BTreeSet::from(expected));
}

/// The README names for each promise what tries to break it: those tests and commands are there.
#[test]
fn every_test_the_promises_name_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let (_, page) = readme.split_once("### How each promise is tried").unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| P")).collect();
    assert_eq!(rows.len(), 8);
    for row in rows {
        let named: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        assert!(named.iter().any(|name| name.starts_with("cargo ") || name.starts_with("tests/")), "{row}");
        for name in named {
            if name.starts_with("tests/") {
                assert!(root.join(name.split(' ').next().unwrap()).exists(), "`{name}`");
                continue;
            }
            let words: Vec<&str> = name.split(' ').collect();
            let mut binaries: Vec<&str> =
                words.windows(2).filter(|pair| pair[0] == "--test").map(|pair| pair[1]).collect();
            if words.len() == 1 && !words[0].contains('-') {
                binaries.push(words[0]);
            }
            for binary in &binaries {
                assert!(root.join(format!("tests/{binary}.rs")).exists(), "`{binary}` in {row}");
            }
            // `cargo test --test BINARY FILTER` runs something.
            if let ["cargo", "test", "--test", binary, filter] = words[..] {
                let text = std::fs::read_to_string(root.join(format!("tests/{binary}.rs"))).unwrap();
                assert!(text.contains(&format!("fn {filter}")), "`{name}`");
            }
        }
    }
}
