//! Reports as clients nearly always send them: numbers only, members in the order in which they are written here, no
//! space. A bridge reads thousands a second, so these are read in one pass; any other text is left to the decoder that
//! reads every frame, which reads these alike.

use alloc::vec::Vec;

use super::report::{Position, Report, Span, ViewReport};

impl Report {
    /// Reads the text of a frame, if it is a report in that form.
    pub(super) fn read_plain(text: &str) -> Option<Self> {
        let mut text = Plain(text.as_bytes());
        text.expect(br#"{"report":{"views":["#)?;
        let views = text.list(Plain::view)?;
        text.expect(b"}}")?;
        text.0.is_empty().then_some(Self { views })
    }
}

/// What is still to be read.
struct Plain<'a>(&'a [u8]);

impl Plain<'_> {
    fn take(&mut self, text: &[u8]) -> bool {
        let rest = self.0.strip_prefix(text);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, text: &[u8]) -> Option<()> {
        self.take(text).then_some(())
    }

    /// The rest of an array that is not empty.
    fn list<T>(&mut self, each: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut found = Vec::new();
        loop {
            found.push(each(self)?);
            if !self.take(b",") {
                self.expect(b"]")?;
                return Some(found);
            }
        }
    }

    fn view(&mut self) -> Option<ViewReport> {
        self.expect(br#"{"view":"#)?;
        let view = u32::try_from(self.number()?).ok()?;
        let dispatched = if self.take(br#","dispatched":"#) { Some(self.number()?) } else { None };
        let settled = if self.take(br#","settled":["#) { self.list(Self::span)? } else { Vec::new() };
        self.expect(b"}")?;
        Some(ViewReport { view, dispatched, settled, ..ViewReport::default() })
    }

    fn span(&mut self) -> Option<Span> {
        self.expect(b"[")?;
        let first = self.position()?;
        self.expect(b",")?;
        let last = self.position()?;
        self.expect(b"]")?;
        Some(Span { first, last })
    }

    fn position(&mut self) -> Option<Position> {
        let seq = self.number()?;
        self.expect(b",")?;
        Some(Position { seq, ordinal: u32::try_from(self.number()?).ok()? })
    }

    /// A number of at most 15 digits: every frame's numbers are doubles, which hold these exactly.
    fn number(&mut self) -> Option<u64> {
        let digits = self.0.iter().take(16).take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(digits);
        if !(1..=15).contains(&digits.len()) || (digits[0] == b'0' && digits.len() > 1) {
            return None;
        }
        self.0 = rest;
        Some(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::ClientFrame;
    use crate::frame::report::{Failure, FailureKind};
    use crate::json::{Fields, Raw, Value};

    fn position() -> impl Strategy<Value = Position> {
        (0..1u64 << 53, any::<u32>()).prop_map(|(seq, ordinal)| Position { seq, ordinal })
    }

    fn view() -> impl Strategy<Value = ViewReport> {
        let span = (position(), position()).prop_map(|(first, last)| Span { first, last });
        let failure = position().prop_map(|at| Failure {
            at,
            kind: FailureKind::Threw,
            reason: "\"settled\":[[1,2,3,4]]".into(),
            last: false,
        });
        let (settled, failed) = (prop::collection::vec(span, 0..4), prop::collection::vec(failure, 0..2));
        (any::<u32>(), prop::option::of(0..1u64 << 53), settled, failed).prop_map(
            |(view, dispatched, settled, failed)| ViewReport {
                view,
                dispatched,
                settled,
                failed,
                unhandled: Vec::new(),
            },
        )
    }

    /// As every other frame is read.
    fn usual(text: &str) -> Option<Report> {
        let frame = Raw::parse(text).ok()?;
        (frame.names() == ["report"]).then_some(())?;
        Report::read(&Fields::new(&frame.member("report")?, "/report")).ok()
    }

    proptest! {
        #[test]
        fn what_is_read_is_read_as_by_everybody(
            views in prop::collection::vec(view(), 0..4),
            cut in any::<prop::sample::Index>(),
            other in "[\\x20-\\x7e]{0,2}",
        ) {
            let report = Report { views };
            let text = ClientFrame::Report(report.clone()).encode();
            prop_assert_eq!(&usual(&text), &Some(report));
            let cut = cut.index(text.len());
            for text in [text.clone(), format!("{}{other}{}", &text[..cut], &text[cut + 1..])] {
                if let Some(read) = Report::read_plain(&text) {
                    prop_assert_eq!(Some(read), usual(&text), "{}", text);
                }
            }
        }
    }

    #[test]
    fn a_plain_one_is_read_here() {
        let text = r#"{"report":{"views":[{"view":7,"dispatched":4,"settled":[[3,0,4,4],[6,1,6,1]]},{"view":8}]}}"#;
        let read = Report::read_plain(text).expect("plain");
        assert_eq!((read.views.len(), read.views[0].settled.len()), (2, 2));
        assert_eq!(Some(read), usual(text));
        for number in ["", "01", "-1", "1.5", "1e3", "9007199254740992", "4294967296"] {
            assert_eq!(Report::read_plain(&text.replace('7', number)), None, "{number}");
        }
    }
}
