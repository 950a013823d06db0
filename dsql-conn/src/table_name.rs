//! The quoted name of a table that this crate writes to: outcomes, and checkpoints of batches.

use std::fmt;

/// A table, in a schema or found by the search path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TableName {
    schema: Option<&'static str>,
    table: &'static str,
}

impl TableName {
    /// Names a table that the search path finds.
    pub(crate) const fn new(table: &'static str) -> Self {
        Self {
            schema: None,
            table,
        }
    }

    pub(crate) const fn in_schema(schema: &'static str, table: &'static str) -> Self {
        Self {
            schema: Some(schema),
            table,
        }
    }
}

/// The name as SQL reads it.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = self.schema {
            write!(f, "{}.", Quoted(schema))?;
        }
        Quoted(self.table).fmt(f)
    }
}

/// An identifier, quoted where SQL would read it otherwise.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // NUL ends a statement on the wire.
        let name = self.0.replace('\0', "").replace('"', "\"\"");
        write!(f, "\"{name}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        let odd = TableName::in_schema("a\"b", "c\0d");
        assert_eq!(odd.to_string(), r#""a""b"."cd""#);
    }
}
