//! What the shop's database has, in the form in which the Django site caches it.

use pinyon::Error;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

const TOP: i64 = 20;

/// The site's SQLite file, which is only read here.
#[derive(Clone)]
pub(crate) struct Shop {
    file: Arc<PathBuf>,
}

/// What the site caches under `bestsellers:<category>`: there a dictionary with a list of dictionaries.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    books: Vec<Bestseller>,
    totals: Totals,
}

#[derive(Debug, Serialize, Deserialize)]
struct Bestseller {
    pk: i64,
    title: String,
    published: i64,
    price_cents: i64,
    sold: Option<i64>,
    revenue_cents: Option<i64>,
    #[serde(rename = "author__name")]
    author: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Totals {
    copies: Option<i64>,
    books: i64,
}

/// One book.
#[derive(Debug, Serialize)]
pub(crate) struct Book {
    pk: i64,
    title: String,
    author: String,
    category: String,
    published: i64,
    pages: i64,
    price_cents: i64,
    sold: i64,
}

/// Why a page cannot be shown.
#[derive(Debug)]
pub(crate) enum Failure {
    Cache(Error),
    Database(rusqlite::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Cache(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl Shop {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file: Arc::new(file) }
    }

    /// How many books each category has.
    pub(crate) async fn shelves(&self) -> Result<BTreeMap<String, i64>, Failure> {
        self.read(|database| {
            let mut statement = database.prepare("SELECT category, COUNT(*) FROM shop_book GROUP BY category")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
        .await
    }

    /// The books of a category that sold the most copies, and what was sold in all.
    pub(crate) async fn bestsellers(&self, category: String) -> Result<Figures, Failure> {
        self.read(move |database| {
            let mut statement = database.prepare(
                "SELECT book.id, book.title, book.published, book.price_cents, SUM(sale.copies) AS sold, author.name
                 FROM shop_book book JOIN shop_author author ON author.id = book.author_id
                 LEFT JOIN shop_sale sale ON sale.book_id = book.id
                 WHERE book.category = ?1 GROUP BY book.id ORDER BY sold DESC, book.id LIMIT ?2",
            )?;
            let books = statement.query_map(params![category, TOP], bestseller)?.collect::<Result<_, _>>()?;
            let totals = database.query_row(
                "SELECT SUM(sale.copies), COUNT(DISTINCT sale.book_id)
                 FROM shop_sale sale JOIN shop_book book ON book.id = sale.book_id WHERE book.category = ?1",
                params![category],
                |row| Ok(Totals { copies: row.get(0)?, books: row.get(1)? }),
            )?;
            Ok(Figures { books, totals })
        })
        .await
    }

    /// One book, if there is one with this key.
    pub(crate) async fn book(&self, pk: i64) -> Result<Option<Book>, Failure> {
        self.read(move |database| {
            let found = database.query_row(
                "SELECT book.id, book.title, author.name, book.category, book.published, book.pages, book.price_cents,
                        (SELECT COALESCE(SUM(copies), 0) FROM shop_sale WHERE book_id = book.id)
                 FROM shop_book book JOIN shop_author author ON author.id = book.author_id WHERE book.id = ?1",
                params![pk],
                book,
            );
            found.optional()
        })
        .await
    }

    /// SQLite blocks: on a thread that may.
    async fn read<R: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, Failure> {
        let file = self.file.clone();
        let queried = tokio::task::spawn_blocking(move || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            query(&Connection::open_with_flags(&*file, flags)?)
        });
        Ok(queried.await.expect("a query does not panic")?)
    }
}

fn bestseller(row: &Row<'_>) -> rusqlite::Result<Bestseller> {
    let (price_cents, sold): (i64, Option<i64>) = (row.get(3)?, row.get(4)?);
    Ok(Bestseller {
        pk: row.get(0)?,
        title: row.get(1)?,
        published: row.get(2)?,
        price_cents,
        sold,
        revenue_cents: sold.map(|sold| sold * price_cents),
        author: row.get(5)?,
    })
}

fn book(row: &Row<'_>) -> rusqlite::Result<Book> {
    Ok(Book {
        pk: row.get(0)?,
        title: row.get(1)?,
        author: row.get(2)?,
        category: row.get(3)?,
        published: row.get(4)?,
        pages: row.get(5)?,
        price_cents: row.get(6)?,
        sold: row.get(7)?,
    })
}
