// An ActivityPub server by Fedify for ClawNet's tests. It says where it is, then obeys commands: lines of JSON on standard
// input, each answered by a line on standard output, until standard input ends.

import readline from "node:readline";

import { enliven, federate, received, rekey } from "./federation.mjs";
import * as reading from "./reading.mjs";
import * as sending from "./sending.mjs";
import { tamperings } from "./tampering.mjs";
import { listen } from "./web.mjs";

const COMMANDS = {
  ...reading,
  ...sending,
  enliven,
  received,
  rekey,
  tamperings,
  /** What this peer was asked since `after` requests, and what Fedify thought of it. */
  seen: async (peer, { after = 0 }) => {
    await Promise.all(peer.site.answering);
    return peer.site.seen.slice(after);
  },
  followers: (peer, { name }) => peer.actors.get(name).followers.map((actor) => actor.id.href),
  /** Serve a file: `{path, type, body}`. */
  serve: (peer, { path, type, body }) => {
    peer.site.files.set(path, { type, body });
    return peer.site.origin + path;
  },
  /** Refuse a scheme of signatures from now on: cavage, rfc9421, or null for none. */
  refuse: (peer, { scheme }) => {
    peer.site.refused = scheme;
  },
  /** Answer a path with a status, whatever comes; without one, as usual again. */
  pretend: (peer, { path, status }) => {
    if (status) peer.site.statuses.set(path, status);
    else peer.site.statuses.delete(path);
  },
};

const site = await listen();
const peer = federate(site);
console.log(JSON.stringify({ origin: site.origin }));

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { do: name, ...command } = JSON.parse(line);
  console.log(JSON.stringify(await answer(COMMANDS[name], command)));
}
process.exit(0);

async function answer(obey, command) {
  try {
    return { result: (await obey(peer, command)) ?? null };
  } catch (error) {
    return { error: String(error?.stack ?? error) };
  }
}
