//! Redis: SERIALIZER and COMPRESSOR.

use super::{complaint, redis};
use crate::settings::CompressorKind::{Gzip, Identity, Lz4, Lzma, Zlib, Zstd};
use crate::settings::SerializerKind::{Json, Msgpack, Pickle};
use crate::settings::{BackendSettings, CacheSettings, Format, Node, RedisSettings, Value};

fn options(text: &str) -> String {
    format!("BACKEND = 'redis'\nLOCATION = 'redis://h'\nOPTIONS = {{ {text} }}")
}

fn read(text: &str) -> RedisSettings {
    redis(&options(text))
}

/// As Django gives a class or an object.
fn with_object(option: &str, node: impl Into<Node>) -> RedisSettings {
    let node = Node::table([
        ("BACKEND", Node::from("redis")),
        ("LOCATION", Node::from("redis://h")),
        ("OPTIONS", Node::table([(option, node.into())])),
    ]);
    match CacheSettings::from_node("a", &node).unwrap().backend {
        BackendSettings::Redis(settings) => settings,
        other => panic!("{other:?}"),
    }
}

fn python<K>(path: &str) -> Format<K> {
    Format::Python(path.to_owned())
}

#[test]
fn pickle_writes_and_nothing_is_compressed_unless_the_options_say_so() {
    for settings in [read(""), read("COMPRESSOR = ''"), read("COMPRESSOR = []"), with_object("COMPRESSOR", Value::Null)]
    {
        assert_eq!((settings.serializers, settings.compressors), (vec![Format::BuiltIn(Pickle)], vec![]));
        assert!(settings.integers_as_digits);
    }
    assert_eq!(with_object("SERIALIZER", Value::Null), read(""));
}

#[test]
fn serializers_have_short_names_and_class_paths() {
    for (name, kind) in [
        ("pickle", Pickle),
        ("JSON", Json),
        ("msgpack", Msgpack),
        ("django.core.cache.backends.redis.RedisSerializer", Pickle),
        ("django_redis.serializers.pickle.PickleSerializer", Pickle),
        ("django_redis.serializers.json.JSONSerializer", Json),
        ("django_redis.serializers.msgpack.MSGPackSerializer", Msgpack),
    ] {
        for option in ["serializer", "SERIALIZER"] {
            let settings = read(&format!("{option} = '{name}'"));
            assert_eq!(settings.serializers, [Format::BuiltIn(kind)], "{name}");
            assert!(settings.integers_as_digits);
        }
    }
}

#[test]
fn compressors_have_short_names_and_class_paths() {
    for (name, class, kind) in [
        ("identity", "identity.IdentityCompressor", Identity),
        ("zlib", "zlib.ZlibCompressor", Zlib),
        ("gzip", "gzip.GzipCompressor", Gzip),
        ("lzma", "lzma.LzmaCompressor", Lzma),
        ("lz4", "lz4.Lz4Compressor", Lz4),
        ("zstd", "zstd.ZStdCompressor", Zstd),
    ] {
        for name in [name.to_owned(), format!("django_redis.compressors.{class}")] {
            assert_eq!(read(&format!("COMPRESSOR = '{name}'")).compressors, [Format::BuiltIn(kind)], "{name}");
        }
        let object = Value::Opaque(format!("django_redis.compressors.{class}"));
        assert_eq!(with_object("COMPRESSOR", object).compressors, [Format::BuiltIn(kind)]);
    }
}

#[test]
fn both_may_be_lists_in_the_order_in_which_they_are_tried() {
    let settings =
        read("SERIALIZER = ['json', 'pickle', 'shop.Own'], COMPRESSOR = ['zstd', 'identity', 'shop.Brotli']");
    assert_eq!(settings.serializers, [Format::BuiltIn(Json), Format::BuiltIn(Pickle), python("shop.Own")]);
    assert_eq!(settings.compressors, [Format::BuiltIn(Zstd), Format::BuiltIn(Identity), python("shop.Brotli")]);
    assert!(complaint(&options("SERIALIZER = []")).contains("OPTIONS 'SERIALIZER' is a list, but must be one name or"));
}

#[test]
fn the_rest_is_the_sites_own() {
    assert_eq!(read("COMPRESSOR = 'shop.Brotli'").compressors, [python("shop.Brotli")]);
    assert_eq!(with_object("serializer", Value::Opaque("Own".to_owned())).serializers, [python("Own")]);
    // Django hands its serializer the integers too; django-redis keeps them back.
    assert!(!read("serializer = 'shop.Own'").integers_as_digits);
    assert!(read("SERIALIZER = 'shop.Own'").integers_as_digits);
    assert!(read("serializer = ['shop.Own', 'pickle']").integers_as_digits);
}

#[test]
fn an_unknown_name_is_an_error_with_the_nearest_one() {
    for (option, expected, near) in [
        (
            "SERIALIZER = 'yaml'",
            "is the string 'yaml', but must be 'pickle', 'json', 'msgpack' or the dotted path",
            None,
        ),
        ("SERIALIZER = ['json', 'pickel']", "names the string 'pickel', but must be", Some("pickle")),
        ("COMPRESSOR = 'zlip'", "is the string 'zlip', but must be 'identity', 'zlib', 'gzip'", Some("zlib")),
        ("COMPRESSOR = 5", "is 5, but must be", None),
        ("COMPRESSOR = ['zlib', true]", "names true, but must be", None),
        (
            "COMPRESSOR = 'django_redis.compressors.zlib.ZlibCompresor'",
            "is the string 'django_redis.compressors.zlib.ZlibCompresor'",
            Some("django_redis.compressors.zlib.ZlibCompressor"),
        ),
    ] {
        let text = complaint(&options(option));
        assert!(text.starts_with("cache 'default': OPTIONS '") && text.contains(expected), "{option}: {text}");
        assert!(text.contains("(line 4, column "), "{text}");
        let hint = near.map(|near| format!("Did you mean '{near}'?"));
        assert_eq!(text.contains("Did you mean"), hint.is_some(), "{text}");
        assert!(text.contains(&hint.unwrap_or_default()), "{text}");
    }
}
