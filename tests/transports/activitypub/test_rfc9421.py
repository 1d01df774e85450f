from __future__ import annotations

import base64
import hashlib

import pytest

from bots import message_signature
from bots.message_signature import BadSignature
from bots.transports.activitypub import rfc9421
from bots.transports.activitypub.keys import Algorithm, Claim, check
from bots.transports.activitypub.request import Request
from clawnet_proto.keys import verify
from tests.transports.activitypub.arrived import (
    BASE,
    BODY,
    ED25519_ID,
    INBOX,
    NOW_S,
    RSA_ID,
    ed25519_key,
    keys,
    request,
    rsa_key,
)


def signed(**changes: str) -> dict[str, str]:
    return rfc9421.sign(keys(), RSA_ID, "POST", INBOX, BODY, NOW_S) | changes


def verified(arrived: Request, now_s: int = NOW_S) -> Claim:
    found = rfc9421.claim(arrived, now_s)
    check(found, rsa_key())
    return found


def digest(body: bytes = BODY) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


VALUES = {
    "@method": "POST",
    "@target-uri": INBOX,
    "@authority": "my.example",
    "@scheme": "https",
    "@request-target": "/inbox",
    "@path": "/inbox",
    "@query": "?",
    "host": "my.example",
    "date": "Mon, 21 Sep 2026 14:13:20 GMT",
    "content-digest": digest(),
}
PARAMETERS = f'alg="rsa-v1_5-sha256";keyid="{RSA_ID}";created={NOW_S}'
COVERED = ("@method", "@target-uri", "content-digest")


def by_hand(
    covered: tuple[str, ...] = COVERED,
    parameters: str = PARAMETERS,
    values: dict[str, str] | None = None,
    *,
    label: str = "sig1",
    algorithm: Algorithm = "rsa-v1_5-sha256",
) -> dict[str, str]:
    """A request signed as the RFC says, with nothing of ours."""
    values = VALUES if values is None else values
    listed = " ".join(f'"{name}"' for name in covered)
    described = f"({listed});{parameters}"
    text = "\n".join([*(f'"{name}": {values[name]}' for name in covered), f'"@signature-params": {described}'])
    signature = base64.b64encode(keys().sign(algorithm, text.encode())).decode()
    sent = {name.title(): value for name, value in values.items() if not name.startswith("@")}
    return sent | {"Signature-Input": f"{label}={described}", "Signature": f"{label}=:{signature}:"}


def test_what_we_sign_holds() -> None:
    found = verified(request(signed()))
    assert (found.key_id, found.algorithms, found.created_s) == (RSA_ID, ("rsa-v1_5-sha256",), NOW_S)


def test_what_we_sign_by_ed25519_holds() -> None:
    headers = rfc9421.sign(keys(), ED25519_ID, "POST", INBOX, BODY, NOW_S, "ed25519")
    check(rfc9421.claim(request(headers), NOW_S), ed25519_key())


def test_a_get_needs_no_digest() -> None:
    headers = rfc9421.sign(keys(), RSA_ID, "GET", f"{BASE}/actor?page=1", b"", NOW_S)
    assert "Content-Digest" not in headers
    verified(request(headers, method="GET", target="/actor?page=1", body=b""))


def test_the_example_of_the_rfc_holds() -> None:
    # RFC 9421, appendix B.2.6.
    signature_input = (
        'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
        ';created=1618884473;keyid="test-key-ed25519"'
    )
    signature = "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:"
    found = message_signature.read(signature_input, signature)
    values = {
        "date": "Tue, 20 Apr 2021 02:07:55 GMT",
        "@method": "POST",
        "@path": "/foo",
        "@authority": "example.com",
        "content-type": "application/json",
        "content-length": "18",
    }
    public = base64.b64decode("JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=")
    verify(public, found.base(values), found.signature)


@pytest.mark.parametrize(
    "covered",
    [
        COVERED,
        ("@method", "@target-uri", "@authority", "host", "date", "content-digest"),  # as Fedify sends it
        ("@method", "@authority", "@path", "content-digest"),
        ("@method", "@authority", "@path", "@query", "content-digest"),
        ("content-digest", "@request-target", "@scheme", "@authority", "@method"),
    ],
)
def test_a_signature_covers_enough_in_several_ways(covered: tuple[str, ...]) -> None:
    verified(request(by_hand(covered)))


@pytest.mark.parametrize(
    "covered",
    [
        ("@method", "@target-uri"),
        ("@target-uri", "content-digest"),
        ("@method", "@path", "content-digest"),
        ("@method", "@authority", "content-digest"),
        ("@method", "host", "@path", "content-digest"),
        (),
    ],
)
def test_what_covers_too_little_is_refused(covered: tuple[str, ...]) -> None:
    with pytest.raises(BadSignature, match="must cover"):
        verified(request(by_hand(covered)))


def test_the_path_alone_does_not_do_where_there_is_a_query() -> None:
    headers = by_hand(("@method", "@authority", "@path", "content-digest"))
    with pytest.raises(BadSignature, match="must cover"):
        verified(request(headers, target="/inbox?a=1"))


def test_the_parameters_may_stand_in_any_order() -> None:
    more = f'nonce="abc";expires={NOW_S + 60};created={NOW_S};tag="x";keyid="{RSA_ID}"'
    assert verified(request(by_hand(parameters=more, label="anything"))).algorithms == ("rsa-v1_5-sha256", "ed25519")


def test_without_alg_the_key_decides() -> None:
    parameters = f'keyid="{ED25519_ID}";created={NOW_S}'
    found = rfc9421.claim(request(by_hand(parameters=parameters, algorithm="ed25519")), NOW_S)
    check(found, ed25519_key())


@pytest.mark.parametrize("alg", ["rsa-pss-sha512", "hmac-sha256", "ecdsa-p256-sha256", "RSA-V1_5-SHA256", "none", ""])
def test_other_algorithms_are_refused(alg: str) -> None:
    with pytest.raises(BadSignature, match="alg"):
        verified(request(by_hand(parameters=PARAMETERS.replace("rsa-v1_5-sha256", alg))))


def test_an_algorithm_that_is_not_the_key_s_is_refused() -> None:
    parameters = PARAMETERS.replace("rsa-v1_5-sha256", "ed25519")
    with pytest.raises(BadSignature, match="kind"):
        verified(request(by_hand(parameters=parameters)))
    parameters = f'alg="rsa-v1_5-sha256";keyid="{ED25519_ID}";created={NOW_S}'
    found = rfc9421.claim(request(by_hand(parameters=parameters, algorithm="ed25519")), NOW_S)
    with pytest.raises(BadSignature, match="kind"):
        check(found, ed25519_key())


def test_the_key_of_somebody_else_does_not_do() -> None:
    with pytest.raises(BadSignature, match="does not hold"):
        check(rfc9421.claim(request(signed()), NOW_S), rsa_key(1))


@pytest.mark.parametrize(
    "arrived",
    [
        pytest.param(request(signed(), method="PUT"), id="method"),
        pytest.param(request(signed(), target="/actor/inbox"), id="path"),
        pytest.param(request(signed(), target="/inbox?"), id="query"),
        pytest.param(request(signed(), body=BODY + b" "), id="body"),
        pytest.param(request(signed() | {"Content-Digest": digest(b"a")}, body=b"a"), id="body with its digest"),
        pytest.param(request(signed(), base="https://other.example"), id="meant for another host"),
        pytest.param(request(signed(), base="http://my.example"), id="another scheme"),
        pytest.param(request(by_hand(), ("Content-Digest", digest())), id="two digests"),
        pytest.param(request(signed() | {"Signature": ""}), id="no signature"),
        pytest.param(request({"Signature": signed()["Signature"]}), id="no input"),
    ],
)
def test_what_was_tampered_with_is_refused(arrived: Request) -> None:
    with pytest.raises(BadSignature):
        verified(arrived)


@pytest.mark.parametrize("name", ["Signature-Input", "signature"])
def test_a_signature_that_comes_twice_is_refused(name: str) -> None:
    with pytest.raises(BadSignature, match="only once"):
        verified(request(signed(), (name, "a")))


@pytest.mark.parametrize("header", [f"sha-512=:abcd:, {digest()}", f"{digest()},sha=:abcd:"])
def test_a_digest_may_have_company(header: str) -> None:
    verified(request(by_hand(values=VALUES | {"content-digest": header})))


@pytest.mark.parametrize("header", ["", "sha-512=:abcd:", f"{digest()},", digest().replace(":", '"'), digest(b"other")])
def test_a_digest_that_is_not_one_is_refused(header: str) -> None:
    with pytest.raises(BadSignature, match="Content-Digest"):
        verified(request(by_hand(values=VALUES | {"content-digest": header})))


@pytest.mark.parametrize("skew_s", [-rfc9421.SKEW_S, rfc9421.SKEW_S])
def test_a_clock_may_be_wrong_by_so_much_and_no_more(skew_s: int) -> None:
    verified(request(signed()), NOW_S + skew_s)
    with pytest.raises(BadSignature, match="created"):
        verified(request(signed()), NOW_S + skew_s + (1 if skew_s > 0 else -1))


@pytest.mark.parametrize(
    "parameters",
    [
        f'keyid="{RSA_ID}"',
        f'keyid="{RSA_ID}";created="{NOW_S}"',
        f'keyid="{RSA_ID}";created={NOW_S}.5',
        f'keyid="{RSA_ID}";created',
        f'keyid="{RSA_ID}";created={NOW_S};expires={NOW_S - 1}',
        f'keyid="{RSA_ID}";created={NOW_S};expires="never"',
        f"created={NOW_S}",
        f'keyid="main";created={NOW_S}',
        f"keyid=main;created={NOW_S}",
        f'keyid="{RSA_ID}";created={NOW_S};alg=ed25519',
    ],
)
def test_parameters_of_another_form_are_refused(parameters: str) -> None:
    with pytest.raises(BadSignature):
        verified(request(by_hand(parameters=parameters)))


@pytest.mark.parametrize(
    "covered",
    [
        (*COVERED, "x-not-there"),
        (*COVERED, "@status"),
        (*COVERED, "@method"),
        (*COVERED, "Date"),
        (*COVERED, "@query-param"),
    ],
)
def test_what_covers_what_is_not_there_is_refused(covered: tuple[str, ...]) -> None:
    values = VALUES | {"x-not-there": "a", "@status": "200", "Date": VALUES["date"], "@query-param": "a"}
    headers = by_hand(covered, values=values)
    headers.pop("X-Not-There", None)
    with pytest.raises(BadSignature):
        verified(request(headers))


@pytest.mark.parametrize(
    "part", ['"@method";req', '"content-digest";sf', '"date";bs', "date", "42", '"@method";name="a"']
)
def test_components_with_parameters_are_refused(part: str) -> None:
    headers = by_hand()
    headers["Signature-Input"] = headers["Signature-Input"].replace('("@method"', f"({part}")
    with pytest.raises(BadSignature):
        verified(request(headers))


def test_more_than_one_signature_is_refused() -> None:
    one, two = by_hand(), by_hand(label="sig2")
    both = {name: f"{one[name]}, {two[name]}" for name in ("Signature-Input", "Signature")}
    with pytest.raises(BadSignature, match="one signature"):
        verified(request(one | both))


@pytest.mark.parametrize("header", ["", "a", "sig1=()", "sig1=1", "sig1=(1 2)", "(", "sig1=:AA==:", "x" * 5000, "ä=()"])
def test_what_is_no_signature_input_is_refused(header: str) -> None:
    with pytest.raises(BadSignature):
        verified(request(by_hand() | {"Signature-Input": header}))


def test_a_host_that_is_covered_must_be_ours() -> None:
    values = VALUES | {"host": "other.example"}
    with pytest.raises(BadSignature, match="Host"):
        verified(request(by_hand((*COVERED, "host"), values=values)))
