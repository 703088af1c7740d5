//! Where a string's bytes need a look: what scanning and writing strings spend their time with.

/// How many bytes come before the first that ends a string or must be escaped in it: a quote, a backslash or a control
/// character. All of them, if there is none.
#[inline]
pub(super) fn plain(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks();
    for (at, word) in words.iter().enumerate() {
        let found = marks(u64::from_le_bytes(*word));
        if found != 0 {
            return at * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let in_rest = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
    bytes.len() - rest.len() + in_rest.unwrap_or(rest.len())
}

/// The high bit of the first of eight bytes that needs a look; bits of bytes after it may be set, too.
#[inline]
fn marks(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // A byte that is less than what is subtracted borrows, and so gets its high bit. One bit turned, the quote (0x22)
    // lies next to the control characters: one subtraction finds them all.
    let controls_and_quotes = (eight ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let backslashes = (eight ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
    (controls_and_quotes | backslashes) & !eight & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::plain;

    #[test]
    fn each_byte_is_judged_at_each_place() {
        for byte in 0..=u8::MAX {
            for (at, length) in (0..20).flat_map(|at| [(at, at + 1), (at, 20)]) {
                for around in [b' ', b'#', 0x7f, 0xff] {
                    let mut bytes = vec![around; length];
                    bytes[at] = byte;
                    let expected = if matches!(byte, b'"' | b'\\' | 0..=0x1f) { at } else { length };
                    assert_eq!(plain(&bytes), expected, "{byte:#x} at {at} of {length}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_the_first_that_counts(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let first = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            prop_assert_eq!(plain(&bytes), first.unwrap_or(bytes.len()));
        }
    }
}
