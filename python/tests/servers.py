"""Real servers on free loopback ports, and scripted ones that misbehave.

Every server is stopped through the process that was started here, never by name. A `Server` keeps its
port over `stop()` and `start()`, so that a test can take a server away and bring it back.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

HOST = "127.0.0.1"
PATIENCE = 15.0


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def wait_until(condition, what, patience=PATIENCE):
    """Poll until `condition()` is true; the patience only bounds a failing test."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"gave up waiting for {what}")
        time.sleep(0.01)


def exchange(address, request, until=None):
    """Send raw bytes and read until `until` ends the answer, or until the peer closes."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as conn:
        conn.settimeout(PATIENCE)
        conn.connect(address)
        conn.sendall(request)
        answer = b""
        while until is None or not answer.endswith(until):
            chunk = conn.recv(65536)
            if not chunk:
                break
            answer += chunk
        return answer


class Server:
    """A server process on one loopback port."""

    program = ""
    #: The user that it runs as; None: whoever runs the tests.
    user = None

    def __init__(self, *options):
        if shutil.which(self.program) is None:
            raise FileNotFoundError(f"{self.program} is not installed")
        self.port = free_port()
        self.options = [str(option) for option in options]
        self.directory = Path(tempfile.mkdtemp(prefix="pinyon-server-"))
        self.process = None

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    def command(self):
        raise NotImplementedError

    def answers(self):
        raise NotImplementedError

    def start(self):
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=self.user
            )
        wait_until(self._up, f"{self.program} on {self.address}")
        return self

    def _up(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.program} ended: {(self.directory / 'log').read_text()}")
        try:
            return self.answers()
        except OSError:
            return False

    def stop(self, how=signal.SIGKILL):
        if self.process is None:
            return
        if self.process.poll() is None:
            # A stopped process only reads its mail when it is continued; SIGKILL reaches it anyway.
            self.process.send_signal(how)
        self.process.wait(PATIENCE)
        self.process = None

    def restart(self):
        self.stop()
        return self.start()

    def pause(self):
        """Stop the process with SIGSTOP; when this returns, none of its threads runs any more."""
        self.process.send_signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self.process.pid}/task")

        def stopped():
            # The state stands after the name, which is in parentheses and may hold anything.
            stats = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()]
            return set(stats) == {"T"}

        if tasks.exists():
            wait_until(stopped, "all threads of the server to stop")

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def paused(self):
        self.pause()
        try:
            yield self
        finally:
            self.resume()

    def close(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()


class RedisServer(Server):
    """redis-server without persistence.

    `password` sets requirepass, `acl_user=(name, password)` adds a user, `unix=True` adds a socket at
    `unix_path`, `certificates` (see `Certificates`) adds a TLS port, `replica_of` follows another server.
    """

    program = "redis-server"

    def __init__(self, *options, password=None, acl_user=None, unix=False, certificates=None, replica_of=None):
        super().__init__(*options)
        self.password = password
        self.acl_user = acl_user
        self.unix_path = str(self.directory / "redis.sock") if unix else None
        self.certificates = certificates
        self.tls_port = free_port() if certificates else None
        self.replica_of = replica_of

    @property
    def url(self):
        return f"redis://{self.address}"

    @property
    def tls_url(self):
        return f"rediss://localhost:{self.tls_port}"

    def command(self):
        command = [self.program, "--port", str(self.port), "--bind", HOST, "--save", "", "--appendonly", "no"]
        command += ["--dir", str(self.directory), "--databases", "16"]
        if self.password:
            command += ["--requirepass", self.password]
        if self.acl_user:
            name, password = self.acl_user
            command += ["--user", name, "on", f">{password}", "~*", "&*", "+@all"]
        if self.unix_path:
            command += ["--unixsocket", self.unix_path]
        if self.certificates:
            command += ["--tls-port", str(self.tls_port), "--tls-cert-file", self.certificates.cert]
            command += ["--tls-key-file", self.certificates.key, "--tls-ca-cert-file", self.certificates.ca]
            command += ["--tls-auth-clients", "no"]
        if self.replica_of:
            command += ["--replicaof", HOST, str(self.replica_of.port)]
        return command + self.options

    def answers(self):
        answer = exchange((HOST, self.port), b"PING\r\n", b"\r\n")
        return answer.startswith((b"+PONG", b"-NOAUTH"))

    def client(self, db=0):
        import redis

        return redis.Redis(host=HOST, port=self.port, db=db, password=self.password, socket_timeout=PATIENCE)

    def connections(self):
        """How many clients are connected, besides the one that asks."""
        with self.client() as client:
            return int(client.info("clients")["connected_clients"]) - 1

    def accepted(self):
        """How many connections were ever opened, the one that asks being the last of them."""
        with self.client() as client:
            return int(client.info("stats")["total_connections_received"])

    def caught_up(self):
        """Wait until the replica has the primary's data."""

        def synchronised():
            with self.client() as client:
                return client.info("replication").get("master_link_status") == "up"

        wait_until(synchronised, "replication")
        with self.replica_of.client() as primary:
            primary.wait(1, int(PATIENCE * 1000))


class SentinelServer(Server):
    """A Redis Sentinel that watches `primary` as `mymaster`, and replaces it when `quorum` Sentinels have missed it for half a
    second.

    `password` is its own. `certificates` adds a TLS port; `port` is where it finds the primary, if not at its own.
    """

    program = "redis-server"

    def __init__(self, primary, quorum=1, *, password=None, certificates=None, port=None):
        super().__init__()
        self.password = password
        self.certificates = certificates
        self.tls_port = free_port() if certificates else None
        lines = [
            f"sentinel monitor mymaster {HOST} {port or primary.port} {quorum}",
            "sentinel down-after-milliseconds mymaster 500",
            "sentinel failover-timeout mymaster 3000",
            "sentinel parallel-syncs mymaster 2",
        ]
        if primary.password:
            lines.append(f"sentinel auth-pass mymaster {primary.password}")
        # It keeps its state there.
        (self.directory / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def command(self):
        command = [self.program, "sentinel.conf", "--sentinel", "--port", str(self.port), "--bind", HOST]
        if self.password:
            command += ["--requirepass", self.password]
        if self.certificates:
            command += ["--tls-port", str(self.tls_port), "--tls-cert-file", self.certificates.cert]
            command += ["--tls-key-file", self.certificates.key, "--tls-ca-cert-file", self.certificates.ca]
            command += ["--tls-auth-clients", "no"]
        return command

    def answers(self):
        return exchange((HOST, self.port), b"PING\r\n", b"\r\n").startswith((b"+PONG", b"-NOAUTH"))

    def ask(self, *words):
        import redis

        with redis.Redis(host=HOST, port=self.port, password=self.password, socket_timeout=PATIENCE) as client:
            return client.execute_command(*words)

    def hurry(self):
        """Have it look around more often than the usual two seconds, where it can be told to."""
        import redis

        with contextlib.suppress(redis.ResponseError):
            self.ask("SENTINEL", "DEBUG", "PUBLISH-PERIOD", 100, "INFO-PERIOD", 300)

    def primary_port(self):
        _, port = self.ask("SENTINEL GET-MASTER-ADDR-BY-NAME", "mymaster")
        return int(port)

    def knows(self, sentinels, replicas):
        """Whether it knows so many other Sentinels, and so many replicas, all of them in order."""
        primary = self.ask("SENTINEL MASTER", "mymaster")
        listed = self.ask("SENTINEL SLAVES", "mymaster")
        fit = [one for one in listed if one.get("master-link-status") == "ok" and not one["is_sdown"]]
        return primary["num-other-sentinels"] == sentinels and len(listed) == len(fit) == replicas


class MemcachedServer(Server):
    """memcached; pass its own options, for example "-I", "2m". `unix=True` listens only at `unix_path`."""

    program = "memcached"

    def __init__(self, *options, unix=False):
        super().__init__(*options)
        self.unix_path = str(self.directory / "memcached.sock") if unix else None

    def command(self):
        place = ["-s", self.unix_path] if self.unix_path else ["-p", str(self.port), "-l", HOST, "-U", "0"]
        user = ["-u", "root"] if os.geteuid() == 0 else []
        return [self.program, *place, *user, *self.options]

    @property
    def socket_address(self):
        return self.unix_path or (HOST, self.port)

    def answers(self):
        return exchange(self.socket_address, b"version\r\n", b"\r\n").startswith(b"VERSION")

    def fetch(self, key):
        """The flags and bytes stored under the made key `key`, or None."""
        answer = exchange(self.socket_address, b"get " + key.encode() + b"\r\n", b"END\r\n")
        if answer == b"END\r\n":
            return None
        head, rest = answer.split(b"\r\n", 1)
        _, _, flags, size = head.split(b" ")[:4]
        return int(flags), rest[: int(size)]

    def store(self, key, flags, value, exptime=0):
        head = f"set {key} {flags} {exptime} {len(value)}\r\n".encode()
        assert exchange(self.socket_address, head + value + b"\r\n", b"\r\n") == b"STORED\r\n"

    def flush(self):
        assert exchange(self.socket_address, b"flush_all\r\n", b"\r\n") == b"OK\r\n"

    def stat(self, name):
        answer = exchange(self.socket_address, b"stats\r\n", b"END\r\n")
        for line in answer.decode().splitlines():
            if line.startswith(f"STAT {name} "):
                return int(line.split(" ", 2)[2])
        raise KeyError(name)

    def connections(self):
        """How many clients are connected, besides the one that asks."""
        # Not `curr_connections`, in which some versions count their own sockets.
        answer = exchange(self.socket_address, b"stats conns\r\n", b"END\r\n")
        states = [line.split()[-1] for line in answer.splitlines() if b":state " in line]
        return len(states) - states.count(b"conn_listening") - 1

    def accepted(self):
        """How many connections were ever opened, the one that asks being the last of them."""
        return self.stat("total_connections")


class Certificates:
    """A throw-away certificate authority and a certificate for localhost."""

    def __init__(self):
        import trustme

        self.directory = Path(tempfile.mkdtemp(prefix="pinyon-certs-"))
        authority = trustme.CA()
        server = authority.issue_cert("localhost", HOST)
        self.ca, self.cert, self.key = (str(self.directory / name) for name in ("ca.pem", "cert.pem", "key.pem"))
        authority.cert_pem.write_to_path(self.ca)
        server.private_key_pem.write_to_path(self.key)
        for index, blob in enumerate(server.cert_chain_pems):
            blob.write_to_path(self.cert, append=index > 0)

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)


class ScriptedServer:
    """A loopback listener whose answer to anything is `answer` (None: it never says a word).

    `received` collects every byte that clients sent.
    """

    def __init__(self, answer=None):
        self.answer = answer
        self.received = bytearray()
        self.accepted = 0
        self._connections = []
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._connections.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                self.received += chunk
                if self.answer is not None:
                    connection.sendall(self.answer)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        # shutdown wakes the accepting thread; close alone would leave it in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
