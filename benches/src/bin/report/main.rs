//! Writes `docs/performance`: the measurements, compared with the requirements, with charts.
//!
//! ```console
//! $ cargo bench -p benches
//! $ cargo run -p benches --bin report
//! ```
//!
//! It reads the records, and marks missing ones as not measured.

mod charts;
mod figures;
mod measured;
mod page;
mod program;
mod requirements;
mod tables;

use std::error::Error;
use std::fs;
use std::path::Path;

use benches::target_directory;
use measured::Measured;

fn main() -> Result<(), Box<dyn Error>> {
    let measured = Measured::read(&target_directory().join("performance"));
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance");
    fs::create_dir_all(&directory)?;
    let drawn = charts::draw(&measured, &directory)?;
    let page = page::write(&measured, &drawn);
    fs::write(directory.join("README.md"), page)?;
    for unmet in requirements::all(&measured)
        .iter()
        .filter(|requirement| !requirement.is_met())
    {
        println!("{}: {}", unmet.what, unmet.verdict());
    }
    Ok(())
}
