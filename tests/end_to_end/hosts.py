"""Hosts on a network of their own: Linux network namespaces that hang on one bridge, with no way out of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec

# One who may do it need not be root: the namespaces belong to a user namespace of their own.
_USER = ("--user", "--map-root-user")
_HOLD = ("sh", "-c", "echo; exec sleep 600")
_WAIT_S = 10


class Host(msgspec.Struct, frozen=True):
    """One host, by the process that holds its namespaces."""

    pid: int
    address: str
    port: tuple[str, ...]  # what sets the bridge's end of its cable

    def command(self, *arguments: str) -> tuple[str, ...]:
        """What runs a program on this host."""
        return _inside(self.pid, *arguments)

    def plug(self, *, out: bool = False) -> None:
        """Put the cable in, or take it out."""
        _run(*self.port, "down" if out else "up")

    def readdress(self, address: str) -> None:
        """Take its address away, and give it another one."""
        _run(*self.command("ip", "addr", "del", f"{self.address}/24", "dev", "eth0"))
        _run(*self.command("ip", "addr", "add", f"{address}/24", "dev", "eth0"))


def why_not() -> str:
    """Why this machine has no hosts, "" if it has."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    missing = [program for program in ("ip", "unshare", "nsenter") if shutil.which(program) is None]
    if missing:
        return f"{' and '.join(missing)} missing: install iproute2 and util-linux"
    try:
        with hosts(1):
            return ""
    except (subprocess.SubprocessError, OSError) as error:
        return f"this machine lets us make no network namespaces ({error})"


@contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """So many hosts, 10.77.0.1 and on, all on one bridge; they end with the block."""
    with ExitStack() as stack:
        switch = stack.enter_context(_held("unshare", *_USER, "--net", "--mount"))
        _run(*_inside(switch, "ip", "link", "add", "bridge", "type", "bridge"))
        _run(*_inside(switch, "ip", "link", "set", "bridge", "up"))
        made = []
        for number in range(1, count + 1):
            pid = stack.enter_context(_held(*_inside(switch, "unshare", "--net")))
            port = f"port{number}"
            host = Host(pid, f"10.77.0.{number}", _inside(switch, "ip", "link", "set", port))
            _run(*_inside(switch, "ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(pid)))
            _run(*host.port, "master", "bridge")
            _run(*host.command("ip", "link", "set", "lo", "up"))
            _run(*host.command("ip", "addr", "add", f"{host.address}/24", "dev", "eth0"))
            _run(*host.command("ip", "link", "set", "eth0", "up"))
            host.plug()
            made.append(host)
        yield made


def _inside(pid: int, *arguments: str) -> tuple[str, ...]:
    return ("nsenter", "--target", str(pid), "--user", "--net", "--preserve-credentials", "--", *arguments)


@contextmanager
def _held(*command: str) -> Iterator[int]:
    """The process that holds what ``command`` makes, once it is made."""
    with subprocess.Popen([*command, *_HOLD], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                process.wait(_WAIT_S)
                assert process.stderr is not None
                raise OSError(process.stderr.read().decode().strip())
            yield process.pid
        finally:
            process.kill()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=_WAIT_S)
