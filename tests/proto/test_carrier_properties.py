"""Whatever is done to a carrier, the fast way through it and a slow second verifier say the same."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from clawnet_proto.carrier import verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.signing import digest, signed_bytes
from clawnet_proto.specification import ERRORS
from tests.proto.authoring import canonical_text
from tests.proto.faults import ALICE, BOB, VALUES, copy, nested, verdict
from tests.vectors.mutants_message import judge

JUNK = st.one_of(
    st.sampled_from([None, True, False, 0, -1, 1, 2**53, 0.5, "", "x", "Upper", "x\n", "\x00", "é", "\ud800"]),
    st.sampled_from([[], {}, [1], {"a": 1}, {"A": 1}, nested(13), "x" * 17_000, [0] * 4097, "A" * 43, ALICE.did]),
    st.integers(-(2**54), 2**54),
    st.text(max_size=70),
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container with every key or index in it."""
    found = []
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        found.append((value, key))
        if isinstance(value[key], dict | list):
            found.extend(places(value[key]))
    return found


@st.composite
def altered_values(draw: st.DrawFn) -> str:
    """The text of a valid envelope in which members were changed, removed, added or exchanged."""
    value = copy(VALUES[draw(st.sampled_from(sorted(VALUES)))])
    for _ in range(draw(st.integers(0, 2))):
        holder, key = draw(st.sampled_from(places(value)))
        change = draw(st.sampled_from(["put", "put", "remove", "add", "from another", "grow", "shrink"]))
        if change == "put":
            holder[key] = copy(draw(JUNK))
        elif change == "remove":
            del holder[key]
        elif change == "add" and isinstance(holder, dict):
            name = draw(st.sampled_from(["extra", "text", "thread", "critical", "extensions", "Upper"]))
            holder[name] = copy(draw(JUNK))
        elif change == "from another":
            other_holder, other_key = draw(st.sampled_from(places(VALUES[draw(st.sampled_from(sorted(VALUES)))])))
            holder[key] = copy(other_holder[other_key])
        elif isinstance(holder[key], str):
            holder[key] = holder[key] + "A" if change == "grow" else holder[key][:-1]
        elif isinstance(holder[key], list) and holder[key]:
            holder[key] = holder[key] * 2 if change == "grow" else holder[key][:-1]
    return canonical_text(value)


@st.composite
def altered_texts(draw: st.DrawFn) -> str:
    """The text of a valid envelope in which characters were changed."""
    text = canonical_text(VALUES[draw(st.sampled_from(sorted(VALUES)))])
    at = draw(st.integers(0, len(text)))
    put = draw(st.text(st.sampled_from('{}[]",:.-019eE\\/ubntrfal \n\u00e9\ud800A_'), max_size=3))
    return text[:at] + put + text[at + draw(st.integers(0, 3)) :]


@settings(max_examples=900)
@given(altered_values() | altered_texts())
def test_a_signed_text_is_judged_as_the_independent_verifier_judges_it(env: str) -> None:
    carrier = ALICE.carrier_of(env)
    assert verdict(carrier) == judge(carrier)


@st.composite
def altered_carriers(draw: st.DrawFn) -> bytes:
    """A valid carrier in which bytes were changed."""
    data = ALICE.carrier_of(canonical_text(VALUES[draw(st.sampled_from(sorted(VALUES)))]))
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=3)) + data[at + draw(st.integers(0, 3)) :]
    return data


@settings(max_examples=400)
@given(altered_carriers() | st.binary(max_size=60))
def test_any_bytes_are_judged_as_the_independent_verifier_judges_them(data: bytes) -> None:
    assert verdict(data) == judge(data)


SPACE = st.sampled_from(["", "", "", " ", "\n\t", "\r "])


@st.composite
def strings(draw: st.DrawFn, text: str) -> str:
    """A JSON string that means this text, with escapes where none are needed."""
    write = json.JSONEncoder(ensure_ascii=draw(st.booleans())).encode
    slash = draw(st.sampled_from(["/", "\\/"]))
    at = draw(st.integers(0, len(text)))
    needless = "".join(f"\\u{ord(character):04{draw(st.sampled_from('xX'))}}" for character in text[at : at + 1])
    before, after = (write(piece)[1:-1].replace("/", slash) for piece in (text[:at], text[at + 1 :]))
    return f'"{before}{needless if len(needless) == 6 else write(text[at : at + 1])[1:-1]}{after}"'


# What a member may have been before its last occurrence: whatever is JSON.
REPLACED = ['"text"', "1", "null", "{}", '[{"env":""}]', r'"\ud800"', "1e999", "9" * 5000, "[" * 3000 + "]" * 3000]


@st.composite
def respelled_carriers(draw: st.DrawFn) -> bytes:
    """A valid carrier in another order, with white space, needless escapes, and members that later ones replace."""
    carrier = json.loads(ALICE.carrier_of(canonical_text(VALUES[draw(st.sampled_from(sorted(VALUES)))])))
    members = draw(st.permutations(sorted(carrier)))
    spelled = []
    for name in members[: draw(st.integers(0, 2))]:
        spelled.append(f'"{name}":{draw(st.sampled_from(REPLACED))}')
    for name, text in ((name, carrier[name]) for name in members):
        spelled.append(
            f"{draw(SPACE)}{draw(strings(name))}{draw(SPACE)}:{draw(SPACE)}{draw(strings(text))}{draw(SPACE)}"
        )
    return f"{draw(SPACE)}{{{','.join(spelled)}}}{draw(SPACE)}".encode()


@settings(max_examples=100)
@given(respelled_carriers())
def test_however_a_carrier_is_spelled_it_stays_the_same(data: bytes) -> None:
    assert verdict(data) == judge(data) == ""


@st.composite
def respelled_values(draw: st.DrawFn) -> str:
    """A valid envelope in JSON that is nearly canonical, or is: another order, a doubled member, other numbers."""
    text = canonical_text(VALUES[draw(st.sampled_from(sorted(VALUES)))])
    members = re.findall(r'"[a-z_]+":(?:[0-9]+|"(?:[^"\\]|\\.)*"|true|false)', text)
    for _ in range(draw(st.integers(0, 2))):
        member = draw(st.sampled_from(members))
        name, _, value = member.partition(":")
        changes = [
            f"{member},{member}",
            f"{name}:{value}.0",
            f"{name}:{value}e0",
            f"{name}:-{value}",
            f"{name}:0{value}",
        ]
        changes += [f"{name}: {value}", f"{name}:{value}{'0' * 17}", f"{name}:null", f"{name}:{'[' * 13}{']' * 13}"]
        if value.startswith('"'):
            changes += [f"{name}:{draw(strings(json.loads(value)))}", f'{name}:"\\ud800{value[1:]}']
        other = draw(st.sampled_from(members))
        text = text.replace(member, draw(st.sampled_from([*changes, other, f"{other},{member}"])), 1)
    return text


@settings(max_examples=500)
@given(respelled_values())
def test_however_an_envelope_is_spelled_it_is_judged_alike(env: str) -> None:
    carrier = ALICE.carrier_of(env)
    assert verdict(carrier) == judge(carrier)


@st.composite
def spliced_carriers(draw: st.DrawFn) -> bytes:
    """Members of several valid carriers, by two authors, in one."""
    texts = [canonical_text(VALUES[draw(st.sampled_from(sorted(VALUES)))]) for _ in range(2)]
    whole = [json.loads(author.carrier_of(text)) for author in (ALICE, BOB) for text in texts]
    return json.dumps({name: draw(st.sampled_from(whole))[name] for name in whole[0]}).encode()


@given(spliced_carriers())
def test_members_of_several_carriers_make_none(data: bytes) -> None:
    code = verdict(data)
    assert code == judge(data)
    assert code in ("", "signature.invalid", "carrier.mismatch")


@settings(max_examples=400)
@given(st.binary(max_size=200) | st.text(max_size=100) | altered_carriers() | respelled_carriers())
def test_anything_at_all_is_a_message_or_has_a_code(data: bytes | str) -> None:
    try:
        message = verify(data)
    except RemoteProtocolError as error:
        assert error.code in ERRORS  # noqa: PT017 (no other error may come, and none need come)
    else:
        # The message says all that was signed, and nothing else.
        written = canonical_text(msgspec.to_builtins(message.envelope)).encode()
        assert (message.id, message.size) == (digest(signed_bytes(written)), len(written))
