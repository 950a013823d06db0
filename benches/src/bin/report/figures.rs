//! The format of numbers.

/// Three significant figures, with thousands separated.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        let left = whole.len() - index;
        if index > 0 && left.is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match fraction {
        "" => grouped,
        _ => format!("{grouped}.{fraction}"),
    }
}

/// A number with its unit, or "not measured".
pub(crate) fn figure(value: Option<f64>, unit: &str) -> String {
    match value {
        Some(value) if unit.is_empty() => number(value),
        Some(value) => format!("{} {unit}", number(value)),
        None => NOT_MEASURED.to_owned(),
    }
}

pub(crate) const NOT_MEASURED: &str = "not measured";
