// Chapter 07: one side of all handshakes of one peer.

import { STATES, demand } from './tables.mjs';

const { initial, transitions } = STATES.handshake;

/** HS-4: the highest version in both lists, or undefined. */
function choose(ours, theirs) {
  const common = ours.filter((version) => theirs.includes(version));
  return common.sort((a, b) => Number(b) - Number(a))[0];
}

export class Handshakes {
  /** By the id of the hello (HS-2). `ours` is the type of the message that is ours to send after it. */
  #all = new Map();

  constructor(versions) {
    this.versions = versions;
  }

  /** A message of ours. Only a hello is an event of the table; of the others the id is remembered. */
  send({ id, envelope }) {
    if (envelope.type === 'handshake.hello') {
      const facts = { ours: 'handshake.confirm', peer: envelope.recipients[0], room: envelope.room };
      return this.#begin(id, 'send_hello', { ...facts, versions: envelope.body.versions });
    }
    const handshake = this.#all.get(envelope.thread);
    demand(handshake?.ours === envelope.type, 'handshake.not_allowed');
    if (envelope.type === 'handshake.accept') handshake.accept = id;
    return report(handshake);
  }

  /** A message for us, delivered by `address`. */
  receive({ id, envelope }, address) {
    switch (envelope.type) {
      case 'handshake.hello': return this.#receiveHello(id, envelope, address);
      case 'handshake.accept': return this.#receiveAccept(envelope, address);
      default: return this.#receiveConfirm(envelope);
    }
  }

  #receiveHello(id, envelope, address) {
    demand(!this.#all.has(id), 'handshake.not_allowed');
    demand(envelope.body.address.uri === address, 'handshake.not_allowed'); // HS-9
    const version = choose(this.versions, envelope.body.versions);
    demand(version, 'handshake.no_version');
    const facts = { ours: 'handshake.accept', peer: envelope.sender, room: envelope.room };
    return this.#begin(id, 'receive_hello', { ...facts, version });
  }

  #receiveAccept(envelope, address) {
    const handshake = this.#expected(envelope, 'receive_accept', envelope.thread);
    demand(envelope.body.address.uri === address, 'handshake.not_allowed');
    // HS-5: computed again, so that nobody talks the two down.
    const version = choose(handshake.versions, envelope.body.versions);
    demand(version && envelope.body.version === version, 'handshake.no_version');
    handshake.version = version;
    return advance(handshake, 'receive_accept');
  }

  #receiveConfirm(envelope) {
    const handshake = this.#expected(envelope, 'receive_confirm', this.#all.get(envelope.thread)?.accept);
    demand(envelope.body.version === handshake.version, 'handshake.no_version'); // HS-6
    return advance(handshake, 'receive_confirm');
  }

  timeOut(thread) {
    const handshake = this.#all.get(thread);
    demand(handshake, 'handshake.not_allowed');
    return advance(handshake, 'time_out');
  }

  #begin(id, event, facts) {
    const handshake = this.#all.get(id) ?? { state: initial, ...facts };
    const result = advance(handshake, event);
    this.#all.set(id, handshake);
    return result;
  }

  /** HS-1: the handshake an answer belongs to, if the table and the message itself allow it. */
  #expected({ thread, sender, room, answers }, event, answered) {
    const handshake = this.#all.get(thread);
    demand(handshake && event in transitions[handshake.state], 'handshake.not_allowed');
    demand(sender === handshake.peer && room === handshake.room, 'handshake.not_allowed');
    demand(answers === answered, 'handshake.not_allowed');
    return handshake;
  }
}

function advance(handshake, event) {
  demand(event in transitions[handshake.state], 'handshake.not_allowed');
  handshake.state = transitions[handshake.state][event];
  return report(handshake);
}

const report = ({ state, version }) => (version === undefined ? { state } : { state, version });
