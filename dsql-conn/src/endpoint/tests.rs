use proptest::prelude::*;
use rustls::pki_types::{DnsName, ServerName};

use super::*;
use crate::corpus::{mistaken, walk};

const ID: &str = "abcdefghijklmnopqrstuvwx23";

fn problem(host: &str) -> EndpointProblem {
    let error = host.parse::<Endpoint>().unwrap_err();
    assert_eq!(error.value(), host);
    error.problem().clone()
}

#[test]
fn hosts_of_the_service_are_taken_apart() {
    for (host, region) in [
        (format!("{ID}.dsql.us-east-1.on.aws"), "us-east-1"),
        (format!("{ID}.dsql-fnh4.eu-west-2.on.aws"), "eu-west-2"),
        (format!("{ID}.dsql.us-gov-west-1.on.aws"), "us-gov-west-1"),
    ] {
        let endpoint: Endpoint = host.parse().unwrap();
        assert_eq!(endpoint.host(), host);
        assert_eq!(endpoint.cluster_id(), ID);
        assert_eq!(endpoint.region(), region);
    }
    assert_eq!(
        Endpoint::from_cluster_id(ID, "us-east-1").unwrap().host(),
        format!("{ID}.dsql.us-east-1.on.aws")
    );
}

#[test]
fn a_mistyped_endpoint_is_refused_with_the_mistake() {
    let short = &ID[1..];
    for (host, expected) in [
        (String::new(), EndpointProblem::Empty),
        (
            format!(" {ID}.dsql.us-east-1.on.aws"),
            EndpointProblem::Whitespace,
        ),
        (
            format!("https://{ID}.dsql.us-east-1.on.aws"),
            EndpointProblem::Scheme,
        ),
        (
            format!("{ID}.dsql.us-east-1.on.aws/"),
            EndpointProblem::NotAHost,
        ),
        (
            format!("{ID}.dsql.us-east-1.on.aws:5432"),
            EndpointProblem::Port,
        ),
        (
            format!("{ID}.dsql.us-east-1.on.aws."),
            EndpointProblem::TrailingDot,
        ),
        (
            format!("{}.dsql.us-east-1.on.aws", ID.to_uppercase()),
            EndpointProblem::UpperCase,
        ),
        (
            format!("{short}.dsql.us-east-1.on.aws"),
            EndpointProblem::ClusterId { length: 25 },
        ),
        (format!("{ID}.dsql.useast1.on.aws"), EndpointProblem::Region),
        (
            format!("{ID}.dsql-.us-east-1.on.aws"),
            EndpointProblem::Form,
        ),
        (
            format!("{ID}.rds.us-east-1.amazonaws.com"),
            EndpointProblem::Form,
        ),
        ("localhost".to_owned(), EndpointProblem::Form),
    ] {
        assert_eq!(problem(&host), expected, "{host:?}");
    }
}

#[test]
fn a_password_in_what_was_given_is_not_repeated() {
    let url = format!("postgres://admin:hunter2@{ID}.dsql.us-east-1.on.aws");
    let error = url.parse::<Endpoint>().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[test]
fn a_bare_cluster_id_needs_its_region() {
    assert_eq!(problem(ID), EndpointProblem::RegionMissing);
    let endpoint = Endpoint::in_region(ID, "eu-west-1").unwrap();
    assert_eq!(endpoint.host(), format!("{ID}.dsql.eu-west-1.on.aws"));
}

#[test]
fn a_region_that_contradicts_the_host_is_refused_with_both() {
    let host = format!("{ID}.dsql.us-east-1.on.aws");
    assert!(Endpoint::in_region(&host, "us-east-1").is_ok());
    let error = Endpoint::in_region(&host, "eu-west-1")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("us-east-1") && error.contains("eu-west-1"),
        "{error}"
    );
}

#[test]
fn interface_endpoint_changes_only_the_dialed_name() {
    const INTERFACE: &str = "vpce-0a1b2c3d-xyz9.dsql-fnh4.us-east-1.vpce.amazonaws.com";
    let public: Endpoint = format!("{ID}.dsql.us-east-1.on.aws").parse().unwrap();
    assert_eq!(public.dialed(), public.host());
    let endpoint = public.clone().via(INTERFACE).unwrap();
    assert_eq!(endpoint.dialed(), INTERFACE);
    assert_eq!(endpoint.host(), public.host());

    assert_eq!(problem(INTERFACE), EndpointProblem::ClusterMissing);
    let elsewhere = INTERFACE.replace("us-east-1", "eu-west-1");
    let error = public.clone().via(&elsewhere).unwrap_err().to_string();
    assert!(
        error.contains("us-east-1") && error.contains("eu-west-1"),
        "{error}"
    );
    assert!(public.via("vpce.example.com").is_err());
}

#[test]
fn a_password_in_place_of_another_name_is_not_repeated() {
    let endpoint: Endpoint = format!("{ID}.dsql.us-east-1.on.aws").parse().unwrap();
    let url = format!("postgres://admin:hunter2@{}", endpoint.host());
    let as_region = Endpoint::in_region(endpoint.host(), &url).unwrap_err();
    let as_interface = endpoint.via(&url).unwrap_err();
    for error in [as_region, as_interface] {
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn corpus_inputs_are_read_with_any_mistake() {
    walk("endpoint", |name| read(&String::from_utf8_lossy(name)));
}

/// Checks that an accepted host name can be resolved, and verified in a certificate.
fn read(name: &str) {
    let is_dns_name = |name: &str| {
        let parsed = ServerName::try_from(name.to_owned());
        let is_same = |parsed: &DnsName<'_>| parsed.as_ref() == name;
        matches!(&parsed, Ok(ServerName::DnsName(parsed)) if is_same(parsed))
    };
    match name.parse::<Endpoint>() {
        Ok(endpoint) => {
            assert!(is_dns_name(endpoint.host()), "{name}");
            assert_eq!(endpoint.host(), name);
            assert!(name.starts_with(endpoint.cluster_id()));
            assert_eq!(name.split('.').nth(2), Some(endpoint.region()));
        }
        Err(error) => assert!(!name.contains('@') || !error.to_string().contains("hunter2")),
    }
    let region = name.split('.').nth(2).unwrap_or("us-east-1");
    if let Ok(endpoint) = Endpoint::from_cluster_id(ID, region).and_then(|public| public.via(name))
    {
        assert!(is_dns_name(endpoint.dialed()), "{name}");
        assert_eq!((endpoint.dialed(), endpoint.region()), (name, region));
    }
}

proptest! {
    #[test]
    fn no_string_panics(host in ".*", region in ".*") {
        let _ = Endpoint::in_region(&host, &region).and_then(|endpoint| endpoint.via(&region));
        read(&host);
    }

    #[test]
    fn no_mistakes_panic(name in mistaken("endpoint")) {
        read(&String::from_utf8_lossy(&name));
    }

    #[test]
    fn an_accepted_host_is_a_valid_dns_name(
        service in "dsql(-[a-z0-9]{0,70})?",
        region in "[a-z]{1,70}-[a-z0-9]{0,9}-[0-9]{0,2}",
        interface in "vpce-[a-z0-9]{0,70}(-[a-z0-9]{0,3})?",
    ) {
        read(&format!("{ID}.{service}.{region}.on.aws"));
        read(&format!("{interface}.{service}.us-east-1.vpce.amazonaws.com"));
    }

    #[test]
    fn the_parsed_endpoint_is_the_signed_one(
        id in "[a-z0-9]{26}",
        region in "[a-z]{2}-[a-z]{4,9}-[1-9]",
    ) {
        let endpoint = Endpoint::from_cluster_id(&id, &region).unwrap();
        prop_assert_eq!(endpoint.cluster_id(), &id);
        prop_assert_eq!(endpoint.region(), &region);
        prop_assert_eq!(endpoint.to_string(), endpoint.host());
    }
}
