//! The settings in a startup packet. `login` refuses those that sessions cannot set, and sends the
//! others to the engine.

use crate::iam::identity::ADMIN;
use crate::protocol::startup::Parameters;
use crate::refusal::Refusal;
use crate::sql::setting::{CLUSTER_ID, Setting, setting};

/// Returns the settings of the packet and of its `options`, for the engine.
pub(crate) fn settings(parameters: &Parameters) -> Result<Vec<(String, String)>, Refusal> {
    let mut settings = Vec::new();
    let is_admin = parameters.get("user") == Some(ADMIN);
    for (name, value) in &parameters.pairs {
        match name.as_str() {
            "user" | "database" => {}
            "options" => {
                for (name, value) in parse_options(value)? {
                    if is_admin && name == CONTROL {
                        continue;
                    }
                    allow(&mut settings, name, value)?;
                }
            }
            _ if name.starts_with(PROTOCOL_PREFIX) => {}
            _ => allow(&mut settings, name.clone(), value.clone())?,
        }
    }
    Ok(settings)
}

/// Returns the cluster ID in the packet's `options`.
pub(crate) fn cluster_id(parameters: &Parameters) -> Option<String> {
    let options = parse_options(parameters.get("options")?).ok()?;
    let (_, id) = options.into_iter().rfind(|(name, _)| name == CLUSTER_ID)?;
    Some(id)
}

/// Returns whether the packet's `options` request control of the local cluster.
pub(crate) fn asks_for_control(parameters: &Parameters) -> bool {
    let options = parameters.get("options").map(parse_options);
    let Some(Ok(options)) = options else {
        return false;
    };
    options
        .iter()
        .any(|(name, value)| name == CONTROL && matches!(value.as_str(), "on" | "true" | "1"))
}

/// Returns the protocol options, none of which the server supports.
pub(crate) fn of_the_protocol(parameters: &Parameters) -> impl Iterator<Item = &str> {
    parameters
        .pairs
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| name.starts_with(PROTOCOL_PREFIX))
}

fn allow(settings: &mut Vec<(String, String)>, name: String, value: String) -> Result<(), Refusal> {
    let lower = name.to_ascii_lowercase();
    match setting(&lower) {
        Some(Setting::OfPostgres) => settings.push((lower, value)),
        Some(Setting::OfTheService) => {}
        None => return Err(Refusal::ParameterNotSupported { name }),
    }
    Ok(())
}

/// Parses `-c name=value`, `-cname=value` and `--name=value`.
fn parse_options(options: &str) -> Result<Vec<(String, String)>, Refusal> {
    let mut words = words(options).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let unsupported = || Refusal::ParameterNotSupported { name: word.clone() };
        let pair = match (
            word.as_str(),
            word.strip_prefix("--"),
            word.strip_prefix("-c"),
        ) {
            ("-c", ..) => words.next().ok_or_else(unsupported)?,
            (_, Some(pair), _) | (_, _, Some(pair)) => pair.to_owned(),
            _ => return Err(unsupported()),
        };
        let (name, value) = pair.split_once('=').ok_or_else(unsupported)?;
        // PostgreSQL turns dashes into underscores here; the service's own names keep them.
        let name = match setting(name) == Some(Setting::OfTheService) {
            true => name.to_owned(),
            false => name.replace('-', "_"),
        };
        settings.push((name, value.to_owned()));
    }
    Ok(settings)
}

/// Splits at white space that no backslash escapes. PostgreSQL splits at ASCII white space
/// including the vertical tab.
fn words(options: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut characters = options.chars();
    while let Some(c) = characters.next() {
        let last = words.last_mut().expect("never empty");
        match c {
            '\\' => last.extend(characters.next()),
            _ if c.is_ascii_whitespace() || c == '\u{b}' => words.push(String::new()),
            _ => last.push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Lets `admin` control the local cluster by SQL (`control`).
const CONTROL: &str = "dsql_local.control";
const PROTOCOL_PREFIX: &str = "_pq_.";
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::corpus::{mutated, walk};

    proptest! {
        #[test]
        fn no_options_panic(
            name in "[-a-z_. ]{0,12}|options",
            value in "[-c= \\\\a_.\u{e9}\n]{0,40}",
        ) {
            let packet = Parameters {
                minor_version: 0,
                pairs: vec![(name, value.clone()), ("options".to_owned(), value)],
            };
            if let Ok(settings) = settings(&packet) {
                for (name, _) in settings {
                    prop_assert_eq!(setting(&name), Some(Setting::OfPostgres));
                }
            }
            let _id = cluster_id(&packet);
        }

        #[test]
        fn options_are_split_as_postgresql_splits_them(
            options in prop_oneof![
                "[ab\\\\ \t\n\r\u{b}\u{c}\u{85}\u{a0}\u{2003}=-]{0,20}",
                mutated("options")
                    .prop_map(|options| String::from_utf8_lossy(&options).into_owned()),
            ],
        ) {
            prop_assert_eq!(words(&options), split_by_postgresql(&options));
        }

        #[test]
        fn escaped_settings_parse_to_the_same_values(
            values in prop::collection::vec("[ab \\t\u{b}\u{a0}\\\\]{0,9}|[^\0]{0,9}", 0..4),
        ) {
            let options = values.iter().map(|value| {
                let escaped = |c: char| match c {
                    '\\' | ' ' | '\t'..='\r' => format!("\\{c}"),
                    _ => c.to_string(),
                };
                format!("-c search_path={}\n", value.chars().map(escaped).collect::<String>())
            });
            let read = of(&[("options", &options.collect::<String>())]).unwrap();
            let read: Vec<_> = read.into_iter().map(|(_, value)| value).collect();
            prop_assert_eq!(read, values);
        }
    }

    #[test]
    fn mutations_of_the_corpus_never_panic() {
        walk("options", |options| {
            let options = String::from_utf8_lossy(options);
            let read = parse_options(&options).unwrap_or_default();
            let length = |(name, value): &(String, String)| name.len() + value.len();
            assert!(read.iter().map(length).sum::<usize>() <= options.len());
            let _settings = of(&[("options", &options)]);
        });
    }

    /// Splits like PostgreSQL's `pg_split_opts`, which works on bytes.
    fn split_by_postgresql(options: &str) -> Vec<String> {
        let is_space = |byte: u8| b" \t\n\r\x0b\x0c".contains(&byte);
        let mut rest = options.bytes().peekable();
        let mut words = Vec::new();
        loop {
            while rest.next_if(|byte| is_space(*byte)).is_some() {}
            if rest.peek().is_none() {
                break;
            }
            let (mut word, mut escaped) = (Vec::new(), false);
            while let Some(byte) = rest.next_if(|byte| escaped || !is_space(*byte)) {
                escaped = !escaped && byte == b'\\';
                if !escaped {
                    word.push(byte);
                }
            }
            words.push(String::from_utf8(word).unwrap());
        }
        // To PostgreSQL a trailing backslash is an empty word.
        words.retain(|word| !word.is_empty());
        words
    }

    fn of(pairs: &[(&str, &str)]) -> Result<Vec<(String, String)>, Refusal> {
        settings(&Parameters {
            minor_version: 0,
            pairs: pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        })
    }

    #[test]
    fn options_have_three_spellings() {
        let read = of(&[
            ("user", "app"),
            (
                "options",
                r"-c search_path=a,\ b -cTimeZone=UTC  --extra-float-digits=3 -c amzn-cluster-id=x",
            ),
        ]);
        let expected = [
            ("search_path", "a, b"),
            ("timezone", "UTC"),
            ("extra_float_digits", "3"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn other_parameters_are_refused_by_name() {
        for (pair, name) in [
            (("statement_timeout", "1"), "statement_timeout"),
            (("replication", "true"), "replication"),
            (("options", "-c lock_timeout=1"), "lock_timeout"),
            (("options", "-d 5"), "-d"),
            (("options", "-c"), "-c"),
        ] {
            let refusal = Refusal::ParameterNotSupported {
                name: name.to_owned(),
            };
            assert_eq!(of(&[pair]), Err(refusal));
        }
    }
}
