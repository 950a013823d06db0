//! The measurements of one start, and their summary.

use std::time::Duration;

use benches::Phases;
use serde::Serialize;

/// One start.
pub(crate) struct Sample {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) peak_kib: u64,
    pub(crate) round_trips: usize,
    pub(crate) phases: Phases,
}

/// The summary of one program's starts at one round trip time.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    program: &'static str,
    variant: &'static str,
    delay_ms: f64,
    pub(crate) round_trips: Option<usize>,
    wall_us: Option<Walls>,
    /// With a sixteenth of a CPU.
    pub(crate) wall_us_with_quota: Option<Walls>,
    /// The minimum; user and system time.
    cpu_ms: Option<f64>,
    /// The median.
    peak_kib: Option<u64>,
    pub(crate) binary_bytes: Option<u64>,
    pub(crate) crates: Option<usize>,
    /// Of the start with the median wall time, in microseconds.
    phases: Option<Parts>,
}

/// Microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Walls {
    min: u128,
    median: u128,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Parts {
    start: u128,
    #[serde(rename = "TCP")]
    tcp: u128,
    #[serde(rename = "TLS")]
    tls: u128,
    login: u128,
    query: u128,
}

impl Row {
    pub(crate) fn new(
        program: &'static str,
        variant: &'static str,
        distance: Duration,
        samples: &[Sample],
    ) -> Self {
        let mut by_wall: Vec<_> = samples.iter().collect();
        by_wall.sort_by_key(|sample| sample.wall);
        let mut peaks: Vec<_> = samples.iter().map(|sample| sample.peak_kib).collect();
        peaks.sort_unstable();
        let cpu = samples.iter().map(|sample| sample.cpu).min();
        Self {
            program,
            variant,
            delay_ms: distance.as_secs_f64() * 1e3,
            round_trips: samples.iter().map(|sample| sample.round_trips).min(),
            wall_us: Walls::of(samples.iter().map(|sample| sample.wall)),
            wall_us_with_quota: None,
            cpu_ms: cpu.map(|cpu| cpu.as_secs_f64() * 1e3),
            peak_kib: peaks.get(peaks.len() / 2).copied(),
            binary_bytes: None,
            crates: None,
            phases: by_wall
                .get(samples.len() / 2)
                .map(|sample| Parts::of(sample.phases)),
        }
    }
}

impl Walls {
    pub(crate) fn of(walls: impl Iterator<Item = Duration>) -> Option<Self> {
        let mut walls: Vec<_> = walls.map(|wall| wall.as_micros()).collect();
        walls.sort_unstable();
        Some(Self {
            min: *walls.first()?,
            median: walls[walls.len() / 2],
        })
    }
}

impl Parts {
    fn of(phases: Phases) -> Self {
        Self {
            start: phases.start.as_micros(),
            tcp: phases.tcp.as_micros(),
            tls: phases.tls.as_micros(),
            login: phases.login.as_micros(),
            query: phases.query.as_micros(),
        }
    }
}

/// Prints a table. Times are in milliseconds, sizes in megabytes.
pub(crate) fn print(rows: &[Row]) {
    println!(
        "{:18} {:44} {:>3} {:>5} {:>7} {:>7} {:>9} {:>6} {:>5} {:>6} {:>6}   \
         start + TCP + TLS + login + query",
        "program",
        "variant",
        "RTT",
        "trips",
        "min",
        "median",
        "1/16 CPU",
        "CPU",
        "peak",
        "binary",
        "crates",
    );
    for row in rows {
        let ms = |us: Option<u128>| us.map(|us| us as f64 / 1e3);
        let parts = row.phases.map(|parts| {
            let parts = [parts.start, parts.tcp, parts.tls, parts.login, parts.query];
            parts
                .map(|us| format!("{:.1}", us as f64 / 1e3))
                .join(" + ")
        });
        println!(
            "{:18} {:44} {:>3} {:>5} {:>7} {:>7} {:>9} {:>6} {:>5} {:>6} {:>6}   {}",
            row.program,
            row.variant,
            row.delay_ms,
            row.round_trips
                .map_or_else(String::new, |trips| trips.to_string()),
            shown(ms(row.wall_us.map(|walls| walls.min))),
            shown(ms(row.wall_us.map(|walls| walls.median))),
            shown(ms(row.wall_us_with_quota.map(|walls| walls.median))),
            shown(row.cpu_ms),
            shown(row.peak_kib.map(|peak| peak as f64 * 1_024e-6)),
            shown(row.binary_bytes.map(|bytes| bytes as f64 / 1e6)),
            row.crates
                .map_or_else(String::new, |crates| crates.to_string()),
            parts.unwrap_or_default(),
        );
    }
}

fn shown(number: Option<f64>) -> String {
    number.map_or_else(String::new, |number| format!("{number:.2}"))
}
