"""Canonical text: one value, one byte string, and one code for each fault (spec/03-canonical-text.md)."""

from __future__ import annotations

import json
from typing import Any

import canonicaljson
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from clawnet_proto import canonical
from clawnet_proto.errors import LocalProtocolError, RemoteProtocolError
from clawnet_proto.specification import LIMITS

DEEPEST = "[" * LIMITS.depth + "]" * LIMITS.depth
MOST_NODES = "[" + ",".join("0" * (LIMITS.nodes - 1)) + "]"

ACCEPTED = [
    "{}", "[]", '""', "0", "7", "-1", "true", "false",
    "9007199254740991", "-9007199254740991",
    '{"a":1,"b":[true,{"c":""}]}',
    '{"-":0,".":0,"0":0,"_":0,"a":0}',
    '{"a":1,"aa":2,"b":3}',
    f'{{"{"k" * 64}":0}}',
    DEEPEST, DEEPEST.replace("[]", '["at depth 13"]'), '{"a":' * 11 + "{}" + "}" * 11,
    MOST_NODES,
    '"/"', '"\x7f"', '"\u2028\u2029"', '"\ufeff"', '" \u00a0"', '"é"', '"\U0001f600"', '"\U0010ffff"',
    '"\uffff\ufffe\ufdd0"',  # noncharacters are characters
    r'"\b\t\n\f\r\"\\"', r'"\u0000\u0001\u000b\u000e\u001f"',
]  # fmt: skip

REFUSED = {
    "canonical.syntax": [
        "", "{", "[", '"', "{]", "[}", "{a:1}", "{'a':1}", '{"a"}', '{"a":}', '{"a":1', '{"a":1,}', "[1,]", "[,1]",
        "[1;2]", '{"a"=1}', "tru", "True", "NaN", "Infinity", "-Infinity", "undefined", "-", "+1",
        ".5", "[1.]", "[1e]", "[0x10]", "[1_000]", "²", "٣", r'"\x41"', r'"\u12"', r'"\u123g"', r'"\a"', r'"\'"',
        '"\\', '"\\u', "\x00", "//", "\u00a0{}", "\x0b{}", "[1\x0c]",
    ],
    "canonical.whitespace": [
        " {}", "\t{}", "\n{}", "\r{}", "\ufeff{}", "{ }", "[ ]", '{"a" :1}', '{"a": 1}', '{"a":1 }', '{"a":1, "b":1}',
        "[1 ]", "[1\n]", "[1, 2]", "[\ufeff1]", "{} ", "{}\n", "{}{}", "{}x", "1 ", "0\x00", "1.", "truefalse",
        "{}\ufeff",
    ],
    "canonical.null": ["null", "[null]", '{"a":null}', "nullx"],
    "canonical.number": [
        "9007199254740992", "-9007199254740992", "18014398509481984", "1" * 400, "1" * 10_000, "1.0", "0.5", "1e5",
        "1E5", "1e+5", "1e-5", "1.5e3", "-0", "-0.0", "0e0", "00", "01", "-01", "1e999", "[1.0]", '{"a":-0}',
    ],
    "canonical.string": [
        r'"\/"', r'"\u0041"', r'"\u000A"', r'"\u000a"', r'"\u0008"', r'"\u0009"', r'"\u000c"', r'"\u000d"',
        r'"\u0022"', r'"\u005c"', r'"\u001F"', r'"\u007f"', r'"\u00e9"', r'"\u2028"', r'"\uFEFF"',
        r'"\ud83d\ude00"', r'"\ud800"', r'"\udc00"', r'"\udfff"', r'"\ude00\ud83d"', r'{"\u0061":1}',
        '"\x00"', '"\t"', '"\n"', '"\x1f"', '"\ud800"', '"\udfff"', '{"a\n":1}',
    ],
    "canonical.key": [
        '{"":1}', '{"A":1}', '{"a b":1}', '{"ä":1}', '{"a/b":1}', '{"a:b":1}', '{"$":1}', f'{{"{"k" * 65}":0}}',
        r'{"a\n":1}', '{"a":{"B":1}}',
    ],
    "canonical.duplicate_key": ['{"a":1,"a":1}', '{"a":1,"a":2}', '{"a":1,"b":2,"a":3}', '[{"a":{"b":1,"b":1}}]'],
    "canonical.order": ['{"b":1,"a":1}', '{"a":1,"b":1,"aa":1}', '{"aa":1,"a":1}', '{"a":1,"-":1}', '{"_":1,".":1}'],
    "canonical.depth": [f"[{DEEPEST}]", '{"a":' * 12 + "{}" + "}" * 12, "[" * 100_000, '{"a":' * 50_000],
    "canonical.nodes": [MOST_NODES.replace("[", "[0,", 1), "[" + "0," * 20_000],
}  # fmt: skip

# The first fault in reading order is the one that is named.
FIRST_FAULT = {
    '{"b":null,"a":1}': "canonical.null",
    '{"b":1,"a":null}': "canonical.order",
    '{"a":1,"a":null}': "canonical.duplicate_key",
    '{"A":1,"A":1}': "canonical.key",
    '{"A" :1}': "canonical.key",
    '{"a" :null}': "canonical.whitespace",
    "[1.5,null]": "canonical.number",
    '["\\/",1.5]': "canonical.string",
    f"[{DEEPEST[:-1]}": "canonical.depth",
    "[" + "0," * 4096 + "null": "canonical.nodes",
}


def outcome(text: str) -> Any:
    """The value, or the code."""
    try:
        return canonical.parse(text)
    except RemoteProtocolError as error:
        return error.code


@pytest.mark.parametrize("text", ACCEPTED, ids=lambda text: text[:20])
def test_canonical_text_is_read_and_written_again(text: str) -> None:
    value = canonical.parse(text)
    assert value == json.loads(text)
    assert canonical.encode(value) == text.encode()


@pytest.mark.parametrize(
    "code,text",
    [(code, text) for code, texts in REFUSED.items() for text in texts],
    ids=lambda text: ascii(text)[:30],
)
def test_each_fault_has_its_code(code: str, text: str) -> None:
    assert outcome(text) == code


@pytest.mark.parametrize("text", [text for text in REFUSED["canonical.number"] if text != "[1.0]"])
def test_a_fault_has_the_same_code_wherever_it_stands(text: str) -> None:
    for around in ("[%s]", '{"a":%s}', "[[%s,1]]", '{"a":[true,%s],"b":1}'):
        assert outcome(around % text) == "canonical.number"


@pytest.mark.parametrize("text,code", FIRST_FAULT.items(), ids=lambda text: text[:20])
def test_of_two_faults_the_first_is_named(text: str, code: str) -> None:
    assert outcome(text) == code


@pytest.mark.parametrize(
    "code,value",
    [
        ("canonical.null", None),
        ("canonical.null", {"a": [None]}),
        ("canonical.number", 1.0),
        ("canonical.number", float("nan")),
        ("canonical.number", 2**53),
        ("canonical.number", -(2**53)),
        ("canonical.number", 10**5000),
        ("canonical.string", "\ud800"),
        ("canonical.string", ["a\udfff"]),
        ("canonical.key", {"": 1}),
        ("canonical.key", {"A": 1}),
        ("canonical.key", {"a\n": 1}),
        ("canonical.key", {1: 1}),
        ("canonical.key", {"k" * 65: 1}),
        ("canonical.depth", json.loads(f"[{DEEPEST}]")),
        ("canonical.nodes", [0] * LIMITS.nodes),
        ("canonical.syntax", b"bytes"),
        ("canonical.syntax", (1, 2)),
    ],
    ids=lambda value: ascii(value) if isinstance(value, str) else type(value).__name__,
)
def test_what_has_no_canonical_text_is_not_written(code: str, value: Any) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        canonical.encode(value)
    assert caught.value.code == code


def test_a_value_that_holds_itself_is_not_written() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(LocalProtocolError, match=r"canonical\.depth"):
        canonical.encode(value)


# --- properties ---

KEYS = st.from_regex(r"[a-z0-9_.-]{1,8}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = st.one_of(st.booleans(), st.integers(-LIMITS.integer, LIMITS.integer), TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
# Dense in what JSON gives a meaning, so that much of it nearly parses.
NEARLY_JSON = st.text(st.sampled_from('{}[]",:.-+0129eE\\/ubnrtdafls \n\ud83d\ude00\ufeffé_'), max_size=24)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """Canonical text with one character removed, added or changed."""
    text = canonical.encode(draw(VALUES)).decode()
    at = draw(st.integers(0, len(text)))
    put = draw(NEARLY_JSON.filter(lambda put: len(put) < 3))
    return text[:at] + put + text[at + draw(st.integers(0, 2)) :]


@given(VALUES)
def test_every_value_comes_back(value: Any) -> None:
    text = canonical.encode(value)
    again = canonical.parse(text.decode())
    assert again == value
    assert canonical.encode(again) == text  # tells 1 from true, which == does not


@given(VALUES)
def test_other_libraries_write_the_same(value: Any) -> None:
    text = canonical.encode(value)
    assert text == canonicaljson.encode_canonical_json(value)
    assert text == rfc8785.dumps(value)


# Much that JSON, or only Python, can say and canonical text cannot.
ODD_SCALARS = st.one_of(
    SCALARS,
    st.none(),
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.text(st.characters(codec=None), max_size=4),
    st.binary(max_size=3),
    st.sampled_from([(), (1,), {1: 2}, {None: 1}, {"A": 1}, {"k" * 65: 1}, {"\ud800": 1}, json.loads(DEEPEST)]),
)
ODD_VALUES = st.recursive(
    ODD_SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=2), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=600)
@given(ODD_VALUES)
def test_any_value_is_written_so_that_it_comes_back_or_not_at_all(value: Any) -> None:
    try:
        text = canonical.encode(value)
    except LocalProtocolError as error:
        assert error.stage == "canonical"  # noqa: PT017 (no other error may come, and none need come)
        return
    again = canonical.parse(text.decode())
    assert again == value
    assert canonical.encode(again) == text == canonicaljson.encode_canonical_json(value)


@settings(max_examples=1500)
@given(st.text(max_size=40) | NEARLY_JSON | damaged())
def test_any_text_is_canonical_or_refused_with_a_code(text: str) -> None:
    """What is accepted is written again as the same bytes; what is refused is nothing that anybody writes."""
    try:
        value = canonical.parse(text)
    except RemoteProtocolError:
        assert not _somebody_writes(text)
    else:
        assert canonical.encode(value) == text.encode()
        assert canonicaljson.encode_canonical_json(value) == text.encode()


def _somebody_writes(text: str) -> bool:
    try:
        return canonical.encode(json.loads(text)) == text.encode()
    except (ValueError, LocalProtocolError):
        return False
