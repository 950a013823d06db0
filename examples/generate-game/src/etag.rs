//! Entity tags: what a client knows of a representation, and what it asks about it.
//!
//! <https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3>

use lambda_http::Request;
use lambda_http::http::header::{IF_MATCH, IF_NONE_MATCH};
use lambda_http::http::{HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use crate::game::Game;

/// The version of a game that a client wants to change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IfMatch {
    /// `*`: any version.
    Any,
    /// This one.
    Version(i32),
    /// A tag that no version of a game has.
    Never,
}

impl IfMatch {
    /// Reads the condition of a request, if it has one.
    ///
    /// # Errors
    ///
    /// The tags of several versions. A client knows one.
    pub fn of(request: &Request) -> Result<Option<Self>, SeveralVersions> {
        let tags: Vec<&str> = tags(request, &IF_MATCH).collect();
        if tags.is_empty() {
            return Ok(None);
        }
        if tags.contains(&"*") {
            return Ok(Some(Self::Any));
        }
        let versions: Vec<i32> = tags.into_iter().filter_map(version).collect();
        match versions.as_slice() {
            [] => Ok(Some(Self::Never)),
            [version] => Ok(Some(Self::Version(*version))),
            _ => Err(SeveralVersions),
        }
    }
}

/// Returns the version that a tag stands for, if it is one of ours. Weak tags never match:
/// <https://www.rfc-editor.org/rfc/rfc9110#section-13.1.1>
fn version(tag: &str) -> Option<i32> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    let version: i32 = digits.parse().ok()?;
    (version.to_string() == digits).then_some(version)
}

/// A request's `If-Match` names several versions.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("If-Match takes the ETag of one version, or *")]
pub struct SeveralVersions;

/// Returns the tag of a game.
pub fn of_game(game: &Game) -> HeaderValue {
    HeaderValue::try_from(format!("\"{}\"", game.version)).expect("digits and quotes")
}

/// Returns the tag of a document that has no version of its own.
pub fn of_document(document: &str) -> HeaderValue {
    let digest = Sha256::digest(document);
    let tag: String = digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    HeaderValue::try_from(format!("\"{tag}\"")).expect("digits and quotes")
}

/// Returns whether the client already has the representation of this tag. Compares weakly, because
/// proxies that compress a response weaken its tag.
pub fn is_known(request: &Request, tag: &HeaderValue) -> bool {
    tags(request, &IF_NONE_MATCH)
        .map(|known| known.strip_prefix("W/").unwrap_or(known))
        .any(|known| known == "*" || known.as_bytes() == tag.as_bytes())
}

/// Our tags have no commas, so that a split inside a foreign one matches none of them.
fn tags<'a>(request: &'a Request, header: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = request.headers().get_all(header).into_iter();
    values
        .flat_map(|value| value.to_str().unwrap_or("unreadable").split(','))
        .map(str::trim)
        .filter(|tag| !tag.is_empty())
}

#[cfg(test)]
mod tests {
    use lambda_http::Body;
    use lambda_http::http::Request;

    use super::*;

    #[test]
    fn if_match_is_one_strong_tag_or_any() {
        for (headers, expected) in [
            (&[][..], Ok(None)),
            (&[""], Ok(None)),
            (&["*"], Ok(Some(IfMatch::Any))),
            (&["\"7\""], Ok(Some(IfMatch::Version(7)))),
            (&["W/\"7\""], Ok(Some(IfMatch::Never))),
            (&["7"], Ok(Some(IfMatch::Never))),
            (&["\"07\""], Ok(Some(IfMatch::Never))),
            (&["\"+7\""], Ok(Some(IfMatch::Never))),
            (&["\"abc\""], Ok(Some(IfMatch::Never))),
            (&["\"a\", W/\"1\", \"7\""], Ok(Some(IfMatch::Version(7)))),
            (&["\"a\", \"b\""], Ok(Some(IfMatch::Never))),
            (&["\"1\", *"], Ok(Some(IfMatch::Any))),
            (&["\"1\", \"2\""], Err(SeveralVersions)),
            (&["\"1\"", "\"2\""], Err(SeveralVersions)),
        ] {
            let request = with(&IF_MATCH, headers);
            assert_eq!(IfMatch::of(&request), expected, "{headers:?}");
        }
    }

    #[test]
    fn known_tag_is_found_in_a_list() {
        let tag = HeaderValue::from_static("\"7\"");
        for (headers, known) in [
            (&[][..], false),
            (&["\"7\""], true),
            (&["W/\"7\""], true),
            (&["*"], true),
            (&["\"6\", \"7\""], true),
            (&["\"6\"", "\"7\""], true),
            (&["7"], false),
            (&["\"77\""], false),
        ] {
            let request = with(&IF_NONE_MATCH, headers);
            assert_eq!(is_known(&request, &tag), known, "{headers:?}");
        }
    }

    fn with(header: &HeaderName, values: &[&str]) -> lambda_http::Request {
        let mut request = Request::new(Body::Empty);
        for value in values {
            request.headers_mut().append(header, value.parse().unwrap());
        }
        request
    }
}
