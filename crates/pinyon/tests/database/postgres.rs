//! PostgreSQL.

use crate::contract;
use crate::servers::databases;

#[test]
fn postgresql_is_a_cache() {
    let mut database = databases::postgres();
    contract::keeps_the_contract(&database);
    contract::keys_that_the_column_does_not_take_are_refused(&database);
    contract::writers_of_the_same_keys_do_not_disturb_each_other(&database);
    contract::an_expired_row_is_gone_for_touch_and_free_for_add(&database);
    contract::a_full_table_is_culled(&database);
    contract::a_check_says_version_and_rows(&database, "PostgreSQL ");
    contract::works_within_a_runtime_of_somebody_else(&database);
    // Up to here nothing was wrong: not even a duplicate key, which fills the logs of other clients.
    assert!(!database.log().contains("ERROR"), "{}", database.log());

    contract::a_table_is_made_once_as_django_makes_it(
        &database,
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull FROM pg_attribute a
         WHERE a.attrelid = 'made'::regclass AND a.attnum > 0 ORDER BY a.attnum;
         SELECT indexdef FROM pg_indexes WHERE tablename = 'made' ORDER BY indexname",
        "cache_key|character varying(255)|t\nvalue|text|t\nexpires|timestamp with time zone|t\n\
         CREATE INDEX made_expires ON public.made USING btree (expires)\n\
         CREATE UNIQUE INDEX made_pkey ON public.made USING btree (cache_key)",
    );
    contract::what_is_wrong_with_the_address_is_said_without_the_password(&database);
    contract::a_restarted_server_is_found_again(&mut database);
}
