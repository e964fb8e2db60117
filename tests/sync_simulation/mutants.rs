//! The deliberate mistakes of `tests/mutants`: each must still fit the sources, or it shows nothing.

use std::{fs, path::Path};

/// Mistakes that are kept at least.
const LEAST: usize = 14;

pub fn every_mutant_still_applies() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("tests/mutants");
    let mut count = 0;
    for entry in fs::read_dir(&folder).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        count += 1;
        let patch = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        fits(root, &patch).map_err(|error| {
            let hint = "make the same mistake in the sources as they are now, and keep it with `git diff -U1`";
            format!("{}: {error}\n{hint}", path.display())
        })?;
    }
    if count < LEAST { Err(format!("{count} mutants are not the {LEAST} that were promised")) } else { Ok(()) }
}

/// Each hunk's old lines must be in its file, in a row, where no hunk before it was.
fn fits(root: &Path, patch: &str) -> Result<(), String> {
    let mut hunks = 0;
    for part in patch.split("\n--- a/").skip(1) {
        let (file, rest) = part.split_once('\n').ok_or("a file without hunks")?;
        let text = fs::read_to_string(root.join(file)).map_err(|error| format!("{file}: {error}"))?;
        let lines: Vec<&str> = text.lines().collect();
        let rest = rest.split("\ndiff --git").next().unwrap_or_default();
        let mut from = 0;
        for hunk in rest.split("\n@@ ").skip(1) {
            hunks += 1;
            let old: Vec<&str> = hunk.lines().skip(1).filter_map(|line| line.strip_prefix([' ', '-'])).collect();
            let found = lines[from..].windows(old.len()).position(|window| window == old);
            let Some(found) = found else {
                return Err(format!("a hunk does not fit {file} any more: {:?}", old.get(old.len() / 2)));
            };
            from += found + old.len();
        }
    }
    if hunks == 0 { Err("it changes nothing".to_owned()) } else { Ok(()) }
}
