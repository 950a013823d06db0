//! Compares the names on the page with OpenTelemetry's conventions.

use saphyr::{LoadableYamlNode, Yaml};

use crate::page::{names, table};

const METRICS: &str = include_str!("conventions/db-metrics.yaml");
const REGISTRIES: [&str; 4] = [
    include_str!("conventions/db-registry.yaml"),
    include_str!("conventions/error-registry.yaml"),
    include_str!("conventions/server-registry.yaml"),
    include_str!("conventions/network-registry.yaml"),
];
const COMMON: &str = include_str!("conventions/db-common.yaml");

fn parsed(text: &'static str) -> Yaml<'static> {
    Yaml::load_from_str(text).unwrap().remove(0)
}

fn list<'a, 'y>(yaml: &'a Yaml<'y>, key: &str) -> &'a [Yaml<'y>] {
    let value = yaml.as_mapping_get(key).and_then(Yaml::as_vec);
    value.map_or(&[], Vec::as_slice)
}

fn text<'a>(yaml: &'a Yaml<'_>, key: &str) -> Option<&'a str> {
    yaml.as_mapping_get(key)?.as_str()
}

/// The conventions' metrics: name, instrument, unit and attributes.
fn metrics() -> Vec<(String, String, String, Vec<String>)> {
    let (metrics, common) = (parsed(METRICS), parsed(COMMON));
    let attributes = |group: &Yaml<'_>| {
        let mut names = Vec::new();
        let mut next = Some(group);
        while let Some(group) = next {
            let attributes = list(group, "attributes").iter();
            names.extend(attributes.filter_map(|it| text(it, "ref").map(str::to_owned)));
            let parent = text(group, "extends").map(str::to_owned);
            next = parent.and_then(|parent| {
                let groups = list(&common, "groups").iter();
                let mut groups = groups.filter(|it| text(it, "id") == Some(&parent));
                groups.next()
            });
        }
        names
    };
    let groups = list(&metrics, "groups").iter();
    groups
        .map(|group| {
            let text = |key| text(group, key).unwrap().to_owned();
            (
                text("metric_name"),
                text("instrument"),
                text("unit"),
                attributes(group),
            )
        })
        .collect()
}

/// The names of all attributes that the conventions define.
fn attributes() -> Vec<String> {
    let mut names = Vec::new();
    for registry in REGISTRIES {
        let registry = parsed(registry);
        let groups = list(&registry, "groups").iter();
        let nested = groups.flat_map(|group| list(group, "attributes"));
        names.extend(nested.filter_map(|it| text(it, "id").map(str::to_owned)));
        let flat = list(&registry, "attributes").iter();
        names.extend(flat.filter_map(|it| text(it, "key").map(str::to_owned)));
    }
    names
}

fn is_ours(name: &str) -> bool {
    name.starts_with("dsql.")
}

#[test]
fn metrics_are_those_of_the_conventions() {
    let defined = metrics();
    let mut found = 0;
    for row in table("metric") {
        let [name, kind, unit, attributes, _] = row.as_slice() else {
            panic!("{row:?}");
        };
        let name = names(name)[0];
        if is_ours(name) {
            continue;
        }
        let (_, instrument, defined_unit, defined_attributes) = defined
            .iter()
            .find(|(defined, ..)| defined == name)
            .unwrap_or_else(|| panic!("{name} is not of the conventions"));
        let expected = match instrument.as_str() {
            "updowncounter" => "gauge",
            instrument => instrument,
        };
        assert_eq!(
            (kind.as_str(), names(unit)[0]),
            (expected, defined_unit.as_str()),
            "{name}"
        );
        for attribute in names(attributes) {
            assert!(
                defined_attributes.iter().any(|it| it == attribute),
                "{name}: {attribute}"
            );
        }
        found += 1;
    }
    // The duration of operations, and the nine of connections.
    assert_eq!(found, 10);
    let of_connections = defined
        .iter()
        .filter(|(name, ..)| name.starts_with("db.client.connection."));
    assert_eq!(of_connections.count(), 9);
}

#[test]
fn attributes_are_those_of_the_conventions() {
    let defined = attributes();
    for row in table("attribute") {
        for name in names(&row[0]) {
            let is_tracings = name == "error" || name.starts_with("otel.");
            let is_defined = defined.iter().any(|it| it == name);
            assert!(is_ours(name) || is_tracings || is_defined, "{name}");
        }
    }
}
