//! Times as policies write them.

const DAY: i64 = 86_400;

/// Reads a time: `2026-11-28T17:38:11Z`, with a fraction or an offset as `+01:00`, without seconds or without a
/// time of day, or seconds since 1970. Seconds since 1970 in UTC; `None` when it is none.
pub fn parse(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = number(parts.next()?, 4)?;
    let month = number(parts.next()?, 2)?;
    let day = number(parts.next()?, 2)?;
    if parts.next().is_some()
        || !(1..=12).contains(&month)
        || !(1..=month_days(year, month)).contains(&day)
    {
        return None;
    }
    let midnight = days(year, month, day) * DAY;
    Some(midnight + time.map_or(Some(0), seconds)?)
}

/// The opposite: `2026-11-28T17:38:11Z`.
pub(super) fn format(time: i64) -> String {
    let (day, second) = (time.div_euclid(DAY), time.rem_euclid(DAY));
    let (year, month, day) = civil(day);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// So many digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// A time of day with its zone, in seconds from midnight in UTC.
fn seconds(text: &str) -> Option<i64> {
    let (time, offset) = match text.find(['Z', '+', '-']) {
        Some(at) => (&text[..at], zone(&text[at..])?),
        None => return None,
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut parts = time.split(':');
    let hour = number(parts.next()?, 2)?;
    let minute = number(parts.next()?, 2)?;
    let second = parts.next().map_or(Some(0), |second| number(second, 2))?;
    let is_time = hour < 24 && minute < 60 && second < 61 && parts.next().is_none();
    is_time.then_some(hour * 3_600 + minute * 60 + second - offset)
}

/// `Z` or `+01:00`, in seconds.
fn zone(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text[1..].split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date, by counting from a March: leap days then end a year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The opposite of [`days`]: year, month and day.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read() {
        for (text, time) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-28T17:38:11Z", 1_795_887_491),
            ("2026-11-28T17:38:11.999Z", 1_795_887_491),
            ("2026-11-28T18:38:11+01:00", 1_795_887_491),
            ("2026-11-28T12:08:11-05:30", 1_795_887_491),
            ("2026-11-28T17:38Z", 1_795_887_480),
            ("2026-11-28", 1_795_824_000),
            ("2024-02-29", 1_709_164_800),
            ("1969-12-31T23:59:59Z", -1),
            ("1795887491", 1_795_887_491),
            ("-1", -1),
        ] {
            assert_eq!(parse(text), Some(time), "{text}");
        }
        assert_eq!(format(1_795_887_491), "2026-11-28T17:38:11Z");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "-",
            "tomorrow",
            "2026-11",
            "2026-13-01",
            "2026-02-29",
            "2026-11-28T17:38:11",
            "2026-11-28T24:00Z",
            "2026-11-28T17:60Z",
            "2026-11-28T17Z",
            "2026-11-28T17:38:11.Z",
            "2026-11-28T17:38:11+1:00",
            "2026-11-28-01",
            "99999999999999999999",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(time in -62_135_596_800_i64..253_402_300_800) {
            prop_assert_eq!(parse(&format(time)), Some(time));
        }

        #[test]
        fn no_time_is_too_large_to_write(time: i64) {
            prop_assert!(format(time).ends_with('Z'));
        }
    }
}
