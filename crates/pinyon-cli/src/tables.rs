//! Makes the tables of the caches in databases.

use crate::failure::Failure;
use pinyon::Settings;
use pinyon::database::DatabaseStore;
use pinyon::settings::{BackendSettings, DatabaseSettings};

/// Makes the table of `alias`, or those of all aliases, and says what was done; with `only_sql` it returns the SQL and connects to
/// nothing.
pub(crate) fn create(settings: &Settings, alias: Option<&str>, only_sql: bool) -> Result<String, Failure> {
    let mut said = String::new();
    for (alias, database) in databases(settings, alias)? {
        let explain = |error: pinyon::Error| error.with_alias(alias).with_operation("create-table");
        let store = DatabaseStore::new(database).map_err(explain)?;
        if only_sql {
            said.push_str(&store.create_table_sql());
        } else if store.create_table().map_err(explain)? {
            said.extend(["Cache table '", &database.table, "' created.\n"]);
        } else {
            said.extend(["Cache table '", &database.table, "' already exists.\n"]);
        }
    }
    Ok(said)
}

/// The caches in databases, by alias; of them the one that is asked for.
fn databases<'s>(settings: &'s Settings, alias: Option<&str>) -> Result<Vec<(&'s str, &'s DatabaseSettings)>, Failure> {
    if let Some(alias) = alias
        && settings.get(alias).is_none()
    {
        let known: Vec<String> = settings.caches.iter().map(|cache| format!("'{}'", cache.alias)).collect();
        let hint = format!("The settings have {}", known.join(", "));
        return Err(Failure::usage(format!("there is no cache with the alias '{alias}'"), &hint));
    }
    let databases: Vec<_> = settings
        .caches
        .iter()
        .filter(|cache| alias.is_none_or(|alias| cache.alias == alias))
        .filter_map(|cache| match &cache.backend {
            BackendSettings::Database(database) => Some((cache.alias.as_str(), database)),
            _ => None,
        })
        .collect();
    match (databases.is_empty(), alias) {
        (false, _) => Ok(databases),
        (true, None) => {
            Err(Failure::usage("no cache of the settings is in a database", "Only BACKEND 'database' has a table"))
        }
        (true, Some(alias)) => {
            let message = format!("cache '{alias}' is not in a database, and has no table");
            Err(Failure::usage(message, "Only BACKEND 'database' has a table"))
        }
    }
}
