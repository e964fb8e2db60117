//! The order of records, as bytes that compare the way the backend orders its keys.

use crate::model::ids::RecordId;

/// The key column of a record: equal for equal ids only, ordered as `model::rtdb::key_order` orders.
pub(super) fn of(id: &RecordId) -> Vec<u8> {
    sort_key(id.as_str())
}

/// 32-bit integers first, by value; then every other text by its UTF-16 code units.
fn sort_key(id: &str) -> Vec<u8> {
    if let Some(number) = canonical_integer(id) {
        let mut bytes = vec![1];
        bytes.extend_from_slice(&((i64::from(number) + (1 << 31)) as u32).to_be_bytes());
        return bytes;
    }
    let mut bytes = vec![2];
    bytes.extend(id.encode_utf16().flat_map(u16::to_be_bytes));
    bytes
}

fn canonical_integer(id: &str) -> Option<i32> {
    let number: i32 = id.parse().ok()?;
    (number.to_string() == id).then_some(number)
}
