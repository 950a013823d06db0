//! Tokens: presigned SigV4 URLs, parsed strictly and verified. Shares no code with the AWS SDK, so
//! that tests compare two implementations.

use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::iam::clock::{amz_date, parse_amz_date};
use crate::iam::identity::{Action, Identity};

/// A parsed token. Not trustworthy before [`verify`](Self::verify).
#[derive(Clone)]
pub struct PresignedToken {
    host: String,
    action: Action,
    access_key_id: String,
    scope_date: String,
    region: String,
    date: SystemTime,
    expires: Duration,
    session_token: Option<String>,
    signature: Vec<u8>,
    /// Every parameter except the signature, sorted, in its original encoding.
    canonical_query: String,
}

impl PresignedToken {
    /// Parses a token.
    ///
    /// # Errors
    ///
    /// [`Flaw::Malformed`] if a part is missing, repeated, or not encoded as SigV4 requires.
    pub fn parse(token: &str) -> Result<Self, Flaw> {
        let (host, query) = token
            .split_once("/?")
            .ok_or(Flaw::Malformed("no host and query"))?;
        if host.is_empty() || host.contains('/') {
            return Err(Flaw::Malformed("the host"));
        }
        let mut parameters = query
            .split('&')
            .map(Parameter::parse)
            .collect::<Result<Vec<_>, _>>()?;
        parameters
            .sort_unstable_by(|a, b| (a.encoded_name, a.encoded).cmp(&(b.encoded_name, b.encoded)));
        if parameters
            .windows(2)
            .any(|pair| pair[0].name == pair[1].name)
        {
            return Err(Flaw::Malformed("a parameter given twice"));
        }
        let find = |name: &'static str| {
            parameters
                .iter()
                .find(|p| p.name == name)
                .map(|p| p.value.as_str())
        };
        let required = |name: &'static str| find(name).ok_or(Flaw::Malformed(name));

        if required("X-Amz-Algorithm")? != ALGORITHM {
            return Err(Flaw::Malformed("X-Amz-Algorithm"));
        }
        if required("X-Amz-SignedHeaders")? != "host" {
            return Err(Flaw::Malformed("X-Amz-SignedHeaders"));
        }
        let action = Action::parse(required("Action")?).ok_or(Flaw::Malformed("Action"))?;
        let date = required("X-Amz-Date")?;
        let (access_key_id, scope) = required("X-Amz-Credential")?
            .split_once('/')
            .ok_or(Flaw::Malformed("X-Amz-Credential"))?;
        let [scope_date, region, service, terminator] = scope.split('/').collect::<Vec<_>>()[..]
        else {
            return Err(Flaw::Malformed("X-Amz-Credential"));
        };
        if terminator != TERMINATOR || !date.starts_with(scope_date) || scope_date.len() != 8 {
            return Err(Flaw::Malformed("X-Amz-Credential"));
        }
        if service != SERVICE {
            return Err(Flaw::WrongService);
        }
        Ok(Self {
            host: host.to_owned(),
            action,
            access_key_id: access_key_id.to_owned(),
            scope_date: scope_date.to_owned(),
            region: region.to_owned(),
            date: parse_amz_date(date).ok_or(Flaw::Malformed("X-Amz-Date"))?,
            expires: parse_expires(required("X-Amz-Expires")?)?,
            session_token: find("X-Amz-Security-Token").map(str::to_owned),
            signature: parse_signature(required("X-Amz-Signature")?)?,
            canonical_query: parameters
                .iter()
                .filter(|parameter| parameter.name != "X-Amz-Signature")
                .map(|parameter| parameter.encoded)
                .collect::<Vec<_>>()
                .join("&"),
        })
    }

    /// Checks that `identity` signed this token for this host and Region, and that it is valid at
    /// `now`.
    ///
    /// # Errors
    ///
    /// The first [`Flaw`] found. The signature is checked before the expiry.
    pub fn verify(
        &self,
        identity: &Identity,
        host: &str,
        region: &str,
        now: SystemTime,
    ) -> Result<(), Flaw> {
        if self.access_key_id != identity.access_key_id() {
            return Err(Flaw::UnknownAccessKey);
        }
        if self.session_token.as_deref() != identity.session_token() {
            return Err(Flaw::WrongSessionToken);
        }
        if self.region != region {
            return Err(Flaw::WrongRegion {
                region: self.region.clone(),
            });
        }
        if self.host != host {
            return Err(Flaw::WrongHost);
        }
        let key = signing_key(identity.secret_access_key(), &self.scope_date, region);
        let to_sign = string_to_sign(&self.canonical_query, host, self.date, region);
        mac(&key, to_sign.as_bytes())
            .verify_slice(&self.signature)
            .map_err(|_| Flaw::WrongSignature)?;

        if self.date > now + SKEW {
            return Err(Flaw::NotYetCurrent {
                date: self.date,
                now,
            });
        }
        let expiry = self.date + self.expires;
        if expiry <= now {
            return Err(Flaw::Expired { expiry, now });
        }
        Ok(())
    }

    /// Returns the action that the token is for.
    pub fn action(&self) -> Action {
        self.action
    }

    /// Returns the access key ID in the token.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }
}

impl std::fmt::Debug for PresignedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PresignedToken")
            .field("host", &self.host)
            .field("action", &self.action)
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// Signs a token, for clients without an AWS SDK.
pub fn sign(
    identity: &Identity,
    host: &str,
    region: &str,
    action: Action,
    now: SystemTime,
    expires: Duration,
) -> String {
    let timestamp = amz_date(now);
    let scope_date = &timestamp[..8];
    let credential = format!(
        "{}/{scope_date}/{region}/{SERVICE}/{TERMINATOR}",
        identity.access_key_id()
    );
    let mut query = format!(
        "Action={action}&X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={}\
         &X-Amz-Date={timestamp}&X-Amz-Expires={}",
        encode(&credential),
        expires.as_secs(),
    );
    if let Some(token) = identity.session_token() {
        query += &format!("&X-Amz-Security-Token={}", encode(token));
    }
    query += "&X-Amz-SignedHeaders=host";
    let key = signing_key(identity.secret_access_key(), scope_date, region);
    let signature = mac(&key, string_to_sign(&query, host, now, region).as_bytes())
        .finalize()
        .into_bytes();
    format!("{host}/?{query}&X-Amz-Signature={}", hex::encode(signature))
}

/// Why a token is refused. Displays the service's message where it is known, and otherwise the
/// message of AWS's other SigV4 services.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// A part is missing or malformed.
    #[error("The request signature does not conform to AWS standards: {0}")]
    Malformed(&'static str),
    /// Valid for more than a week.
    #[error("X-Amz-Expires must be less than a week (in seconds)")]
    TooLong,
    /// No identity has this access key.
    #[error("The security token included in the request is invalid.")]
    UnknownAccessKey,
    /// The session token is missing or wrong.
    #[error("The security token included in the request is invalid.")]
    WrongSessionToken,
    /// Signed by a session that has ended.
    #[error("The security token included in the request is expired")]
    SessionExpired,
    /// Signed for another Region.
    #[error("Credential should be scoped to a valid region, not '{region}'.")]
    WrongRegion {
        /// The Region in the token.
        region: String,
    },
    /// Signed for another service.
    #[error("Credential should be scoped to correct service: 'dsql'.")]
    WrongService,
    /// Signed for another host.
    #[error("{MISMATCH}")]
    WrongHost,
    /// Signed with another secret, or modified.
    #[error("{MISMATCH}")]
    WrongSignature,
    /// Expired.
    #[error("Signature expired: {} is now earlier than {}", amz_date(*.expiry), amz_date(*.now))]
    Expired {
        /// When the token expired.
        expiry: SystemTime,
        /// The cluster's time.
        now: SystemTime,
    },
    /// Dated more than five minutes ahead.
    #[error(
        "Signature not yet current: {} is still later than {} ({} + 5 min.)",
        amz_date(*.date),
        amz_date(*.now + SKEW),
        amz_date(*.now)
    )]
    NotYetCurrent {
        /// The token's date.
        date: SystemTime,
        /// The cluster's time.
        now: SystemTime,
    },
}

/// One `name=value`, decoded, with its original encoding.
struct Parameter<'a> {
    encoded: &'a str,
    encoded_name: &'a str,
    name: String,
    value: String,
}

impl<'a> Parameter<'a> {
    fn parse(encoded: &'a str) -> Result<Self, Flaw> {
        let (encoded_name, value) = encoded
            .split_once('=')
            .ok_or(Flaw::Malformed("a parameter without value"))?;
        Ok(Self {
            encoded,
            encoded_name,
            name: decode(encoded_name)?,
            value: decode(value)?,
        })
    }
}

/// Decodes a text that is encoded as SigV4 encodes it. Any other encoding is an error, so that each
/// token has exactly one form.
fn decode(encoded: &str) -> Result<String, Flaw> {
    let decoded = percent_decode_str(encoded)
        .decode_utf8()
        .map_err(|_| Flaw::Malformed("an encoding"))?;
    if encode(&decoded) != encoded {
        return Err(Flaw::Malformed("an encoding"));
    }
    Ok(decoded.into_owned())
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn parse_expires(text: &str) -> Result<Duration, Flaw> {
    let canonical = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(seconds @ 1..=WEEK) if canonical => Ok(Duration::from_secs(seconds)),
        Ok(604_801..) if canonical => Err(Flaw::TooLong),
        Ok(0_u64..) | Err(_) => Err(Flaw::Malformed("X-Amz-Expires")),
    }
}

fn parse_signature(text: &str) -> Result<Vec<u8>, Flaw> {
    let flaw = Flaw::Malformed("X-Amz-Signature");
    let canonical = text.len() == 64 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    hex::decode(text).ok().filter(|_| canonical).ok_or(flaw)
}

fn string_to_sign(query: &str, host: &str, date: SystemTime, region: &str) -> String {
    let request = format!(
        "GET\n/\n{query}\nhost:{host}\n\nhost\n{}",
        hex::encode(Sha256::digest(b""))
    );
    let date = amz_date(date);
    format!(
        "{ALGORITHM}\n{date}\n{}/{region}/{SERVICE}/{TERMINATOR}\n{}",
        &date[..8],
        hex::encode(Sha256::digest(request.as_bytes())),
    )
}

fn signing_key(secret: &str, date: &str, region: &str) -> Vec<u8> {
    [date, region, SERVICE, TERMINATOR]
        .into_iter()
        .fold(format!("AWS4{secret}").into_bytes(), |key, part| {
            mac(&key, part.as_bytes()).finalize().into_bytes().to_vec()
        })
}

fn mac(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac
}

/// How far a signer's clock may be ahead of the cluster's.
const WEEK: u64 = 604_800;
const SKEW: Duration = Duration::from_secs(5 * 60);
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "dsql";
const TERMINATOR: &str = "aws4_request";
const MISMATCH: &str = "The request signature we calculated does not match the signature you \
    provided. Check your AWS Secret Access Key and signing method. \
    Consult the service documentation for details.";
/// Encodes all but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
