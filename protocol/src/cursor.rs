//! A cursor's plain form: where a reader stands in every partition of one topic.
//!
//! The bridge seals it (AEAD) before a page sees it; the sealed token is opaque to clients.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// Next offset to read in each partition.
pub type Offsets = BTreeMap<i32, i64>;

/// The topic's own identity: another one under the same name is another log.
pub type TopicId = [u8; 16];

/// What a sealed cursor holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Whose cursor it is.
    pub tenant: String,
    /// Physical topic name.
    pub topic: String,
    /// Which incarnation of that topic.
    pub topic_id: TopicId,
    /// Whether it names all partitions the reader knew, or only those that moved.
    pub full: bool,
    /// Next offset of each partition it names.
    pub offsets: Offsets,
}

/// Bytes that are no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor")]
pub struct NotACursor;

const FORM: u8 = 1;

/// What a cursor says beside its offsets, borrowed: what is sealed at once need not be put together first.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Whose cursor it is.
    pub tenant: &'a str,
    /// Physical topic name.
    pub topic: &'a str,
    /// Which incarnation of that topic.
    pub topic_id: TopicId,
    /// Whether it names all partitions the reader knew, or only those that moved.
    pub full: bool,
}

impl Head<'_> {
    /// Appends the plain bytes of a cursor with these offsets, each partition named once.
    pub fn encode(&self, offsets: impl Iterator<Item = (i32, i64)> + Clone, out: &mut Vec<u8>) {
        out.push(FORM);
        out.push(u8::from(self.full));
        for text in [self.tenant, self.topic] {
            varint(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(&self.topic_id);
        varint(out, offsets.clone().count() as u64);
        for (partition, offset) in offsets {
            varint(out, u64::from(partition.cast_unsigned()));
            varint(out, offset.cast_unsigned());
        }
    }
}

impl Cursor {
    /// All but the offsets.
    pub fn head(&self) -> Head<'_> {
        Head { tenant: &self.tenant, topic: &self.topic, topic_id: self.topic_id, full: self.full }
    }

    /// The plain bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24 + self.tenant.len() + self.topic.len() + 10 * self.offsets.len());
        self.head().encode(self.offsets.iter().map(|(&partition, &offset)| (partition, offset)), &mut out);
        out
    }

    /// Reads plain bytes back.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotACursor> {
        let mut rest = bytes;
        let [form, full] = take::<2>(&mut rest)?;
        if form != FORM || full > 1 {
            return Err(NotACursor);
        }
        let tenant = take_text(&mut rest)?;
        let topic = take_text(&mut rest)?;
        let topic_id = take::<16>(&mut rest)?;
        let count = take_varint(&mut rest)?;
        let mut offsets = Offsets::new();
        for _ in 0..count {
            let partition = i32::try_from(take_varint(&mut rest)?).map_err(|_| NotACursor)?;
            let offset = i64::try_from(take_varint(&mut rest)?).map_err(|_| NotACursor)?;
            if offsets.insert(partition, offset).is_some() {
                return Err(NotACursor);
            }
        }
        if !rest.is_empty() {
            return Err(NotACursor);
        }
        Ok(Self { tenant, topic, topic_id, full: full == 1, offsets })
    }

    /// Moves on by a later delta of the same tenant and topic incarnation.
    pub fn advance(&mut self, delta: &Self) -> Result<(), NotACursor> {
        if (&self.tenant, &self.topic, self.topic_id) != (&delta.tenant, &delta.topic, delta.topic_id) {
            return Err(NotACursor);
        }
        for (&partition, &offset) in &delta.offsets {
            let at = self.offsets.entry(partition).or_insert(offset);
            *at = (*at).max(offset);
        }
        Ok(())
    }
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], NotACursor> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(NotACursor)?;
    *rest = tail;
    Ok(*head)
}

fn take_varint(rest: &mut &[u8]) -> Result<u64, NotACursor> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let [byte] = take::<1>(rest)?;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(NotACursor)
}

fn take_text(rest: &mut &[u8]) -> Result<String, NotACursor> {
    let length = usize::try_from(take_varint(rest)?).map_err(|_| NotACursor)?;
    let (head, tail) = rest.split_at_checked(length).ok_or(NotACursor)?;
    *rest = tail;
    String::from_utf8(head.to_vec()).map_err(|_| NotACursor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(
            tenant in "[a-z]{1,64}", topic in "[a-z.]{1,99}", topic_id in any::<[u8; 16]>(), full: bool,
            offsets in prop::collection::btree_map(0i32.., 0i64.., 0..20),
        ) {
            let cursor = Cursor { tenant, topic, topic_id, full, offsets };
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor));
        }

        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = Cursor::decode(&bytes);
        }
    }

    #[test]
    fn deltas_never_go_back() {
        let at = |offsets: &[(i32, i64)]| Cursor {
            tenant: "a".into(),
            topic: "t".into(),
            topic_id: [1; 16],
            full: true,
            offsets: offsets.iter().copied().collect(),
        };
        let mut cursor = at(&[(0, 5), (1, 9)]);
        cursor.advance(&at(&[(1, 7), (0, 6), (2, 1)])).unwrap();
        assert_eq!(cursor, at(&[(0, 6), (1, 9), (2, 1)]));
        let other = Cursor { topic_id: [2; 16], ..at(&[]) };
        assert_eq!(cursor.advance(&other), Err(NotACursor));
    }
}
