//! Runs a program and reports as JSON: the start, the time of its first line, CPU time, peak
//! memory.
//!
//! A small process of its own: Linux counts the memory of the starting process towards the
//! program's peak. `--until-eof` runs the program until standard input ends, then kills it;
//! `--group FILE` joins the control group of that `cgroup.procs` first.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1).peekable();
    let runs_on = arguments
        .next_if(|argument| argument == "--until-eof")
        .is_some();
    let is_limited = arguments
        .next_if(|argument| argument == "--group")
        .is_some();
    if is_limited {
        // Zero means the writer itself. From here on, this process only waits.
        fs::write(arguments.next().ok_or(USAGE)?, "0")?;
    }
    let program = arguments.next().ok_or(USAGE)?;

    let started = now()?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = BufReader::new(child.stdout.take().ok_or("it is piped")?);
    let mut first_line = now()?;
    if runs_on {
        io::stdin().read_to_end(&mut Vec::new())?;
        child.kill()?;
    } else {
        output.read_line(&mut String::new())?;
        first_line = now()?;
    }
    let status = child.wait()?;
    if !runs_on && !status.success() {
        return Err(format!("it ended with {status}").into());
    }

    // There was only one child.
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    println!(
        r#"{{"started_ns":{started},"first_line_ns":{first_line},"cpu_us":{cpu},"peak_kib":{}}}"#,
        usage.max_rss()
    );
    Ok(())
}

/// The clock that the caller reads as well.
fn now() -> Result<u128, Box<dyn Error>> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())
}

const USAGE: &str = "launch [--until-eof] [--group FILE] PROGRAM [ARGUMENT]..";
