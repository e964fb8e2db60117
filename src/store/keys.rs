//! The order of records: the key column holds bytes that compare the way the backend orders its keys.

use crate::model::{ids::RecordId, rtdb};

/// The key column of a record: equal for equal ids only.
pub(super) fn of(id: &RecordId) -> Vec<u8> {
    rtdb::sort_key(id.as_str())
}
