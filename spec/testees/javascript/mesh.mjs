// Chapter 10: the fold of one room, from the set of pairs (message, address).

import { Chain } from './chain.mjs';
import { demand } from './tables.mjs';
import { compareTexts } from './encoding.mjs';
import { demandLifetime, demandPlane } from './message.mjs';
import { Presence, holders, livePeers } from './presence.mjs';
import { Task } from './task.mjs';

// What a message with one of these codes says does not exist for a task (ID-26).
const ABSENT = new Set(['key.disputed', 'key.unproven', 'key.not_authorized']);

const isTask = ({ envelope }) => envelope.type.startsWith('task.');

function groupBy(items, keyOf) {
  const groups = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(item);
  }
  return groups;
}

export class Mesh {
  #messages = new Map();

  constructor(room) {
    this.room = room;
  }

  /** FOLD-1, FOLD-3 */
  add({ id, envelope }, plane, address) {
    demandPlane(envelope, plane);
    demand(envelope.room === this.room, 'room.mismatch');
    demandLifetime(envelope);
    if (!this.#messages.has(id)) this.#messages.set(id, { id, envelope, origins: new Set() });
    this.#messages.get(id).origins.add(address);
  }

  /** The state at the moment `now` (testee.md, The fold). Nothing is kept of it: FOLD-15 holds by itself. */
  state(now) {
    const arrived = [...this.#messages.values()];
    const messages = withoutOldProgress(arrived);
    // Of all that arrived, for a peer is heard of also by progress that is not kept (PRE-13).
    const bySender = groupBy(arrived, ({ envelope }) => envelope.sender);
    const chains = new Map([...bySender].map(([did, all]) => [did, new Chain(did, all)]));
    const authority = ({ envelope }) => chains.get(envelope.sender).judge(envelope);
    const presences = new Map([...bySender].map(([did, all]) => [did, new Presence(chains.get(did), all)]));

    const existing = messages.filter((message) => isTask(message) && !ABSENT.has(authority(message)));
    const threads = groupBy(existing, ({ envelope }) => envelope.thread);
    const tasks = new Map(existing
      .filter(({ envelope }) => envelope.type === 'task.request')
      .map((request) => [request.id, new Task(request, threads.get(request.id) ?? [])]));

    const verdict = (message) => {
      const { sender, thread } = message.envelope;
      const answer = isTask(message) && thread !== undefined;
      const code = authority(message)
        ?? (answer && !tasks.has(thread) ? 'state.waiting' : undefined)
        ?? (answer ? tasks.get(thread).codes.get(message.id) : undefined);
      return { binding: presences.get(sender).binding(message.origins), code };
    };
    const known = new Set(messages.filter((message) => authority(message) !== 'key.unproven')
      .map(({ envelope }) => envelope.sender));

    // Object.fromEntries makes own members of all keys, `__proto__` among them.
    return {
      peers: Object.fromEntries([...known].map((did) => [did, peer(chains.get(did), presences.get(did))])),
      conflicts: Object.fromEntries([...holders(presences)].filter(([, dids]) => dids.length > 1)),
      live: livePeers(presences, now),
      messages: Object.fromEntries(messages.map((message) => [message.id, verdict(message)])),
      tasks: Object.fromEntries([...tasks].map(([id, { state, stages }]) =>
        [id, { state, stages: Object.fromEntries(stages) }])),
    };
  }
}

const peer = (chain, presence) => ({
  key: chain.last,
  standing: chain.standing,
  announce: presence.announce?.id,
  bound: presence.bound,
  addresses: [...presence.addresses].sort(compareTexts),
  equivocates: presence.equivocates,
});

/** FOLD-8. By key, too: otherwise anybody could, in another's name, put that one's progress out of the set. */
function withoutOldProgress(messages) {
  const newest = new Map();
  const isProgress = ({ envelope }) => envelope.type === 'task.progress';
  const place = ({ sender, kid, thread, body }) => JSON.stringify([sender, kid, thread, body.stage, body.attempt]);
  for (const message of messages.filter(isProgress)) {
    const key = place(message.envelope);
    const other = newest.get(key);
    if (!other || compareProgress(message, other) > 0) newest.set(key, message);
  }
  return messages.filter((message) => !isProgress(message) || newest.get(place(message.envelope)) === message);
}

const compareProgress = (a, b) => a.envelope.body.index - b.envelope.body.index || compareTexts(a.id, b.id);
