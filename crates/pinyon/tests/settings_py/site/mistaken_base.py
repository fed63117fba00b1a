CACHES = {
    "default": {
        "BACKEND": "redis",
        "LOCATION": "redis://cache.example",
        "OPTIONS": {"sockt_timeout": 1},
    }
}
