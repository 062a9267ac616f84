//! Which events are logged: `--log`.

use tracing_subscriber::EnvFilter;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Where the TLS library warns of each client that names an address where the name of a server belongs (SNI), as
/// many do; what is wrong with a handshake is told by the one who makes it.
const NOISE: &str = "rustls::msgs::handshake=off";

/// Reads a filter: parts with commas between them, each a level or `target=level`.
///
/// A bare target, which means all of its events, is taken for this crate's modules only: anywhere
/// else it is a level that somebody spelled wrong, and nothing would be logged.
pub(in crate::cli) fn parse(text: &str) -> Result<EnvFilter, String> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    for part in &parts {
        // The same levels by number.
        let is_number = matches!(part.as_bytes(), [b'0'..=b'5']);
        let is_level = is_number || LEVELS.iter().any(|level| part.eq_ignore_ascii_case(level));
        let is_own = *part == "roundel" || part.starts_with("roundel::");
        if !is_level && !is_own && !part.contains(['=', '[']) {
            return Err(format!(
                "`{part}` is none of {}; a filter for a part of the program is `TARGET=LEVEL`",
                LEVELS.join(", ")
            ));
        }
    }
    // Whoever names the library gets all that it says.
    let quiet = (!text.contains("rustls")).then_some(NOISE);
    let parts: Vec<&str> = parts.into_iter().chain(quiet).collect();
    EnvFilter::try_new(parts.join(",")).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_targets_with_levels_are_filters() {
        for text in [
            "info",
            "DEBUG",
            "off",
            "4",
            "warn,roundel::net=debug",
            "warn, rustls=trace",
            "roundel",
            "roundel::broker",
        ] {
            parse(text).unwrap();
        }
    }

    #[test]
    fn a_word_that_is_none_is_an_error() {
        for text in [
            "bananas",
            "inf",
            "info,bananas",
            "",
            "info,,",
            "=",
            "a=bananas",
            "1x",
            "6",
        ] {
            parse(text).unwrap_err();
        }
        let error = parse("bananas").unwrap_err();
        assert!(
            error.contains("`bananas`") && error.contains("info"),
            "{error}"
        );
    }
}
