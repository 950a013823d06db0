//! Charts, as SVG.

mod bars;
mod lines;

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use crate::measured::{Measured, Row};
use crate::program::shown;

/// A chart that was drawn.
pub(crate) struct Chart {
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
}

/// Draws what was measured, and returns it.
pub(crate) fn draw(measured: &Measured, directory: &Path) -> Result<Vec<Chart>, Box<dyn Error>> {
    let mut drawn = Vec::new();
    for (file, title, draw) in CHARTS {
        if draw(measured, &directory.join(file), title)? {
            drawn.push(Chart { file, title });
        }
    }
    Ok(drawn)
}

/// Draws one chart into a file. Returns whether there was anything to draw.
type Draw = fn(&Measured, &Path, &str) -> Result<bool, Box<dyn Error>>;

fn query(measured: &Measured, path: &Path, title: &str) -> Result<bool, Box<dyn Error>> {
    latencies(measured.rows("query"), path, title)
}

fn transaction(measured: &Measured, path: &Path, title: &str) -> Result<bool, Box<dyn Error>> {
    latencies(measured.rows("transaction"), path, title)
}

fn latencies(rows: &[Row], path: &Path, title: &str) -> Result<bool, Box<dyn Error>> {
    let panel = |rtt: f64, name: &str| lines::Panel {
        title: name.to_owned(),
        x: "µs, logarithmic",
        y: "% take at most this long",
        series: rows
            .iter()
            .filter(|row| row.number("rtt_us") == Some(rtt))
            .map(distribution)
            .collect(),
        scale: lines::Scale::LogX,
    };
    let panels = [
        panel(0.0, "on this machine"),
        panel(1_000.0, "1 ms of round trip"),
    ];
    lines::draw(path, title, &panels)
}

fn fairness(measured: &Measured, path: &Path, title: &str) -> Result<bool, Box<dyn Error>> {
    let panels = [lines::Panel {
        title: "64 tasks, 10 connections".to_owned(),
        x: "µs of waiting, logarithmic",
        y: "% wait at most this long",
        series: measured.rows("fairness").iter().map(distribution).collect(),
        scale: lines::Scale::LogX,
    }];
    lines::draw(path, title, &panels)
}

fn scale(measured: &Measured, path: &Path, title: &str) -> Result<bool, Box<dyn Error>> {
    let rows = measured.rows("scale");
    let mut programs: Vec<&str> = Vec::new();
    for row in rows {
        if !programs.contains(&row.text("program")) {
            programs.push(row.text("program"));
        }
    }
    let panel = |title: &str, x, number: &str, y, cost: &str| lines::Panel {
        title: title.to_owned(),
        x,
        y,
        series: programs
            .iter()
            .map(|program| lines::Series {
                name: shown(program).to_owned(),
                points: rows
                    .iter()
                    .filter(|row| row.is("program", program))
                    .filter_map(|row| Some((row.number(number)?, row.number(cost)?)))
                    .filter(|(_, cost)| *cost > 0.0)
                    .collect(),
            })
            .collect(),
        scale: lines::Scale::LogBoth,
    };
    let panels = [
        panel(
            "memory of an idle connection",
            "connections",
            "connections",
            "KiB each",
            "kib_per_connection",
        ),
        panel(
            "checkout and return",
            "connections",
            "connections",
            "ns each",
            "ns_per_checkout",
        ),
        panel(
            "memory of a waiting task",
            "waiting tasks",
            "waiters",
            "KiB each",
            "kib_per_waiter",
        ),
        panel(
            "serving a waiter",
            "waiting tasks",
            "waiters",
            "ns each",
            "ns_per_waiter",
        ),
    ];
    lines::draw(path, title, &panels)
}

fn distribution(row: &Row) -> lines::Series {
    let points = row.pairs("distribution").into_iter();
    lines::Series {
        name: shown(row.text("program")).to_owned(),
        points: points.map(|(share, us)| (us, 100.0 * share)).collect(),
    }
}

/// The color of a program in every chart, from Okabe and Ito's palette for color-blind readers.
fn color(name: &str) -> RGBColor {
    match name {
        "dsql-conn" => RGBColor(0, 114, 178),
        "floor" => RGBColor(0, 0, 0),
        "bb8-postgres" => RGBColor(213, 94, 0),
        "bb8-postgres, untested" => RGBColor(230, 159, 0),
        "bb8-postgres, untested, typed" => RGBColor(204, 121, 167),
        "AWS connector (sqlx)" => RGBColor(0, 158, 115),
        "deadpool-postgres" => RGBColor(86, 180, 233),
        _ => RGBColor(128, 128, 128),
    }
}

const CHARTS: &[(&str, &str, Draw)] = &[
    (
        "cold_start.svg",
        "From the start of a process to its first row",
        bars::cold_start,
    ),
    ("query.svg", "A warm query with its checkout", query),
    (
        "transaction.svg",
        "A warm transaction of one statement",
        transaction,
    ),
    (
        "fairness.svg",
        "How long tasks wait for a connection",
        fairness,
    ),
    ("scale.svg", "How cost grows", scale),
];
const FONT: &str = "sans-serif";
