"""The lines of an audit log: canonical bytes, the link that chains them, the signature of a checkpoint.

A line is the record's JSON with its link as the last field. The link is the digest of the link before it and of the
record's own bytes, so that a changed character is found on its very line.
"""

from __future__ import annotations

import msgspec

from bots.audit.records import AnyEntry, Checkpoint, Entry
from clawnet_proto import base64url
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.keys import SigningKey, decode_did, verify
from clawnet_proto.signing import digest, pre_authentication

CHECKPOINT_TYPE = "application/vnd.clawnet.audit-checkpoint.v1+json"
LINE_BYTES = 1 << 16

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AnyEntry).decode
_payload = pre_authentication(CHECKPOINT_TYPE)
_BEFORE, _AFTER, _LINK = b',"link":"', b'"}\n', 43
_TAIL = len(_BEFORE) + _LINK + len(_AFTER)


class Unreadable(Exception):
    """A line that is no record of an audit log."""


class ForeignKey(Exception):
    """A checkpoint that its key has not signed."""


def link(previous: str, body: bytes) -> str:
    """The link of a record: ``previous`` is that of the record before, ``body`` its JSON without a link."""
    return digest(previous.encode() + b"\n" + body)


def write_line(previous: str, entry: Entry) -> tuple[bytes, str]:
    """The line of a record, line feed included, and its link."""
    body = _encode(entry)
    own = link(previous, body)
    return body[:-1] + _BEFORE + own.encode() + _AFTER, own


def read_line(line: bytes) -> tuple[AnyEntry, str, bytes]:
    """The record of a line, the link it carries, and its body for ``link``. Raises Unreadable."""
    body, tail = line[:-_TAIL] + b"}", line[-_TAIL:]
    if len(line) > LINE_BYTES or not (tail.startswith(_BEFORE) and tail.endswith(_AFTER)):
        raise Unreadable
    try:
        return _decode(body), tail[len(_BEFORE) : -len(_AFTER)].decode(), body
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Unreadable from None


def sign(checkpoint: Checkpoint, key: SigningKey) -> None:
    """Fill in the signature."""
    checkpoint.sig = ""
    checkpoint.sig = base64url.encode(key.sign(_payload(_encode(checkpoint))))


def verify_signature(checkpoint: Checkpoint) -> None:
    """Raises ForeignKey unless the key that the checkpoint names has signed it."""
    unsigned = msgspec.structs.replace(checkpoint, sig="")
    try:
        verify(decode_did(checkpoint.key), _payload(_encode(unsigned)), base64url.decode(checkpoint.sig))
    except (RemoteProtocolError, ValueError):
        raise ForeignKey from None
