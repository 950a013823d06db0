//! The requirements, and the measurements of each.

use crate::figures::{NOT_MEASURED, figure};
use crate::measured::{Measured, Row};
use crate::program::Program;

/// A requirement, with the figures of all programs in one unit.
pub(crate) struct Requirement {
    pub(crate) what: &'static str,
    /// The bound; `None` for rows that are only for comparison.
    bound: Option<f64>,
    unit: &'static str,
    ours: Option<f64>,
    /// In the order of [`Program::PEERS`].
    peers: [Option<f64>; 3],
}

impl Requirement {
    pub(crate) fn bound(&self) -> String {
        match self.bound {
            Some(bound) => format!("≤ {}", figure(Some(bound), self.unit)),
            None => "the limit".to_owned(),
        }
    }

    pub(crate) fn ours(&self) -> String {
        figure(self.ours, self.unit)
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = String> {
        self.peers.iter().map(|peer| match peer {
            Some(_) => figure(*peer, self.unit),
            None => "–".to_owned(),
        })
    }

    /// Whether the bound is kept. A missing measurement does not keep it.
    pub(crate) fn is_met(&self) -> bool {
        match (self.bound, self.ours) {
            (Some(bound), Some(ours)) => ours <= bound,
            (Some(_), None) => false,
            (None, _) => true,
        }
    }

    /// Met or missed, and by how much.
    pub(crate) fn verdict(&self) -> String {
        let (Some(bound), Some(ours)) = (self.bound, self.ours) else {
            return match self.bound {
                Some(_) => NOT_MEASURED.to_owned(),
                None => String::new(),
            };
        };
        let by = (ours - bound).abs();
        let by = match bound {
            0.0 => figure(Some(by), self.unit),
            _ => format!("{:.0} %", 100.0 * by / bound),
        };
        match ours <= bound {
            true if ours == bound => "met, exactly".to_owned(),
            true => format!("met, {by} under"),
            false => format!("**missed, {by} over**"),
        }
    }
}

/// All requirements, in the order of a program's life.
pub(crate) fn all(measured: &Measured) -> Vec<Requirement> {
    let cold = |program: Program, variant: &'static str, field: &'static str| {
        let is_it = move |row: &Row| program.is(row) && row.is("variant", variant);
        let rows = measured.rows("cold_start").iter();
        let found = rows
            .filter(|row| is_it(row))
            .find_map(|row| row.number(field));
        found.map(|value| scaled(field, value))
    };
    let cold_peers = |field| Program::PEERS.map(|peer| cold(peer, "", field));
    let instructions = |program: Program, field: &'static str| {
        let row = measured.row("instructions", |row| {
            program.is(row) && ["", TYPED].contains(&row.text("variant"))
        });
        row.and_then(|row| row.number(field))
            .map(|value| scaled(field, value))
    };
    let instruction_peers = |field| Program::PEERS.map(|peer| instructions(peer, field));
    let at_no_distance = |name: &'static str, program: Program, field: &str| {
        let is_it = |row: &Row| program.is(row) && row.number("rtt_us") == Some(0.0);
        measured.row(name, is_it).and_then(|row| row.number(field))
    };
    let round_trips = |name| {
        let of = |program| at_no_distance(name, program, "round_trips");
        (of(Program::Ours), Program::PEERS.map(of))
    };
    let checkout = |program: Program, used: bool, field: &str| {
        let is_it = |row: &Row| {
            program.is(row) && row.flag("used") == used && row.number("threads") == Some(1.0)
        };
        let row = measured.row("checkout", is_it);
        row.and_then(|row| row.number(field))
    };
    let untested = measured
        .row("checkout", |row| {
            row.is("program", UNTESTED) && !row.flag("used") && row.number("threads") == Some(1.0)
        })
        .and_then(|row| row.number("min_ns"));
    let by_untested = |program| Some(checkout(program, false, "min_ns")? / untested?);
    let cpu = |program: Program, tasks: f64| {
        let row = measured.row("cpu", |row| {
            program.is(row) && row.number("tasks") == Some(tasks)
        });
        row.and_then(|row| row.number("min_us"))
    };
    let by_deadpool = |program, tasks| Some(cpu(program, tasks)? / cpu(Program::Deadpool, tasks)?);
    let fairness = |program: Program| {
        let row = measured.row("fairness", |row| program.is(row));
        row.and_then(|row| row.number("p99_by_p50"))
    };
    let requirement = |what, bound: f64, unit, ours, peers| Requirement {
        what,
        bound: Some(bound),
        unit,
        ours,
        peers,
    };
    let (query, query_peers) = round_trips("query");
    let (transaction, transaction_peers) = round_trips("transaction");

    vec![
        requirement(
            "round trips, start to first row of a typed query",
            5.0,
            "",
            cold(Program::Ours, TYPED, "round_trips"),
            cold_peers("round_trips"),
        ),
        requirement(
            "the same, password in the startup flight",
            4.0,
            "",
            cold(Program::Ours, TYPED_AHEAD, "round_trips"),
            [None; 3],
        ),
        Requirement {
            what: "the same, all in the startup flight, without a driver",
            bound: None,
            unit: "",
            ours: cold(Program::Floor, "", "round_trips"),
            peers: [None; 3],
        },
        requirement(
            "round trips, start to the rows of the README's `query`",
            6.0,
            "",
            cold(Program::Ours, README, "round_trips"),
            [None; 3],
        ),
        requirement(
            "the same, password in the startup flight",
            5.0,
            "",
            cold(Program::Ours, README_AHEAD, "round_trips"),
            [None; 3],
        ),
        requirement(
            "round trips, start to the end of a one-statement transaction",
            7.0,
            "",
            cold(Program::Ours, TRANSACTION, "round_trips"),
            [None; 3],
        ),
        requirement(
            "the same, password in the startup flight",
            6.0,
            "",
            cold(Program::Ours, TRANSACTION_AHEAD, "round_trips"),
            [None; 3],
        ),
        requirement(
            "instructions, start to first row",
            3.4,
            "M",
            instructions(Program::Ours, "ir"),
            instruction_peers("ir"),
        ),
        requirement(
            "the same, by the floor's",
            1.20,
            "×",
            instructions(Program::Ours, "ratio_to_floor"),
            instruction_peers("ratio_to_floor"),
        ),
        requirement(
            "stripped binary",
            2.8,
            "MB",
            cold(Program::Ours, TYPED, "binary_bytes"),
            cold_peers("binary_bytes"),
        ),
        requirement(
            "crates in it",
            150.0,
            "",
            cold(Program::Ours, TYPED, "crates"),
            cold_peers("crates"),
        ),
        requirement(
            "peak memory",
            4.5,
            "MB",
            cold(Program::Ours, TYPED, "peak_kib"),
            cold_peers("peak_kib"),
        ),
        requirement(
            "round trips of a warm checkout",
            0.0,
            "",
            checkout(Program::Ours, false, "round_trips"),
            Program::PEERS.map(|peer| checkout(peer, false, "round_trips")),
        ),
        requirement(
            "round trips of a warm query with its checkout",
            1.0,
            "",
            query,
            query_peers,
        ),
        requirement(
            "round trips of a warm one-statement transaction",
            2.0,
            "",
            transaction,
            transaction_peers,
        ),
        requirement(
            "checkout and return, not used since, by untested bb8's",
            2.5,
            "×",
            by_untested(Program::Ours),
            Program::PEERS.map(by_untested),
        ),
        requirement(
            "checkout and return after use",
            1.5,
            "µs",
            checkout(Program::Ours, true, "min_ns").map(|ns| ns / 1e3),
            Program::PEERS.map(|peer| Some(checkout(peer, true, "min_ns")? / 1e3)),
        ),
        requirement(
            "CPU of a warm query with its checkout, 64 tasks on 10 connections, by deadpool's",
            1.15,
            "×",
            by_deadpool(Program::Ours, 64.0),
            Program::PEERS.map(|peer| by_deadpool(peer, 64.0)),
        ),
        requirement(
            "the same, one task",
            1.0,
            "×",
            by_deadpool(Program::Ours, 1.0),
            Program::PEERS.map(|peer| by_deadpool(peer, 1.0)),
        ),
        requirement(
            "fairness, p99 by p50 of 64 tasks' waits for 10 connections",
            5.0,
            "×",
            fairness(Program::Ours),
            Program::PEERS.map(fairness),
        ),
    ]
}

/// Converts a recorded figure to the requirement's unit.
fn scaled(field: &str, value: f64) -> f64 {
    match field {
        "ir" | "binary_bytes" => value / 1e6,
        "peak_kib" => value * 1_024.0 / 1e6,
        _ => value,
    }
}

const UNTESTED: &str = "bb8-postgres, untested";
const TYPED: &str = "typed";
const TYPED_AHEAD: &str = "typed, password in the startup flight";
const README: &str = "readme";
const README_AHEAD: &str = "readme, password in the startup flight";
const TRANSACTION: &str = "transaction";
const TRANSACTION_AHEAD: &str = "transaction, password in the startup flight";
