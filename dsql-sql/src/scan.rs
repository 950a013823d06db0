//! The lengths of quotes and comments.

pub(crate) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

/// Returns whether PostgreSQL treats a character as a space: only ASCII spaces.
pub(crate) fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == VERTICAL_TAB
}

/// Returns the length of a quoted text, its quotes included, if it is closed.
pub(crate) fn quoted(
    rest: &str,
    quote: char,
    escapes: bool,
    take: impl FnOnce(String),
) -> Option<usize> {
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
            return Some(at + 1);
        }
    }
    take(text);
    None
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

/// Returns the length of a dollar-quoted text, if it is closed.
pub(crate) fn dollar_quoted(rest: &str, take: impl FnOnce(String)) -> Option<usize> {
    let tag = rest[1..]
        .find(|c| !is_word(c))
        .filter(|end| rest[1 + end..].starts_with('$'))
        .map(|end| &rest[..end + 2])
        // `$1$` is a parameter and a symbol.
        .filter(|tag| !tag[1..].starts_with(|c: char| c.is_ascii_digit()));
    let Some(tag) = tag else {
        return Some(1);
    };
    let body = &rest[tag.len()..];
    let end = body.find(tag);
    take(body[..end.unwrap_or(body.len())].to_owned());
    end.map(|end| tag.len() + end + tag.len())
}

/// Returns the length of a comment, if it is closed. Comments nest.
pub(crate) fn comment(rest: &str) -> Option<usize> {
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
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
    None
}

pub(crate) const LINE_ENDS: [char; 2] = ['\n', '\r'];
const VERTICAL_TAB: char = '\u{b}';
