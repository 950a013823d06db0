#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod scan;

use std::ops::Range;
use std::{fmt, mem};

use self::scan::{LINE_ENDS, comment, dollar_quoted, is_space, is_word, quoted};

/// One statement of a text, without its semicolon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement<'a> {
    /// Everything between two semicolons, spaces and comments included.
    pub text: &'a str,
    /// The tokens of the text. There is at least one.
    pub tokens: Vec<Token>,
    /// Where the text begins in the whole text.
    at: usize,
    /// Where each token starts in the text.
    starts: Vec<usize>,
    /// Where the last token ends in the text.
    end: usize,
}

/// A token of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A keyword, an unquoted name or a number, in lower case.
    Word(String),
    /// A name in double quotes, without them.
    Name(String),
    /// A string, without its quotes.
    Literal(String),
    /// Any other character.
    Symbol(char),
}

impl Token {
    /// Returns whether the token is this word, given in lower case.
    pub fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text == word)
    }

    /// Returns the token as a name, if it can be one.
    pub fn as_name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Name(name) => Some(name),
            _ => None,
        }
    }
}

/// A quote or a comment that is not closed. By [`split_closed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unclosed {
    /// Where it begins in the text.
    pub at: usize,
}

impl fmt::Display for Unclosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the quote or comment at byte {} is not closed", self.at)
    }
}

impl std::error::Error for Unclosed {}

impl<'a> Statement<'a> {
    /// Returns the statement without the spaces and comments around it.
    pub fn source(&self) -> &'a str {
        &self.text[self.starts[0]..self.end]
    }

    /// Returns where the [`source`](Self::source) begins in the whole text.
    pub fn source_at(&self) -> usize {
        self.at + self.starts[0]
    }

    /// Returns whether the statement begins with these words, given in lower case.
    pub fn begins_with(&self, words: &[&str]) -> bool {
        self.tokens.len() >= words.len()
            && words
                .iter()
                .zip(&self.tokens)
                .all(|(word, token)| token.is(word))
    }

    /// Returns the token at an index, if it is a word.
    pub fn word(&self, index: usize) -> Option<&str> {
        match self.tokens.get(index)? {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    /// Returns the position of the first of these words in a row.
    pub fn find(&self, words: &[&str]) -> Option<usize> {
        self.tokens
            .windows(words.len())
            .position(|tokens| tokens.iter().zip(words).all(|(token, word)| token.is(word)))
    }

    /// Returns where a token starts in the text.
    pub fn start(&self, index: usize) -> usize {
        self.starts[index]
    }

    /// Returns the text after this token.
    pub fn after(&self, index: usize) -> &str {
        let next = self.starts.get(index + 1).copied();
        &self.text[next.unwrap_or(self.text.len())..]
    }

    /// Returns the text without these tokens.
    pub fn without(&self, left_out: impl IntoIterator<Item = usize>) -> String {
        let mut text = self.text.to_owned();
        let mut left_out: Vec<_> = left_out.into_iter().collect();
        left_out.sort_unstable();
        for index in left_out.into_iter().rev() {
            let start = self.starts[index];
            let next = self.starts.get(index + 1).copied();
            // The space keeps the neighboring tokens apart.
            text.replace_range(start..next.unwrap_or(self.text.len()), " ");
        }
        text
    }

    /// Returns the range of a token in the text.
    pub fn range(&self, index: usize) -> Range<usize> {
        let start = self.starts[index];
        let length = match &self.tokens[index] {
            Token::Word(word) => word.len(),
            Token::Name(name) => name.replace('"', "\"\"").len() + 2,
            Token::Symbol(symbol) => symbol.len_utf8(),
            Token::Literal(_) => 0,
        };
        start..start + length
    }
}

/// Splits a text at its semicolons. Leaves out empty statements, as PostgreSQL does.
///
/// A quote or comment that is not closed extends to the end of the text.
pub fn split(sql: &str) -> Vec<Statement<'_>> {
    let (statements, _) = Splitter::default().split(sql);
    statements
}

/// Like [`split`], and refuses a quote or comment that is not closed.
///
/// # Errors
///
/// [`Unclosed`] tells where the quote or comment begins.
pub fn split_closed(sql: &str) -> Result<Vec<Statement<'_>>, Unclosed> {
    match Splitter::default().split(sql) {
        (statements, None) => Ok(statements),
        (_, Some(unclosed)) => Err(unclosed),
    }
}

/// The statement that is being read.
#[derive(Default)]
struct Splitter<'a> {
    statements: Vec<Statement<'a>>,
    tokens: Vec<Token>,
    starts: Vec<usize>,
    end: usize,
}

impl<'a> Splitter<'a> {
    fn split(mut self, sql: &'a str) -> (Vec<Statement<'a>>, Option<Unclosed>) {
        let (mut start, mut at, mut depth, mut body) = (0, 0, 0usize, 0usize);
        let mut unclosed = None;
        while let Some(first) = sql[at..].chars().next() {
            let rest = &sql[at..];
            let mut closed = |length: Option<usize>| {
                length.unwrap_or_else(|| {
                    unclosed.get_or_insert(Unclosed { at });
                    rest.len()
                })
            };
            let tokens = &mut self.tokens;
            let length = match first {
                ';' if depth == 0 && body == 0 => {
                    self.close(&sql[start..at], start);
                    start = at + 1;
                    1
                }
                '-' if rest.starts_with("--") => rest.find(LINE_ENDS).unwrap_or(rest.len()),
                '/' if rest.starts_with("/*") => closed(comment(rest)),
                '\'' => closed(quoted(rest, '\'', false, |text| {
                    tokens.push(Token::Literal(text));
                })),
                '"' => closed(quoted(rest, '"', false, |text| {
                    tokens.push(Token::Name(text));
                })),
                'e' | 'E' if rest[1..].starts_with('\'') => {
                    let string = quoted(&rest[1..], '\'', true, |text| {
                        tokens.push(Token::Literal(text));
                    });
                    closed(string.map(|length| 1 + length))
                }
                '$' => closed(dollar_quoted(rest, |text| {
                    tokens.push(Token::Literal(text));
                })),
                _ if is_space(first) => 1,
                _ if is_word(first) => {
                    let end = rest.find(|c| !is_word(c) && c != '$').unwrap_or(rest.len());
                    // PostgreSQL folds the case of ASCII letters only.
                    let word = rest[..end].to_ascii_lowercase();
                    body = depth_in_body(body, &word, tokens);
                    tokens.push(Token::Word(word));
                    end
                }
                _ => {
                    depth = match first {
                        '(' => depth + 1,
                        ')' => depth.saturating_sub(1),
                        _ => depth,
                    };
                    tokens.push(Token::Symbol(first));
                    first.len_utf8()
                }
            };
            if self.tokens.len() > self.starts.len() {
                self.starts.push(at - start);
                self.end = at + length - start;
            }
            at += length;
        }
        self.close(&sql[start..], start);
        (self.statements, unclosed)
    }

    fn close(&mut self, text: &'a str, at: usize) {
        let (tokens, starts) = (mem::take(&mut self.tokens), mem::take(&mut self.starts));
        if !tokens.is_empty() {
            self.statements.push(Statement {
                text,
                tokens,
                at,
                starts,
                end: self.end,
            });
        }
    }
}

/// Returns the nesting depth after a word in the body of a function. A body in the standard's form,
/// `BEGIN ATOMIC .. END`, contains semicolons.
fn depth_in_body(depth: usize, word: &str, before: &[Token]) -> usize {
    match word {
        "atomic" if depth == 0 && before.last().is_some_and(|token| token.is("begin")) => {
            usize::from(creates_routine(before))
        }
        "case" if depth > 0 => depth + 1,
        "end" => depth.saturating_sub(1),
        _ => depth,
    }
}

fn creates_routine(tokens: &[Token]) -> bool {
    let replace = tokens.get(1).is_some_and(|token| token.is("or"));
    let noun = tokens.get(if replace { 3 } else { 1 });
    tokens[0].is("create") && noun.is_some_and(|noun| noun.is("function") || noun.is("procedure"))
}

#[cfg(test)]
mod tests;
