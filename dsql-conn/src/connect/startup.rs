//! Writes the content of the startup packet: user, database, settings, and the token.

use tokio_postgres::config::SslMode;

use crate::config::Config;
use crate::token::Token;

/// Returns a configuration as the driver's, with the token as the password.
pub(super) fn settings(config: &Config, token: &Token) -> tokio_postgres::Config {
    let mut settings = tokio_postgres::Config::new();
    settings
        .host(config.endpoint.host())
        .user(&config.user)
        .dbname(&config.database)
        .password(token.as_str())
        .ssl_mode(SslMode::Require)
        .ssl_negotiation(config.negotiation);
    if let Some(application_name) = config.session_name() {
        settings.application_name(application_name);
    }
    let options = options(config);
    if !options.is_empty() {
        settings.options(options);
    }
    settings
}

/// Writes the session's settings as the `options` of its startup packet.
fn options(config: &Config) -> String {
    // https://docs.aws.amazon.com/aurora-dsql/latest/userguide/privatelink-managing-clusters.html
    let cluster = config
        .endpoint
        .is_via_interface()
        .then_some(("amzn-cluster-id", config.endpoint.cluster_id()));
    let settings = config.settings.iter();
    let options: Vec<String> = cluster
        .into_iter()
        .chain(settings)
        .map(|(name, value)| format!("-c {name}={}", escaped(value)))
        .collect();
    options.join(" ")
}

/// Escapes a value for the `options` of a startup packet, which the server splits at C's white
/// space. That includes the vertical tab.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if c == '\\' || c == '\u{b}' || c.is_ascii_whitespace() {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOST: &str = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";

    #[test]
    fn settings_survive_the_splitting_at_blanks() {
        let config = Config::new(HOST.parse().unwrap()).search_path("a, \"b\\c\"");
        assert_eq!(options(&config), r#"-c search_path=a,\ "b\\c""#);
    }

    /// Reads options as PostgreSQL does: `pg_split_opts`, which splits bytes at C's white space,
    /// then `-c name=value`.
    fn read(options: &str) -> Vec<(String, String)> {
        let is_blank = |byte: u8| b" \t\n\x0b\x0c\r".contains(&byte);
        let mut words = vec![Vec::new()];
        let mut bytes = options.bytes();
        while let Some(byte) = bytes.next() {
            let word = words.last_mut().unwrap();
            match byte {
                b'\\' => word.extend(bytes.next()),
                _ if is_blank(byte) => words.push(Vec::new()),
                _ => word.push(byte),
            }
        }
        words.retain(|word| !word.is_empty());
        let words: Vec<_> = words
            .into_iter()
            .map(|word| String::from_utf8(word).unwrap())
            .collect();
        let settings = words.chunks(2).map(|setting| {
            assert_eq!(setting[0], "-c", "{options:?}");
            let (name, value) = setting[1].split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        });
        settings.collect()
    }

    proptest! {
        #[test]
        fn settings_are_read_as_they_were_made(
            search_path in "[a \\\\\t\n\r\u{b}\u{c}\u{a0}'\"=-]{0,12}|[^\0]{0,12}",
            timezone in "[^\0]{0,12}",
            via_interface in any::<bool>(),
        ) {
            let mut endpoint: crate::Endpoint = HOST.parse().unwrap();
            let mut expected = Vec::new();
            if via_interface {
                let interface = "vpce-1a-2b.dsql-fnh4.us-east-1.vpce.amazonaws.com";
                endpoint = endpoint.via(interface).unwrap();
                expected.push(("amzn-cluster-id".to_owned(), HOST[..26].to_owned()));
            }
            let config = Config::new(endpoint).search_path(&search_path);
            let config = config.setting("TimeZone", &timezone).unwrap();
            expected.push(("search_path".to_owned(), search_path));
            expected.push(("timezone".to_owned(), timezone));
            prop_assert_eq!(read(&options(&config)), expected);
        }
    }

    #[test]
    fn options_name_the_cluster_if_the_dialed_name_does_not() {
        let endpoint: crate::Endpoint = HOST.parse().unwrap();
        assert_eq!(options(&Config::new(endpoint.clone())), "");
        let endpoint = endpoint.via("vpce-1a-2b.dsql-fnh4.us-east-1.vpce.amazonaws.com");
        assert_eq!(
            options(&Config::new(endpoint.unwrap())),
            "-c amzn-cluster-id=abcdefghijklmnopqrstuvwx23"
        );
    }
}
