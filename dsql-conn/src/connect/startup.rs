//! Writes what the session's first packets say: who, where, and with which settings.

use tokio_postgres::config::SslMode;

use crate::{config::Config, token::Token};

/// The driver's view of a configuration, with the token for its password.
pub(super) fn settings(config: &Config, token: &Token) -> tokio_postgres::Config {
    let mut settings = tokio_postgres::Config::new();
    settings
        .host(config.endpoint.host())
        .user(&config.user)
        .dbname(&config.database)
        .password(token.as_str())
        .ssl_mode(SslMode::Require)
        .ssl_negotiation(config.negotiation);
    if let Some(application_name) = &config.application_name {
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
    let settings = settings.map(|(name, value)| (name.as_str(), value.as_str()));
    let options: Vec<String> = cluster
        .into_iter()
        .chain(settings)
        .map(|(name, value)| format!("-c {name}={}", escaped(value)))
        .collect();
    options.join(" ")
}

/// Escapes a value for the `options` of a startup packet, which are split at blanks.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if c == '\\' || c.is_ascii_whitespace() {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";

    #[test]
    fn settings_survive_the_splitting_at_blanks() {
        let config = Config::new(HOST.parse().unwrap()).search_path("a, \"b\\c\"");
        assert_eq!(options(&config), r#"-c search_path=a,\ "b\\c""#);
    }

    #[test]
    fn the_cluster_is_named_where_the_dialed_name_does_not() {
        let endpoint: crate::Endpoint = HOST.parse().unwrap();
        assert_eq!(options(&Config::new(endpoint.clone())), "");
        let endpoint = endpoint.via("vpce-1a-2b.dsql-fnh4.us-east-1.vpce.amazonaws.com");
        assert_eq!(
            options(&Config::new(endpoint.unwrap())),
            "-c amzn-cluster-id=abcdefghijklmnopqrstuvwx23"
        );
    }
}
