//! Where Java's producer puts a key.

/// The partition of a key, among so many.
pub(super) fn partition(key: &[u8], partitions: i32) -> i32 {
    (hash(key) & 0x7fff_ffff) as i32 % partitions.max(1)
}

/// Murmur2 as `org.apache.kafka.common.utils.Utils.murmur2` has it.
fn hash(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail: u32, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_kafkas_own_tests_say() {
        // org.apache.kafka.common.utils.UtilsTest.testMurmur2
        for (key, expected) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(hash(key.as_bytes()) as i32, expected, "{key}");
        }
        assert_eq!(hash(b""), 0x106e_08d9);
    }

    #[test]
    fn partitions_are_never_negative() {
        for n in 0..1000_u32 {
            assert!((0..7).contains(&partition(&n.to_be_bytes(), 7)));
        }
    }
}
