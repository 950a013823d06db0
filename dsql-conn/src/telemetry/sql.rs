//! Splits SQL into tokens, so that a text can be summarized, and its literals left out.

/// A token of SQL. White space and comments are not tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword or a name.
    Word(&'a str),
    /// A name in double quotes.
    Quoted(&'a str),
    /// A string or a number. It may be a secret and is never kept.
    Literal,
    /// A placeholder, such as `$1`.
    Placeholder(&'a str),
    Symbol(char),
}

/// The tokens of a text.
pub(super) struct Tokens<'a> {
    rest: &'a str,
    /// White space or a comment stood before the last token.
    pub(super) was_spaced: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self {
            rest: text,
            was_spaced: false,
        }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn skip_blanks(&mut self) {
        let before = self.rest.len();
        loop {
            self.rest = self.rest.trim_start();
            let comment = if self.rest.starts_with("--") {
                self.rest.find(['\n', '\r']).unwrap_or(self.rest.len())
            } else if self.rest.starts_with("/*") {
                block_comment(self.rest)
            } else {
                break;
            };
            self.take(comment);
        }
        self.was_spaced = self.rest.len() < before;
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        let rest = self.rest;
        let first = rest.chars().next()?;
        Some(match first {
            '\'' => self.literal(string(rest, false)),
            '"' => Token::Quoted(self.take(quoted(rest, '"', false))),
            '$' => match dollar(rest) {
                Dollar::Placeholder(length) => Token::Placeholder(self.take(length)),
                Dollar::String(length) => self.literal(length),
                Dollar::Sign => self.symbol('$'),
            },
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.literal(number(rest))
            }
            _ if first.is_ascii_digit() => self.literal(number(rest)),
            _ if is_name(first) => {
                let length = rest.find(|c| !is_name(c) && c != '$').unwrap_or(rest.len());
                // `E'..'`, `B'..'`, `X'..'` and `N'..'` are literals.
                match length == 1 && rest[1..].starts_with('\'') {
                    true => {
                        let has_escapes = first.eq_ignore_ascii_case(&'e');
                        self.literal(1 + string(&rest[1..], has_escapes))
                    }
                    false => Token::Word(self.take(length)),
                }
            }
            _ => self.symbol(first),
        })
    }
}

impl<'a> Tokens<'a> {
    fn literal(&mut self, length: usize) -> Token<'a> {
        self.take(length);
        Token::Literal
    }

    fn symbol(&mut self, symbol: char) -> Token<'a> {
        self.take(symbol.len_utf8());
        Token::Symbol(symbol)
    }
}

/// A token that begins with a dollar sign.
enum Dollar {
    Placeholder(usize),
    /// `$tag$..$tag$`.
    String(usize),
    Sign,
}

fn dollar(text: &str) -> Dollar {
    let tag = &text[1..];
    let digits = tag.find(|c: char| !c.is_ascii_digit()).unwrap_or(tag.len());
    if digits > 0 {
        return Dollar::Placeholder(1 + digits);
    }
    let Some(end) = tag.find(|c| !is_name(c)) else {
        return Dollar::Sign;
    };
    if !tag[end..].starts_with('$') {
        return Dollar::Sign;
    }
    let mark = &text[..end + 2];
    let body = &text[mark.len()..];
    match body.find(mark) {
        Some(at) => Dollar::String(mark.len() + at + mark.len()),
        None => Dollar::String(text.len()),
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii() && !c.is_whitespace()
}

/// Returns the length of a string literal. An unclosed one extends to the end of the text.
fn string(text: &str, has_escapes: bool) -> usize {
    quoted(text, '\'', has_escapes)
}

/// Returns the length of a quoted text. A quote inside is doubled, or escaped by a backslash.
fn quoted(text: &str, quote: char, has_escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if has_escapes && c == '\\' {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

/// Returns the length of a number, with its exponent.
fn number(text: &str) -> usize {
    let bytes = text.as_bytes();
    let is_part = |at: usize| match bytes[at] {
        b'+' | b'-' => {
            bytes[at - 1].eq_ignore_ascii_case(&b'e')
                && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
                && !bytes[..at].starts_with(b"0x")
        }
        byte => byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_',
    };
    (1..bytes.len())
        .find(|at| !is_part(*at))
        .unwrap_or(bytes.len())
}

/// Returns the length of a comment, with those inside it. An unclosed one extends to the end of the
/// text.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        let rest = &text.as_bytes()[at..];
        match rest {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            [_, ..] => at += 1,
            [] => return text.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        Tokens::of(text).collect()
    }

    #[test]
    fn every_form_of_a_literal_is_one() {
        for literal in [
            "'it''s'",
            "E'it\\'s'",
            "x'1f'",
            "$$it's$$",
            "$tag$ $$ $tag$",
            "1",
            "1.5e-7",
            ".5",
            "0xff",
            "1_000",
            "'without an end",
            "$a$without an end",
        ] {
            assert_eq!(tokens(literal), [Token::Literal], "{literal}");
        }
    }

    #[test]
    fn comments_are_left_out() {
        let text = "-- why\nSELECT /* a /* b */ 'c' */ $1,\"a\"\"b\".c -- 'end";
        let expected = [
            Token::Word("SELECT"),
            Token::Placeholder("$1"),
            Token::Symbol(','),
            Token::Quoted("\"a\"\"b\""),
            Token::Symbol('.'),
            Token::Word("c"),
        ];
        assert_eq!(tokens(text), expected);
    }
}
