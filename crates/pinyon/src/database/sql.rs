//! The statements, in the language of each database.
//!
//! Every parameter is text and every answer too; moments go in and come out as seconds of Unix time, so that each database
//! does its own arithmetic of dates.

use super::address::Engine;
use super::connection::Statement;
use crate::error::{Error, ErrorKind, Result};
use std::borrow::Cow;
use std::sync::Arc;

/// The statements on one table.
#[derive(Debug)]
pub(super) struct Sql {
    engine: Engine,
    /// Quoted.
    table: String,
    /// Quoted.
    index: String,
    get: Arc<str>,
    has: Arc<str>,
    expires: Arc<str>,
    set: Arc<str>,
    add: Arc<str>,
    remove_expired_key: Arc<str>,
    touch: Arc<str>,
    swap: Arc<str>,
    delete: Arc<str>,
}

impl Sql {
    /// The statements on `table`, which is quoted here and nowhere else.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if no table can have this name.
    pub(super) fn new(engine: Engine, table: &str) -> Result<Self> {
        let (table, index) = quote(engine, table)?;
        let statement = |template| write(engine, &table, template).into();
        Ok(Self {
            get: statement("SELECT {value} FROM {table} WHERE {is key} AND {expires} > {moment}"),
            has: statement("SELECT '1' FROM {table} WHERE {is key} AND {expires} > {moment}"),
            expires: statement("SELECT {seconds} FROM {table} WHERE {is key} AND {expires} > {moment}"),
            set: statement("INSERT INTO {table} ({key}, {value}, {expires}) VALUES (?, ?, {moment}) {overwrite}"),
            add: statement(match engine {
                // MySQL has no condition on an overwrite: what has expired goes first.
                Engine::MySql => "INSERT IGNORE INTO {table} ({key}, {value}, {expires}) VALUES (?, ?, {moment})",
                _ => {
                    "INSERT INTO {table} ({key}, {value}, {expires}) VALUES (?, ?, {moment}) {overwrite} \
                     WHERE {table}.{expires} <= {moment}"
                }
            }),
            remove_expired_key: statement("DELETE FROM {table} WHERE {is key} AND {expires} <= {moment}"),
            touch: statement("UPDATE {table} SET {expires} = {moment} WHERE {is key} AND {expires} > {moment}"),
            swap: statement("UPDATE {table} SET {value} = ? WHERE {is key} AND {is value} AND {expires} > {moment}"),
            delete: statement("DELETE FROM {table} WHERE {is key} AND {expires} > {moment}"),
            engine,
            table,
            index,
        })
    }

    pub(super) fn get<'a>(&self, key: &'a str, now: &'a str) -> Statement<'a> {
        asks(&self.get, self.key_and(key, [now]))
    }

    pub(super) fn has<'a>(&self, key: &'a str, now: &'a str) -> Statement<'a> {
        asks(&self.has, self.key_and(key, [now]))
    }

    /// Answers with the second at which the entry expires.
    pub(super) fn expires<'a>(&self, key: &'a str, now: &'a str) -> Statement<'a> {
        asks(&self.expires, self.key_and(key, [now]))
    }

    pub(super) fn set<'a>(&self, key: &'a str, value: &'a str, expires: &'a str) -> Statement<'a> {
        writes(&self.set, vec![key.into(), value.into(), expires.into()])
    }

    /// The last of them writes a row, or none if the key has an entry.
    pub(super) fn add<'a>(&self, key: &'a str, value: &'a str, expires: &'a str, now: &'a str) -> Vec<Statement<'a>> {
        let mut parameters: Vec<Cow<'a, str>> = vec![key.into(), value.into(), expires.into()];
        if self.engine == Engine::MySql {
            return vec![writes(&self.remove_expired_key, self.key_and(key, [now])), writes(&self.add, parameters)];
        }
        parameters.push(now.into());
        vec![writes(&self.add, parameters)]
    }

    pub(super) fn touch<'a>(&self, key: &'a str, expires: &'a str, now: &'a str) -> Statement<'a> {
        let mut parameters = self.key_and(key, [now]);
        parameters.insert(0, expires.into());
        writes(&self.touch, parameters)
    }

    /// Replaces `old`, and nothing else, by `new`; the expiry stays.
    pub(super) fn swap<'a>(&self, key: &'a str, old: &'a str, new: &'a str, now: &'a str) -> Statement<'a> {
        let mut parameters = self.key_and(key, [old, now]);
        parameters.insert(0, new.into());
        writes(&self.swap, parameters)
    }

    pub(super) fn delete<'a>(&self, key: &'a str, now: &'a str) -> Statement<'a> {
        writes(&self.delete, self.key_and(key, [now]))
    }

    /// Answers with key and value of those that are there. On MySQL they may be keys that are the same to its collation.
    pub(super) fn get_many<'a>(&self, keys: &[&'a str], now: &'a str) -> Statement<'a> {
        let list = marks(keys.len());
        let sql =
            format!("SELECT {{key}}, {{value}} FROM {{table}} WHERE {{key}} IN ({list}) AND {{expires}} > {{moment}}");
        let parameters = keys.iter().copied().chain([now]).map(Cow::Borrowed).collect();
        once(&self.write(&sql), parameters, true)
    }

    /// Writes all of them; no key may be there twice.
    pub(super) fn set_many<'a>(&self, items: &'a [(&'a str, String)], expires: &'a str) -> Statement<'a> {
        let rows = vec!["(?, ?, {moment})"; items.len()].join(", ");
        let sql = format!("INSERT INTO {{table}} ({{key}}, {{value}}, {{expires}}) VALUES {rows} {{overwrite}}");
        let parameters = items.iter().flat_map(|(key, value)| [*key, value, expires]).map(Cow::Borrowed).collect();
        once(&self.write(&sql), parameters, false)
    }

    pub(super) fn delete_many<'a>(&self, keys: &[&'a str]) -> Statement<'a> {
        let sql = format!("DELETE FROM {{table}} WHERE {{key}} IN ({})", marks(keys.len()));
        once(&self.write(&sql), keys.iter().copied().map(Cow::Borrowed).collect(), false)
    }

    pub(super) fn count(&self) -> Statement<'static> {
        let text = if self.engine == Engine::MySql { "CHAR" } else { "TEXT" };
        once(&self.write(&format!("SELECT CAST(COUNT(*) AS {text}) FROM {{table}}")), Vec::new(), true)
    }

    pub(super) fn delete_expired<'a>(&self, now: &'a str) -> Statement<'a> {
        once(&self.write("DELETE FROM {table} WHERE {expires} <= {moment}"), vec![now.into()], false)
    }

    /// Answers with the key that has so many before it, in the order of keys.
    pub(super) fn key_at(&self, offset: i64) -> Statement<'static> {
        let sql = format!("SELECT {{key}} FROM {{table}} ORDER BY {{key}} LIMIT 1 OFFSET {offset}");
        once(&self.write(&sql), Vec::new(), true)
    }

    pub(super) fn delete_below<'a>(&self, key: &'a str) -> Statement<'a> {
        once(&self.write("DELETE FROM {table} WHERE {key} < ?"), vec![key.into()], false)
    }

    pub(super) fn clear(&self) -> Statement<'static> {
        once(&self.write("DELETE FROM {table}"), Vec::new(), false)
    }

    /// Answers with a row if the table is there. Fails, or answers with none, if not: PostgreSQL would log a failure.
    pub(super) fn exists(&self) -> Statement<'_> {
        if self.engine == Engine::Postgres {
            let sql = number(self.engine, "SELECT '1' WHERE to_regclass(?) IS NOT NULL");
            return once(&sql, vec![self.table.as_str().into()], true);
        }
        once(&self.write("SELECT MAX({key}) FROM {table}"), Vec::new(), true)
    }

    /// Reads a row, if there is one.
    pub(super) fn look(&self) -> Statement<'static> {
        once(&self.write("SELECT {key} FROM {table} LIMIT 1"), Vec::new(), true)
    }

    pub(super) fn version(&self) -> Statement<'static> {
        let sql = match self.engine {
            Engine::Sqlite => "SELECT sqlite_version()",
            Engine::Postgres => "SELECT current_setting('server_version')",
            Engine::MySql => "SELECT VERSION()",
        };
        once(sql, Vec::new(), true)
    }

    /// Makes table and index, in the words of Django's `createcachetable`, without its closing semicolons.
    pub(super) fn create(&self) -> [String; 2] {
        let (text, datetime) = match self.engine {
            Engine::Sqlite => ("text", "datetime"),
            Engine::Postgres => ("text", "timestamp with time zone"),
            Engine::MySql => ("longtext", "datetime(6)"),
        };
        [
            format!(
                "CREATE TABLE {{table}} (\n    {{key}} varchar(255) NOT NULL PRIMARY KEY,\n    {{value}} {text} NOT NULL,\n    \
                 {{expires}} {datetime} NOT NULL\n)"
            ),
            "CREATE INDEX {index} ON {table} ({expires})".to_owned(),
        ]
        .map(|template| self.write(&template).replace("{index}", &self.index))
    }

    fn write(&self, template: &str) -> String {
        write(self.engine, &self.table, template)
    }

    fn key_and<'a, const N: usize>(&self, key: &'a str, rest: [&'a str; N]) -> Vec<Cow<'a, str>> {
        let times = if self.engine == Engine::MySql { 2 } else { 1 };
        std::iter::repeat_n(key, times).chain(rest).map(Cow::Borrowed).collect()
    }
}

/// A statement that is not prepared for another time.
pub(super) fn once<'a>(sql: &str, parameters: Vec<Cow<'a, str>>, answers: bool) -> Statement<'a> {
    Statement { sql: sql.into(), parameters, answers, kept: false }
}

fn asks<'a>(sql: &Arc<str>, parameters: Vec<Cow<'a, str>>) -> Statement<'a> {
    Statement { sql: sql.clone(), parameters, answers: true, kept: true }
}

fn writes<'a>(sql: &Arc<str>, parameters: Vec<Cow<'a, str>>) -> Statement<'a> {
    Statement { sql: sql.clone(), parameters, answers: false, kept: true }
}

fn marks(count: usize) -> String {
    vec!["?"; count].join(", ")
}

/// Fills in a template: what stands in braces, and the parameters, a `?` each.
fn write(engine: Engine, table: &str, template: &str) -> String {
    let quote = quotation_mark(engine);
    let key = format!("{quote}cache_key{quote}");
    let value = format!("{quote}value{quote}");
    let expires = format!("{quote}expires{quote}");
    let moment = match engine {
        Engine::Sqlite => "datetime(?, 'unixepoch')",
        Engine::Postgres => "to_timestamp(CAST(? AS double precision))",
        Engine::MySql => "TIMESTAMPADD(SECOND, CAST(? AS SIGNED), TIMESTAMP'1970-01-01 00:00:00')",
    };
    let seconds = match engine {
        Engine::Sqlite => "strftime('%s', {expires})",
        Engine::Postgres => "CAST(CAST(EXTRACT(EPOCH FROM {expires}) AS bigint) AS text)",
        Engine::MySql => "CAST(TIMESTAMPDIFF(SECOND, TIMESTAMP'1970-01-01 00:00:00', {expires}) AS CHAR)",
    };
    // The first condition finds the row by its index, whatever the collation; the second knows capitals and spaces.
    let is_key = match engine {
        Engine::MySql => "{key} = ? AND CAST({key} AS BINARY) = CAST(? AS BINARY)",
        _ => "{key} = ?",
    };
    let is_value = match engine {
        Engine::MySql => "CAST({value} AS BINARY) = CAST(? AS BINARY)",
        _ => "{value} = ?",
    };
    let overwrite = match engine {
        // The key too: to the collation it may be the same, and be another.
        Engine::MySql => {
            "ON DUPLICATE KEY UPDATE {key} = VALUES({key}), {value} = VALUES({value}), {expires} = VALUES({expires})"
        }
        _ => "ON CONFLICT ({key}) DO UPDATE SET {value} = excluded.{value}, {expires} = excluded.{expires}",
    };
    let text = template
        .replace("{overwrite}", overwrite)
        .replace("{seconds}", seconds)
        .replace("{is key}", is_key)
        .replace("{is value}", is_value)
        .replace("{moment}", moment)
        .replace("{key}", &key)
        .replace("{value}", &value)
        .replace("{expires}", &expires);
    // The table last: its name may hold anything.
    number(engine, &text).replace("{table}", table)
}

/// PostgreSQL numbers its parameters.
fn number(engine: Engine, text: &str) -> String {
    if engine != Engine::Postgres {
        return text.to_owned();
    }
    let mut numbered = String::with_capacity(text.len() + 8);
    for (index, part) in text.split('?').enumerate() {
        if index > 0 {
            numbered.push('$');
            numbered.push_str(&index.to_string());
        }
        numbered.push_str(part);
    }
    numbered
}

fn quotation_mark(engine: Engine) -> char {
    if engine == Engine::MySql { '`' } else { '"' }
}

/// The names of table and index, quoted as Django quotes them: a name that is quoted already stays as it is, so that
/// `schema"."table` is a table in a schema, as sites write it.
fn quote(engine: Engine, table: &str) -> Result<(String, String)> {
    let mark = quotation_mark(engine);
    let inner = table.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark)).unwrap_or(table);
    let parts: Vec<&str> = inner.split(&format!("{mark}.{mark}")).collect();
    let is_wrong = |part: &&str| part.is_empty() || part.contains(mark) || part.contains('\0');
    match parts.last() {
        Some(last) if !parts.iter().any(is_wrong) => {
            Ok((format!("{mark}{inner}{mark}"), format!("{mark}{last}_expires{mark}")))
        }
        _ => Err(Error::new(
            ErrorKind::Config,
            format!("LOCATION '{}' cannot be the name of a table", table.escape_debug()),
        )
        .with_hint("Use letters, digits and underscores")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(engine: Engine, table: &str) -> String {
        Sql::new(engine, table).unwrap().create().map(|statement| statement + ";\n").concat()
    }

    /// What `manage.py createcachetable --dry-run` of Django 6.1.3 prints for LOCATION `my_cache_table` on SQLite; for the others
    /// with the types of their `DatabaseWrapper.data_types` and the quotes of their `quote_name`.
    #[test]
    fn the_table_is_made_in_the_words_of_django() {
        let sqlite = "CREATE TABLE \"my_cache_table\" (\n    \"cache_key\" varchar(255) NOT NULL PRIMARY KEY,\n    \"value\" text NOT \
                      NULL,\n    \"expires\" datetime NOT NULL\n);\nCREATE INDEX \"my_cache_table_expires\" ON \
                      \"my_cache_table\" (\"expires\");\n";
        assert_eq!(created(Engine::Sqlite, "my_cache_table"), sqlite);
        let postgres = sqlite.replace("datetime", "timestamp with time zone");
        assert_eq!(created(Engine::Postgres, "my_cache_table"), postgres);
        let mysql = sqlite.replace("text", "longtext").replace("datetime", "datetime(6)").replace('"', "`");
        assert_eq!(created(Engine::MySql, "my_cache_table"), mysql);
    }

    #[test]
    fn a_name_is_quoted_once_and_cannot_end_its_quotes() {
        let name = |table| Sql::new(Engine::Postgres, table).map(|sql| (sql.table, sql.index));
        assert_eq!(name("cache").unwrap(), ("\"cache\"".to_owned(), "\"cache_expires\"".to_owned()));
        assert_eq!(name("\"cache\"").unwrap().0, "\"cache\"");
        assert_eq!(name("shop\".\"cache").unwrap(), ("\"shop\".\"cache\"".to_owned(), "\"cache_expires\"".to_owned()));
        for table in ["", "a\"; DROP TABLE b; --", "\"", "a\".\"", "a\0b"] {
            assert_eq!(name(table).unwrap_err().kind(), ErrorKind::Config, "{table:?}");
        }
        assert!(Sql::new(Engine::MySql, "a`b").is_err() && Sql::new(Engine::MySql, "a\"b").is_ok());
    }

    #[test]
    fn there_are_as_many_parameters_as_marks_whatever_the_table_is_called() {
        for engine in [Engine::Sqlite, Engine::Postgres, Engine::MySql] {
            let sql = Sql::new(engine, "what?{key}$9").unwrap();
            let items = [("a", "1".to_owned()), ("b", "2".to_owned())];
            let mut statements = vec![
                sql.get("k", "0"),
                sql.has("k", "0"),
                sql.expires("k", "0"),
                sql.set("k", "v", "1"),
                sql.touch("k", "1", "0"),
                sql.swap("k", "old", "new", "0"),
                sql.delete("k", "0"),
                sql.get_many(&["a", "b", "c"], "0"),
                sql.set_many(&items, "1"),
                sql.delete_many(&["a", "b"]),
                sql.count(),
                sql.delete_expired("0"),
                sql.key_at(7),
                sql.delete_below("k"),
            ];
            statements.extend(sql.add("k", "v", "1", "0"));
            for statement in statements {
                let text = statement.sql.replace("what?{key}$9", "");
                let marks = match engine {
                    Engine::Postgres => text.matches('$').count(),
                    _ => text.matches('?').count(),
                };
                assert_eq!(marks, statement.parameters.len(), "{engine:?}: {}", statement.sql);
                assert!(!text.contains('{'), "{engine:?}: {}", statement.sql);
            }
        }
    }
}
