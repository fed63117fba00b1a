LOCATION = "redis://cache.example"


def make_key(key, key_prefix, version):
    return key
