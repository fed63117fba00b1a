//! OPTIONS SERIALIZER and COMPRESSOR of Redis: one name or a list of them.

use super::fields::{Field, Problems, SERIALIZERS, nearest};
use super::model::{CompressorKind, Format, RedisSettings, SerializerKind};
use super::node::{Node, Value};

/// What an option may name.
struct Names<K: 'static> {
    short: &'static [(&'static str, K)],
    /// The class paths that Django and django-redis have for them.
    classes: &'static [(&'static str, K)],
    /// The package in which django-redis has its classes.
    package: &'static str,
}

const SERIALIZER_NAMES: Names<SerializerKind> = Names {
    short: &SERIALIZERS,
    classes: &[
        ("django.core.cache.backends.redis.RedisSerializer", SerializerKind::Pickle),
        ("django_redis.serializers.pickle.PickleSerializer", SerializerKind::Pickle),
        ("django_redis.serializers.json.JSONSerializer", SerializerKind::Json),
        ("django_redis.serializers.msgpack.MSGPackSerializer", SerializerKind::Msgpack),
    ],
    package: "django_redis.serializers.",
};

const COMPRESSOR_NAMES: Names<CompressorKind> = Names {
    short: &[
        ("identity", CompressorKind::Identity),
        ("zlib", CompressorKind::Zlib),
        ("gzip", CompressorKind::Gzip),
        ("lzma", CompressorKind::Lzma),
        ("lz4", CompressorKind::Lz4),
        ("zstd", CompressorKind::Zstd),
    ],
    classes: &[
        ("django_redis.compressors.identity.IdentityCompressor", CompressorKind::Identity),
        ("django_redis.compressors.zlib.ZlibCompressor", CompressorKind::Zlib),
        ("django_redis.compressors.gzip.GzipCompressor", CompressorKind::Gzip),
        ("django_redis.compressors.lzma.LzmaCompressor", CompressorKind::Lzma),
        ("django_redis.compressors.lz4.Lz4Compressor", CompressorKind::Lz4),
        ("django_redis.compressors.zstd.ZStdCompressor", CompressorKind::Zstd),
    ],
    package: "django_redis.compressors.",
};

/// `serializer` or SERIALIZER, into `settings`. Null keeps the default.
pub(super) fn serializers(field: &Field<'_>, settings: &mut RedisSettings, problems: &mut Problems<'_>) {
    let Some(serializers) = read(field, &SERIALIZER_NAMES, problems) else { return };
    if serializers.is_empty() {
        return field.wrong(problems, "one name or a list of at least one");
    }
    let one_class = matches!(field.node.value, Value::String(_) | Value::Opaque(_))
        && matches!(serializers.as_slice(), [Format::Python(_)]);
    settings.integers_as_digits = !(one_class && field.label.ends_with("'serializer'"));
    settings.serializers = serializers;
}

/// COMPRESSOR, into `settings`. Null, the empty string and the empty list compress nothing.
pub(super) fn compressors(field: &Field<'_>, settings: &mut RedisSettings, problems: &mut Problems<'_>) {
    if field.node.as_str() != Some("")
        && let Some(compressors) = read(field, &COMPRESSOR_NAMES, problems)
    {
        settings.compressors = compressors;
    }
}

/// The formats that an option names; none for null, and for an error that was reported.
fn read<K: Copy>(field: &Field<'_>, names: &Names<K>, problems: &mut Problems<'_>) -> Option<Vec<Format<K>>> {
    match &field.node.value {
        Value::Null => None,
        Value::List(items) => {
            let formats: Vec<_> = items.iter().map(|item| format(field, item, names, problems)).collect();
            formats.into_iter().collect()
        }
        _ => format(field, field.node, names, problems).map(|format| vec![format]),
    }
}

/// One name: of the option itself, or of its list.
fn format<K: Copy>(field: &Field<'_>, node: &Node, names: &Names<K>, problems: &mut Problems<'_>) -> Option<Format<K>> {
    if let Value::String(name) | Value::Opaque(name) = &node.value {
        let known = names.short.iter().chain(names.classes).find(|(known, _)| known.eq_ignore_ascii_case(name));
        if let Some((_, kind)) = known {
            return Some(Format::BuiltIn(*kind));
        }
        let opaque = matches!(node.value, Value::Opaque(_));
        if opaque || (name.contains('.') && !name.starts_with(names.package)) {
            return Some(Format::Python(name.clone()));
        }
    }
    let quoted: Vec<String> = names.short.iter().map(|(name, _)| format!("'{name}'")).collect();
    let part = if matches!(field.node.value, Value::List(_)) { "names" } else { "is" };
    let message = format!(
        "{} {part} {}, but must be {} or the dotted path of a class",
        field.label,
        node.describe(),
        quoted.join(", ")
    );
    let all: Vec<&str> = names.short.iter().chain(names.classes).map(|(name, _)| *name).collect();
    let hint = node.as_str().and_then(|name| nearest(name, &all)).map(|near| format!("Did you mean '{near}'?"));
    problems.error(&message, node.span.or(field.node.span), hint);
    None
}
