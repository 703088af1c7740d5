//! Numbers for people.

/// The digits of a count in groups of three, to be set apart by space and not by characters: the text
/// stays the plain integer for whoever copies or reads it.
pub(crate) fn groups(count: u64) -> Vec<String> {
    let digits = count.to_string();
    let first = (digits.len() + 2) % 3 + 1;
    let (head, tail) = digits.split_at(first);
    let tail = tail.as_bytes().chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    std::iter::once(head.to_owned()).chain(tail).collect()
}

/// A rate, to about three digits.
pub(crate) fn rate(rate: f64) -> String {
    let size = rate.abs();
    if rate.is_nan() {
        "–".to_owned()
    } else if size < 0.05 {
        "0".to_owned()
    } else if size < 9.95 {
        trim(format!("{rate:.1}"))
    } else if size < 999.5 {
        format!("{rate:.0}")
    } else if size < 9_950.0 {
        trim(format!("{:.1}", rate / 1_000.0)) + "k"
    } else if size < 999_500.0 {
        format!("{:.0}k", rate / 1_000.0)
    } else {
        trim(format!("{:.1}", rate / 1_000_000.0)) + "M"
    }
}

/// A label of a value axis, which may need two decimals.
pub(crate) fn tick(value: f64) -> String {
    if value.abs() < 10.0 { trim(trim(format!("{value:.2}"))) } else { rate(value) }
}

/// Drops a trailing zero of a decimal, and the point with it.
fn trim(mut text: String) -> String {
    if text.contains('.') && text.ends_with('0') {
        text.pop();
        if text.ends_with('.') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped() {
        assert_eq!(groups(0), ["0"]);
        assert_eq!(groups(999), ["999"]);
        assert_eq!(groups(1_000), ["1", "000"]);
        assert_eq!(groups(12_345_678), ["12", "345", "678"]);
    }

    #[test]
    fn rates_are_short() {
        let texts = [0.0, 0.04, 0.52, 3.0, 9.96, 151.2, 1_234.0, 25_100.0, 2_500_000.0, -3.25, f64::NAN].map(rate);
        assert_eq!(texts, ["0", "0", "0.5", "3", "10", "151", "1.2k", "25k", "2.5M", "-3.2", "–"]);
        assert_eq!([0.25, 0.5, 7.5, 250.0, 0.0].map(tick), ["0.25", "0.5", "7.5", "250", "0"]);
    }
}
