"""What real agents do stands in their logs, with the reason, and nothing of what they said."""

from __future__ import annotations

from pathlib import Path

from bots.agent import Agent
from bots.audit.check import Report, check
from bots.audit.files import folder_of
from bots.audit.opening import open_audit
from bots.audit.reading import entries, read_log
from bots.audit.records import AnyEntry, Counted, Keys, Received, Signed, Spoke, Started, Stopped
from bots.audit.witness import RECEIVED_PER_MINUTE
from bots.errors import EngineError
from bots.events import MessageSeen, Notice
from bots.recorder import Recorder
from clawnet_proto.carrier import verify
from clawnet_proto.families import task
from clawnet_proto.signing import digest
from clawnet_proto.specification import ERRORS
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import QUESTION, Member, Room, generate, order, request
from tests.agent.stranger import Stranger
from tests.agent.virtual_time import in_virtual_time, until

SECRET = "The cake is in the cellar."


def audited(member: Member) -> Member:
    """The same agent, with its witness from every start on."""
    bare = member.open

    def with_witness(recorder: Recorder | None = None) -> Agent:
        agent = bare(recorder)
        agent.attend(open_audit(member.config, member.folder, lambda: agent.identity, agent.clock, agent.notify))
        return agent

    member.open = with_witness  # type: ignore[method-assign]
    return member


async def crowd(room: Room, **engines: ScriptedEngine | None) -> list[Member]:
    """Running agents with witnesses that know each other."""
    members = [audited(room.member(name, engine)) for name, engine in engines.items()]
    for member in members:
        await member.start()
    await room.acquainted()
    return members


def log_of(member: Member) -> list[AnyEntry]:
    files, _ = read_log(folder_of(member.folder, member.did))
    return [entry for entry in entries(files) if entry is not None]


def verified(member: Member) -> Report:
    files, head = read_log(folder_of(member.folder, member.did))
    report = check(files, head, identity=member.did, chain=member.agent.identity.chain)
    assert report.intact, report.fault
    return report


def bytes_of(member: Member) -> bytes:
    return b"".join(path.read_bytes() for path in folder_of(member.folder, member.did).iterdir())


def signed(member: Member, *types: str) -> list[Signed]:
    return [entry for entry in log_of(member) if isinstance(entry, Signed) and entry.type in types]


def received(member: Member, *types: str) -> list[Received]:
    return [entry for entry in log_of(member) if isinstance(entry, Received) and entry.type in types]


def spoken(member: Member) -> list[str]:
    """What its plain words were an answer to."""
    return [entry.root for entry in log_of(member) if isinstance(entry, Spoke)]


@in_virtual_time
async def test_a_task_stands_in_both_logs_with_who_and_why(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada, bert = await crowd(room, ada=None, bert=ScriptedEngine([SECRET]))
        task_id = ada.ask(order(generate("draft"), question=SECRET))
        assert (await ada.outcome(task_id)).outcome == "completed"
        await bert.stop()
        await ada.stop()
        asked, awarded, closed = signed(ada, "task.request", "task.award", "task.close")
        assert (asked.id, asked.task, asked.stage, asked.answers) == (task_id, task_id, "draft", "")
        assert (awarded.task, awarded.stage, awarded.attempt, awarded.to) == (task_id, "draft", 1, (bert.did,))
        assert (closed.answers, closed.rule) == (task_id, "completed")
        (taken,) = received(bert, "task.award")
        assert (taken.id, taken.sender, taken.answers) == (awarded.id, ada.did, task_id)
        offered, started, result = signed(bert, "task.offer", "task.start", "task.result")
        assert (offered.answers, started.answers, result.task) == (task_id, awarded.id, task_id)
        (accepted,) = received(ada, "task.result")
        assert (accepted.id, accepted.digest) == (result.id, result.digest) == (result.id, digest(SECRET.encode()))
        for member in (ada, bert):
            verified(member)
            assert isinstance(log_of(member)[-2], Stopped)


@in_virtual_time
async def test_nothing_that_anybody_wrote_stands_in_a_log(tmp_path: Path) -> None:
    async with Room(tmp_path, public=False) as room:
        ada, bert = await crowd(room, ada=None, bert=ScriptedEngine([SECRET]))
        await ada.outcome(ada.ask(order(generate(), question=f"{QUESTION} {SECRET}")))
        await ada.outcome(ada.ask(order(generate(), question=SECRET, private=True)))
        room.stranger("paul").write(f"!claw ask {SECRET}")
        await until(lambda: signed(ada, "task.request")[2:] or signed(bert, "task.request"))
        await ada.stop()
        await bert.stop()
        for member in (ada, bert):
            text = bytes_of(member)
            assert SECRET.encode() not in text and QUESTION.encode() not in text
            for key in (member.folder / "keys").glob("*.key"):
                assert key.read_text().strip().partition(":")[2].encode() not in text


@in_virtual_time
async def test_everything_that_was_signed_stands_in_the_log_or_is_counted(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada, bert = await crowd(room, ada=None, bert=ScriptedEngine([1.0, "a", 1.0, "b", 1.0]))
        for _ in range(3):
            await ada.outcome(ada.ask(order(generate())))
        await ada.stop()
        await bert.stop()
        for member in (ada, bert):
            sent = room.network.posted(by=member.address) + room.network.sent(by=member.address)
            noted = {entry.id for entry in log_of(member) if isinstance(entry, Signed)}
            counted = {kind for entry in log_of(member) if isinstance(entry, Counted) for kind in entry.signed}
            assert sent
            assert {message.id for message in sent if message.id not in noted} == {
                message.id for message in sent if message.type in counted
            }
            assert counted <= {"handshake.hello", "handshake.accept", "handshake.confirm", "task.progress"}


@in_virtual_time
async def test_work_that_is_declined_or_fails_is_noted_with_its_code(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        broken = ScriptedEngine([EngineError("engine.failed", "Out of order.", retryable=False)])
        ada, bert = await crowd(room, ada=None, bert=broken)
        await ada.outcome(ada.ask(order(generate())))
        assert [entry.rule for entry in signed(bert, "task.fail")] == ["engine.failed"]
        assert [entry.rule for entry in received(ada, "task.fail")] == ["engine.failed"]
        eve = room.stranger("eve")
        eve.announce()
        declined = ask_too_much(eve, bert)
        await until(lambda: room.network.posted("task.fail", by=bert.address)[1:])
        last = signed(bert, "task.fail")[-1]
        assert (last.rule, last.task, last.to) == ("declined", declined, (eve.did,))
        assert received(bert, "task.award")[-1].id == last.answers


def ask_too_much(eve: Stranger, member: Member) -> str:
    """A stranger awards a member more work than anybody does; the id of the task."""
    asked = eve.says(request(generate(max_tokens=4000)), recipients=(member.did,))
    task_id = verify(asked).id
    body = task.Award(stage="answer", attempt=1, lease_ms=15_000)
    award = eve.says(body, recipients=(member.did,), thread=task_id, answers=task_id)
    eve.post(asked, award)
    return task_id


@in_virtual_time
async def test_a_question_of_a_person_is_the_reason_of_what_is_done_for_it(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada, bert = await crowd(room, ada=ScriptedEngine(["yes"]), bert=ScriptedEngine(["no"]))
        event = room.stranger("paul").write("ada: What is a mesh?")
        await until(lambda: room.network.posted("task.close"))
        (asked,) = signed(ada, "task.request")
        assert asked.behalf == event
        wanted = room.stranger("paul").write("!claw peers")
        await until(lambda: spoken(ada) + spoken(bert))
        assert spoken(ada) + spoken(bert) == [wanted]


@in_virtual_time
async def test_what_somebody_else_says_about_our_task_is_noted_as_refused(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada, bert = await crowd(room, ada=None, bert=ScriptedEngine([60.0, "yes"]))
        task_id = ada.ask(order(generate()))
        await until(lambda: signed(bert, "task.start"))
        eve = room.stranger("eve")
        eve.post(eve.announcement(), eve.says(task.Cancel(), thread=task_id, answers=task_id))
        await until(lambda: received(ada, "task.cancel") and received(bert, "task.cancel"))
        for member in (ada, bert):
            (refused,) = received(member, "task.cancel")
            assert (refused.sender, refused.task) == (eve.did, task_id)
            assert refused.refused in ERRORS
        ada.agent.requester.cancel(task_id, "never mind")
        (canceled,) = signed(ada, "task.cancel")
        assert canceled.answers == task_id
        await until(lambda: received(bert, "task.cancel")[1:])
        assert received(bert, "task.cancel")[1].id == canceled.id and not received(bert, "task.cancel")[1].refused


@in_virtual_time
async def test_a_flood_of_garbage_fills_no_log(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        (ada,) = await crowd(room, ada=None)
        eve = room.stranger("eve")
        before = len(bytes_of(ada))
        for _ in range(2000):
            eve.post({"clawnet": "1", "kid": eve.did, "env": "{}", "sig": "A" * 86})
        await until(lambda: ada.agent.intake.refused >= 2000)
        await ada.stop()
        (counted,) = [entry for entry in log_of(ada) if isinstance(entry, Counted) and entry.refused]
        assert sum(counted.refused.values()) == 2000
        assert len(bytes_of(ada)) - before < 10_000


@in_virtual_time
async def test_a_flood_of_signed_work_is_noted_as_far_as_it_goes_and_then_counted(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        (bert,) = await crowd(room, bert=ScriptedEngine(["yes"]))
        eve = room.stranger("eve")
        eve.announce()
        began = room.network.now_ms()
        tasks = {ask_too_much(eve, bert) for _ in range(RECEIVED_PER_MINUTE)}
        await until(lambda: tasks <= {event.thread for event in bert.told(MessageSeen)})
        minutes = (room.network.now_ms() - began) / 60_000
        await bert.stop()
        noted = len(received(bert, "task.request", "task.award"))
        counted = sum(entry.left_out for entry in log_of(bert) if isinstance(entry, Counted))
        assert RECEIVED_PER_MINUTE <= noted <= RECEIVED_PER_MINUTE * (1 + minutes)
        assert noted + counted == 2 * RECEIVED_PER_MINUTE
        verified(bert)


@in_virtual_time
async def test_a_rotation_and_a_crash_leave_one_log_that_verifies(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada, bert = await crowd(room, ada=None, bert=ScriptedEngine(["yes"]))
        await ada.outcome(ada.ask(order(generate())))
        bert.agent.keys.rotate()
        await until(lambda: len(room.network.posted("identity.rotate")) == 1)
        await bert.crash()
        await bert.start()
        await room.acquainted()
        await ada.outcome(ada.ask(order(generate())))
        await bert.stop()
        report = verified(bert)
        assert report.identity == bert.did and report.key == bert.agent.identity.key.did != bert.did
        assert [len(entry.chain) for entry in log_of(bert) if isinstance(entry, Keys)] == [0, 1, 1]
        assert sum(isinstance(entry, Started) for entry in log_of(bert)) == 2
        assert len(signed(bert, "task.result")) == 2


@in_virtual_time
async def test_a_disk_that_takes_no_log_stops_no_work_and_is_told(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = audited(room.member("ada"))
        bert = audited(room.member("bert", ScriptedEngine(["yes"])))
        in_the_way = folder_of(bert.folder, bert.did)
        in_the_way.parent.mkdir(parents=True)
        in_the_way.write_text("in the way")
        await ada.start()
        await bert.start()
        await room.acquainted()
        assert (await ada.outcome(ada.ask(order(generate())))).outcome == "completed"
        assert bert.agent.audit is not None and bert.agent.audit.health.fault
        in_the_way.unlink()
        await until(lambda: "written again" in bert.told(Notice)[-1].text)
        await bert.stop()
        verified(bert)
        assert len(signed(bert, "task.result")) == 1


@in_virtual_time
async def test_what_is_new_is_signed_soon_even_if_nothing_more_happens(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        (ada,) = await crowd(room, ada=None)
        assert ada.agent.audit is not None
        audit = ada.agent.audit
        await until(lambda: audit.health.unsigned == 0)
        assert verified(ada).unsigned == 0
