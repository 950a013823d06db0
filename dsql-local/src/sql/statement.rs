//! Splits SQL text into statements and their tokens, where PostgreSQL splits it.

/// One statement of a text, without its semicolon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement<'a> {
    pub(crate) text: &'a str,
    pub(crate) tokens: Vec<Token>,
    /// Where each token starts in the text.
    starts: Vec<usize>,
}

/// A token of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
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
    pub(crate) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text == word)
    }

    /// Returns the token as a name, if it can be one.
    pub(crate) fn as_name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Name(name) => Some(name),
            _ => None,
        }
    }
}

impl Statement<'_> {
    /// Returns whether the statement begins with these words, given in lower case.
    pub(crate) fn begins_with(&self, words: &[&str]) -> bool {
        self.tokens.len() >= words.len()
            && words
                .iter()
                .zip(&self.tokens)
                .all(|(word, token)| token.is(word))
    }

    /// Returns the token at an index, if it is a word.
    pub(crate) fn word(&self, index: usize) -> Option<&str> {
        match self.tokens.get(index)? {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    /// Returns the position of the first of these words in a row.
    pub(crate) fn find(&self, words: &[&str]) -> Option<usize> {
        self.tokens
            .windows(words.len())
            .position(|tokens| tokens.iter().zip(words).all(|(token, word)| token.is(word)))
    }

    /// Returns the text after this token.
    pub(crate) fn after(&self, index: usize) -> &str {
        let next = self.starts.get(index + 1).copied();
        &self.text[next.unwrap_or(self.text.len())..]
    }

    /// Returns the text without these tokens.
    pub(crate) fn without(&self, left_out: impl IntoIterator<Item = usize>) -> String {
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
    pub(crate) fn range(&self, index: usize) -> std::ops::Range<usize> {
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

/// Cuts a text at its semicolons; empty statements are left out, as PostgreSQL leaves them out.
pub(crate) fn split(sql: &str) -> Vec<Statement<'_>> {
    let mut statements = Vec::new();
    let (mut start, mut at, mut depth, mut body) = (0, 0, 0usize, 0usize);
    let (mut tokens, mut starts) = (Vec::new(), Vec::new());
    while let Some(first) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let length = match first {
            ';' if depth == 0 && body == 0 => {
                close(&mut statements, &sql[start..at], &mut tokens, &mut starts);
                start = at + 1;
                1
            }
            '-' if rest.starts_with("--") => rest.find(LINE_ENDS).unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => comment(rest),
            '\'' => quoted(rest, '\'', false, |text| tokens.push(Token::Literal(text))),
            '"' => quoted(rest, '"', false, |text| tokens.push(Token::Name(text))),
            'e' | 'E' if rest[1..].starts_with('\'') => {
                1 + quoted(&rest[1..], '\'', true, |text| {
                    tokens.push(Token::Literal(text))
                })
            }
            '$' => dollar_quoted(rest, |text| tokens.push(Token::Literal(text))),
            _ if is_space(first) => 1,
            _ if is_word(first) => {
                let end = rest.find(|c| !is_word(c) && c != '$').unwrap_or(rest.len());
                // PostgreSQL folds the case of ASCII letters only.
                let word = rest[..end].to_ascii_lowercase();
                body = depth_in_body(body, &word, &tokens);
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
        if tokens.len() > starts.len() {
            starts.push(at - start);
        }
        at += length;
    }
    close(&mut statements, &sql[start..], &mut tokens, &mut starts);
    statements
}

fn close<'a>(
    statements: &mut Vec<Statement<'a>>,
    text: &'a str,
    tokens: &mut Vec<Token>,
    starts: &mut Vec<usize>,
) {
    let (tokens, starts) = (std::mem::take(tokens), std::mem::take(starts));
    if !tokens.is_empty() {
        statements.push(Statement {
            text,
            tokens,
            starts,
        });
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

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

/// Returns whether PostgreSQL treats a character as a space: only ASCII spaces.
fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == VERTICAL_TAB
}

/// Returns the length of a quoted text, its quotes included.
fn quoted(rest: &str, quote: char, escapes: bool, take: impl FnOnce(String)) -> usize {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if escapes && c == '\\' {
            text.extend(characters.next().map(|(_, escaped)| escaped));
        } else if c != quote {
            text.push(c);
        } else if characters.next_if(|(_, next)| *next == quote).is_some() {
            text.push(quote);
        } else if let Some(gap) = continued(&rest[at + 1..]).filter(|_| quote == '\'') {
            while characters
                .next_if(|(next, _)| *next <= at + 1 + gap)
                .is_some()
            {}
        } else {
            take(text);
            return at + 1;
        }
    }
    take(text);
    rest.len()
}

/// Returns where a string continues: PostgreSQL joins strings that are separated by white space
/// with a line break, and by comments.
fn continued(rest: &str) -> Option<usize> {
    let mut at = 0;
    let mut in_another_line = false;
    loop {
        let here = &rest[at..];
        at += match here.chars().next()? {
            '\'' if in_another_line => return Some(at),
            '-' if here.starts_with("--") => here.find(LINE_ENDS)?,
            c if is_space(c) => {
                in_another_line |= LINE_ENDS.contains(&c);
                1
            }
            _ => return None,
        };
    }
}

fn dollar_quoted(rest: &str, take: impl FnOnce(String)) -> usize {
    let tag = rest[1..]
        .find(|c| !is_word(c))
        .filter(|end| rest[1 + end..].starts_with('$'))
        .map(|end| &rest[..end + 2])
        // `$1$` is a parameter and a symbol.
        .filter(|tag| !tag[1..].starts_with(|c: char| c.is_ascii_digit()));
    let Some(tag) = tag else {
        return 1;
    };
    let body = &rest[tag.len()..];
    let end = body.find(tag);
    take(body[..end.unwrap_or(body.len())].to_owned());
    end.map_or(rest.len(), |end| tag.len() + end + tag.len())
}

/// Returns the length of a comment. Comments nest.
fn comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

const LINE_ENDS: [char; 2] = ['\n', '\r'];
const VERTICAL_TAB: char = '\u{b}';

#[cfg(test)]
mod tests;
