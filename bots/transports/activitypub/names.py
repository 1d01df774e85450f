"""URLs: what they name, when two are one, and where our own things are (spec/bindings/activitypub.md, "Names")."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

import idna
import msgspec

from bots.serving.limits import network

PUBLIC: Final = "https://www.w3.org/ns/activitystreams#Public"

_URL_MOST: Final = 2048  # characters
_PORTS: Final = {"https": 443, "http": 80}
_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)*"
)
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@]+)(:[0-9]*)?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")  # some read a name that ends so as an address
# Below which countries' registries give out names: my.co.uk.
_REGISTRIES: Final = frozenset(("ac", "co", "com", "edu", "go", "gob", "gov", "mil", "ne", "net", "nom", "or", "org"))
_REST: Final = re.compile(r"[!$&-;=@-Z_a-z~%?#*+\[\]]*")  # ASCII that may stand in a URL


class BadUrl(ValueError):
    """It is no http or https URL of the kind that names things here."""


def canonical(url: str) -> str:
    """A URL in the one way to write it, so that equal text is equal meaning (AP-2). Raises BadUrl.

    Scheme and host come out in lower case, the host in its IDNA (ASCII) form, without the scheme's own port; path,
    query and fragment stay as they are.
    """
    if len(url) > _URL_MOST or not url.isprintable() or "\\" in url or " " in url:
        raise BadUrl("It is too long, or has characters that no URL has.")
    try:
        parts = urlsplit(url)
        name, port = parts.hostname or "", parts.port
    except ValueError:
        raise BadUrl("It is no URL.") from None
    authority = _AUTHORITY.fullmatch(parts.netloc)
    if parts.scheme not in _PORTS or not authority or not url.startswith("://", len(parts.scheme)):
        raise BadUrl("It must be an http or https URL without a user.")
    rest = url[len(parts.scheme) + 3 + len(parts.netloc) :]
    if not _REST.fullmatch(rest):
        raise BadUrl("Its path must be ASCII.")
    shown = f"[{name}]" if ":" in (name := ascii_host(name)) else name
    number = "" if port in (None, _PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{shown}{number}{rest if rest.startswith('/') else '/' + rest}"


def ascii_host(host: str) -> str:
    """A host's name in lower-case ASCII (IDNA 2008 with UTS 46), or an address as it is. Raises BadUrl."""
    try:
        if "%" not in host:
            return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        name = host.lower() if host.isascii() else idna.encode(host, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        name = ""
    if not _NAME.fullmatch(name) or _NUMBER.fullmatch(name.rpartition(".")[2]):
        raise BadUrl("Its host is none.")
    return name


def origin(url: str) -> str:
    """Scheme, host and port of a canonical URL: ``https://example.org``."""
    return "/".join(url.split("/", 3)[:3])


def host(url: str) -> str:
    """Host and port of a canonical URL, as a ``Host`` header has them."""
    return url.split("/", 3)[2]


def site(url: str) -> str:
    """What counts as one host where strangers are bounded: the domain, whatever the port; of IPv6 what a customer gets.

    Names below a domain cost nothing: ``a.example.org`` and ``b.example.org`` are both ``example.org``.
    """
    name = urlsplit(url).hostname or ""
    labels = name.split(".")
    if ":" in name or labels[-1].isdigit():
        return network(name)
    registered = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _REGISTRIES
    return ".".join(labels[-3 if registered else -2 :])


def path(url: str) -> str:
    """Path and query of a canonical URL, as a request has them."""
    return "/" + without_fragment(url).split("/", 3)[3]


def ascii_authority(text: str, base: str) -> str:
    """A ``Host`` header as ``host`` has it, by the scheme of ``base``; "" if it is none."""
    try:
        url = canonical(f"{base.partition(':')[0]}://{text}")
    except BadUrl:
        return ""
    return host(url) if path(url) == "/" and "#" not in url and not text.endswith("/") else ""


def without_fragment(url: str) -> str:
    """Where the document is that a URL points into."""
    return url.partition("#")[0]


class Names(msgspec.Struct, frozen=True):
    """Where the things of one agent are. ``base`` is ``https://my.host``, without a slash; ``user`` its local name."""

    base: str
    user: str

    @property
    def host(self) -> str:
        return host(self.base)

    @property
    def handle(self) -> str:
        """What people type to find the actor: ``@user@my.host``."""
        return f"@{self.user}@{self.host}"

    @property
    def actor(self) -> str:
        """The actor's id, which is the agent's address."""
        return f"{self.base}/actor"

    @property
    def inbox(self) -> str:
        return f"{self.base}/actor/inbox"

    @property
    def shared_inbox(self) -> str:
        return f"{self.base}/inbox"

    @property
    def outbox(self) -> str:
        return f"{self.base}/actor/outbox"

    @property
    def followers(self) -> str:
        return f"{self.base}/actor/followers"

    @property
    def following(self) -> str:
        return f"{self.base}/actor/following"

    @property
    def main_key(self) -> str:
        """The id of the RSA key, which signs requests."""
        return f"{self.actor}#main-key"

    @property
    def ed25519_key(self) -> str:
        """The id of the Ed25519 key, which signs activities."""
        return f"{self.actor}#ed25519-key"

    def note(self, name: str) -> str:
        """The id of a note of ours; ``name`` is unreserved characters."""
        return f"{self.base}/notes/{name}"

    def activity(self, name: str) -> str:
        """The id of an activity of ours; ``name`` is unreserved characters."""
        return f"{self.base}/activities/{name}"

    def carriers(self, digest: str) -> str:
        """Where carriers are, by the SHA-256 of their bytes in lower-case hexadecimal."""
        return f"{self.base}/carriers/{digest}"

    def chunk(self, digest: str) -> str:
        """Where a chunk of an artifact is, by the digest of its bytes."""
        return f"{self.base}/chunks/{digest}"
