//! Searches everything that is emitted for secrets.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::run::{LITERAL, PARAMETER, PASSWORD, WRONG_KEY, run};
use crate::transcript::Transcript;

/// The secrets that a text must not have: themselves, percent-encoded, or a part of them.
struct Scanner(Vec<String>);

impl Scanner {
    fn of(secrets: &[&str]) -> Self {
        let mut needles = Vec::new();
        for secret in secrets {
            // The text may contain only a part.
            let parts = [
                &secret[..secret.len().min(PART)],
                &secret[secret.len() - 8..],
            ];
            for part in parts {
                needles.push(part.to_owned());
                needles.push(utf8_percent_encode(part, NON_ALPHANUMERIC).to_string());
            }
        }
        Self(needles)
    }

    /// The secrets in a text, and everything that looks like a part of a signed token.
    fn found_in<'a>(&'a self, text: &'a str) -> Vec<&'a str> {
        let known = self.0.iter().map(String::as_str);
        let signed = [
            "X-Amz-Signature=",
            "X-Amz-Security-Token=",
            "X-Amz-Credential=",
        ];
        let mut found: Vec<_> = known.chain(signed).filter(|it| text.contains(it)).collect();
        let words = text.split(|c: char| !c.is_ascii_hexdigit());
        found.extend(words.filter(|word| word.len() >= SIGNATURE));
        found
    }
}

#[test]
fn a_planted_secret_is_found() {
    let scanner = Scanner::of(&[
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "hunter2-hunter2",
    ]);
    let signature = "f5f2ad764ca5df44045d4ab6ccecba0eef941b0007e5765885a0b6ed3702a3f8";
    for text in [
        "key wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY in a text",
        "cut off: wJalrXUtnFEMI/K7",
        "encoded: wJalrXUtnFEMI%2FK7MDENG%2FbPxRfiCYEXAMPLEKEY",
        "postgres://admin:hunter2-hunter2@host",
        "?X-Amz-Signature=abc",
        &format!("signature {signature}."),
    ] {
        assert!(!scanner.found_in(text).is_empty(), "{text}");
    }
    for text in [
        "cannot connect to host as \"admin\"",
        "9f0c2f1e-5b0a-8c3d-a7e4-019aa2d5c1f0",
    ] {
        assert!(scanner.found_in(text).is_empty(), "{text}");
    }
}

#[tokio::test]
async fn a_run_under_faults_emits_no_secret() {
    let (transcript, _guard) = Transcript::start();
    #[cfg(feature = "metrics")]
    let recorded = crate::recorder::Recorded::default();
    #[cfg(feature = "metrics")]
    let _recording = metrics::set_default_local_recorder(&recorded);
    let ran = run().await;

    let admin = ran.cluster.admin();
    let session_token = admin.session_token().unwrap();
    let keys = [
        admin.secret_access_key(),
        session_token,
        WRONG_KEY,
        PASSWORD,
    ];
    let scanner = Scanner::of(&keys);
    let values = Scanner::of(&[LITERAL, PARAMETER]);
    let mut scanned = 0;
    for text in ran.texts.iter().chain(&transcript.texts()) {
        assert_eq!(scanner.found_in(text), [""; 0], "{text}");
        scanned += 1;
    }
    for entry in transcript.ours() {
        let text = format!("{entry:?}");
        assert_eq!(values.found_in(&text), [""; 0], "{text}");
    }
    #[cfg(feature = "metrics")]
    for text in recorded.texts() {
        assert_eq!(scanner.found_in(&text), [""; 0], "{text}");
        assert_eq!(values.found_in(&text), [""; 0], "{text}");
        scanned += 1;
    }
    assert!(scanned > 100, "{scanned} texts");
}

/// How much of a secret is looked for.
const PART: usize = 16;

/// The digits of a signature.
const SIGNATURE: usize = 64;
