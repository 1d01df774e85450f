"""The field types that messages are built of (spec/02-messages.md, spec/schemas/).

Lengths of text count Unicode code points. Times are Unix milliseconds, durations milliseconds.
Optional fields are absent, never null.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from clawnet_proto.specification import LIMITS

__all__ = [
    "UNSET", "Attempt", "Count", "Did", "Digest", "Key32", "Line", "Millis", "Name", "Nonce",
    "Record", "Sealed", "Signature", "Text", "Token", "Uri", "Version", "present",
]  # fmt: skip


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A closed object: a field that is not in the schema is a fault. Decoded from text, it holds no circles."""

    def check(self) -> None:
        """The rules a schema cannot say. Raises ProtocolError (stage "schema")."""

    def check_signer(self, sender: str, kid: str) -> None:
        """The rules that tie a body to the key that signed it. Raises ProtocolError (stage "schema")."""


T = TypeVar("T")


def present(value: T | UnsetType, default: T) -> T:
    """An optional field's value, or ``default`` where it is absent."""
    return default if value is UNSET else value


Count = Annotated[int, Meta(ge=0, le=LIMITS.integer)]
Millis = Annotated[int, Meta(ge=0, le=LIMITS.integer)]
Attempt = Annotated[int, Meta(ge=1, le=1000)]
Version = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,3}\Z", max_length=4)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
# Python's $ also matches before a line feed at the end; \Z, which the schemas write as $, does not.
Token = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}\Z", max_length=64)]
Line = Annotated[str, Meta(max_length=300)]
Text = Annotated[str, Meta(max_length=LIMITS.inline_text_bytes)]
Uri = Annotated[str, Meta(min_length=3, max_length=300)]
# References are compared, never decoded: one that is no canonical text equals nothing.
Did = Annotated[str, Meta(min_length=56, max_length=56)]
Digest = Annotated[str, Meta(min_length=43, max_length=43)]
Signature = Annotated[str, Meta(min_length=86, max_length=86)]
Nonce = Annotated[str, Meta(min_length=22, max_length=22)]
Key32 = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]\Z", min_length=43, max_length=43)]
Sealed = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+\Z", max_length=32000)]
