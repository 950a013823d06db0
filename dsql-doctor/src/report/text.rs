//! The report as text, with or without colours.

use std::fmt;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::{Report, State, Step};
use crate::words::Millis;

impl Report {
    /// Returns the text with the escape sequences of colours, for a terminal.
    pub fn colored(&self) -> impl fmt::Display {
        Text {
            report: self,
            is_colored: true,
        }
    }
}

/// Plain text. Its first line is the summary.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self;
        let is_colored = false;
        Text { report, is_colored }.fmt(f)
    }
}

struct Text<'a> {
    report: &'a Report,
    is_colored: bool,
}

impl Text<'_> {
    fn styled<'a>(&self, style: Style, text: &'a str) -> Styled<'a> {
        let style = match self.is_colored {
            true => style,
            false => Style::new(),
        };
        Styled { style, text }
    }

    fn step(&self, f: &mut fmt::Formatter<'_>, step: &Step, longest: Duration) -> fmt::Result {
        let (mark, style) = match step.state {
            State::Passed => ("✓", AnsiColor::Green.on_default()),
            State::Warned => ("!", AnsiColor::Yellow.on_default().bold()),
            State::Failed => ("✗", AnsiColor::Red.on_default().bold()),
            State::Skipped => ("–", Style::new().dimmed()),
        };
        if step.state == State::Skipped {
            let name = step.name.as_str();
            return writeln!(f, "  {} {name}", self.styled(style, mark));
        }
        let name = format!("{:<12}", step.name.as_str());
        let took = step.took.map(|took| Millis(took).to_string());
        let bar = bar(step.took, longest);
        write!(
            f,
            "  {} {} {} {:>10}",
            self.styled(style, mark),
            self.styled(Style::new().bold(), &name),
            self.styled(AnsiColor::Cyan.on_default(), &bar),
            took.unwrap_or_default(),
        )?;
        let mut evidence = step.evidence.iter();
        if let Some(first) = evidence.next() {
            write!(f, "  {first}")?;
        }
        writeln!(f)?;
        for line in evidence {
            writeln!(f, "{:INDENT$}{line}", "")?;
        }
        if let Some(finding) = &step.finding {
            let lines = [
                ("cause", Some(&finding.cause)),
                ("remedy", Some(&finding.remedy)),
                ("paste", finding.paste.as_ref()),
                ("docs", Some(&finding.docs)),
            ];
            for (label, text) in lines {
                if let Some(text) = text {
                    let label = format!("{label:<7}");
                    writeln!(f, "      {} {text}", self.styled(style, &label))?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = match self.report.is_healthy() {
            true => AnsiColor::Green.on_default().bold(),
            false => AnsiColor::Red.on_default().bold(),
        };
        writeln!(f, "{}", self.styled(style, &self.report.summary))?;
        for region in &self.report.regions {
            writeln!(f)?;
            if let Some(endpoint) = &region.endpoint {
                writeln!(f, "{endpoint}")?;
            }
            let took = region.steps.iter().filter_map(|step| step.took);
            let longest = took.max().unwrap_or_default();
            for step in &region.steps {
                self.step(f, step, longest)?;
            }
        }
        Ok(())
    }
}

struct Styled<'a> {
    style: Style,
    text: &'a str,
}

impl fmt::Display for Styled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { style, text } = self;
        write!(f, "{style}{text}{style:#}")
    }
}

/// Returns a bar of the step's share in the longest step, in eighths of a character.
fn bar(took: Option<Duration>, longest: Duration) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let share = match took {
        Some(took) if !longest.is_zero() => took.as_secs_f64() / longest.as_secs_f64(),
        _ => 0.0,
    };
    let mut eighths = 0;
    while f64::from(eighths) < share * 8.0 * f64::from(WIDTH) && eighths < 8 * WIDTH {
        eighths += 1;
    }
    let (whole, part) = (eighths / 8, eighths % 8);
    let mut bar = "█".repeat(usize::try_from(whole).unwrap_or_default());
    bar += PARTS[usize::try_from(part).unwrap_or_default()];
    let missing = usize::try_from(WIDTH).unwrap_or_default() - bar.chars().count();
    bar + &" ".repeat(missing)
}

/// The width of the longest bar.
const WIDTH: u32 = 16;

/// Where the evidence begins.
const INDENT: usize = 46;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        let bar = |took: u64| {
            bar(
                Some(Duration::from_millis(took)),
                Duration::from_millis(160),
            )
        };
        assert_eq!(bar(160), "█".repeat(16));
        assert_eq!(bar(80).trim_end(), "█".repeat(8));
        assert_eq!(bar(5).trim_end(), "▌");
        assert_eq!(bar(0).trim_end(), "");
        assert!(
            [0, 1, 5, 80, 160]
                .iter()
                .all(|took| bar(*took).chars().count() == 16)
        );
    }
}
