//! The cold start as bars: a panel for each round trip time, a bar for each program, divided into
//! phases.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::FONT;
use crate::figures::number;
use crate::measured::{Measured, Row};
use crate::program::shown;

pub(super) fn cold_start(
    measured: &Measured,
    path: &Path,
    title: &str,
) -> Result<bool, Box<dyn Error>> {
    let rows = measured.rows("cold_start");
    let mut delays: Vec<f64> = rows
        .iter()
        .filter_map(|row| row.number("delay_ms"))
        .collect();
    delays.sort_by(f64::total_cmp);
    delays.dedup();
    if delays.is_empty() {
        return Ok(false);
    }
    let bars = |delay: f64| -> Vec<Bar> {
        let of = rows
            .iter()
            .filter(|row| row.number("delay_ms") == Some(delay));
        of.filter_map(Bar::of).collect()
    };
    let most = delays.iter().map(|delay| bars(*delay).len()).max();
    let height = 70 + 22 * most.unwrap_or_default() as u32;
    let size = (1_000, 70 + height * delays.len() as u32);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled(title, (FONT, 20))?;
    let (legend, panels) = root.split_vertically(26);
    draw_legend(&legend)?;
    for (delay, area) in delays.iter().zip(panels.split_evenly((delays.len(), 1))) {
        draw_panel(&area, *delay, &bars(*delay))?;
    }
    root.present()?;
    Ok(true)
}

/// A program's time to its first row.
struct Bar {
    name: String,
    /// Milliseconds, by phase.
    phases: Vec<(&'static str, f64)>,
    total: f64,
}

impl Bar {
    fn of(row: &Row) -> Option<Self> {
        let name = match row.text("variant") {
            "" => shown(row.text("program")).to_owned(),
            variant => format!("{}, {variant}", shown(row.text("program"))),
        };
        let phases = parts(row);
        let total = row.number("wall_us.median")? / 1e3;
        (total > 0.0).then_some(Self {
            name,
            phases,
            total,
        })
    }
}

/// The phases of a row, in milliseconds.
fn parts(row: &Row) -> Vec<(&'static str, f64)> {
    let part = |name: &&'static str| Some((*name, row.number(&format!("phases.{name}"))? / 1e3));
    PHASES.iter().filter_map(part).collect()
}

fn draw_legend(area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Box<dyn Error>> {
    let mut x = 20;
    let rest = ("not attributed", REST);
    for (phase, color) in PHASES.into_iter().zip(SHADES).chain([rest]) {
        area.draw(&Rectangle::new([(x, 6), (x + 14, 20)], color.filled()))?;
        let style = (FONT, 13).into_text_style(area);
        area.draw(&Text::new(phase, (x + 19, 6), style))?;
        x += 40 + 7 * phase.chars().count() as i32;
    }
    Ok(())
}

fn draw_panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    delay: f64,
    bars: &[Bar],
) -> Result<(), Box<dyn Error>> {
    let longest = bars.iter().map(|bar| bar.total).fold(0.0, f64::max);
    let count = bars.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{} ms of round trip", number(delay)), (FONT, 16))
        .margin_left(8)
        .margin_right(70)
        .x_label_area_size(36)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(0.0..longest * 1.02, 0.0..count)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_desc("ms")
        .x_label_formatter(&|value| number(*value))
        .light_line_style(BLACK.mix(0.04))
        .bold_line_style(BLACK.mix(0.15))
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 14))
        .draw()?;
    for (index, bar) in bars.iter().enumerate() {
        let low = count - 1.0 - index as f64;
        let (bottom, top, middle) = (low + 0.15, low + 0.85, low + 0.5);
        let mut end = 0.0;
        for (phase, ms) in &bar.phases {
            let place = PHASES.iter().position(|known| known == phase);
            let corners = [(end, bottom), (end + ms, top)];
            let color = place.map_or(REST, |place| SHADES[place]);
            chart.draw_series([Rectangle::new(corners, color.filled())])?;
            end += ms;
        }
        if end < bar.total {
            let corners = [(end, bottom), (bar.total, top)];
            chart.draw_series([Rectangle::new(corners, REST.filled())])?;
        }
        let anchored = |horizontal| {
            let style = (FONT, 13).into_text_style(area);
            style.pos(Pos::new(horizontal, VPos::Center))
        };
        let (x, y) = chart.backend_coord(&(0.0, middle));
        let (left, above) = area.get_base_pixel();
        let name = Text::new(
            bar.name.as_str(),
            (x - left - 6, y - above),
            anchored(HPos::Right),
        );
        area.draw(&name)?;
        let (x, y) = chart.backend_coord(&(bar.total, middle));
        let total = Text::new(
            number(bar.total),
            (x - left + 6, y - above),
            anchored(HPos::Left),
        );
        area.draw(&total)?;
    }
    Ok(())
}

/// The names in the record, in the order of a connection's life.
const PHASES: [&str; 5] = ["start", "TCP", "TLS", "login", "query"];
const SHADES: [RGBColor; 5] = [
    RGBColor(90, 90, 90),
    RGBColor(230, 159, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
];
/// Time that belongs to no phase.
const REST: RGBColor = RGBColor(200, 200, 200);
/// The width of the longest name.
const NAMES: u32 = 310;
