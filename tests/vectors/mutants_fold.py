"""Broken models by name: each lacks one check, or makes one mistake that an implementation could make.

A vector names in ``kills`` one that answers it otherwise; the tests run them all. The models ask ``Checks.hold``
before each check; nothing but the name of what is broken tells a broken model from the intact one.
"""

from __future__ import annotations

from dataclasses import dataclass

CHAIN = {
    "addressing-members-unread": "takes any recipients, thread and answers in any type",
    "any-signature-passes": "does not verify the signature of a carrier",
    "bodies-are-open": "lets a body have members that its schema does not name",
    "chain-may-return-to-sender": "lets a link name the sender's first key again",
    "commitment-as-envelope": "takes a commitment that was signed with the payload type of envelopes",
    "commitment-by-first-key": "takes a commitment by the first key in any link",
    "commitment-by-its-own-key": "takes a commitment that the new key signed itself",
    "commitment-lax-base64": "decodes a commitment with spare bits, or in the other alphabet",
    "commitment-malleable": "reduces S before it verifies a commitment",
    "commitment-without-type": "takes a signature over the bare canonical text for a commitment",
    "commitments-unread": "does not verify commitments",
    "digest-length-unread": "takes any text as next_key_digest of a rotate",
    "digest-of-the-did": "computes the digest of the next key's did in place of its bytes",
    "empty-rotate-passes": "takes a rotate without a link",
    "first-link-unproven": "takes the first link for granted",
    "generation-not-signed": "takes a commitment for another generation",
    "identity-is-the-key-before": "takes the did of the key before for the identity in a commitment",
    "keys-may-repeat": "lets a chain come back to a key of an earlier link",
    "kid-of-envelope-unread": "does not compare kid in carrier and envelope",
    "kid-need-not-be-last": "does not compare kid with the last link",
    "link-lengths-unread": "takes keys and commitments of any length",
    "links-are-open": "lets a link have other members",
    "malformed-keys-in-links": "leaves off checking at a key it can not read",
    "no-points-in-links": "leaves off checking at a key that is no honest point",
    "rotations-unbounded": "takes chains of more than 16 links",
    "since-unread": "does not look at since_ms of a link",
    "weak-keys-in-links": "takes keys of low order in links",
}

SEALING = {
    "any-associated-data": "opens what was sealed with info as associated data",
    "any-plaintext": "takes a plaintext that is no JSON for the text itself",
    "digest-beside-unread": "does not compare the digest beside a sealed text",
    "digest-of-the-text": "takes the digest of the text, without salt",
    "faults-inside-told-as-unopened": "reports any fault of the inner carrier as sealed.unopened",
    "first-secret-alone": "tries the newest seal key and no other",
    "form-before-digest": "looks at the plaintext's form before the digest",
    "info-unread": "opens what was sealed for another place",
    "info-without-recipient": "leaves the recipient out of the info of sealed carriers",
    "lax-base64-opens": "decodes base64 with padding, spare bits, line feeds or in the other alphabet",
    "plaintext-is-open": "lets a plaintext have other members",
    "plaintext-need-not-be-canonical": "takes any JSON for a plaintext",
    "plaintext-shapes-unread": "takes a plaintext that is no object",
    "plaintext-types-unread": "takes a text that is no string",
    "plaintext-unbounded": "takes plaintexts of any length",
    "salt-base64-unread": "takes a salt that is not base64url",
    "salt-length-unread": "takes a salt of any length",
    "salt-may-be-absent": "takes a plaintext without salt",
    "seal-key-may-be-absent": "tries all its keys where a sealed carrier names none",
    "seal-key-unread": "tries all its keys whatever a sealed carrier names",
    "sealed-carriers-are-open": "lets a sealed carrier have other members",
    "sealed-in-any-room": "takes any room for a message that came sealed",
    "sealed-in-rooms": "opens sealed carriers on the room plane",
    "sealed-in-sealed": "opens a sealed carrier in a sealed carrier",
    "sealed-means-addressed": "takes what came sealed for a message to itself",
    "sealed-never-expires": "does not look at the expiry of what came sealed",
    "sealed-on-any-plane": "takes any type for a message that came sealed",
    "sealed-size-unread": "parses sealed carriers of any size",
    "sealed-types-unread": "takes members of a sealed carrier that are no strings",
    "sealed-version-unread": "opens sealed carriers of any version",
    "short-texts-are-empty": "takes a sealed text that is too short for an empty one",
    "tag-unread": "decrypts without authentication",
    "unopened-told-as-for-others": "reports what it can not open as recipient.other",
    "version-may-be-absent": "opens sealed carriers without version",
    "zero-secrets-pass": "seals to and opens from keys of low order",
}

FOLD = {
    "all-progress-is-kept": "keeps every progress message",
    "announces-by-time": "lets the announce count that was sent last",
    "announces-commit-to-nothing": "does not take the next_key_digest of announces for commitments",
    "announces-do-not-expire": "takes an expired announce for live",
    "announces-from-tomorrow": "takes an announce for live that was sent in the future",
    "any-key-revokes": "lets a revoke by a key that was given up count",
    "any-key-speaks": "does not ask whether a key is one of the sender's",
    "bad-standing-still-announces": "lets announces of revoked and disputed identities count",
    "conflicts-unseen": "does not notice two identities at one address",
    "digests-of-links-differ": "compares the digest of a link's did with next_key_digest",
    "disputed-keys-act": "does not retire the keys of a disputed identity",
    "disputed-told-as-unproven": "reports a key behind a dispute as unproven",
    "disputes-unseen": "follows the first branch of a dispute, whatever the commitments say",
    "duplicates-equivocate": "counts a copy of an announce as a second announce",
    "equivocation-unseen": "does not notice two announces with one revision",
    "every-address-must-be-won": "takes a peer off that lost any of its addresses",
    "every-key-says-since": "takes the since_ms of a link from any key, also one that was given up",
    "extended-is-dropped": "leaves out messages with extensions that it does not know",
    "first-copy-alone-counts": "forgets where later copies came from",
    "first-heard-of-stays": "gives an account's voice to the identity heard of first",
    "first-rotate-wins": "follows the rotate that arrived first where there are two",
    "greater-did-goes-first": "breaks a tie at one address by the greater did",
    "greatest-since-counts": "takes the greatest since_ms of a link",
    "heard-of-unread": "breaks every tie at one address by did",
    "hello-proves-its-address": "takes the address in a hello for proven",
    "keys-displace-progress": "lets progress by one key displace that by another key of its sender",
    "last-announce-to-arrive-counts": "lets the announce count that arrived last",
    "leave-ends-all": "lets a leave end later announces too",
    "leave-unread": "does not look at leaves",
    "lesser-announce-id-counts": "lets the lesser id of equivocating announces count",
    "lesser-progress-id-stays": "keeps the lesser id of two progress messages with one index",
    "lifetimes-unread": "does not compare a message's life with its type's",
    "lowest-progress-stays": "keeps the progress with the lowest index",
    "old-keys-go-on": "lets a key speak that was given up",
    "one-account-many-voices": "takes all bound live peers, also of one address",
    "overtaken-progress-unheard": "does not hear of a sender by progress that is not kept",
    "planes-unread": "takes every type on every plane",
    "presence-outlives-rotation": "derives presence from messages by all keys of the chain",
    "relayed-announces-bind": "takes the address that delivered an announce for one it names",
    "retired-is-taken-out": "takes what a retired key said out of tasks",
    "retired-keys-act": "does not tell that a key was given up later",
    "revoked-keys-act": "does not retire the last key of a revoked identity",
    "revokes-hold-for-their-key-alone": "lets earlier keys speak after the moment of a revoke",
    "revokes-prove-no-links": "does not look at the chain of a revoke",
    "revokes-unread": "does not look at revokes",
    "rooms-unread": "folds messages of other rooms",
    "rotates-commit-to-nothing": "does not take the next_key_digest of rotates for commitments",
    "since-is-the-last-moment": "lets a key speak at since_ms itself",
    "unbound-announce-goes-first": "lets the highest revision count, bound or not",
    "unbound-is-live": "takes unbound peers for live",
    "unproven-is-dropped": "drops a message whose key is not proven when it arrives",
    "waiting-is-dropped": "drops a message whose cause is not there when it arrives",
    "waiting-is-not-told": "does not tell that a message waits for its request",
}

TASK = {
    "a-fail-is-a-fail": "takes a fail with the code declined for any other fail",
    "accepted-for-any-stage": "accepts a result that a close names for another stage",
    "accepted-unread": "does not look at accepted of a close",
    "answers-unread": "does not look at what a message of an attempt answers",
    "any-attempt-completes": "accepts the result of the first attempt that has one",
    "any-reply-closes": "lets a reply count that answers no open question",
    "anyone-replies": "takes replies from anybody",
    "anyone-works": "takes work from others than the executor",
    "artifacts-are-no-results": "does not count results that are artifacts",
    "attempts-do-not-lapse": "leaves an attempt as it is when the next one is awarded",
    "award-of-result-unread": "does not look at award in a result",
    "awards-answer-anything": "takes awards, cancels and closes that do not answer the request",
    "cancel-before-close": "lets a cancel count before a close",
    "cancel-does-not-end-the-task": "leaves the state of a canceled task to its stages",
    "cancel-ends-no-attempt": "leaves attempts and stages as they are at a cancel",
    "cancel-undoes-results": "cancels completed attempts",
    "causes-need-not-be-there": "does not wait for the message that is answered",
    "close-changes-nothing": "leaves the state of a closed task to its stages",
    "completed-needs-no-receipt": "accepts results that a close with the outcome completed does not name",
    "conflict-not-told": "reports the second award of an attempt as not allowed",
    "depth-unread": "orders by events before it orders by answers",
    "executions-are-attempts": "counts attempts in place of results",
    "first-award-to-arrive-stays": "keeps the award that arrived first",
    "first-end-to-arrive-stays": "keeps the cancel or close that arrived first",
    "greater-award-stays": "keeps the award with the greater id",
    "greater-end-stays": "keeps the cancel or close with the greater id",
    "greater-id-goes-first": "applies the greater id first",
    "inputs-in-any-order": "compares inputs without their order",
    "inputs-may-be-fewer": "takes a result that names fewer inputs",
    "inputs-may-be-more": "takes a result that names more inputs",
    "inputs-unread": "does not compare inputs",
    "lapse-undoes-all": "lets completed and failed attempts lapse too",
    "last-of-accepted-counts": "accepts the last result that a close names",
    "offers-cause": "takes an offer for a cause",
    "order-is-that-of-arrival": "applies messages as they arrived",
    "order-is-that-of-sent-ms": "applies messages in the order of sent_ms",
    "order-of-events-unread": "breaks ties by id alone",
    "privacy-of-result-unread": "takes sealed results in public tasks and open ones in sealed tasks",
    "progress-completes": "takes progress with a text for a result",
    "questions-not-shown": "leaves open questions out of the state of the task",
    "sources-count-each-time": "wants a source as often as the prompt names it",
    "sources-need-not-be-there": "judges a result before the sources of its stage have digests",
    "strangers-award": "takes awards, cancels and closes from anybody",
    "table-unread": "applies events that the table does not allow",
    "unawarded-work-not-told": "reports work on what was not awarded as not allowed",
    "unknown-award-not-told": "reports an award of an unknown stage as not allowed",
}

HANDSHAKE = {
    "address-unread": "answers a hello or accept from another address than it names",
    "answers-unread-by-handshakes": "does not look at what an accept or confirm answers",
    "any-thread": "makes up the handshake that an accept or confirm belongs to",
    "confirms-are-to-be-answered": "waits for an answer to a confirm it sent too early",
    "confirmed-version-unread": "does not compare the version of a confirm",
    "downgrade-passes": "takes the version that the responder chose",
    "handshake-table-unread": "takes messages that the table does not allow",
    "no-version-passes": "goes on without a common version",
    "anything-may-be-sent": "sends accepts and confirms that belong to nothing, or are not its own to send",
    "first-accept-stands": "waits for a confirm of the first accept it sent",
    "refused-messages-end-it": "lets a refused message end the handshake",
    "own-list-is-not-that-of-the-hello": "chooses from all versions it speaks, whatever its hello listed",
    "resets-forget-nothing": "keeps its handshakes at a reset",
    "room-unread": "takes accepts and confirms of another room",
    "sender-unread": "takes accepts and confirms of another sender",
    "unknown-time-outs-pass": "ends handshakes that it does not know",
    "versions-are-texts": "compares versions as texts",
    "versions-before-address": "checks versions before the address",
    "versions-before-table": "checks versions before the table",
}

ARTIFACT = {
    "chunk-digests-unread": "does not check the digest of each chunk",
    "chunk-lengths-unread": "does not check the length of each chunk",
    "digests-unread": "does not check any digest",
    "missing-chunks-unseen": "joins what is there",
    "surplus-chunks-unseen": "leaves off what is too much",
    "whole-digest-unread": "does not check the digest of the whole",
}

PROMPT = {
    "angles-not-defused": "leaves < as it is",
    "brackets-not-defused": "leaves [ as it is",
    "c1-controls-stay": "removes no characters beyond ASCII from a block",
    "carriage-returns-stay": "leaves carriage returns in a block",
    "closing-brackets-not-defused": "leaves [ before a slash as it is",
    "controls-stay": "removes nothing from a block",
    "defused-twice": "puts a space behind < also where there is one",
    "each-blank-is-a-space": "replaces each blank by a space of its own",
    "ends-not-trimmed": "leaves spaces at the ends of a line",
    "last-angle-not-defused": "leaves < at the end as it is",
    "last-bracket-not-defused": "leaves [ at the end as it is",
    "lower-case-defused": "puts a space behind [ before small letters too",
    "marks-before-controls": "shortens runs of > before it removes control characters",
    "marks-can-be-forged": "leaves runs of > as they are",
    "marks-in-lines": "shortens runs of > in lines too",
    "only-ascii-is-blank": "takes only blanks of ASCII for blanks",
    "parts-are-lines": "puts a line feed between parts",
    "separators-are-no-blanks": "leaves U+2028 and U+2029 in a line",
    "tabulators-go": "removes tabulators from a block",
    "text-parts-defused": "defuses the requester's own words",
    "three-at-a-time": "replaces each three > and not the longest run",
    "trimmed-last": "trims a line after it was defused",
}

RANK = {
    "key-and-did-run-together": "hashes key and did without U+0000 between them",
    "little-endian-hash": "reads the hash as a little-endian number",
    "lowest-score-first": "puts the lowest score first",
    "no-slots-no-weight": "gives a peer without slots no weight",
    "running-unread": "does not count what runs",
    "slots-unread": "takes every peer to have one slot",
    "waiting-unread": "does not count what waits",
    "weights-unread": "gives every peer the same weight",
}

TRANSCRIPT = {
    "all-after-are-blamed": "checks a link against the computed one in place of the one that stands there",
    "any-object-is-a-line": "takes any object for a header or entry",
    "empty-is-fine": "takes no line at all for a good transcript",
    "half-lines-left-out": "does not look at what follows the last line feed",
    "last-line-need-not-end": "takes a last line without line feed",
    "lengths-unread": "takes texts of any length",
    "lines-are-open": "lets a line have other members",
    "lines-need-not-be-canonical": "takes any JSON for a line",
    "links-stand-alone": "leaves the link of the line before out of a link",
    "links-unread": "does not check links",
    "the-line-after-is-blamed": "blames the line after one that it could not read",
    "words-unread": "takes any plane and any version",
}

MATRIX = {
    "any-number": "takes more than 16 carriers of an event",
    "case-is-folded": "writes names in small letters",
    "edits-are-read": "takes carriers from edits",
    "empty-state-key-passes": "takes carriers from state events with an empty key",
    "hexadecimal-in-lower-case": "writes percent-encoding in small letters",
    "latin-1": "encodes names in Latin-1",
    "new-content-is-read": "takes carriers from m.new_content",
    "notices-alone": "takes carriers only from notices",
    "one-object-is-an-array": "takes an object for an array of one",
    "one-spoils-all": "takes nothing where one value is no object",
    "others-are-left-out": "leaves out values that are no objects",
    "percents-stay": "does not encode per cent signs",
    "redacted-is-read": "takes carriers from redacted events",
    "related-events-are-left-out": "takes no carriers from events with a relation",
    "slashes-escaped": "writes slashes as escapes",
    "slashes-stay": "does not encode slashes in names",
    "state-key-unread": "takes carriers from state events",
    "subdelims-are-encoded": "encodes more than MX-2 says",
    "tilde-is-encoded": "encodes the tilde, as older libraries do",
    "types-unread": "takes carriers from events of any type",
    "null-state-key-passes": "takes a state_key that is null for none",
    "short-escapes-unknown": "writes control characters as six characters each",
    "written-with-escapes": "writes characters beyond ASCII as escapes",
    "written-with-spaces": "writes spaces between members",
}

MUTANTS = {
    "identity": CHAIN,
    "sealing": SEALING,
    "traces": FOLD | TASK,
    "handshake": HANDSHAKE,
    "artifact": ARTIFACT,
    "prompt": PROMPT,
    "rank": RANK,
    "transcript": TRANSCRIPT,
    "matrix": MATRIX,
}
"""For each subject the broken models that its vectors must expose, and what each of them does."""

_KNOWN = {name for group in MUTANTS.values() for name in group}


@dataclass(frozen=True)
class Checks:
    """Which check a model lacks; the empty name is none. Raises KeyError for a name that is not in MUTANTS."""

    broken: str = ""

    def __post_init__(self) -> None:
        if self.broken and self.broken not in _KNOWN:
            raise KeyError(self.broken)

    def hold(self, name: str) -> bool:
        """Whether the model makes the check that this mutant lacks."""
        if name not in _KNOWN:
            raise KeyError(name)
        return name != self.broken


INTACT = Checks()
