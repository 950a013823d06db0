//! IAM as far as connecting needs it: principals, presigned tokens, and the clock that tokens
//! expire by. `server` authenticates logins with it. Uses no other folder.

pub(crate) mod clock;
pub(crate) mod identity;
pub(crate) mod sigv4;
