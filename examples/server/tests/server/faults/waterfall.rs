//! Spans over time, as a picture.

use std::fmt::Write;
use std::time::SystemTime;

use opentelemetry::SpanId;
use opentelemetry_sdk::trace::SpanData;

/// Draws a bar for each span, in the order of their starts, below their parents.
pub(crate) fn svg(spans: &[SpanData], title: &str) -> String {
    let mut spans: Vec<_> = spans.iter().collect();
    spans.sort_by_key(|span| (span.start_time, std::cmp::Reverse(span.end_time)));
    let scale = Scale::of(&spans);
    let height = TOP + ROW * spans.len() as f64 + 24.0;
    let size = format!(r#"width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}""#);
    let mut text = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title">
<title id="title">A request that met {title}</title>
<rect width="100%" height="100%" rx="8" fill="#fff"/>
<g font-family="sans-serif" font-size="12">
"##
    );
    for (row, span) in spans.iter().enumerate() {
        let depth = depth(span, &spans);
        bar(&mut text, &scale, span, TOP + ROW * row as f64, depth).unwrap();
    }
    text.push_str("</g>\n</svg>\n");
    text
}

/// Where a time is on the picture.
struct Scale {
    start: SystemTime,
    seconds: f64,
}

impl Scale {
    fn of(spans: &[&SpanData]) -> Self {
        let start = spans.iter().map(|span| span.start_time).min().unwrap();
        let end = spans.iter().map(|span| span.end_time).max().unwrap();
        let seconds = end.duration_since(start).unwrap().as_secs_f64();
        Self { start, seconds }
    }

    fn x(&self, time: SystemTime) -> f64 {
        let since = time.duration_since(self.start).unwrap_or_default();
        LEFT + since.as_secs_f64() / self.seconds * (WIDTH - LEFT - RIGHT)
    }
}

fn bar(
    text: &mut String,
    scale: &Scale,
    span: &SpanData,
    y: f64,
    depth: usize,
) -> std::fmt::Result {
    let (from, to) = (scale.x(span.start_time), scale.x(span.end_time));
    let width = (to - from).max(1.5);
    let took = span.end_time.duration_since(span.start_time);
    let millis = took.unwrap_or_default().as_secs_f64() * 1_000.0;
    let attribute = |key: &str| {
        let mut attributes = span.attributes.iter();
        let found = attributes.find(|attribute| attribute.key.as_str() == key)?;
        Some(found.value.as_str().into_owned())
    };
    // A statement's span has the statement's own name.
    let layer = attribute("db.operation.name").or_else(|| attribute("db.query.summary"));
    let kind = match (&*span.name, layer) {
        (_, Some(_)) => "dsql.statement ",
        (name, None) if name.contains(" /") => "request ",
        _ => "",
    };
    let outcome = attribute("dsql.outcome").or_else(|| attribute("http.response.status_code"));
    let outcome = outcome.or_else(|| attribute("error.type"));
    let name = format!("{kind}{}", span.name);
    let fill = match attribute("error.type").is_some() {
        // Failed, whether or not another attempt helped.
        true => "#d98c7a",
        false if kind == "request " => "#8fb28f",
        false => "#7f9fcf",
    };
    let label = 12.0 + 10.0 * depth as f64;
    let base = y + 13.0;
    writeln!(
        text,
        r##"<text x="{label:.0}" y="{base:.0}" fill="#223">{}</text>"##,
        escaped(&name)
    )?;
    writeln!(
        text,
        r##"<rect x="{from:.1}" y="{:.1}" width="{width:.1}" height="12" rx="2" fill="{fill}"/>"##,
        y + 3.0
    )?;
    for event in span.events.iter() {
        writeln!(
            text,
            r##"<path d="M{0:.1} {1:.1}v14" stroke="#334"><title>{2}</title></path>"##,
            scale.x(event.timestamp),
            y + 2.0,
            escaped(&event.name),
        )?;
    }
    let outcome = outcome.map_or(String::new(), |outcome| format!(" {outcome}"));
    writeln!(
        text,
        r##"<text x="{:.0}" y="{base:.0}" fill="#556">{millis:.1} ms{}</text>"##,
        WIDTH - RIGHT + 8.0,
        escaped(&outcome),
    )
}

/// How many spans are above this one.
fn depth(span: &SpanData, spans: &[&SpanData]) -> usize {
    let mut depth = 0;
    let mut parent = span.parent_span_id;
    while parent != SpanId::INVALID
        && let Some(above) = spans.iter().find(|it| it.span_context.span_id() == parent)
    {
        depth += 1;
        parent = above.parent_span_id;
    }
    depth
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

const WIDTH: f64 = 900.0;
const LEFT: f64 = 250.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 14.0;
const ROW: f64 = 20.0;
