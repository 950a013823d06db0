//! Checks a connection to Aurora DSQL step by step: which step fails, why, and what to do.

mod arguments;
mod display;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use self::arguments::Arguments;
use self::display::{Spinner, print};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    arguments.color.write_global();
    let spinner = Spinner::new();
    let doctor = arguments.doctor().observer(spinner.observer());
    let code = match arguments.watch {
        Some(pause) => watch::watch(&doctor, &arguments, pause, &spinner).await,
        None => {
            let report = doctor.examine().await;
            spinner.clear();
            print(&report, arguments.json);
            report.exit_code
        }
    };
    ExitCode::from(code)
}
