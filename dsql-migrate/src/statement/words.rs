//! Reads the tokens of a statement from left to right.

use dsql_sql::Token;

use crate::name::Name;

/// The tokens that are not read yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words<'a>(pub(super) &'a [Token]);

impl<'a> Words<'a> {
    /// Reads these words, given in lower case, if they come next.
    pub(super) fn take(&mut self, words: &[&str]) -> bool {
        let found = self.0.len() >= words.len()
            && self.0.iter().zip(words).all(|(token, word)| token.is(word));
        if found {
            self.0 = &self.0[words.len()..];
        }
        found
    }

    /// Reads the next word.
    pub(super) fn word(&mut self) -> Option<&'a str> {
        match self.0.split_first()? {
            (Token::Word(word), rest) => {
                self.0 = rest;
                Some(word)
            }
            _ => None,
        }
    }

    /// Reads a name without a schema.
    pub(super) fn name(&mut self) -> Option<String> {
        let (first, rest) = self.0.split_first()?;
        let name = first.as_name()?;
        self.0 = rest;
        Some(name.to_owned())
    }

    /// Reads a name that may have a schema.
    pub(super) fn qualified(&mut self) -> Option<Name> {
        let first = self.name()?;
        if self.symbol('.') {
            return Some(Name {
                schema: Some(first),
                name: self.name()?,
            });
        }
        Some(Name {
            schema: None,
            name: first,
        })
    }

    /// Reads a string.
    pub(super) fn literal(&mut self) -> Option<String> {
        match self.0.split_first()? {
            (Token::Literal(text), rest) => {
                self.0 = rest;
                Some(text.clone())
            }
            _ => None,
        }
    }

    /// Returns whether these words come anywhere in the rest.
    pub(super) fn contains(&self, words: &[&str]) -> bool {
        let mut windows = self.0.windows(words.len());
        windows.any(|tokens| tokens.iter().zip(words).all(|(token, word)| token.is(word)))
    }

    /// Returns the parts between the commas that are in no parentheses.
    pub(super) fn parts(self) -> Vec<Self> {
        let mut depth = 0_usize;
        let parts = self.0.split(|token| {
            match token {
                Token::Symbol('(' | '[') => depth += 1,
                Token::Symbol(')' | ']') => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && *token == Token::Symbol(',')
        });
        parts.map(Words).collect()
    }

    fn symbol(&mut self, symbol: char) -> bool {
        match self.0.split_first() {
            Some((Token::Symbol(found), rest)) if *found == symbol => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }
}
