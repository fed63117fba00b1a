//! MariaDB, in place of MySQL too.

use crate::contract::{self, LONG, item, store, take};
use crate::servers::databases::{self, Database};
use pinyon::store::Store;

#[test]
fn mariadb_is_a_cache() {
    let mut database = databases::mariadb();
    contract::keeps_the_contract(&database);
    contract::keys_that_the_column_does_not_take_are_refused(&database);
    contract::writers_of_the_same_keys_do_not_disturb_each_other(&database);
    contract::an_expired_row_is_gone_for_touch_and_free_for_add(&database);
    contract::a_full_table_is_culled(&database);
    contract::a_check_says_version_and_rows(&database, "MariaDB ");
    contract::works_within_a_runtime_of_somebody_else(&database);
    contract::a_table_is_made_once_as_django_makes_it(
        &database,
        "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_KEY FROM information_schema.COLUMNS
         WHERE TABLE_NAME = 'made' ORDER BY ORDINAL_POSITION;
         SELECT INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_NAME = 'made' ORDER BY INDEX_NAME",
        "cache_key\tvarchar(255)\tNO\tPRI\nvalue\tlongtext\tNO\t\nexpires\tdatetime(6)\tNO\tMUL\n\
         made_expires\texpires\nPRIMARY\tcache_key",
    );
    keys_that_the_collation_takes_for_the_same_never_give_each_others_value(&database);
    contract::what_is_wrong_with_the_address_is_said_without_the_password(&database);
    contract::a_restarted_server_is_found_again(&mut database);
}

fn keys_that_the_collation_takes_for_the_same_never_give_each_others_value(database: &Database) {
    let store = store(database, "loose");
    database.ask("ALTER TABLE loose CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci");
    store.set("key", item(b"small"), LONG).unwrap();
    for other in ["KEY", "kéy", "key "] {
        assert_eq!(take(&store, other), None, "{other:?}");
        assert!(!store.has(other).unwrap() && !store.touch(other, LONG).unwrap() && !store.delete(other).unwrap());
        assert_eq!(store.incr(other, 1).unwrap(), None);
        store.get_many(&[other], &mut |_, _| panic!("get_many of {other:?}")).unwrap();
    }
    store.set("KEY", item(b"large"), LONG).unwrap();
    assert_eq!((take(&store, "key"), take(&store, "KEY").unwrap()), (None, b"large".to_vec()));
}
