import asyncio, time
from tests.end_to_end.conftest import *
from tests.end_to_end.agent_process import *
from pathlib import Path

async def test_cli(homeserver, new_agent, new_client, new_room, tmp_path):
    founder = await new_client("founder")
    room = await new_room(founder)
    a = await new_agent("zed", room, *NO_MODEL)
    hs = a.account.homeserver
    name = hs.split("//")[1]
    async def do(*args, t=60, **kw):
        start=time.time()
        try:
            f = await a.clawbot(*args, timeout_s=t, **kw)
            print(f"$ clawbot {' '.join(args)} {kw}\n-> {f.status} {time.time()-start:.1f}s\nOUT {f.out[:1500]}ERR {f.err[:3000]}\n")
        except TimeoutError:
            print(f"$ clawbot {' '.join(args)} {kw}\n-> TIMEOUT {time.time()-start:.1f}s")
    async def run_(*args, t=6):
        a.log_path.unlink(missing_ok=True)
        a.start(*args)
        await asyncio.sleep(t)
        print("$ run", args, "alive" if a.pid else "dead")
        print(a.log)
        if a.pid: print(await a.stop(), a.log[-300:])
    await run_("--homeserver", "http://127.0.0.1:9")
    await run_("--room", "#nowhere:"+name)
    private = await new_room(founder, public=False)
    await run_("--room", private)
    await run_("--model-path", "/nonexistent.gguf", "--engine", "llamacpp")
    await run_("--record", "/nonexistent/x.jsonl")
    a.start(); await a.ready()
    await do("run")
    await do("ask", "hi", "--record", "x")
    await do("watch", "--record", "x", t=5)
    await a.stop()
    b = await new_agent("lost", "#nowhere:localhost:1", *NO_MODEL)
    f = await b.clawbot("ask", "hi", timeout_s=80); print(f)
    f = await b.clawbot("peers", "--room", "#nowhere:"+name, timeout_s=80); print(f)
    f = await b.clawbot("run", "--room", "nonsense", timeout_s=80); print(f)
    f = await b.clawbot("run", "--record", "log", timeout_s=80); print(f)
    f = await b.clawbot("ask", "hi", "--private", timeout_s=80, CLAWNET_MATRIX_ROOMS=room); print(f.out, f.err)
