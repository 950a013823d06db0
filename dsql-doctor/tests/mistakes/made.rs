//! The mistakes, and the code that makes each.

use std::io;
use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;
use dsql_conn::{Config, ConfigError, Credentials, Endpoint};
use dsql_doctor::Class;
use dsql_local::{Action, Effect, Fault, Identity, LocalCluster, Refusal, Stage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Made, Mistake};

pub(crate) const NO_KEYS: &str = "no AWS credentials of any kind";
pub(crate) const EMPTY_VARIABLE: &str = "`DSQL_ENDPOINT=`";

/// The twenty mistakes, in the order of a connection, one of them in two directions. Then further
/// ones.
pub(crate) const ALL: &[Mistake] = &[
    Mistake {
        name: "endpoint misspelt",
        given: "`abcdefghijklmnopqrstuvwx2.dsql.us-east-1.on.aws`",
        cause: "starts with a cluster ID of 25 characters, not 26",
        remedy: "copy the cluster ID again",
        class: Class::Settings,
    },
    Mistake {
        name: "`https://` in the endpoint",
        given: "`https://abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws`",
        cause: "is a URL",
        remedy: "leave out the scheme: abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws",
        class: Class::Settings,
    },
    Mistake {
        name: "wrong Region",
        given: "the address of a cluster in us-east-1, and `eu-west-1` in its name",
        cause: "the server at this address does not know the cluster",
        remedy: "check the cluster ID and the Region",
        class: Class::Tls,
    },
    Mistake {
        name: "user not granted",
        given: "a role that no `AWS IAM GRANT` maps to the identity",
        cause: "is not authorized to access this resource",
        remedy: "run as admin: AWS IAM GRANT game TO 'arn:aws:iam::123456789012:role/api'",
        class: Class::Access,
    },
    Mistake {
        name: "`admin` with a permission for roles alone",
        given: "user `admin`, and `dsql:DbConnect` alone",
        cause: "is not authorized to perform: dsql:DbConnectAdmin",
        remedy: "allow the action that the message names on the cluster's ARN",
        class: Class::Access,
    },
    Mistake {
        name: "no keys",
        given: NO_KEYS,
        cause: "no source of credentials is configured",
        remedy: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        class: Class::Credentials,
    },
    Mistake {
        name: "expired keys",
        given: "a session that ended at 2026-01-01T00:00:00Z",
        cause: "the AWS credentials have expired (they expired at 2026-01-01T00:00:00Z",
        remedy: "renew them at their source",
        class: Class::Credentials,
    },
    Mistake {
        name: "clock a day behind",
        given: "this machine's clock a day and 10 minutes behind",
        cause: "this machine's clock is 1 d 0 h behind the server's",
        remedy: "set this machine's clock",
        class: Class::Clock,
    },
    Mistake {
        name: "clock a day ahead",
        given: "this machine's clock a day and 10 minutes ahead",
        cause: "this machine's clock is 1 d 0 h ahead of the server's",
        remedy: "set this machine's clock",
        class: Class::Clock,
    },
    Mistake {
        name: "untrusted authority",
        given: "a server whose certificate no built-in root has signed",
        cause: "the server's certificate was not accepted",
        remedy: "set DSQL_CA_FILE to that authority's file",
        class: Class::Tls,
    },
    Mistake {
        name: "expired certificate",
        given: "a server whose certificate ended at 2026-01-01T00:00:00Z",
        cause: "the server's certificate expired",
        remedy: "have the certificate renewed",
        class: Class::Tls,
    },
    Mistake {
        name: "closed port",
        given: "a port on which nothing listens",
        cause: "onnection refused",
        remedy: "check the address and the port",
        class: Class::Network,
    },
    Mistake {
        name: "no such name",
        given: "a cluster ID that does not exist",
        cause: "the host name does not resolve",
        remedy: "check the cluster ID and the Region",
        class: Class::Network,
    },
    Mistake {
        name: "black hole",
        given: "an address that accepts TCP and never answers",
        cause: "no reply",
        remedy: "through",
        class: Class::Network,
    },
    Mistake {
        name: "asleep",
        given: "a cluster that wakes up for longer than the connect timeout",
        cause: "the cluster is waking up",
        remedy: "try again in some seconds, or allow a longer connect timeout",
        class: Class::Busy,
    },
    Mistake {
        name: "throttled",
        given: "more than 100 new connections a second",
        cause: "connections are opened too fast",
        remedy: "keep connections and spread their start",
        class: Class::Busy,
    },
    Mistake {
        name: "full",
        given: "a cluster with 10,000 connections",
        cause: "the cluster has too many open connections",
        remedy: "use smaller pools or ask for a higher quota",
        class: Class::Busy,
    },
    Mistake {
        name: "wrong database",
        given: "database `games`",
        cause: "database \"games\" does not exist",
        remedy: "connect to the database `postgres`, the only one that a cluster has",
        class: Class::Settings,
    },
    Mistake {
        name: "weak `sslmode`",
        given: "`postgres://abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws/?sslmode=prefer`",
        cause: "sslmode is \"prefer\"",
        remedy: "it must be require, verify-ca or verify-full",
        class: Class::Settings,
    },
    Mistake {
        name: "password in the URL",
        given: "`postgres://admin:hunter2@abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws`",
        cause: "it contains a password",
        remedy: "leave it out, tokens are signed from AWS credentials",
        class: Class::Settings,
    },
    Mistake {
        name: "empty variable",
        given: EMPTY_VARIABLE,
        cause: "the environment variable DSQL_ENDPOINT is empty",
        remedy: "set it to the cluster's host name",
        class: Class::Settings,
    },
    Mistake {
        name: "the ARN for the endpoint",
        given: "`arn:aws:dsql:us-east-1:123456789012:cluster/abcdefghijklmnopqrstuvwx23`",
        cause: "is an ARN",
        remedy: "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws",
        class: Class::Settings,
    },
    Mistake {
        name: "a connection URL for the endpoint",
        given: "`DSQL_ENDPOINT=postgres://admin:hunter2@\
                abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws`",
        cause: "endpoint (not repeated) is a connection URL",
        remedy: "read the URL by Config::from_str, or give its host name alone",
        class: Class::Settings,
    },
    Mistake {
        name: "libpq's settings for a URL",
        given: "`host=abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws user=admin`",
        cause: "it is a list of settings, such as host=.. user=.., not a URL",
        remedy: "write postgres://USER@ENDPOINT:5432/postgres",
        class: Class::Settings,
    },
    Mistake {
        name: "an HTTP server at the port",
        given: "the address of an HTTP server",
        cause: "its answer to the TLS hello is not TLS: an HTTP server",
        remedy: "check that the address and port are the cluster's",
        class: Class::Tls,
    },
    Mistake {
        name: "keys that do not belong together",
        given: "the access key of one session and the secret of another",
        cause: "The request signature we calculated does not match",
        remedy: "the secret access key does not belong to the access key",
        class: Class::Access,
    },
    Mistake {
        name: "keys of a session whose end is unknown here",
        given: "a session whose end is not known here",
        cause: "the AWS credentials have expired",
        remedy: "renew them at their source",
        class: Class::Credentials,
    },
    Mistake {
        name: "unsupported setting",
        given: "`statement_timeout` in the URL",
        cause: "setting configuration parameter \"statement_timeout\" not supported",
        remedy: "remove it or correct its value",
        class: Class::Settings,
    },
];

/// Makes the mistake with this description.
pub(crate) async fn make(given: &str) -> Made {
    let text = given.trim_matches('`');
    let settings = match text {
        _ if text.starts_with("DSQL_ENDPOINT=") => {
            let (_, endpoint) = text.split_once('=').unwrap();
            Some(
                endpoint
                    .parse::<Endpoint>()
                    .map(Config::new)
                    .map_err(ConfigError::from),
            )
        }
        _ if text.starts_with("host=") || text.starts_with("postgres://") => Some(text.parse()),
        _ if given.starts_with('`') && !text.contains(' ') && text.contains("abc") => Some(
            text.parse::<Endpoint>()
                .map(Config::new)
                .map_err(ConfigError::from),
        ),
        _ => None,
    };
    if let Some(settings) = settings {
        return Made {
            settings,
            _cluster: None,
        };
    }
    let cluster = cluster(given).await;
    let config = wrong(given, &cluster).await;
    Made {
        settings: Ok(config),
        _cluster: Some(cluster),
    }
}

async fn cluster(given: &str) -> LocalCluster {
    let builder = LocalCluster::builder().id("abcdefghijklmnopqrstuvwx23");
    let builder = match given.contains("certificate ended") {
        true => builder.certificate_end(new_year()),
        false => builder,
    };
    builder
        .start()
        .await
        .expect("the tests need a PostgreSQL on this machine")
}

/// Returns a configuration for the cluster with this mistake in it, or puts it in the cluster.
async fn wrong(given: &str, cluster: &LocalCluster) -> Config {
    let config = right(cluster);
    let always = |refusal| cluster.inject(Fault::refuse(refusal).always());
    if given.contains("eu-west-1") {
        let elsewhere = cluster.endpoint().replace("us-east-1", "eu-west-1");
        return with_endpoint(&elsewhere, cluster);
    }
    if given.contains("no `AWS IAM GRANT`") {
        let admin = config.connect().await.unwrap();
        admin
            .batch_execute("CREATE ROLE game WITH LOGIN")
            .await
            .unwrap();
        let identity = cluster.identity("api", &[Action::DbConnect]);
        return config
            .user("game")
            .credentials(credentials(&identity, None));
    }
    if given.contains("`dsql:DbConnect` alone") {
        let identity = cluster.identity("api", &[Action::DbConnect]);
        return config.credentials(credentials(&identity, None));
    }
    if given.contains("a session that ended at") {
        let identity = cluster.identity("api", &[Action::DbConnectAdmin]);
        cluster.expire(&identity);
        return config.credentials(credentials(&identity, Some(new_year())));
    }
    if given.contains("whose end is not known here") {
        let identity = cluster.identity("api", &[Action::DbConnectAdmin]);
        cluster.expire(&identity);
        return config.credentials(credentials(&identity, None));
    }
    if given.contains("the secret of another") {
        let one = cluster.identity("one", &[Action::DbConnectAdmin]);
        let other = cluster.identity("other", &[Action::DbConnectAdmin]);
        let token = one.session_token().map(str::to_owned);
        let secret = other.secret_access_key();
        let keys = Credentials::new(one.access_key_id(), secret, token, None, "test");
        return config.credentials(keys);
    }
    if given.contains("clock a day") {
        let off = Duration::from_secs((24 * 60 + 10) * 60);
        let is_behind = given.contains("behind");
        return config.time_source(Off { off, is_behind });
    }
    if given.contains("no built-in root") {
        return Config::new(cluster.endpoint().parse().unwrap())
            .address(cluster.address().ip())
            .port(cluster.address().port())
            .credentials(credentials(cluster.admin(), None));
    }
    if given.contains("nothing listens") {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        return config.port(listener.local_addr().unwrap().port());
    }
    if given.contains("does not exist") {
        let said = "failed to lookup address information: Name or service not known";
        let config = with_endpoint_alone(cluster.endpoint(), cluster);
        return config.resolver(move |_, _| async move { Err(io::Error::other(said)) });
    }
    if given.contains("never answers") {
        cluster.inject(Fault::at(Stage::Accept, Effect::Stall).always());
    } else if given.contains("wakes up") {
        always(Refusal::WakingUp);
    } else if given.contains("100 new connections") {
        always(Refusal::RateExceeded);
    } else if given.contains("10,000") {
        always(Refusal::TooManyConnections);
    } else if given.contains("database `games`") {
        return config.database("games");
    } else if given.contains("HTTP") {
        return config.port(http_server().await);
    } else if given.contains("statement_timeout") {
        return config.setting("statement_timeout", "5000").unwrap();
    } else {
        assert!(
            given.contains("certificate ended"),
            "nothing makes {given:?}"
        );
    }
    config
}

fn right(cluster: &LocalCluster) -> Config {
    with_endpoint(cluster.endpoint(), cluster)
}

fn with_endpoint(endpoint: &str, cluster: &LocalCluster) -> Config {
    with_endpoint_alone(endpoint, cluster).address(cluster.address().ip())
}

fn with_endpoint_alone(endpoint: &str, cluster: &LocalCluster) -> Config {
    Config::new(endpoint.parse().unwrap())
        .port(cluster.address().port())
        .root_certificates([cluster.ca_der().clone()])
        .unwrap()
        .credentials(credentials(cluster.admin(), None))
        // Transient refusals are retried until then.
        .connect_timeout(Duration::from_secs(3))
}

fn credentials(identity: &Identity, end: Option<SystemTime>) -> Credentials {
    Credentials::new(
        identity.access_key_id(),
        identity.secret_access_key(),
        identity.session_token().map(str::to_owned),
        end,
        "test",
    )
}

/// 2026-01-01T00:00:00Z.
fn new_year() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

/// A clock that is always wrong by the same time.
#[derive(Debug)]
struct Off {
    off: Duration,
    is_behind: bool,
}

impl TimeSource for Off {
    fn now(&self) -> SystemTime {
        match self.is_behind {
            true => SystemTime::now() - self.off,
            false => SystemTime::now() + self.off,
        }
    }
}

/// Answers everything by an HTTP error, and returns its port.
async fn http_server() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                let _ = stream.shutdown().await;
            });
        }
    });
    port
}
