/// Why a request is refused. The texts are for the client.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Answered with 400.
    #[error("{0}")]
    BadRequest(String),
    /// Answered with 404.
    #[error("there is nothing at this path")]
    NotFound,
    /// Answered with 405.
    #[error("this path takes {allow} only")]
    MethodNotAllowed {
        /// The value of the `Allow` header.
        allow: &'static str,
    },
    /// Answered with 415.
    #[error("the body must be application/json")]
    UnsupportedMediaType,
    /// Answered with 428.
    #[error("If-Match is missing: send the ETag of the game that you want to change, or *")]
    PreconditionRequired,
}

impl Refusal {
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::BadRequest(message.into())
    }
}
