//! Jitter and event ids from a seed that the adapter draws.

/// Two `SplitMix64` streams, mixed. Not for secrets.
#[derive(Debug)]
pub(super) struct Random([u64; 2]);

impl Random {
    pub(super) fn new(seed: [u64; 2]) -> Self {
        Self(seed)
    }

    /// Uniform in 0..1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Ten bytes, as much as a version 7 UUID takes.
    pub(super) fn bytes(&mut self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.next().to_le_bytes());
        bytes[8..].copy_from_slice(&self.next().to_le_bytes()[..2]);
        bytes
    }

    fn next(&mut self) -> u64 {
        let [a, b] = &mut self.0;
        *a = a.wrapping_add(0x9E37_79B9_7F4A_7C15);
        *b = b.wrapping_add(0xD1B5_4A32_D192_ED03);
        mix(*a) ^ mix(b.rotate_left(31))
    }
}

fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}
