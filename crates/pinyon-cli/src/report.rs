//! The outcome of `check`, as a table and as JSON.

use crate::check::{Breaker, Report, Row};
use crate::failure::Failure;
use crate::output::{has_colors, paint, wrap};
use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, LineStyle, Table, presets,
};
use owo_colors::Style;
use pinyon::store::ServerInfo;
use serde_json::{Value, json};
use std::io::{self, IsTerminal};
use std::time::Duration;

/// The width of the text under the table.
const TEXT_WIDTH: usize = 100;
/// The fewest columns that a terminal is taken to have.
const NARROWEST: u16 = 60;

const HEADER: [&str; 8] = ["Alias", "Backend", "Server", "Status", "Round trip", "Version", "Memory", "Entries"];
/// The columns that are not broken into lines where the terminal is narrow: alias, backend and server.
const NAMES: [usize; 3] = [0, 1, 2];
/// The columns of numbers.
const NUMBERS: [usize; 2] = [4, 7];

/// A table of all servers; under it why servers failed and what to do, and what the settings warn of.
pub(crate) fn as_table(report: &Report) -> String {
    let colors = has_colors(&io::stdout());
    let mut table = Table::new();
    table.load_style(presets::NOTHING.header_separator(LineStyle::none().fill('─')));
    table.set_header(
        HEADER.map(|name| if colors { Cell::new(name).add_attribute(Attribute::Bold) } else { Cell::new(name) }),
    );
    // Some terminals say that they have no columns at all; below the minimum a table cannot be read.
    let terminal = table.width().filter(|_| io::stdout().is_terminal()).filter(|width| *width > 0);
    if let Some(width) = terminal {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.max(NARROWEST));
    }
    for row in &report.rows {
        table.add_row(cells(row, colors));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if NUMBERS.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if NAMES.contains(&index) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    let mut text = format!("{table}\n");
    let width = terminal.map_or(TEXT_WIDTH, |width| usize::from(width.max(NARROWEST)).min(TEXT_WIDTH));
    for row in &report.rows {
        if let Err(error) = &row.result {
            // Settings that lack something name no server yet.
            let title =
                if row.server.is_empty() { row.alias.clone() } else { format!("{} on {}", row.alias, row.server) };
            text.extend(["\n", &paint(&title, Style::new().bold(), colors), "\n"]);
            text.push_str(&wrap(error.message(), "  ", width));
            if let Some(hint) = error.hint() {
                text.push_str(&wrap(&format!("hint: {hint}"), "  ", width));
            }
        }
    }
    let breakers = breakers(report);
    if !breakers.is_empty() {
        text.push('\n');
    }
    for (alias, breaker) in breakers {
        text.push_str(&wrap(&format!("circuit breaker of '{alias}': {}", in_words(breaker)), "", width));
    }
    if !report.warnings.is_empty() {
        text.push('\n');
    }
    for warning in &report.warnings {
        text.push_str(&wrap(&format!("warning: {warning}"), "", width));
    }
    let answered = report.rows.iter().filter(|row| row.result.is_ok()).count();
    let (summary, style) = match report.rows.len() {
        0 => ("The settings name no cache.".to_owned(), Style::new().yellow()),
        all if all == answered => (format!("All {all} answer."), Style::new().green()),
        all => (format!("{answered} of {all} answer."), Style::new().red()),
    };
    text.extend(["\n", &paint(&summary, style, colors), "\n"]);
    text
}

/// One an alias: that of its first server, to which it writes.
fn breakers(report: &Report) -> Vec<(&str, &Breaker)> {
    let mut found: Vec<(&str, &Breaker)> = Vec::new();
    for row in &report.rows {
        if let Some(breaker) = &row.breaker
            && found.last().is_none_or(|(alias, _)| *alias != row.alias)
        {
            found.push((&row.alias, breaker));
        }
    }
    found
}

fn in_words(breaker: &Breaker) -> String {
    let state = breaker.state();
    if state == "off" {
        return "off (BREAKER_FAILURES = 0)".to_owned();
    }
    let left = match state {
        "open" => format!(" for {} ms more", breaker.pause_left.as_millis()),
        _ => String::new(),
    };
    format!(
        "{state}{left}, {} failed in a row; opens after {} (BREAKER_FAILURES) for at most {} s (BREAKER_PAUSE)",
        breaker.failures,
        breaker.opens_after,
        breaker.longest_pause.as_secs_f64(),
    )
}

fn cells(row: &Row, colors: bool) -> Vec<Cell> {
    let status = |text, color| if colors { Cell::new(text).fg(color) } else { Cell::new(text) };
    let mut cells = vec![Cell::new(&row.alias), Cell::new(row.backend), Cell::new(address(row))];
    match &row.result {
        Ok(info) => cells.extend([
            status("ok", Color::Green),
            Cell::new(milliseconds(info.round_trip)),
            Cell::new(version(row, info)),
            Cell::new(memory(info)),
            Cell::new(info.entries.map_or_else(String::new, |entries| entries.to_string())),
        ]),
        Err(_) => cells.push(status("failed", Color::Red)),
    }
    cells
}

/// The server without the scheme that says what the column before says: room is short.
fn address(row: &Row) -> &str {
    let rest = row.server.strip_prefix(row.backend).unwrap_or(&row.server);
    rest.strip_prefix("://").or_else(|| rest.strip_prefix(' ')).unwrap_or(&row.server)
}

/// The version, after the name of the product if that is not the name of the backend.
fn version<'a>(row: &Row, info: &'a ServerInfo) -> &'a str {
    match info.version.split_once(' ') {
        Some((product, version)) if product.eq_ignore_ascii_case(row.backend) => version,
        _ => &info.version,
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

fn memory(info: &ServerInfo) -> String {
    match (info.memory_used, info.memory_limit) {
        (Some(used), Some(limit)) => format!("{} of {}", bytes(used), bytes(limit)),
        (Some(used), None) => bytes(used),
        (None, _) => String::new(),
    }
}

fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let mut shown = count as f64 / 1024.0;
    let mut unit = 0;
    // Up to what would round to 1024.
    while shown >= 1023.95 && unit + 1 < UNITS.len() {
        shown /= 1024.0;
        unit += 1;
    }
    let text = format!("{shown:.1}");
    format!("{} {}", text.strip_suffix(".0").unwrap_or(&text), UNITS[unit])
}

/// The same for programs: times in milliseconds, sizes in bytes, null for what is not known.
pub(crate) fn as_json(report: &Report) -> String {
    let mut caches: Vec<(&str, &str, Vec<Value>)> = Vec::new();
    for row in &report.rows {
        let server = server_as_json(row);
        match caches.last_mut() {
            Some((alias, _, servers)) if *alias == row.alias => servers.push(server),
            _ => caches.push((&row.alias, row.backend, vec![server])),
        }
    }
    let breakers = breakers(report);
    let caches: Vec<Value> = caches
        .into_iter()
        .map(|(alias, backend, servers)| {
            let breaker = breakers.iter().find(|(owner, _)| *owner == alias);
            let breaker = breaker.map(|(_, breaker)| breaker_as_json(breaker));
            json!({"alias": alias, "backend": backend, "servers": servers, "breaker": breaker})
        })
        .collect();
    pretty(&json!({"ok": report.is_ok(), "caches": caches, "warnings": report.warnings}))
}

fn breaker_as_json(breaker: &Breaker) -> Value {
    json!({
        "state": breaker.state(),
        "failures": breaker.failures,
        "pause_left_ms": u64::try_from(breaker.pause_left.as_millis()).unwrap_or(u64::MAX),
        "opens_after": breaker.opens_after,
        "longest_pause_s": breaker.longest_pause.as_secs_f64(),
    })
}

fn server_as_json(row: &Row) -> Value {
    match &row.result {
        Ok(info) => json!({
            "server": row.server,
            "ok": true,
            "round_trip_ms": info.round_trip.as_secs_f64() * 1000.0,
            "version": info.version,
            "memory_used": info.memory_used,
            "memory_limit": info.memory_limit,
            "entries": info.entries,
            "error": null,
        }),
        Err(error) => json!({
            "server": row.server,
            "ok": false,
            "error": {"kind": format!("{:?}", error.kind()), "message": error.message(), "hint": error.hint()},
        }),
    }
}

/// What `check --json` says if it could not begin.
pub(crate) fn failure_as_json(failure: &Failure) -> String {
    let error = json!({"kind": failure.kind, "message": failure.message, "hint": failure.hint});
    pretty(&json!({"ok": false, "caches": [], "warnings": [], "error": error}))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_redis_once_a_row() {
        let info = |version: &str| ServerInfo { version: version.to_owned(), ..ServerInfo::default() };
        let row = |server: &str| Row {
            alias: "default".to_owned(),
            backend: "redis",
            server: server.to_owned(),
            result: Ok(info("")),
            breaker: None,
        };
        assert_eq!(address(&row("redis://127.0.0.1:6379/1")), "127.0.0.1:6379/1");
        assert_eq!(address(&row("rediss://127.0.0.1:6379/1")), "rediss://127.0.0.1:6379/1");
        assert_eq!(version(&row(""), &info("Redis 7.0.15")), "7.0.15");
        assert_eq!(version(&row(""), &info("Valkey 8.0.1")), "Valkey 8.0.1");
    }

    #[test]
    fn a_breaker_says_its_state_its_failures_and_its_settings() {
        let closed = Breaker {
            failures: 1,
            pause_left: Duration::ZERO,
            opens_after: 3,
            longest_pause: Duration::from_millis(500),
        };
        let settings = "opens after 3 (BREAKER_FAILURES) for at most 0.5 s (BREAKER_PAUSE)";
        assert_eq!(in_words(&closed), format!("closed, 1 failed in a row; {settings}"));
        let open = Breaker { failures: 3, pause_left: Duration::from_millis(40), ..closed };
        assert_eq!(in_words(&open), format!("open for 40 ms more, 3 failed in a row; {settings}"));
        assert_eq!(breaker_as_json(&open)["state"], "open");
        assert_eq!(in_words(&Breaker { opens_after: 0, ..open }), "off (BREAKER_FAILURES = 0)");
    }

    #[test]
    fn sizes_have_a_unit_and_at_most_one_decimal() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(64 << 20), "64 MiB");
        assert_eq!(bytes((1 << 20) - 1), "1 MiB");
        assert_eq!(bytes(u64::MAX), "16384 PiB");
    }
}
