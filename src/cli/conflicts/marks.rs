//! A merge as text for an editor: JSON with both versions between marks where they differ.
//!
//! ```text
//!   "name": "Mug",
//! <<<<<<< mine
//!   "price": 4
//! =======
//!   "price": 5
//! >>>>>>> theirs
//! ```

use std::collections::BTreeMap;

use serde_json::Value;
use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::{
    merge::{Merged, Pick},
    model::json::{self, Limits, Pointer},
};

const MINE: &str = "<<<<<<< mine";
const BETWEEN: &str = "=======";
const THEIRS: &str = ">>>>>>> theirs";

/// `None` where one side is no document: there is nothing to mark.
pub(super) fn write(merged: &Merged) -> Option<String> {
    let mine: BTreeMap<Pointer, Pick> = merged.undecided().map(|field| (field.pointer.clone(), Pick::Mine)).collect();
    let (mine, theirs) = (pretty(&merged.preview(&mine)?), pretty(&merged.preview(&BTreeMap::new())?));
    let (mine, theirs): (Vec<&str>, Vec<&str>) = (mine.lines().collect(), theirs.lines().collect());
    let mut lines: Vec<&str> = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, &mine, &theirs) {
        let (here, there) = (&mine[op.old_range()], &theirs[op.new_range()]);
        match op {
            DiffOp::Equal { .. } => lines.extend(here),
            _ => {
                lines.push(MINE);
                lines.extend(here);
                lines.push(BETWEEN);
                lines.extend(there);
                lines.push(THEIRS);
            }
        }
    }
    Some(lines.join("\n") + "\n")
}

/// The document of an edited text; else what is wrong with it. No line of JSON begins with a mark.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let is_mark = |line: &str| [MINE, BETWEEN, THEIRS].iter().any(|mark| line.starts_with(mark));
    if let Some(line) = text.lines().position(is_mark) {
        return Err(format!("line {}: a conflict mark is left; keep one of the two versions", line + 1));
    }
    json::parse(text, Limits::default()).map_err(|invalid| invalid.to_string())
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{merge::merge_fields, model::rules::ConflictRules};

    #[test]
    fn both_versions_stand_between_marks_and_what_is_left_is_read() {
        let base = json!({"name": "Mug", "price": 3, "stock": 1});
        let mine = json!({"name": "Mug", "price": 4, "stock": 2});
        let theirs = json!({"name": "Cup", "price": 5, "stock": 1});
        let merged = merge_fields(Some(&base), Some(&mine), Some(&theirs), &ConflictRules::default());
        let text = write(&merged).unwrap();
        let expected = "{\n  \"name\": \"Cup\",\n<<<<<<< mine\n  \"price\": 4,\n=======\n  \"price\": 5,\n\
                        >>>>>>> theirs\n  \"stock\": 2\n}\n";
        assert_eq!(text, expected);
        assert_eq!(read(&text), Err("line 3: a conflict mark is left; keep one of the two versions".to_owned()));
        let kept: String =
            text.lines().filter(|line| !line.contains("price\": 5")).map(|line| format!("{line}\n")).collect();
        let chosen = kept.replace("<<<<<<< mine\n", "").replace("=======\n>>>>>>> theirs\n", "");
        assert_eq!(read(&chosen), Ok(json!({"name": "Cup", "price": 4, "stock": 2})));
        assert!(read("{\"a\":").is_err());
    }

    #[test]
    fn a_deleted_record_has_no_text() {
        let (base, edited) = (json!({"a": 1}), json!({"a": 2}));
        assert_eq!(write(&merge_fields(Some(&base), None, Some(&edited), &ConflictRules::default())), None);
    }
}
