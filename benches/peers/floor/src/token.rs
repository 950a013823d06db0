//! Signs the token: a presigned URL by SigV4.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html>

use std::env::{self, VarError};
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::{digest, hmac};

/// Signs a token for `admin` with the credentials of the environment.
pub(crate) fn sign(host: &str) -> Result<String, VarError> {
    let key = env::var("AWS_ACCESS_KEY_ID")?;
    let secret = env::var("AWS_SECRET_ACCESS_KEY")?;
    let region = env::var("AWS_REGION")?;
    let time = timestamp();
    let date = &time[..8];

    let scope = format!("{date}/{region}/dsql/aws4_request");
    let mut query =
        "Action=DbConnectAdmin&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=".to_owned();
    encode(&mut query, &format!("{key}/{scope}"));
    query += "&X-Amz-Date=";
    query += &time;
    query += "&X-Amz-Expires=900";
    if let Ok(token) = env::var("AWS_SESSION_TOKEN") {
        query += "&X-Amz-Security-Token=";
        encode(&mut query, &token);
    }
    query += "&X-Amz-SignedHeaders=host";

    let request = format!("GET\n/\n{query}\nhost:{host}\n\nhost\n{}", hash(b""));
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
        hash(request.as_bytes())
    );
    let mut signature = hmac(format!("AWS4{secret}").as_bytes(), date);
    for part in [&region, "dsql", "aws4_request", &to_sign] {
        signature = hmac(signature.as_ref(), part);
    }
    let signature = hex(signature.as_ref());
    Ok(format!("{host}/?{query}&X-Amz-Signature={signature}"))
}

fn hmac(key: &[u8], message: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes())
}

fn hash(message: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, message).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into())
            }
            _ => write!(out, "%{byte:02X}").expect("a string takes everything"),
        }
    }
}

/// Now, as `20261123T050607Z`.
fn timestamp() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (days, second) = (now / 86_400, now % 86_400);
    // Years that begin in March have their leap day at the end:
    // https://howardhinnant.github.io/date_algorithms.html#civil_from_days
    let day = days + 719_468;
    let era = day / 146_097;
    let day = day % 146_097;
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}
