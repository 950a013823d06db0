//! Line charts, in panels.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

use super::{FONT, color};
use crate::figures::number;

/// A part of a chart with axes of its own.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) x: &'static str,
    pub(super) y: &'static str,
    pub(super) series: Vec<Series>,
    pub(super) scale: Scale,
}

/// A line.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// Which axes are logarithmic.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scale {
    /// The horizontal one; the vertical one goes from 0 to 100.
    LogX,
    LogBoth,
}

/// Draws panels, two in a row. Returns false if there is no line in any.
pub(super) fn draw(path: &Path, title: &str, panels: &[Panel]) -> Result<bool, Box<dyn Error>> {
    let has_points = |panel: &Panel| panel.series.iter().any(|line| !line.points.is_empty());
    if !panels.iter().any(has_points) {
        return Ok(false);
    }
    let columns = panels.len().min(2);
    let rows = panels.len().div_ceil(columns);
    let size = (150 + 450 * columns as u32, 60 + 360 * rows as u32);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled(title, (FONT, 20))?;
    for (panel, area) in panels.iter().zip(root.split_evenly((rows, columns))) {
        panel.draw(&area)?;
    }
    root.present()?;
    Ok(true)
}

impl Panel {
    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Box<dyn Error>> {
        let points = || self.series.iter().flat_map(|line| &line.points);
        let bounds = |pick: fn(&(f64, f64)) -> f64| {
            let low = points().map(pick).fold(f64::INFINITY, f64::min);
            let high = points().map(pick).fold(0.0, f64::max);
            match low.is_finite() {
                true => (low.max(1e-9) * 0.8)..(high * 1.25),
                false => 1.0..10.0,
            }
        };
        let x = bounds(|(x, _)| *x).log_scale();
        let mut builder = ChartBuilder::on(area);
        builder
            .caption(&self.title, (FONT, 16))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(64);
        match self.scale {
            Scale::LogX => self.fill(builder.build_cartesian_2d(x, 0.0..100.0)?),
            Scale::LogBoth => {
                let y = bounds(|(_, y)| *y);
                // Whole decades, which have labels, and another one for the legend.
                let decade = |exponent: f64| 10_f64.powi(exponent as i32);
                let low = decade(y.start.log10().floor());
                let high = decade(y.end.log10().ceil() + 1.0);
                self.fill(builder.build_cartesian_2d(x, (low..high).log_scale())?)
            }
        }
    }

    fn fill<'a, X, Y>(
        &self,
        mut chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    ) -> Result<(), Box<dyn Error>>
    where
        X: Ranged<ValueType = f64> + ValueFormatter<f64>,
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_labels(8)
            .y_labels(8)
            .x_label_formatter(&|value| number(*value))
            .y_label_formatter(&|value| number(*value))
            .light_line_style(BLACK.mix(0.06))
            .bold_line_style(BLACK.mix(0.15))
            .label_style((FONT, 13))
            .axis_desc_style((FONT, 14))
            .draw()?;
        for line in self.series.iter().filter(|line| !line.points.is_empty()) {
            let style = color(&line.name).stroke_width(2);
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), style))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
            if line.points.len() < 12 {
                let dots = line.points.iter();
                chart.draw_series(dots.map(|point| Circle::new(*point, 3, style.filled())))?;
            }
        }
        chart
            .configure_series_labels()
            .position(match self.scale {
                Scale::LogX => SeriesLabelPosition::LowerRight,
                Scale::LogBoth => SeriesLabelPosition::UpperRight,
            })
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .label_font((FONT, 12))
            .draw()?;
        Ok(())
    }
}
