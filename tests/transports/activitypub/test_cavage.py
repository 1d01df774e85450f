from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bots.message_signature import BadSignature
from bots.transports.activitypub import cavage
from bots.transports.activitypub.keys import Claim, check
from bots.transports.activitypub.request import Request
from tests.transports.activitypub.arrived import (
    BASE,
    BODY,
    INBOX,
    NOW_S,
    RSA_ID,
    ed25519_key,
    keys,
    request,
    rsa_key,
)

DATE = "Mon, 21 Sep 2026 14:13:20 GMT"


def signed(**changes: str) -> dict[str, str]:
    return cavage.sign(keys(), RSA_ID, "POST", INBOX, BODY, NOW_S) | changes


def verified(arrived: Request, now_s: int = NOW_S) -> Claim:
    found = cavage.claim(arrived, now_s)
    check(found, rsa_key())
    return found


def by_hand(
    covered: str,
    values: dict[str, str],
    *,
    algorithm: str = 'algorithm="rsa-sha256",',
    key_id: str = RSA_ID,
    target: str = "post /inbox",
) -> dict[str, str]:
    """A request signed as the draft says, with nothing of ours: ``values`` are its headers."""
    named = {"(request-target)": target} | {name.lower(): value for name, value in values.items()}
    text = "\n".join(f"{name}: {named[name]}" for name in covered.split(" "))
    signature = base64.b64encode(keys().rsa.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()
    return values | {"Signature": f'keyId="{key_id}",{algorithm}headers="{covered}",signature="{signature}"'}


def digest(body: bytes = BODY) -> str:
    return f"SHA-256={base64.b64encode(hashlib.sha256(body).digest()).decode()}"


VALUES = {"Host": "my.example", "Date": DATE, "Digest": digest()}
COVERED = "(request-target) host date digest"


def test_what_we_sign_holds() -> None:
    found = verified(request(signed()))
    assert (found.key_id, found.algorithms, found.created_s) == (RSA_ID, ("rsa-v1_5-sha256",), NOW_S)


def test_a_get_needs_no_digest() -> None:
    headers = cavage.sign(keys(), RSA_ID, "GET", f"{BASE}/actor?page=1", b"", NOW_S)
    assert "Digest" not in headers
    verified(request(headers, method="GET", target="/actor?page=1", body=b""))


def test_the_example_of_the_draft_holds() -> None:
    # draft-cavage-http-signatures-12, appendix C.3, whose key is of a size that is not taken any more.
    public = serialization.load_der_public_key(
        base64.b64decode(
            "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDCFENGw33yGihy92pDjZQhl0C36rPJj+CvfSC8+q28hxA161QFNUd13wuCTUcq0Qd2"
            "qsBe/2hFyc2DCJJg0h1L78+6Z4UMR7EOcpfdUE9Hf3m/hs+FUR45uBJeDK1HSFHD8bHKD6kv8FPGfJTotc+2xjJwoYi+1hqp1fIekaxs"
            "yQIDAQAB"
        )
    )
    assert isinstance(public, rsa.RSAPublicKey)
    signature = (
        "vSdrb+dS3EceC9bcwHSo4MlyKS59iFIrhgYkz8+oVLEEzmYZZvRs8rgOp+63LEM3v+MFHB32NfpB2bEKBIvB1q52LaEUHFv120V01IL+"
        "TAD48XaERZFukWgHoBTLMhYS2Gb51gWxpeIq8knRmPnYePbF5MOkR0Zkly4zKH7s1dE="
    )
    headers = {
        "Host": "example.com",
        "Date": "Sun, 05 Jan 2014 21:31:40 GMT",
        "Content-Type": "application/json",
        "Digest": "SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=",
        "Content-Length": "18",
        "Signature": 'keyId="https://example.com/key",algorithm="rsa-sha256",'
        f'headers="(request-target) host date content-type digest content-length",signature="{signature}"',
    }
    arrived = request(
        headers, target="/foo?param=value&pet=dog", body=b'{"hello": "world"}', base="https://example.com"
    )
    found = cavage.claim(arrived, 1388957500)
    public.verify(found.signature, found.message(), padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize("algorithm", ['algorithm="hs2019",', 'algorithm="RSA-SHA256",', ""])
def test_algorithms_that_mean_rsa_are_taken(algorithm: str) -> None:
    verified(request(by_hand(COVERED, VALUES, algorithm=algorithm)))


@pytest.mark.parametrize("algorithm", ["rsa-sha1", "rsa-sha512", "ed25519", "hmac-sha256", "none"])
def test_other_algorithms_are_refused(algorithm: str) -> None:
    with pytest.raises(BadSignature, match="algorithm"):
        verified(request(by_hand(COVERED, VALUES, algorithm=f'algorithm="{algorithm}",')))


def test_a_signature_may_cover_all_headers_there_are() -> None:
    values = VALUES | {"Accept": "*/*", "Content-Type": "application/activity+json", "User-Agent": "a server/1.0"}
    verified(request(by_hand("(request-target) accept content-type date digest host user-agent", values)))


@pytest.mark.parametrize("left_out", ["(request-target)", "host", "date", "digest"])
def test_what_covers_too_little_is_refused(left_out: str) -> None:
    covered = " ".join(name for name in COVERED.split(" ") if name != left_out)
    with pytest.raises(BadSignature, match="must cover"):
        verified(request(by_hand(covered, VALUES)))


def test_the_key_decides_what_is_computed() -> None:
    with pytest.raises(BadSignature, match="kind"):
        check(cavage.claim(request(signed()), NOW_S), ed25519_key())


def test_the_key_of_somebody_else_does_not_do() -> None:
    with pytest.raises(BadSignature, match="does not hold"):
        check(cavage.claim(request(signed()), NOW_S), rsa_key(1))


@pytest.mark.parametrize(
    "arrived",
    [
        pytest.param(request(signed(), method="PUT"), id="method"),
        pytest.param(request(signed(), target="/actor/inbox"), id="path"),
        pytest.param(request(signed(), target="/inbox?a=1"), id="query"),
        pytest.param(request(signed(Date="Mon, 21 Sep 2026 14:13:21 GMT")), id="date"),
        pytest.param(request(signed(), body=BODY + b" "), id="body"),
        pytest.param(request(signed(Digest=digest(b"other")), body=b"other"), id="body with its digest"),
        pytest.param(request(signed(Host="other.example")), id="host"),
        pytest.param(request(signed(), base="https://other.example"), id="meant for another host"),
        pytest.param(request(signed(Signature="")), id="no signature"),
    ],
)
def test_what_was_tampered_with_is_refused(arrived: Request) -> None:
    with pytest.raises(BadSignature):
        verified(arrived)


@pytest.mark.parametrize("skew_s", [-cavage.SKEW_S, cavage.SKEW_S])
def test_a_clock_may_be_wrong_by_so_much_and_no_more(skew_s: int) -> None:
    verified(request(signed()), NOW_S + skew_s)
    with pytest.raises(BadSignature, match="Date"):
        verified(request(signed()), NOW_S + skew_s + (1 if skew_s > 0 else -1))


@pytest.mark.parametrize(
    "date", ["", "now", "2026-09-21T14:13:20Z", "Mon, 21 Sep 2026 14:13:20 +0000", "Mon, 99 Sep 2026 14:13:20 GMT"]
)
def test_a_date_of_another_form_is_refused(date: str) -> None:
    with pytest.raises(BadSignature, match="Date"):
        verified(request(by_hand(COVERED, VALUES | {"Date": date})))


@pytest.mark.parametrize("host", ["MY.example", "my.example:443"])
def test_a_host_may_be_written_in_several_ways(host: str) -> None:
    verified(request(by_hand(COVERED, VALUES | {"Host": host})))


@pytest.mark.parametrize(
    "host", ["my.example:80", "my.example.", "my.example/", "a@my.example", "my.example#", "", "мy.example"]
)
def test_a_host_that_is_another_is_refused(host: str) -> None:
    with pytest.raises(BadSignature):
        verified(request(by_hand(COVERED, VALUES | {"Host": host})))


@pytest.mark.parametrize("name", ["Host", "Date", "Digest", "Signature", "digest"])
def test_a_header_that_comes_twice_is_refused(name: str) -> None:
    found = signed()
    with pytest.raises(BadSignature, match="only once"):
        verified(request(found, (name, found[name.title()])))


def test_other_headers_may_come_twice_and_are_joined() -> None:
    values = VALUES | {"Accept": "a, b"}
    headers = by_hand(f"{COVERED} accept", values)
    arrived = request(
        {name: value for name, value in headers.items() if name != "Accept"}, ("accept", "a"), ("Accept", "b")
    )
    verified(arrived)


@pytest.mark.parametrize(
    "covered",
    [
        f"{COVERED} x-not-there",
        f"{COVERED} date",
        f"{COVERED} (created)",
        f"{COVERED} ",
        f" {COVERED}",
        COVERED.replace(" ", "  "),
    ],
)
def test_what_covers_what_is_not_there_is_refused(covered: str) -> None:
    headers = signed()
    headers["Signature"] = headers["Signature"].replace(COVERED, covered)
    with pytest.raises(BadSignature):
        verified(request(headers))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: f'{text},keyId="{RSA_ID}"',
        lambda text: text.replace("keyId", "keyid"),
        lambda text: text.replace(f'keyId="{RSA_ID}",', ""),
        lambda text: text.replace(RSA_ID, "acct:a@b"),
        lambda text: text.replace(RSA_ID, "https://other.example/actor#main-key\\"),
        lambda text: text.replace('signature="', 'signature="*'),
        lambda text: text + "=" * 5000,
        lambda text: text.replace('"', "'"),
    ],
)  # fmt: skip
def test_a_signature_of_another_form_is_refused(change: object) -> None:
    assert callable(change)
    headers = signed()
    with pytest.raises(BadSignature):
        verified(request(headers | {"Signature": change(headers["Signature"])}))


@pytest.mark.parametrize(
    "header",
    [f"SHA-512=abcd,{digest()}", f"{digest()}, sha-512=abcd", digest().replace("SHA", "sha")],
)
def test_a_digest_may_have_company(header: str) -> None:
    verified(request(by_hand(COVERED, VALUES | {"Digest": header})))


@pytest.mark.parametrize(
    "header", ["", "SHA-256", "SHA-512=abcd", f"{digest()},{digest()}", f"{digest(b'')},{digest()}"]
)
def test_a_digest_that_is_not_one_is_refused(header: str) -> None:
    with pytest.raises(BadSignature, match="Digest"):
        verified(request(by_hand(COVERED, VALUES | {"Digest": header})))
