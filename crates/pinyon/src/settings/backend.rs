//! BACKEND: which engine a class path stands for.

use super::fields::{Problems, nearest};
use super::node::Span;

/// The class paths of BACKEND, with what each stands for.
const BACKENDS: [(&str, Backend); 23] = [
    ("memory", Backend::Memory),
    ("redis", Backend::Redis(Redis::Django)),
    ("memcached", Backend::Memcached(Memcached::PyMemcache)),
    ("django.core.cache.backends.locmem.LocMemCache", Backend::Memory),
    ("django.core.cache.backends.redis.RedisCache", Backend::Redis(Redis::Django)),
    ("django.core.cache.backends.memcached.PyMemcacheCache", Backend::Memcached(Memcached::PyMemcache)),
    ("django.core.cache.backends.memcached.PyLibMCCache", Backend::Memcached(Memcached::PyLibMC)),
    ("django_redis.cache.RedisCache", Backend::Redis(Redis::DjangoRedis)),
    ("pinyon.django.LocMemCache", Backend::Memory),
    ("pinyon.django.RedisCache", Backend::Redis(Redis::Django)),
    ("pinyon.django.MemcachedCache", Backend::Memcached(Memcached::PyMemcache)),
    ("pinyon.django.PyMemcacheCache", Backend::Memcached(Memcached::PyMemcache)),
    ("pinyon.django.PyLibMCCache", Backend::Memcached(Memcached::PyLibMC)),
    ("file", Backend::File),
    ("database", Backend::Database),
    ("dummy", Backend::Dummy),
    ("django.core.cache.backends.filebased.FileBasedCache", Backend::File),
    ("django.core.cache.backends.db.DatabaseCache", Backend::Database),
    ("django.core.cache.backends.dummy.DummyCache", Backend::Dummy),
    ("pinyon.django.FileBasedCache", Backend::File),
    ("pinyon.django.DatabaseCache", Backend::Database),
    ("pinyon.django.DummyCache", Backend::Dummy),
    // The one on python-memcached.
    ("django.core.cache.backends.memcached.MemcachedCache", Backend::Gone),
];

/// The engine behind a BACKEND, and whose options it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    Memory,
    Redis(Redis),
    Memcached(Memcached),
    File,
    Database,
    Dummy,
    /// Was removed from Django.
    Gone,
}

/// Whose rules a Redis cache follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redis {
    Django,
    DjangoRedis,
}

/// Whose options a Memcached cache takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memcached {
    PyMemcache,
    PyLibMC,
}

/// The backend that `path` names, or an error with the nearest that there is.
pub(super) fn find(path: &str, span: Option<Span>, problems: &mut Problems<'_>) -> Option<Backend> {
    match BACKENDS.iter().find(|(name, _)| *name == path) {
        Some((_, Backend::Gone)) => {
            let message = format!("BACKEND '{path}' was removed in Django 4.1");
            problems.error(&message, span, "Use 'django.core.cache.backends.memcached.PyMemcacheCache'.".to_owned());
            None
        }
        Some((_, backend)) => Some(*backend),
        None => {
            unknown(path, span, problems);
            None
        }
    }
}

fn unknown(path: &str, span: Option<Span>, problems: &mut Problems<'_>) {
    let class = path.rsplit('.').next().unwrap_or(path);
    let names: Vec<&str> =
        BACKENDS.iter().filter(|(_, backend)| *backend != Backend::Gone).map(|(name, _)| *name).collect();
    // The class name alone is closer to a path of another package than the whole path is.
    let by_class = || names.iter().copied().find(|name| name.rsplit('.').next() == Some(class));
    let hint = match nearest(path, &names).or_else(by_class) {
        Some(near) => format!("Did you mean '{near}'?"),
        None => {
            "Use 'memory', 'redis', 'memcached', 'file', 'database' or 'dummy', or a class path of Django, django-redis or \
             pinyon.django."
                .to_owned()
        }
    };
    problems.error(&format!("BACKEND '{path}' is not known"), span, hint);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(path: &str) -> String {
        let mut problems = Problems::new("default");
        assert_eq!(find(path, None, &mut problems), None);
        problems.errors[0].to_string()
    }

    #[test]
    fn every_incumbent_has_its_engine() {
        let mut problems = Problems::new("default");
        let mut engine = |path| find(path, None, &mut problems);
        assert_eq!(engine("django.core.cache.backends.locmem.LocMemCache"), Some(Backend::Memory));
        assert_eq!(engine("django_redis.cache.RedisCache"), Some(Backend::Redis(Redis::DjangoRedis)));
        assert_eq!(engine("pinyon.django.RedisCache"), Some(Backend::Redis(Redis::Django)));
        assert_eq!(engine("pinyon.django.PyLibMCCache"), Some(Backend::Memcached(Memcached::PyLibMC)));
        assert!(problems.errors.is_empty());
    }

    #[test]
    fn an_unknown_backend_is_answered_with_the_nearest_one() {
        assert!(complaint("memroy").contains("Did you mean 'memory'?"));
        assert!(complaint("django.core.cache.backends.locmem.LocMemcache").contains("locmem.LocMemCache'?"));
        assert!(complaint("django_valkey.x.RedisCache").contains("RedisCache'?"));
        assert!(complaint("x").contains("Use 'memory'"));
        assert!(complaint("django.core.cache.backends.memcached.MemcachedCache").contains("PyMemcacheCache"));
    }
}
