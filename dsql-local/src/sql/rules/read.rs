//! A cursor over a statement's tokens. The rules read from left to right, as a grammar does, since
//! the meaning of a word depends on its position.

use crate::sql::statement::Token;

/// A position in some tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [Token],
}

impl<'a> Reader<'a> {
    pub(super) fn new(tokens: &'a [Token]) -> Self {
        Self { rest: tokens }
    }

    /// Returns the tokens that were not read yet.
    pub(super) fn rest(self) -> &'a [Token] {
        self.rest
    }

    pub(super) fn is_at_end(self) -> bool {
        self.rest.is_empty()
    }

    /// Returns the next token if it is a word.
    pub(super) fn peek(self) -> &'a str {
        match self.rest.first() {
            Some(Token::Word(word)) => word,
            _ => "",
        }
    }

    pub(super) fn is_at(self, symbol: char) -> bool {
        self.rest.first() == Some(&Token::Symbol(symbol))
    }

    pub(super) fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Reads all of these words, or nothing.
    pub(super) fn take(&mut self, words: &[&str]) -> bool {
        let matches = self.rest.len() >= words.len()
            && words
                .iter()
                .zip(self.rest)
                .all(|(word, token)| token.is(word));
        if matches {
            self.rest = &self.rest[words.len()..];
        }
        matches
    }

    /// Reads one of these words.
    pub(super) fn take_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.take(&[word]))
    }

    pub(super) fn take_symbol(&mut self, symbol: char) -> bool {
        let matches = self.is_at(symbol);
        if matches {
            self.rest = &self.rest[1..];
        }
        matches
    }

    /// Reads one name.
    pub(super) fn name(&mut self) -> Option<&'a str> {
        let name = self.rest.first()?.as_name()?;
        self.rest = &self.rest[1..];
        Some(name)
    }

    /// Reads a name with or without its schema, and returns it as SQL.
    pub(super) fn qualified_name(&mut self) -> Option<String> {
        let mut name = quoted(self.name()?);
        while self.take_symbol('.') {
            name.push('.');
            name += &quoted(self.name()?);
        }
        Some(name)
    }

    /// Reads a pair of parentheses, and returns the tokens inside.
    pub(super) fn group(&mut self) -> Option<&'a [Token]> {
        if !self.is_at('(') {
            return None;
        }
        let end = end_of_group(self.rest);
        let inner = &self.rest[1..end];
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        Some(inner)
    }

    /// Reads up to one of these words outside of parentheses, or to the end.
    pub(super) fn until(&mut self, words: &[&str]) -> &'a [Token] {
        let end = outside_parentheses(self.rest)
            .find(|(_, token)| words.iter().any(|word| token.is(word)))
            .map_or(self.rest.len(), |(at, _)| at);
        let (read, rest) = self.rest.split_at(end);
        self.rest = rest;
        read
    }

    /// Returns whether the rest contains a word outside of parentheses.
    pub(super) fn contains(self, word: &str) -> bool {
        outside_parentheses(self.rest).any(|(_, token)| token.is(word))
    }

    /// Returns whether the rest contains these words in a row, outside of parentheses.
    pub(super) fn contains_all(self, words: &[&str]) -> bool {
        outside_parentheses(self.rest).any(|(at, _)| Reader::new(&self.rest[at..]).take(words))
    }
}

/// Splits tokens at the commas outside of parentheses.
pub(super) fn parts(tokens: &[Token]) -> Vec<&[Token]> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, token) in outside_parentheses(tokens) {
        if *token == Token::Symbol(',') {
            parts.push(&tokens[start..at]);
            start = at + 1;
        }
    }
    parts.push(&tokens[start..]);
    parts
}

/// Returns the tokens outside of parentheses and brackets.
pub(super) fn outside_parentheses(tokens: &[Token]) -> impl Iterator<Item = (usize, &Token)> {
    let mut depth = 0usize;
    tokens.iter().enumerate().filter(move |(_, token)| {
        match token {
            Token::Symbol('(' | '[') => depth += 1,
            Token::Symbol(')' | ']') => depth = depth.saturating_sub(1),
            Token::Word(_) | Token::Name(_) | Token::Literal(_) | Token::Symbol(_) => {
                return depth == 0;
            }
        }
        false
    })
}

/// Returns the position of the parenthesis that closes the first one.
fn end_of_group(tokens: &[Token]) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            Token::Word(_) | Token::Name(_) | Token::Literal(_) | Token::Symbol(_) => {}
        }
    }
    tokens.len()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::statement;

    #[test]
    fn groups_and_parts_end_at_their_own_parentheses() {
        let statement = &statement::split("f (a, (b, c)), x[1, 2], y")[0];
        let mut reader = Reader::new(&statement.tokens);
        assert_eq!(reader.name(), Some("f"));
        assert_eq!(parts(reader.group().unwrap()).len(), 2);
        assert!(reader.take_symbol(','));
        assert_eq!(parts(reader.rest()).len(), 2);
        let open = &statement::split("(a, b")[0];
        let mut reader = Reader::new(&open.tokens);
        assert_eq!(reader.group().map(<[_]>::len), Some(3));
        assert!(reader.is_at_end());
    }

    #[test]
    fn names_are_returned_as_sql() {
        let statement = &statement::split("S.\"a\"\"b\" x")[0];
        let name = Reader::new(&statement.tokens).qualified_name();
        assert_eq!(name.as_deref(), Some("\"s\".\"a\"\"b\""));
    }
}
