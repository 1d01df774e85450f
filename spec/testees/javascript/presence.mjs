// Chapters 04 and 06: what an identity says of itself, and who is live.

import { TYPES } from './tables.mjs';
import { compareTexts } from './encoding.mjs';

const names = ({ envelope }, address) => envelope.body.addresses.some(({ uri }) => uri === address);

/** Whether it came from an address that it names (PRE-10, PRE-12). */
const isBound = (announce) => [...announce.origins].some((address) => names(announce, address));

/** PRE-10: the better of two announces first. */
const compareAnnounces = (a, b) =>
  isBound(b) - isBound(a) || b.envelope.body.revision - a.envelope.body.revision || compareTexts(b.id, a.id);

/** ID-27: the presence of one identity, from all its messages. That of a disputed or revoked one is empty. */
export class Presence {
  constructor(chain, messages) {
    const own = chain.standing === 'good' ? messages.filter(({ envelope }) => envelope.kid === chain.last) : [];
    const ofType = (type) => own.filter(({ envelope }) => envelope.type === type);
    const announces = ofType('presence.announce');
    [this.announce] = announces.sort(compareAnnounces);
    this.bound = this.announce !== undefined && isBound(this.announce);
    // ID-10
    this.addresses = new Set(announces.flatMap((announce) =>
      [...announce.origins].filter((address) => names(announce, address))));
    const revisions = announces.map(({ envelope }) => envelope.body.revision);
    const highest = Math.max(...revisions);
    this.equivocates = revisions.filter((revision) => revision === highest).length > 1; // ID-16
    this.left = Math.max(-1, ...ofType('presence.leave').map(({ envelope }) => envelope.body.revision));
    this.heard = Math.max(...own.map(({ envelope }) => envelope.sent_ms));
  }

  /** PRE-12 */
  isLive(now) {
    if (!this.announce) return false;
    const { type, body, sent_ms: sent, expires_ms: expires } = this.announce.envelope;
    return body.revision > this.left && expires > now && sent <= now + TYPES.get(type).skew_ms;
  }

  /** ID-11, of a message that came from `origins`. */
  binding(origins) {
    if (this.addresses.size === 0) return 'unbound';
    return [...origins].some((address) => this.addresses.has(address)) ? 'bound' : 'relayed';
  }
}

/** For each address those who proved it, dids in ascending order. `presences` maps dids to Presences. */
export function holders(presences) {
  const all = new Map();
  for (const did of [...presences.keys()].sort(compareTexts)) {
    for (const address of presences.get(did).addresses) {
      if (!all.has(address)) all.set(address, []);
      all.get(address).push(did);
    }
  }
  return all;
}

/** PRE-13: the live peers of a room, ascending. */
export function livePeers(presences, now) {
  const chosen = new Set();
  for (const dids of holders(presences).values()) {
    const live = dids.filter((did) => presences.get(did).bound && presences.get(did).isLive(now));
    // A stable sort: of those heard of at the same time the lesser did stays first.
    const [latest] = live.sort((a, b) => presences.get(b).heard - presences.get(a).heard);
    if (latest !== undefined) chosen.add(latest);
  }
  return [...chosen].sort(compareTexts);
}
