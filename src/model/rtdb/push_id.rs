//! Ids of new records: the time of creation, then randomness, in an alphabet whose order is the order of bytes.

use crate::model::time::At;

const ALPHABET: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/// A 20-character push id: 8 characters of milliseconds, 12 of entropy. Ids of different milliseconds are ordered by
/// time; within one millisecond the order is that of the entropy.
pub fn push_id(at: &At) -> String {
    let millis = u64::try_from(at.wall.0).unwrap_or(0);
    let mut random = [0_u8; 16];
    random[7..].copy_from_slice(&at.entropy[..9]);
    let random = u128::from_be_bytes(random);
    let character = |six_bits: u64| char::from(ALPHABET[(six_bits & 63) as usize]);
    let time = (0..8).rev().map(|place| character(millis >> (6 * place)));
    let tail = (0..12).rev().map(|place| character((random >> (6 * place)) as u64));
    time.chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{
        rtdb::{check_key, key_order},
        time::Timestamp,
    };

    proptest! {
        #[test]
        fn later_ids_come_later(a in 0_i64..1 << 47, b in 0_i64..1 << 47, x in any::<[u8; 16]>(), y in any::<[u8; 16]>()) {
            let id = |millis, entropy| push_id(&At { wall: Timestamp(millis), entropy, ..At::test(0) });
            let (first, second) = (id(a, x), id(b, y));
            prop_assert_eq!(first.len(), 20);
            prop_assert!(check_key(&first).is_ok());
            let expected = a.cmp(&b).then(x[..9].cmp(&y[..9]));
            prop_assert_eq!(key_order(&first, &second), expected);
        }
    }

    #[test]
    fn a_known_instant_has_the_known_prefix() {
        let at = At { wall: Timestamp(1_700_000_000_000), entropy: [0; 16], ..At::test(0) };
        assert_eq!(push_id(&at), "-NjEtLV-------------");
    }
}
