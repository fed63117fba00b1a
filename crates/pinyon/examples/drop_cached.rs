//! Drops what a Django site cached: a template fragment, or a page.
//!
//! ```sh
//! cargo run --example drop_cached -- redis://127.0.0.1:6379/1 6.1.3 fragment sidebar 42
//! cargo run --example drop_cached -- redis://127.0.0.1:6379/1 6.1.3 page https://shop.example/books/ en-us UTC HTTP_X_COLOR=red
//! ```
//!
//! The first argument is the site's cache, the second its version of Django. A page has the language and the time zone after
//! its URL, `-` for a site without, and then the headers of the request that it varies on.

use pinyon::django::{Page, page_header_key, page_key, template_fragment_key};
use pinyon::{Caches, Error, ErrorKind};
use std::collections::HashMap;

fn main() -> pinyon::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [url, django, what, rest @ ..] = arguments.as_slice() else {
        return Err(usage());
    };
    let caches = Caches::from_url(url)?;
    let cache = caches.get("default")?.blocking();
    let django = django.parse()?;
    let dropped = match (*what, rest) {
        ("fragment", [name, vary_on @ ..]) => cache.delete(&template_fragment_key(name, vary_on, django))?,
        ("page", [url, language, time_zone, headers @ ..]) => {
            let mut page = Page::new(url);
            if *language != "-" {
                page = page.language(language);
            }
            if *time_zone != "-" {
                page = page.time_zone(time_zone);
            }
            let sent: HashMap<&str, &str> = headers.iter().filter_map(|header| header.split_once('=')).collect();
            // Without this list Django has no page for the URL, whatever the headers.
            let names: Vec<String> = cache.get(&page_header_key(&page))?.unwrap_or_default();
            let headers: Vec<_> = names.iter().map(|name| (name.as_str(), sent.get(name.as_str()).copied())).collect();
            let mut dropped = false;
            for method in ["GET", "HEAD"] {
                dropped |= cache.delete(&page_key(&page, method, &headers, django))?;
            }
            dropped
        }
        _ => return Err(usage()),
    };
    println!("{}", if dropped { "dropped" } else { "not there" });
    Ok(())
}

fn usage() -> Error {
    Error::new(ErrorKind::Config, "the arguments are wrong")
        .with_hint("Give URL VERSION fragment NAME [VALUE…], or URL VERSION page URL LANGUAGE ZONE [HTTP_NAME=VALUE…]")
}
