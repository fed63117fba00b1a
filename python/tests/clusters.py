"""A Redis Cluster of real servers, put together without redis-cli."""

import contextlib

from servers import HOST, RedisServer, free_port, wait_until

SLOTS = 16384


class RedisCluster:
    """Three primaries that share the slots evenly, each with a replica: `servers` has the primaries first, in one order."""

    def __init__(self, *options):
        self.bus_ports = [free_port() for _ in range(6)]
        self.servers = [
            RedisServer(
                *("--cluster-enabled", "yes", "--cluster-port", port, "--cluster-node-timeout", 1000),
                # The other primaries go on while one is away, and a replica takes over whatever it has.
                *("--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", 0),
                *("--repl-diskless-sync-delay", 0),
                *options,
            )
            for port in self.bus_ports
        ]
        self._stack = contextlib.ExitStack()

    @property
    def primaries(self):
        return self.servers[:3]

    @property
    def replicas(self):
        return self.servers[3:]

    @property
    def location(self):
        return [server.url for server in self.servers[:2]]

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for server in self.servers:
                stack.enter_context(server)
            self._join()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _join(self):
        first = self.servers[0]
        for index, server in enumerate(self.primaries):
            last = (index + 1) * SLOTS // 3 - 1
            ask(server, "CLUSTER", "ADDSLOTSRANGE", index * SLOTS // 3, last)
            ask(server, "CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for server in self.servers[1:]:
            ask(server, "CLUSTER", "MEET", HOST, first.port, self.bus_ports[0])
        for server in self.servers:
            wait_until(lambda server=server: self._knows_everybody(server), "the servers to know each other", 30)
        for replica, primary in zip(self.replicas, self.primaries, strict=True):
            ask(replica, "CLUSTER", "REPLICATE", identifier(primary))
        for server in self.servers:
            wait_until(lambda server=server: self._is_complete(server), "the cluster to be complete", 30)

    def _knows_everybody(self, server):
        nodes = nodes_of(server)
        return nodes.count(" connected") == len(self.servers) and "handshake" not in nodes

    def _is_complete(self, server):
        nodes = nodes_of(server)
        is_up = b"cluster_state:ok" in raw(server, "CLUSTER", "INFO")
        followed = server in self.primaries or b"master_link_status:up" in raw(server, "INFO", "replication")
        return is_up and followed and nodes.count("slave ") == 3

    def flush(self):
        for server in self.servers:
            if b"role:master" in raw(server, "INFO", "replication"):
                ask(server, "FLUSHALL")

    def slot(self, key):
        return ask(self.servers[0], "CLUSTER", "KEYSLOT", key)

    def home(self, key):
        """The number of the primary that had the key at first."""
        return next(index for index in range(3) if self.slot(key) < (index + 1) * SLOTS // 3)

    def move_slot(self, slot, source, target):
        """Move a slot with its keys, one after the other."""
        source_id, target_id = identifier(source), identifier(target)
        ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        with source.client() as client:
            while keys := client.execute_command("CLUSTER GETKEYSINSLOT", slot, 1):
                client.migrate(HOST, target.port, keys, 0, 10000)
        for server in (target, source):
            ask(server, "CLUSTER", "SETSLOT", slot, "NODE", target_id)


def ask(server, *words):
    with server.client() as client:
        # redis-py knows some commands by two words.
        return client.execute_command(*words)


def raw(server, *words):
    """The answer as bytes, whatever redis-py would make of it."""
    with server.client() as client:
        client.response_callbacks.clear()
        return client.execute_command(*words)


def nodes_of(server):
    return raw(server, "CLUSTER", "NODES").decode()


def identifier(server):
    return raw(server, "CLUSTER", "MYID").decode()
