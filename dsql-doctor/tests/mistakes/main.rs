//! Twenty mistakes that people make, and more: the library's error and the first line of the doctor
//! name the cause and the remedy.
//!
//! docs/mistakes.md shows them word for word. `DSQL_WRITE_MISTAKES=1 cargo test -p dsql-doctor
//! --test mistakes` writes it.

mod child;
mod made;
mod page;

use dsql_conn::{Config, ConfigError, Error};
use dsql_doctor::{Class, Doctor};
use dsql_local::LocalCluster;

/// A mistake, and the texts that must report it.
struct Mistake {
    name: &'static str,
    /// The wrong setting, or the state of the environment.
    given: &'static str,
    /// What the library and the doctor must both say.
    cause: &'static str,
    remedy: &'static str,
    class: Class,
}

/// What the library and the doctor said.
struct Told {
    library: String,
    remedy: String,
    docs_url: String,
    doctor: String,
    exit_code: u8,
}

/// A mistake that was made, with the resources that must exist until it is reported.
struct Made {
    settings: Result<Config, ConfigError>,
    _cluster: Option<LocalCluster>,
}

/// Connects with the wrong settings, and collects the texts of the library and the doctor.
async fn tell(settings: Result<Config, ConfigError>) -> Told {
    let error: Error = match &settings {
        Ok(config) => config.connect().await.unwrap_err(),
        Err(error) => error.clone().into(),
    };
    let report = Doctor::with_settings(settings).examine().await;
    Told {
        library: error.to_string(),
        remedy: error.remedy().unwrap_or_default().into_owned(),
        docs_url: error.docs_url(),
        doctor: report.summary,
        exit_code: report.exit_code,
    }
}

/// Checks that a mistake is reported as expected.
fn check(mistake: &Mistake, told: &Told) -> Result<(), String> {
    let Told {
        library,
        remedy,
        docs_url,
        doctor,
        exit_code,
    } = told;
    let failed = |what: &str| Err(format!("{}: {what}\n  {library}\n  {doctor}", mistake.name));
    if [library, doctor].iter().any(|said| said.contains('\n')) {
        return failed("more than one line");
    }
    if [library, doctor]
        .iter()
        .any(|said| !said.contains(mistake.cause))
    {
        return failed(&format!("no cause {:?}", mistake.cause));
    }
    if [library, doctor]
        .iter()
        .any(|said| !said.contains(mistake.remedy))
    {
        return failed(&format!("no remedy {:?}", mistake.remedy));
    }
    if !library.ends_with(&format!("; {remedy}")) || remedy.is_empty() {
        return failed(&format!("another remedy: {remedy:?}"));
    }
    if !docs_url.starts_with("https://docs.rs/dsql-conn/") {
        return failed(docs_url);
    }
    if *exit_code != mistake.class.exit_code() {
        return failed(&format!("exit code {exit_code}"));
    }
    if library.contains("hunter2") || doctor.contains("hunter2") {
        return failed("a password");
    }
    Ok(())
}

#[tokio::test]
async fn each_mistake_is_reported_with_its_cause_and_remedy() {
    let mut all = Vec::new();
    let mut failures = Vec::new();
    for mistake in made::ALL {
        let told = match mistake.given {
            made::NO_KEYS => child::told(&[]).await,
            made::EMPTY_VARIABLE => child::told(&[("DSQL_ENDPOINT", "")]).await,
            given => {
                let Made { settings, _cluster } = made::make(given).await;
                tell(settings).await
            }
        };
        failures.extend(check(mistake, &told).err());
        all.push((mistake, told));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    page::compare(&all);
}
