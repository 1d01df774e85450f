// Fedify speaks in `Request` and `Response`: this puts them on a port, and keeps what was asked.

import http from "node:http";

import { judging } from "./spans.mjs";

/**
 * A server on a free loopback port. `answer(request)` is to be set; before it come `files` and `statuses` by path, and
 * the scheme of signatures that is `refused`. `seen` tells of every request, `answering` are those that go on.
 */
export async function listen() {
  const site = { origin: "", answer: null, seen: [], files: new Map(), statuses: new Map(), refused: null };
  site.answering = new Set();
  const server = http.createServer((incoming, outgoing) => {
    const answering = serve(site, incoming, outgoing)
      .catch((error) => {
        console.error(error);
        outgoing.writeHead(500).end();
      })
      .finally(() => site.answering.delete(answering));
    site.answering.add(answering);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  site.origin = `http://127.0.0.1:${server.address().port}`;
  return site;
}

async function serve(site, incoming, outgoing) {
  const chunks = [];
  for await (const chunk of incoming) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const request = new Request(`${site.origin}${incoming.url}`, {
    method: incoming.method,
    headers: incoming.headers,
    body: body.length ? body : undefined,
  });
  const seen = {
    method: incoming.method,
    path: incoming.url,
    scheme: schemeOf(request),
    body: body.toString("utf-8"),
    verdict: {},
  };
  site.seen.push(seen);
  const response = await judging(seen.verdict, () => respond(site, request, seen.scheme));
  seen.status = response.status;
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.end(Buffer.from(await response.arrayBuffer()));
}

async function respond(site, request, scheme) {
  const path = new URL(request.url).pathname;
  const status = site.statuses.get(path);
  if (status) return new Response("", { status });
  const file = site.files.get(path);
  if (file) return new Response(file.body, { headers: { "Content-Type": file.type } });
  if (request.method === "POST" && scheme === site.refused) return new Response("", { status: 401 });
  return site.answer(request);
}

function schemeOf(request) {
  if (request.headers.has("Signature-Input")) return "rfc9421";
  return request.headers.has("Signature") ? "cavage" : "none";
}
