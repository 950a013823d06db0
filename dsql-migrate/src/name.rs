//! Names of tables and other objects, quoted for SQL.

use std::fmt;

/// A name that may have a schema. Without one, the search path finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
}

/// The name in quotes.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", quoted(schema))?;
        }
        f.write_str(&quoted(&self.name))
    }
}

/// Quotes a name for SQL.
pub(crate) fn quoted(name: &str) -> String {
    // NUL ends a statement on the wire.
    format!("\"{}\"", name.replace('\0', "").replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        let name = Name {
            schema: Some("a\"b".to_owned()),
            name: "c\0D".to_owned(),
        };
        assert_eq!(name.to_string(), r#""a""b"."cD""#);
    }
}
