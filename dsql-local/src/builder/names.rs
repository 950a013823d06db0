//! The ID and the Region of a cluster.

use crate::random;
use crate::saved::Saved;
use crate::start_error::StartError;

/// Returns the cluster's ID and Region: those asked for, the saved ones, or the defaults.
pub(super) fn of(
    id: &Option<String>,
    region: &Option<String>,
    saved: Option<&Saved>,
) -> Result<(String, String), StartError> {
    let pick = |asked: &Option<String>, saved: Option<&String>| match (asked, saved) {
        (Some(asked), Some(saved)) if asked != saved => Err(StartError::OtherCluster {
            kept: saved.clone(),
            asked: asked.clone(),
        }),
        (Some(name), _) | (None, Some(name)) => Ok(Some(name.to_owned())),
        (None, None) => Ok(None),
    };
    let id = pick(id, saved.map(|saved| &saved.id))?
        .unwrap_or_else(|| random::text(ID_LENGTH, CLUSTER_ID));
    let region =
        pick(region, saved.map(|saved| &saved.region))?.unwrap_or_else(|| "us-east-1".to_owned());
    let is_id = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    match id.len() == ID_LENGTH && id.bytes().all(is_id) {
        true => Ok((id, region)),
        false => Err(StartError::Id { id }),
    }
}

/// Returns the ID of the cluster in its other Region. It is computed from the first ID, so that it
/// stays the same with the same data folder.
pub(super) fn of_peer(id: &str) -> String {
    let next = |c: u8| match c {
        b'z' => 'a',
        b'9' => '0',
        c => char::from(c + 1),
    };
    id.bytes().map(next).collect()
}

const ID_LENGTH: usize = 26;
const CLUSTER_ID: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
