//! Durations ("25s") and sizes ("64KiB") as people write them.

use std::time::Duration;

/// Reads a duration: an integer and `ms`, `s`, `m` or `h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no duration; write it as \"500ms\", \"25s\", \"2m\" or \"1h\"");
    let (number, unit) = split(text).ok_or_else(bad)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(bad()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(bad)
}

/// Reads a size: an integer and `B`, `KiB`, `MiB`, `GiB`, or `kB`, `MB`, `GB`; without a unit, bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is no size; write it as 65536, \"64KiB\" or \"1MiB\"");
    let (number, unit) = split(text).ok_or_else(bad)?;
    let bytes = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(bad()),
    };
    number.checked_mul(bytes).ok_or_else(bad)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// Writes a duration as it would be written in a file.
pub(super) fn show_duration(duration: Duration) -> String {
    match duration.as_millis() {
        0 => "0s".to_owned(),
        millis if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        millis if millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        millis if millis.is_multiple_of(1000) => format!("{}s", millis / 1000),
        millis => format!("{millis}ms"),
    }
}

/// Writes a size as it would be written in a file.
pub(super) fn show_size(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        _ if bytes.is_multiple_of(1 << 30) => format!("{}GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
        _ => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [("500ms", 500), ("25s", 25_000), ("2m", 120_000), ("1 h", 3_600_000), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "25", "1.5s", "-1s", "25 sec", "99999999999999999999s", "18446744073709551615h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(show_duration(Duration::from_mins(2)), "2m");
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("512", 512), ("64KiB", 65_536), ("1 MiB", 1 << 20), ("2MB", 2_000_000)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "KiB", "1.5MiB", "-1", "64kib", "18446744073709551615GiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(show_size(3 << 20), "3MiB");
    }
}
