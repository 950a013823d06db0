//! What stays the same at each start on a folder: the endpoint, the authority and the
//! administrator's keys. `builder` loads it, or makes and saves it.

use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::certificate::Authority;
use crate::identity::Identity;

/// A cluster's names and keys, in a file of its folder.
#[derive(Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) authority: Authority,
    admin: Credentials,
}

#[derive(Serialize, Deserialize)]
struct Credentials {
    arn: String,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

impl Kept {
    pub(crate) fn new(id: String, region: String, authority: Authority, admin: &Identity) -> Self {
        Self {
            id,
            region,
            authority,
            admin: Credentials {
                arn: admin.arn().to_owned(),
                access_key_id: admin.access_key_id().to_owned(),
                secret_access_key: admin.secret_access_key().to_owned(),
                session_token: admin.session_token().map(str::to_owned),
            },
        }
    }

    /// Loads what an earlier start saved, if one did.
    pub(crate) fn load(folder: &Path) -> io::Result<Option<Self>> {
        match fs::read(folder.join(FILE)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Saves it in a folder that only its owner can enter.
    pub(crate) fn save(&self, folder: &Path) -> io::Result<()> {
        fs::write(folder.join(FILE), serde_json::to_vec_pretty(self)?)
    }

    pub(crate) fn admin(&self) -> Identity {
        Identity::new(
            &self.admin.arn,
            &self.admin.access_key_id,
            &self.admin.secret_access_key,
            self.admin.session_token.clone(),
        )
    }
}

const FILE: &str = "cluster.json";
