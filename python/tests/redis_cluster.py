"""A Redis Cluster of real servers, put together here."""

from servers import HOST, RedisServer, free_port, wait_until

SLOTS = 16384
#: Longer than an election takes on any machine, in seconds.
PATIENCE = 40


class ClusterNode(RedisServer):
    """One server of a cluster."""

    def __init__(self):
        self.bus_port = free_port()
        options = ("--cluster-enabled", "yes", "--cluster-port", self.bus_port, "--cluster-node-timeout", 1000)
        # The other primaries go on while one is away, and a replica takes over even if it is not up to date.
        options += ("--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", 0)
        super().__init__(*options)

    def cluster(self, *words):
        """The answer as it came: redis-py reads those of commands that it is given in one word."""
        with self.client() as client:
            return client.execute_command("CLUSTER", *words)

    @property
    def id(self):
        return self.cluster("MYID").decode()


class Cluster:
    """Three primaries that share the slots evenly, and a replica of each."""

    def __init__(self, stack):
        self.nodes = [stack.enter_context(ClusterNode()) for _ in range(6)]
        first = self.nodes[0]
        for index, node in enumerate(self.primaries):
            node.cluster("ADDSLOTSRANGE", index * SLOTS // 3, (index + 1) * SLOTS // 3 - 1)
            node.cluster("SET-CONFIG-EPOCH", index + 1)
        for node in self.nodes[1:]:
            node.cluster("MEET", HOST, first.port, first.bus_port)
        for node in self.nodes:
            wait_until(lambda node=node: self.knows_all(node), "everybody to know everybody", PATIENCE)
        for replica, primary in zip(self.nodes[3:], self.primaries, strict=True):
            replica.cluster("REPLICATE", primary.id)
        for node in self.nodes:
            wait_until(lambda node=node: self.is_complete(node), "the cluster to be complete", PATIENCE)
        for replica, primary in zip(self.nodes[3:], self.primaries, strict=True):
            replica.replica_of = primary
            replica.caught_up()

    @property
    def primaries(self):
        return self.nodes[:3]

    @property
    def location(self):
        return [node.url for node in self.nodes[:2]]

    def knows_all(self, node):
        nodes = node.cluster("NODES").decode()
        return nodes.count(" connected") == 6 and "handshake" not in nodes

    def is_complete(self, node):
        told = [len(servers) for servers in self.slots(node).values()]
        return b"cluster_state:ok" in node.cluster("INFO") and told == [2, 2, 2]

    def slots(self, node):
        """The ports that have each range of slots, primary first."""
        ranges = node.cluster("SLOTS")
        return {(first, last): [server[1] for server in servers] for first, last, *servers in ranges}

    def owner(self, slot):
        return next(index for index in range(3) if index * SLOTS // 3 <= slot < (index + 1) * SLOTS // 3)

    def slot(self, made):
        return self.nodes[0].cluster("KEYSLOT", made)

    def move_slot(self, slot, source, target):
        """Move a slot with everything in it, key after key."""
        target.cluster("SETSLOT", slot, "IMPORTING", source.id)
        source.cluster("SETSLOT", slot, "MIGRATING", target.id)
        with source.client() as client:
            while keys := client.execute_command("CLUSTER GETKEYSINSLOT", slot, 1):
                client.execute_command("MIGRATE", HOST, target.port, keys[0], 0, 10000)
        for node in (target, source):
            node.cluster("SETSLOT", slot, "NODE", target.id)
