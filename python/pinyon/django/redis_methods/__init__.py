"""What Redis can do beyond Django's cache contract: the methods of ``django_redis.cache.RedisCache``, and more of their kind.

Each is written once, as a plan (``plan``): the method that blocks and its ``a`` twin are both made from it.
"""
