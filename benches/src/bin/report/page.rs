//! The page: requirements first, then each measurement with its figures.

use std::fmt::Write;

use crate::charts::Chart;
use crate::figures::{figure, number};
use crate::measured::{Measured, Row};
use crate::program::{Program, shown};
use crate::requirements;
use crate::tables::Table;

pub(crate) fn write(measured: &Measured, charts: &[Chart]) -> String {
    let mut page = String::from(OPENING);
    page.push_str(&required(measured));
    for section in SECTIONS {
        section.write(&mut page, measured, charts);
    }
    page.push_str(&environment(measured));
    page
}

/// One measurement on the page.
struct Section {
    title: &'static str,
    /// The record that it shows.
    record: &'static str,
    text: &'static str,
    charts: &'static [&'static str],
    table: fn(&[Row]) -> Table,
}

impl Section {
    fn write(&self, page: &mut String, measured: &Measured, charts: &[Chart]) {
        let rows = measured.rows(self.record);
        let table = (self.table)(rows);
        page.push_str(&format!("\n## {}\n\n{}\n\n", self.title, self.text));
        if table.is_empty() {
            page.push_str("Not measured.\n");
            return;
        }
        for chart in charts
            .iter()
            .filter(|chart| self.charts.contains(&chart.file))
        {
            page.push_str(&format!("![{}]({})\n\n", chart.title, chart.file));
        }
        page.push_str(&table.to_string());
    }
}

fn required(measured: &Measured) -> String {
    let header = ["what", "required", "dsql-conn", "verdict"].map(str::to_owned);
    let peers = Program::PEERS.map(|peer| peer.name().to_owned());
    let mut table = Table::new(header.into_iter().chain(peers));
    let requirements = requirements::all(measured);
    for requirement in &requirements {
        let cells = [
            requirement.what.to_owned(),
            requirement.bound(),
            requirement.ours(),
            requirement.verdict(),
        ];
        table.row(cells.into_iter().chain(requirement.peers()));
    }
    let met = requirements.iter().filter(|it| it.is_met()).count();
    let mut text = format!(
        "\n## What is required\n\n{met} of {} are met.\n\n{table}",
        requirements.len()
    );
    let missing = measured.missing();
    if !missing.is_empty() {
        let _ = write!(text, "\nNot measured: {}.\n", missing.join(", "));
    }
    text
}

fn environment(measured: &Measured) -> String {
    let mut text = "\n## Where it was measured\n".to_owned();
    let environments = measured.environments();
    let is_one = environments.len() == 1;
    for (environment, names) in environments {
        let mut table = Table::new(["", ""]);
        if !is_one {
            table.row(["measurements", &names.join(", ")]);
        }
        let cores = environment.cores.to_string();
        for (what, value) in [
            ("CPU", &environment.cpu),
            ("cores", &cores),
            ("system", &environment.system),
            ("compiler", &environment.rustc),
            ("commit", &environment.commit),
        ] {
            table.row([what, value]);
        }
        for (name, version) in &environment.crates {
            table.row([name, version]);
        }
        let _ = write!(text, "\n{table}");
    }
    text
}

fn cold_start(rows: &[Row]) -> Table {
    let header = "program | variant | RTT, ms | round trips | wall, ms: least | median | \
                  1/16 CPU | CPU, ms | peak, MB | binary, MB | crates";
    let mut table = Table::new(header.split(" | "));
    for row in rows {
        table.row([
            shown(row.text("program")).to_owned(),
            row.text("variant").to_owned(),
            figure(row.number("delay_ms"), ""),
            figure(row.number("round_trips"), ""),
            scaled(row, "wall_us.min", 1e-3),
            scaled(row, "wall_us.median", 1e-3),
            row.number("wall_us_with_quota.median")
                .map_or_else(|| "–".to_owned(), |us| number(us / 1e3)),
            figure(row.number("cpu_ms"), ""),
            scaled(row, "peak_kib", 1_024e-6),
            scaled(row, "binary_bytes", 1e-6),
            figure(row.number("crates"), ""),
        ]);
    }
    table
}

fn instructions(rows: &[Row]) -> Table {
    let mut table = Table::new(["program", "variant", "instructions, M", "by the floor's"]);
    for row in rows {
        table.row([
            shown(row.text("program")).to_owned(),
            row.text("variant").to_owned(),
            scaled(row, "ir", 1e-6),
            figure(row.number("ratio_to_floor"), "×"),
        ]);
    }
    table
}

fn checkout(rows: &[Row]) -> Table {
    let header = "program | threads | connection | round trips | least, ns | median | 99 %";
    let mut table = Table::new(header.split(" | "));
    for row in rows {
        let used = match row.flag("used") {
            true => "used",
            false => "not used",
        };
        table.row([
            shown(row.text("program")).to_owned(),
            figure(row.number("threads"), ""),
            used.to_owned(),
            figure(row.number("round_trips"), ""),
            figure(row.number("min_ns"), ""),
            figure(row.number("p50_ns"), ""),
            figure(row.number("p99_ns"), ""),
        ]);
    }
    table
}

fn warm(rows: &[Row]) -> Table {
    let header = "program | RTT, ms | round trips | least, µs | median | 99 %";
    let mut table = Table::new(header.split(" | "));
    for row in rows {
        table.row([
            shown(row.text("program")).to_owned(),
            scaled(row, "rtt_us", 1e-3),
            figure(row.number("round_trips"), ""),
            figure(row.number("min_us"), ""),
            figure(row.number("p50_us"), ""),
            figure(row.number("p99_us"), ""),
        ]);
    }
    table
}

fn sign(rows: &[Row]) -> Table {
    let header = "program | first, µs: least | median | next, µs: least | median";
    let mut table = Table::new(header.split(" | "));
    for row in rows {
        table.row([
            shown(row.text("program")).to_owned(),
            figure(row.number("first_min_us"), ""),
            figure(row.number("first_p50_us"), ""),
            scaled(row, "next_min_ns", 1e-3),
            scaled(row, "next_p50_ns", 1e-3),
        ]);
    }
    table
}

fn storm(rows: &[Row]) -> Table {
    let header = ["program", "at once", "wall, ms", "logins", "failures"];
    let mut table = Table::new(header);
    for row in rows {
        table.row([
            shown(row.text("program")).to_owned(),
            figure(row.number("connects"), ""),
            figure(row.number("wall_ms"), ""),
            figure(row.number("logins"), ""),
            figure(row.number("failures"), ""),
        ]);
    }
    table
}

fn cpu(rows: &[Row]) -> Table {
    let header = ["program", "tasks", "connections", "least, µs", "median"];
    let mut table = Table::new(header);
    for row in rows {
        table.row([
            shown(row.text("program")).to_owned(),
            figure(row.number("tasks"), ""),
            figure(row.number("connections"), ""),
            figure(row.number("min_us"), ""),
            figure(row.number("p50_us"), ""),
        ]);
    }
    table
}

fn telemetry(rows: &[Row]) -> Table {
    let header = ["who listens", "least, µs", "median", "by nobody's"];
    let mut table = Table::new(header);
    for row in rows {
        table.row([
            row.text("listener").to_owned(),
            figure(row.number("min_us"), ""),
            figure(row.number("p50_us"), ""),
            figure(row.number("ratio"), "×"),
        ]);
    }
    table
}

fn fairness(rows: &[Row]) -> Table {
    let header =
        "program | served | tasks never served | median, µs | 99 % | 99 % by median | longest, ms";
    let mut table = Table::new(header.split(" | "));
    for row in rows {
        table.row([
            shown(row.text("program")).to_owned(),
            figure(row.number("served"), ""),
            figure(row.number("starved"), ""),
            figure(row.number("p50_us"), ""),
            figure(row.number("p99_us"), ""),
            figure(row.number("p99_by_p50"), ""),
            scaled(row, "longest_us", 1e-3),
        ]);
    }
    table
}

fn scale(rows: &[Row]) -> Table {
    let header = "program | connections | waiting | KiB a connection | ns a checkout | \
                  KiB a waiter | ns to serve one";
    let mut table = Table::new(header.split(" | "));
    for row in rows {
        let cell = |name| row.number(name).map_or_else(|| "–".to_owned(), number);
        table.row([
            shown(row.text("program")).to_owned(),
            figure(row.number("connections"), ""),
            figure(row.number("waiters"), ""),
            cell("kib_per_connection"),
            cell("ns_per_checkout"),
            cell("kib_per_waiter"),
            cell("ns_per_waiter"),
        ]);
    }
    table
}

/// A figure in another unit.
fn scaled(row: &Row, path: &str, by: f64) -> String {
    figure(row.number(path).map(|value| value * by), "")
}

const OPENING: &str = "\
# Performance

The cost of `dsql-conn`, compared with AWS's `aurora-dsql-sqlx-connector`, `bb8-postgres` and
`deadpool-postgres`, each used as its documentation shows. The times are from shared machines:
round trips, instructions and bytes are the same anywhere; of the times, the least are the most
reliable. The cluster is [dsql-local](../../dsql-local), which is TLS in front of a real
PostgreSQL on the same machine. The service itself was not measured.

```console
$ cargo bench -p benches                # the measurements
$ cargo run -p benches --bin report     # this page
```
";

const SECTIONS: &[Section] = &[
    Section {
        title: "Cold start",
        record: "cold_start",
        text: "A new process until its first row. The phases are those of the start with the \
               median time. The column \"1/16 CPU\" has the median with a sixteenth of a CPU, at 1 \
               ms.\n\n\
               All programs are built with the profile `lambda` of this workspace's Cargo.toml, \
               and with `cargo update -p idna_adapter --precise 1.0.0`: no cluster's name needs \
               the Unicode tables, which take 130 KB and 22 crates in a program that parses a \
               URL.\n\n\
               `floor` is the lower bound: blocking sockets, every message sent as early as \
               possible, no driver. It needs three round trips, because its first query travels \
               with the password. tokio-postgres returns its `Client` only after `ReadyForQuery`, \
               so nothing can be queued before. To save that round trip, it would have to return \
               a `Client` before the login ends, or make one around a stream that has logged in. \
               This crate could only parse the rows of that query itself, and does not.",
        charts: &["cold_start.svg"],
        table: cold_start,
    },
    Section {
        title: "Instructions",
        record: "instructions",
        text: "The same start, counted by Callgrind.",
        charts: &[],
        table: instructions,
    },
    Section {
        title: "Checkout",
        record: "checkout",
        text: "Checkout and return alone, from a pool of 10. After use, `dsql-conn` checks at \
               checkout that the connection is clean and that its end has not arrived: it asks \
               the system, and waits for the connection task only if something is left to do. \
               The least time and the quantiles are of means over many checkouts. A pool marked \
               \"tests\" waits for the server at each checkout; that is its default unless the row \
               says otherwise. The AWS connector also pings on return, in a task of its own; it \
               is measured through a relay.",
        charts: &[],
        table: checkout,
    },
    Section {
        title: "Query",
        record: "query",
        text: "`SELECT 1` with its checkout and return, on one connection. \"Typed\" is \
               `query_typed`, which prepares nothing; the driver's `query(&str)` prepares each \
               time. The number of round trips is computed from the time over a network of 20 ms. \
               At 0 ms only the AWS connector is measured through a relay, which costs it two \
               hops: it connects to the host that it verifies, and to no other address.",
        charts: &["query.svg"],
        table: warm,
    },
    Section {
        title: "Transaction",
        record: "transaction",
        text: "`UPDATE` of one row in a transaction, with checkout and return, measured like the \
               query.",
        charts: &["transaction.svg"],
        table: warm,
    },
    Section {
        title: "Token",
        record: "sign",
        text: "Finding the keys in the environment and signing the token. The SDK calls \
               `aws_config::load_defaults` once, and its `AuthTokenGenerator` for each token.",
        charts: &[],
        table: sign,
    },
    Section {
        title: "Many at once",
        record: "storm",
        text: "As many checkouts at the same time as an empty pool has capacity, each held until \
               the last one is served. Client and cluster share the cores, and a TLS handshake \
               takes each of them a millisecond.",
        charts: &[],
        table: storm,
    },
    Section {
        title: "CPU",
        record: "cpu",
        text: "The CPU time of the client, on one thread, for a checkout, `SELECT 1` and the \
               return: the pool, the driver, TLS and the system calls. The programs take turns, \
               forth and back.",
        charts: &[],
        table: cpu,
    },
    Section {
        title: "Telemetry",
        record: "telemetry",
        text: "The CPU time of the client for a warm `SELECT 1` with its checkout, without a \
               listener and with those that do little. The last column is the median of the \
               ratios in the same round. Measured by \
               `cargo bench -p benches --features metrics --bench telemetry`.",
        charts: &[],
        table: telemetry,
    },
    Section {
        title: "Fairness",
        record: "fairness",
        text: "64 tasks share 10 connections for two seconds: checkout, `SELECT 1`, return, and \
               again. The median is of the waits that ended. The 99 % are of all waits: one that \
               has not ended counts as often as it would have been served in order. Otherwise a \
               pool where new checkouts overtake would look better, because the tasks served most \
               often outnumber those that starve. Of five runs, the one with the lowest 99 %.",
        charts: &["fairness.svg"],
        table: fairness,
    },
    Section {
        title: "Scale",
        record: "scale",
        text: "Memory is the growth of the resident set of a process that holds nothing but the \
               pool; a waiter's memory includes its task. \"ns to serve one\" is the time from the \
               return of the only connection until the last waiter was served, divided by their \
               number.",
        charts: &["scale.svg"],
        table: scale,
    },
];
