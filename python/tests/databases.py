"""Real database servers for the database cache, and how Django gets at them.

As in servers.py: each in a directory of its own, on a free loopback port, stopped through the process that was started.
"""

import contextlib
import glob
import os
import pwd
import shutil
import signal
import subprocess

from servers import HOST, Server


class DatabaseServer(Server):
    """A server that makes its data directory first, and that must not run as root."""

    #: Users that the packages make, and one that is always there.
    users = ()

    def __init__(self, *options):
        super().__init__(*options)
        if os.geteuid() == 0:
            self.user = next(user for user in (*self.users, "nobody") if _exists(user))
            shutil.chown(self.directory, self.user)
        self.run(self.prepare())

    def run(self, command):
        done = subprocess.run(command, cwd=self.directory, user=self.user, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def log(self):
        return (self.directory / "log").read_text()

    def prepare(self):
        raise NotImplementedError

    def settings(self):
        """An entry of DATABASES."""
        raise NotImplementedError

    def answers(self):
        raise NotImplementedError

    def stop(self, how=signal.SIGTERM):
        super().stop(how)


class PostgresServer(DatabaseServer):
    """PostgreSQL; its log has every statement that it refused."""

    users = ("postgres",)

    def __init__(self, *options):
        self._programs = os.path.dirname(_find("postgres", "/usr/lib/postgresql/*/bin"))
        self.program = f"{self._programs}/postgres"
        super().__init__(*options)

    def prepare(self):
        data = ["--pgdata", f"{self.directory}/data", "--username", "pinyon", "--auth", "trust"]
        return [f"{self._programs}/initdb", *data, "--encoding", "UTF8", "--no-locale", "--no-sync"]

    def command(self):
        settings = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": self.directory,
            "fsync": "off",
            "max_connections": 60,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self.program, "-D", f"{self.directory}/data", *options, *self.options]

    def settings(self):
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "USER": "pinyon",
            "HOST": HOST,
            "PORT": self.port,
        }

    def answers(self):
        import psycopg

        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(host=HOST, port=self.port, user="pinyon", dbname="postgres").close()
            return True
        return False

    def stop(self, how=signal.SIGINT):
        # The fast shutdown: does not wait for clients.
        super().stop(how)


class MariaDbServer(DatabaseServer):
    """MariaDB, which answers for MySQL too."""

    users = ("mysql",)

    def __init__(self, *options):
        self.program = _find("mariadbd", "/usr/sbin")
        super().__init__(*options)

    @property
    def _data(self):
        return f"--datadir={self.directory}/data"

    def prepare(self):
        return ["mariadb-install-db", "--no-defaults", self._data, "--auth-root-authentication-method=normal"]

    def command(self):
        place = [f"--socket={self.socket}", f"--port={self.port}", f"--bind-address={HOST}"]
        small = ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M"]
        return [
            self.program,
            "--no-defaults",
            self._data,
            *place,
            *small,
            f"--pid-file={self.directory}/pid",
            *self.options,
        ]

    @property
    def socket(self):
        return str(self.directory / "socket")

    def settings(self):
        import pymysql

        # Django looks for mysqlclient.
        pymysql.install_as_MySQLdb()
        return {"ENGINE": "django.db.backends.mysql", "NAME": "pinyon", "USER": "root", "HOST": self.socket}

    def answers(self):
        import pymysql

        try:
            db = pymysql.connect(user="root", unix_socket=self.socket)
        except pymysql.OperationalError:
            return False
        with db:
            db.cursor().execute("CREATE DATABASE IF NOT EXISTS pinyon CHARACTER SET utf8mb4")
        return True


def _exists(user):
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(user))
    return False


def _find(program, places):
    """The path of a program that may be installed outside PATH; the newest of several versions."""
    found = sorted(
        glob.glob(f"{places}/{program}"), key=lambda path: [int(part) for part in path.split("/") if part.isdigit()]
    )
    path = found[-1] if found else shutil.which(program)
    if path is None:
        raise FileNotFoundError(f"{program} is not installed")
    return path
