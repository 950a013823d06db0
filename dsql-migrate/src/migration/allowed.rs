//! The rules that a file allows to break.

/// Reads the lines `-- dsql-migrate: allow(rule, rule)`.
pub(super) fn rules(sql: &str) -> Vec<String> {
    let lines = sql.lines().filter_map(|line| {
        let line = line.trim().strip_prefix("--")?.trim_start();
        let line = line.strip_prefix("dsql-migrate:")?.trim_start();
        line.strip_prefix("allow(")?.split_once(')')
    });
    let rules = lines.flat_map(|(rules, _)| rules.split(','));
    rules.map(|rule| rule.trim().to_owned()).collect()
}
