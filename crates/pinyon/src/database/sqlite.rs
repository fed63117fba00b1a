//! SQLite, through rusqlite: a file, and statements that block the thread that runs them.

use super::connection::{Cause, Connection, Failure, Statement};
use crate::error::ErrorKind;
use crate::settings::DEFAULT_OPERATION_TIMEOUT;
use rusqlite::{Error as SqliteError, ErrorCode, OpenFlags, TransactionBehavior, params_from_iter};
use std::path::Path;
use std::time::Duration;

/// How many prepared statements a connection keeps: all that are kept at all.
const PREPARED: usize = 16;

/// One connection to a file.
pub(super) struct File {
    connection: rusqlite::Connection,
}

impl File {
    /// Opens the file. `own`: it is the cache's own. It is then made if it is not there, and set to write-ahead logging, in
    /// which readers and the writer do not wait for each other. Somebody else's database is left as it is.
    pub(super) fn open(path: &Path, own: bool) -> Result<Self, Failure> {
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if own {
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
        }
        let connection = rusqlite::Connection::open_with_flags(path, flags).map_err(|error| judge(&error))?;
        connection.set_prepared_statement_cache_capacity(PREPARED);
        connection.busy_timeout(DEFAULT_OPERATION_TIMEOUT).map_err(|error| judge(&error))?;
        if own {
            // NORMAL: the last writes may be lost when the power fails, the file never breaks.
            connection
                .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
                .map_err(|error| judge(&error))?;
        }
        Ok(Self { connection })
    }
}

impl Connection for File {
    fn run(
        &mut self,
        statement: &Statement<'_>,
        limit: Duration,
        row: &mut dyn FnMut(&[&str]),
    ) -> Result<u64, Failure> {
        self.connection.busy_timeout(limit).map_err(|error| judge(&error))?;
        run(&self.connection, statement, row).map_err(|error| judge(&error))
    }

    fn run_together(&mut self, statements: &[Statement<'_>], limit: Duration) -> Result<(), Failure> {
        let mut all = || {
            self.connection.busy_timeout(limit)?;
            // Locked for writing from the start: a transaction that began as a reader cannot always become a writer.
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for statement in statements {
                run(&transaction, statement, &mut |_| {})?;
            }
            transaction.commit()
        };
        all().map_err(|error| judge(&error))
    }

    fn is_alive(&mut self, _limit: Duration) -> bool {
        true
    }
}

fn run(
    connection: &rusqlite::Connection,
    statement: &Statement<'_>,
    row: &mut dyn FnMut(&[&str]),
) -> Result<u64, SqliteError> {
    let parameters = params_from_iter(statement.parameters.iter());
    let (mut cached, mut fresh);
    let prepared: &mut rusqlite::Statement<'_> = if statement.kept {
        cached = connection.prepare_cached(&statement.sql)?;
        &mut cached
    } else {
        fresh = connection.prepare(&statement.sql)?;
        &mut fresh
    };
    if !statement.answers {
        return prepared.execute(parameters).map(|count| count as u64);
    }
    let columns = prepared.column_count();
    let mut rows = prepared.query(parameters)?;
    let mut count = 0;
    while let Some(found) = rows.next()? {
        // A blob or a number where text belongs is as good as nothing: no serializer reads it.
        let texts = (0..columns).map(|column| Ok(found.get_ref(column)?.as_str().unwrap_or_default()));
        row(&texts.collect::<Result<Vec<&str>, SqliteError>>()?);
        count += 1;
    }
    Ok(count)
}

/// What an error means. Its text comes from SQLite, which repeats no parameter.
fn judge(error: &SqliteError) -> Failure {
    let said = match error {
        SqliteError::SqliteFailure(_, Some(text)) => text.clone(),
        SqliteError::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    };
    if said.starts_with("no such table") {
        return Failure::new(ErrorKind::Server, said).with_cause(Cause::MissingTable);
    }
    let failure = |kind, text: &str| Failure::new(kind, format!("{text}: {said}"));
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            failure(ErrorKind::Timeout, "another connection kept the database locked for too long")
                .with_hint("Look for a long transaction that writes to this file")
        }
        Some(ErrorCode::CannotOpen) => failure(ErrorKind::Unreachable, "the database cannot be opened")
            .with_hint("Check that the file is there and may be written (`pinyon create-table` makes it)")
            .fatal(),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            failure(ErrorKind::Server, "the database cannot be written")
                .with_hint("The file and its directory must be writable for this user")
                .fatal()
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            failure(ErrorKind::Server, "the file is no sound SQLite database").fatal()
        }
        Some(ErrorCode::DiskFull) => {
            failure(ErrorKind::Server, "there is no room left").with_hint("Free some disk space")
        }
        // An error of the statement, and not of the file.
        Some(ErrorCode::Unknown | ErrorCode::ConstraintViolation | ErrorCode::TooBig) => {
            failure(ErrorKind::Server, "SQLite refused the statement")
        }
        _ => failure(ErrorKind::Server, "SQLite failed").fatal(),
    }
}
