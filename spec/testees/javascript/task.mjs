// Chapter 08, Deriving the state (TASK-47): a pure function of the set of a task's messages.

import { STATES } from './tables.mjs';
import { compareTexts } from './encoding.mjs';

const { initial, order, transitions } = STATES.attempt;
const REQUESTERS = new Set(['award', 'cancel', 'close']);

const byId = (a, b) => compareTexts(a.id, b.id);

function eventOf({ envelope }) {
  const event = envelope.type.slice('task.'.length);
  return event === 'fail' && envelope.body.code === 'declined' ? 'reject' : event;
}

/** TASK-39: the sources of a stage, each once. */
const sourcesOf = (stage) =>
  [...new Set(stage.prompt.filter(({ part }) => part === 'data').map(({ source }) => source))];

/** One task: its `state`, its `stages` in the order of the request, and by id the `codes` of what does not count. */
export class Task {
  codes = new Map();
  stages = new Map();
  #request;
  /** All messages that are there, the request among them, offers not. */
  #there;
  /** By stage, then by attempt: the award, and what is to be applied after it. */
  #attempts = new Map();
  #ending;
  /** The digest of each source that has one. */
  #digests = new Map();

  constructor(request, messages) {
    this.#request = request;
    const others = messages.filter(({ envelope }) => envelope.type !== 'task.offer');
    this.#there = new Map([request, ...others].map((message) => [message.id, message]));
    const { body } = request.envelope;
    for (const stage of body.stages) this.#attempts.set(stage.id, new Map());
    for (const input of body.inputs) this.#digests.set(input.name, input.digest);
    this.#sortOut(others);
    for (const stage of body.stages) this.#foldStage(stage);
    this.state = this.#overall();
  }

  #sortOut(messages) {
    const awards = [];
    const endings = [];
    const rest = [];
    for (const message of messages) {
      const code = this.#fault(message);
      const event = eventOf(message);
      if (code) this.codes.set(message.id, code);
      else if (event === 'award') awards.push(message);
      else if (REQUESTERS.has(event)) endings.push(message);
      else rest.push(message);
    }
    for (const award of awards.sort(byId)) {
      const attempts = this.#attempts.get(award.envelope.body.stage);
      const { attempt } = award.envelope.body;
      if (attempts.has(attempt)) this.codes.set(award.id, 'task.conflict'); // TASK-23
      else attempts.set(attempt, { award, messages: [award] });
    }
    // TASK-42: a close before a cancel; "close" is also the later word.
    endings.sort((a, b) => compareTexts(b.envelope.type, a.envelope.type) || byId(a, b));
    for (const message of endings.slice(1)) this.codes.set(message.id, 'task.not_allowed');
    [this.#ending] = endings;
    for (const message of rest) {
      const { stage, attempt } = message.envelope.body;
      const place = this.#attempts.get(stage)?.get(attempt);
      if (place) place.messages.push(message);
      else this.codes.set(message.id, 'task.unknown_stage');
    }
  }

  /** Steps 1 to 4 of sorting out, for one message. */
  #fault({ envelope }) {
    if (!this.#there.has(envelope.answers)) return 'state.waiting';
    const event = envelope.type.slice('task.'.length);
    if (!REQUESTERS.has(event)) return undefined;
    if (envelope.sender !== this.#request.envelope.sender) return 'task.not_permitted';
    if (envelope.answers !== this.#request.id) return 'task.not_allowed';
    return event === 'award' && !this.#attempts.has(envelope.body.stage) ? 'task.unknown_stage' : undefined;
  }

  #depth(message) {
    let depth = 0;
    let at = this.#there.get(message.envelope.answers);
    for (; at; at = this.#there.get(at.envelope.answers)) depth += 1;
    return depth;
  }

  #foldStage(stage) {
    const numbers = [...this.#attempts.get(stage.id).keys()].sort((a, b) => a - b);
    const attempts = numbers.map((number) => this.#foldAttempt(stage, this.#attempts.get(stage.id).get(number)));
    if (this.#ending?.envelope.type === 'task.cancel') for (const attempt of attempts) attempt.apply('cancel');
    for (const attempt of attempts.slice(0, -1)) attempt.apply('lapse'); // TASK-31
    const accepted = this.#accepted(stage.id, attempts);
    if (accepted) this.#digests.set(stage.id, accepted.envelope.body.output_digest);
    this.stages.set(stage.id, {
      state: this.#stageState(attempts, accepted),
      attempts: attempts.map(({ state }) => state),
      executions: attempts.filter(({ result }) => result).length,
      accepted: accepted?.id,
    });
  }

  #foldAttempt(stage, { award, messages }) {
    const attempt = new Attempt(award);
    const rows = messages.map((message) => [message, this.#depth(message), order.indexOf(eventOf(message))]);
    rows.sort(([a, ...x], [b, ...y]) => x[0] - y[0] || x[1] - y[1] || byId(a, b));
    for (const [message] of rows) {
      const code = this.#misplaced(stage, attempt, message);
      if (code) this.codes.set(message.id, code);
      else attempt.take(message);
    }
    return attempt;
  }

  /** Steps 1 to 4 for one message of an attempt: why it does not count. */
  #misplaced(stage, attempt, message) {
    const { award } = attempt;
    const { sender, answers, body } = message.envelope;
    const event = eventOf(message);
    if (message !== award) {
      const speaker = event === 'reply' ? this.#request.envelope.sender : award.envelope.recipients[0];
      if (sender !== speaker) return 'task.not_permitted';
      const answered = event === 'reply' ? [attempt.question] : [award.id, attempt.last];
      if (!answered.includes(answers)) return 'task.not_allowed';
    }
    if (event === 'result') {
      const code = this.#misread(stage, award, body);
      if (code) return code;
    }
    return event in transitions[attempt.state] ? undefined : 'task.not_allowed';
  }

  /** Step 3. */
  #misread(stage, award, body) {
    const unfit = this.#request.envelope.body.privacy === 'public' ? 'sealed' : 'text';
    if (body.award !== award.id || Object.hasOwn(body, unfit)) return 'task.not_allowed';
    const sources = sourcesOf(stage);
    if (!sources.every((source) => this.#digests.has(source))) return 'state.waiting';
    const right = body.inputs.length === sources.length && body.inputs.every(({ source, digest }, index) =>
      source === sources[index] && digest === this.#digests.get(source));
    return right ? undefined : 'task.input_mismatch';
  }

  #accepted(stageId, attempts) {
    const close = this.#close;
    if (close) {
      const named = close.accepted.filter(({ stage }) => stage === stageId).map(({ result }) => result);
      const taken = attempts.find(({ result }) => result && named.includes(result.id));
      if (taken || close.outcome === 'completed') return taken?.result;
    }
    return attempts.at(-1)?.result;
  }

  #stageState(attempts, accepted) {
    if (attempts.length === 0) return this.#ending?.envelope.type === 'task.cancel' ? 'canceled' : initial;
    return accepted ? 'completed' : attempts.at(-1).state;
  }

  get #close() {
    return this.#ending?.envelope.type === 'task.close' ? this.#ending.envelope.body : undefined;
  }

  #overall() {
    if (this.#ending) return this.#close?.outcome ?? 'canceled';
    const states = [...this.stages.values()].map(({ state }) => state);
    if (states.every((state) => state === 'completed')) return 'completed';
    if (states.includes('input_required')) return 'input_required';
    return states.every((state) => state === initial) ? initial : 'working';
  }
}

/** One attempt of one stage, as far as it was folded. */
class Attempt {
  state = initial;
  question;
  result;

  constructor(award) {
    this.award = award;
    this.last = award.id;
  }

  /** Step 5. */
  take(message) {
    const event = eventOf(message);
    this.apply(event);
    if (event === 'ask') this.question = message.id;
    if (event === 'result') this.result = message;
    if (event === 'reply') {
      this.question = undefined;
      this.last = message.id;
    }
  }

  /** Where the table does not allow the event, nothing changes. */
  apply(event) {
    this.state = transitions[this.state][event] ?? this.state;
  }
}
