//! The part of IAM that connecting needs: principals, presigned tokens, and the clock that tokens
//! expire by. `server` authenticates logins with it. This folder uses no other folder.

pub(crate) mod clock;
pub(crate) mod identity;
pub(crate) mod sigv4;
