//! Examines repeatedly, and shows the distribution of the times.

use std::io::Write;
use std::time::Duration;

use anstream::stdout;
use dsql_doctor::{Doctor, Report, StepName};
use tokio::signal::ctrl_c;
use tokio::time::sleep;

use crate::arguments::Arguments;
use crate::display::{Spinner, print_line};

/// Examines until Ctrl-C or the last of `--count`. Returns the exit code of the last examination.
pub(crate) async fn watch(
    doctor: &Doctor,
    arguments: &Arguments,
    pause: Duration,
    spinner: &Spinner,
) -> u8 {
    let mut times = Times::default();
    let mut code = 0;
    for number in 1..=arguments.count.unwrap_or(u32::MAX) {
        let report = tokio::select! {
            report = doctor.examine() => report,
            _ = ctrl_c() => break,
        };
        code = report.exit_code;
        times.add(&report);
        spinner.suspend(|| match arguments.json {
            true => print_line(&report),
            false => {
                let _ = writeln!(stdout(), "{number}: {}", report.summary);
            }
        });
        if Some(number) == arguments.count {
            break;
        }
        spinner.waits("until the next examination");
        tokio::select! {
            () = sleep(pause) => {}
            _ = ctrl_c() => break,
        }
    }
    spinner.clear();
    if !arguments.json {
        let _ = write!(stdout(), "{}", times.table());
    }
    code
}

/// The times of each step.
#[derive(Default)]
struct Times {
    /// By Region and step, in the order of the reports.
    steps: Vec<(String, StepName, Vec<Duration>)>,
    examinations: usize,
    failed: usize,
}

impl Times {
    fn add(&mut self, report: &Report) {
        self.examinations += 1;
        self.failed += usize::from(!report.is_healthy());
        for region in &report.regions {
            let endpoint = region.endpoint.clone().unwrap_or_default();
            for step in &region.steps {
                let Some(took) = step.took else {
                    continue;
                };
                let known = self
                    .steps
                    .iter_mut()
                    .find(|(at, name, _)| *at == endpoint && *name == step.name);
                match known {
                    Some((_, _, times)) => times.push(took),
                    None => self.steps.push((endpoint.clone(), step.name, vec![took])),
                }
            }
        }
    }

    fn table(&mut self) -> String {
        let mut text = format!(
            "\n{} examinations, {} failed; milliseconds:\n",
            self.examinations, self.failed
        );
        let mut last = "";
        for (endpoint, name, times) in &mut self.steps {
            if last != endpoint {
                text += &format!(
                    "\n{endpoint}\n  {:<12} {:>9} {:>9} {:>9} {:>9}\n",
                    "", "p50", "p90", "p99", "most"
                );
                last = endpoint;
            }
            times.sort_unstable();
            let [p50, p90, p99, most] = [50, 90, 99, 100].map(|percent| {
                format!("{:.1}", percentile(times, percent).as_secs_f64() * 1_000.0)
            });
            let name = name.as_str();
            text += &format!("  {name:<12} {p50:>9} {p90:>9} {p99:>9} {most:>9}\n");
        }
        text
    }
}

/// Returns the smallest time that this percentage of the sorted times does not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_nearest_ranks() {
        let times: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        for percent in [1, 50, 90, 99, 100] {
            let expected = Duration::from_millis(percent as u64);
            assert_eq!(percentile(&times, percent), expected);
        }
        assert_eq!(percentile(&times[..1], 50), Duration::from_millis(1));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
