//! The figures of the Django example site as JSON, from its database and its cache.
//!
//! Both read the same `CACHES`, so that what one of them has cached the other finds.
#![forbid(unsafe_code)]

mod shop;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use pinyon::{Cache, Caches, ErrorKind, Timeout};
use serde_json::json;
use shop::{Failure, Shop};
use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

/// As long as the site caches the same things.
const LIFETIME: Timeout = Timeout::secs(300);
const A_DAY: Timeout = Timeout::secs(24 * 60 * 60);

#[derive(Clone)]
struct Service {
    cache: Cache,
    shop: Shop,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let site = PathBuf::from(env::var("BOOKSHOP").unwrap_or_else(|_| "examples/bookshop".to_owned()));
    let caches = Caches::from_path(site.join("bookshop/settings.py"))?;
    let database = env::var_os("BOOKSHOP_DATABASE").map_or_else(|| site.join("bookshop.sqlite3"), PathBuf::from);
    let service = Service { cache: caches.get("default")?.clone(), shop: Shop::new(database) };
    let pages = Router::new()
        .route("/", get(shelves))
        .route("/bestsellers/{category}", get(bestsellers))
        .route("/books/{pk}", get(book))
        .with_state(service);
    let address = env::var("BOOKSHOP_ADDRESS").unwrap_or_else(|_| "127.0.0.1:8001".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}/", listener.local_addr()?);
    axum::serve(listener, pages).await?;
    Ok(())
}

/// The shelves, and how many books stand on each.
async fn shelves(State(service): State<Service>) -> Result<Json<BTreeMap<String, i64>>, Failure> {
    service.cache.try_get_or_set("shelves", LIFETIME, || service.shop.shelves()).await.map(Json)
}

/// What the site's page "Low-level API" shows: whoever comes first, there or here, asks the database.
async fn bestsellers(State(service): State<Service>, Path(category): Path<String>) -> Result<Response, Failure> {
    let shelves = service.cache.try_get_or_set("shelves", LIFETIME, || service.shop.shelves()).await?;
    if !shelves.contains_key(&category) {
        return Ok((StatusCode::NOT_FOUND, Json(json!({ "shelves": shelves }))).into_response());
    }
    let key = format!("bestsellers:{category}");
    let figures = service.cache.try_get_or_set(&key, LIFETIME, || service.shop.bestsellers(category)).await?;
    Ok(Json(figures).into_response())
}

/// One book; looking at it counts, here and there.
async fn book(State(service): State<Service>, Path(pk): Path<i64>) -> Result<Response, Failure> {
    let Some(book) = service.shop.book(pk).await? else { return Ok(StatusCode::NOT_FOUND.into_response()) };
    let views = count_view(&service.cache, pk).await?;
    Ok(Json(json!({ "book": book, "views": views })).into_response())
}

async fn count_view(cache: &Cache, pk: i64) -> pinyon::Result<i64> {
    let key = format!("views:{pk}");
    match cache.incr(&key, 1).await {
        Err(error) if error.kind() == ErrorKind::KeyNotFound => {
            // The first view. `add` changes nothing if another visitor was faster.
            cache.add(&key, &0, A_DAY).await?;
            cache.incr(&key, 1).await
        }
        counted => counted,
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let error: &dyn std::error::Error = match &self {
            Self::Cache(error) => error,
            Self::Database(error) => error,
        };
        eprintln!("{error}");
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }
}
