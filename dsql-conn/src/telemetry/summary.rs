//! Describes a statement without its values: by a summary of few words, or by its text without
//! literals.
//!
//! The summary follows the conventions: [the operations and their targets, in
//! order](https://github.com/open-telemetry/semantic-conventions/blob/v1.44.0/docs/db/database-spans.md#generating-a-summary-of-the-query).

#[cfg(test)]
mod tests;

use super::sql::{Token, Tokens};

/// Writes the text with `?` in place of each literal, and without comments.
pub(super) fn redacted(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut tokens = Tokens::of(text);
    while let Some(token) = tokens.next() {
        if tokens.was_spaced && !redacted.is_empty() {
            redacted.push(' ');
        }
        match token {
            Token::Word(text) | Token::Quoted(text) | Token::Placeholder(text) => {
                redacted.push_str(text);
            }
            Token::Literal => redacted.push('?'),
            Token::Symbol(symbol) => redacted.push(symbol),
        }
    }
    redacted
}

/// Summarizes a text: `SELECT games`. Empty if the text has no statement.
pub(super) fn summary(text: &str) -> String {
    let tokens: Vec<_> = Tokens::of(text).collect();
    let mut summary = String::new();
    for statement in tokens.split(|token| *token == Token::Symbol(';')) {
        Statement::of(statement).summarize(&mut summary);
    }
    summary
}

/// Reads one statement.
struct Statement<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    /// One for each open parenthesis, and one for the statement.
    levels: Vec<Level>,
}

/// What is read inside one pair of parentheses.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    /// The next `FROM` names tables, and does not belong to a function or an operator.
    wants_from: bool,
    /// In a list of tables.
    is_in_from: bool,
}

impl<'a> Statement<'a> {
    fn of(tokens: &'a [Token<'a>]) -> Self {
        Self {
            tokens,
            at: 0,
            levels: vec![Level::default()],
        }
    }

    fn summarize(mut self, summary: &mut String) {
        while self.is_word(self.at, &["EXPLAIN"]) {
            self.keep_word(summary);
        }
        let is_read = [
            "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES",
        ];
        if self.is_word(self.at, &["CREATE", "ALTER", "DROP"]) {
            self.definition(summary);
        } else if self.is_word(self.at, &["CALL"]) {
            self.keep_word(summary);
            return self.target(summary, false);
        } else if self.word(self.at).is_some() && !self.is_word(self.at, &is_read) {
            return self.keep_word(summary);
        }
        while self.at < self.tokens.len() {
            self.step(summary);
        }
    }

    /// Reads one token, with the names that belong to it.
    fn step(&mut self, summary: &mut String) {
        let at = self.at;
        self.at += 1;
        let is_in_from = self.level().is_in_from;
        match self.tokens[at] {
            Token::Symbol('(') => self.levels.push(Level::default()),
            Token::Symbol(')') if self.levels.len() > 1 => drop(self.levels.pop()),
            Token::Symbol(',') if is_in_from => self.target(summary, true),
            Token::Word(word) => self.keyword(at, word, summary),
            _ => {}
        }
    }

    fn keyword(&mut self, at: usize, word: &str, summary: &mut String) {
        let before = |words: &[&str]| at > 0 && self.is_word(at - 1, words);
        let is_clause = before(&["FOR", "KEY", "DO", "ON"]);
        match word.to_ascii_uppercase().as_str() {
            "SELECT" | "DELETE" if !is_clause => {
                keep(summary, word);
                *self.level() = Level {
                    wants_from: true,
                    is_in_from: false,
                };
            }
            "INSERT" | "MERGE" if !is_clause => keep(summary, word),
            "UPDATE" if !is_clause => {
                keep(summary, word);
                self.target(summary, false);
                self.level().wants_from = true;
            }
            "INTO" => self.target(summary, false),
            "FROM" => {
                let is_operator =
                    before(&["DISTINCT"]) && at > 1 && { self.is_word(at - 2, &["IS", "NOT"]) };
                if self.level().wants_from && !is_operator {
                    *self.level() = Level {
                        wants_from: false,
                        is_in_from: true,
                    };
                    self.target(summary, true);
                }
            }
            "JOIN" | "USING" if self.level().is_in_from => self.target(summary, true),
            "WHERE" | "GROUP" | "ORDER" | "HAVING" | "LIMIT" | "OFFSET" | "FOR" | "RETURNING"
            | "UNION" | "INTERSECT" | "EXCEPT" | "WINDOW" | "FETCH" => {
                self.level().is_in_from = false;
            }
            _ => {}
        }
    }

    /// Keeps the command and the kind of what it defines, and its name.
    fn definition(&mut self, summary: &mut String) {
        self.keep_word(summary);
        let kind = (self.at..self.tokens.len())
            .take(MOST_WORDS)
            .find(|at| self.is_word(*at, &KINDS));
        let Some(kind) = kind else {
            return self.at = self.tokens.len();
        };
        self.at = kind;
        let is_index = self.is_word(kind, &["INDEX"]);
        self.keep_word(summary);
        while self.is_word(self.at, &["IF", "NOT", "EXISTS", "ASYNC", "CONCURRENTLY"]) {
            self.at += 1;
        }
        if !self.is_word(self.at, &["ON"]) {
            self.target(summary, false);
        }
        if is_index && self.is_word(self.at, &["ON"]) {
            self.at += 1;
            self.target(summary, false);
        }
        // Columns follow, unless a query does.
        let query = (self.at..self.tokens.len()).find(|at| self.is_word(*at, &["SELECT"]));
        self.at = query.unwrap_or(self.tokens.len());
    }

    /// Keeps the name that is next, if it is one. A name before a parenthesis is a function where
    /// `is_from`.
    fn target(&mut self, summary: &mut String, is_from: bool) {
        while self.is_word(self.at, &["ONLY", "LATERAL"]) {
            self.at += 1;
        }
        if self.is_word(self.at, &["SELECT", "VALUES", "WITH"]) {
            return;
        }
        let mut name = String::new();
        let mut at = self.at;
        while let Some(Token::Word(part) | Token::Quoted(part)) = self.tokens.get(at) {
            name.push_str(part);
            at += 1;
            if self.tokens.get(at) != Some(&Token::Symbol('.')) {
                break;
            }
            name.push('.');
            at += 1;
        }
        if is_from && self.tokens.get(at) == Some(&Token::Symbol('(')) {
            return;
        }
        self.at = at;
        keep(summary, &name);
    }

    fn keep_word(&mut self, summary: &mut String) {
        if let Some(word) = self.word(self.at) {
            keep(summary, word);
        }
        self.at += 1;
    }

    fn word(&self, at: usize) -> Option<&'a str> {
        match self.tokens.get(at) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn is_word(&self, at: usize, words: &[&str]) -> bool {
        let word = self.word(at);
        word.is_some_and(|word| words.iter().any(|known| known.eq_ignore_ascii_case(word)))
    }

    fn level(&mut self) -> &mut Level {
        self.levels.last_mut().expect("the statement's own stays")
    }
}

fn keep(summary: &mut String, part: &str) {
    if part.is_empty() || summary.len() + 1 + part.len() > MOST_BYTES {
        return;
    }
    if !summary.is_empty() {
        summary.push(' ');
    }
    summary.push_str(part);
}

/// What a definition defines.
const KINDS: [&str; 10] = [
    "TABLE", "INDEX", "VIEW", "SCHEMA", "ROLE", "USER", "SEQUENCE", "FUNCTION", "DOMAIN",
    "DATABASE",
];

/// How many words may stand before the kind of a definition: `CREATE OR REPLACE TEMPORARY VIEW`.
const MOST_WORDS: usize = 5;

/// The conventions' limit.
const MOST_BYTES: usize = 255;
