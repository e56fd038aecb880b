/**
 * One chat room as this client knows it. Pure logic: no DOM, and every clock can be given.
 *
 * The server's sequence numbers are the truth. The cursor is the number up to which nothing is
 * missing; it moves to the `to` of a history page or to the message that follows it, and on a jump
 * the missing ones are asked for. What a person writes stays in the outbox until it is acknowledged
 * and is sent again with the same `cid`, which the server stores once.
 *
 * Events: `change` after anything that is shown; `arrive` (detail: message) for a new message of
 * somebody else.
 */

import { MemoryOutbox } from "./outbox.js";

export const OUTBOX_LIMIT = 200;
const IN_FLIGHT = 16;
const PAGE = 200;
const OLDER_PAGE = 50;
const ACK_MS = 10_000;
const JUMP_MS = 200;
const FLUSH_MS = 1_000;
const TRIES = 3;
const TYPING_EVERY_MS = 3_000;
const TYPING_IDLE_MS = 5_000;
const TYPING_TTL_S = 6;
const READ_EVERY_MS = 2_000;
const REFUSALS = new Set([
  "bad_request", "bad_json", "too_large", "unsupported_kind", "forbidden", "not_found", "room_closed", "cid_conflict",
]);

/**
 * A message on the screen. `seq` is null until the server has stored it.
 * @typedef {object} Message
 * @property {number | null} seq
 * @property {string | null} id
 * @property {string} cid
 * @property {{id: string, role?: string, name?: string}} sender
 * @property {string} kind
 * @property {string} content
 * @property {string} content_ne
 * @property {any} attachment
 * @property {string | number} ts
 * @property {"sending" | "sent" | "read" | "failed" | "received"} state
 * @property {{message: string, message_ne: string} | null} [fault] why it failed, when the server said so
 */

/** @typedef {import("./outbox.js").Entry & {tries: number, sentAt: number, failed: boolean, fault: any}} Pending */

const realClock = {
  now: () => Date.now(),
  setTimeout: (/** @type {() => void} */ run, /** @type {number} */ ms) => /** @type {any} */ (setTimeout(run, ms)),
  clearTimeout: (/** @type {any} */ id) => clearTimeout(id),
};

export class ChatStore extends EventTarget {
  /**
   * @param {object} given
   * @param {string} given.me the reader's user id
   * @param {EventTarget & {send(frame: Record<string, unknown>): boolean, ready: boolean}} given.socket
   * @param {{load(): Promise<any[]>, put(entry: any): Promise<void>, remove(cid: string): Promise<void>}} [given.outbox]
   * @param {typeof realClock} [given.clock]
   * @param {() => string} [given.makeId]
   */
  constructor({ me, socket, outbox = new MemoryOutbox(), clock = realClock, makeId = () => crypto.randomUUID() }) {
    super();
    this.me = me;
    this.socket = socket;
    this.outbox = outbox;
    this.clock = clock;
    this.makeId = makeId;
    /** @type {Map<number, any>} stored messages by sequence number */
    this.stored = new Map();
    /** @type {Map<string, Pending>} by cid, in the order of writing */
    this.pending = new Map();
    this.cursor = 0;
    this.head = 0;
    /** @type {string | null} */
    this.epoch = null;
    /** @type {Record<string, number>} */
    this.reads = {};
    /** The reader's mark when the room was opened; null before. @type {number | null} */
    this.openedAt = null;
    /** @type {Map<string, any>} user id to the timer that forgets him */
    this.typists = new Map();
    /** @type {Record<string, {state: string, last_seen: string | null}>} */
    this.presence = {};
    this.closed = false;
    this.loaded = false;
    this.loadingOlder = false;
    /** Before which message earlier ones were asked for last; 0 when there is no answer to wait for. */
    this.olderThan = 0;
    /** Missing messages are asked for, and there is no answer yet. */
    this.syncing = false;
    this.live = false;
    /** The server asked to wait before the next send. */
    this.held = false;
    this.fault = null;
    this.timers = /** @type {Record<string, any>} */ ({});
    this.typedAt = -Infinity;
    this.typingOn = false;
    this.readSentAt = -Infinity;
    this.readWanted = 0;
    socket.addEventListener("frame", (event) => this.receive(/** @type {CustomEvent} */ (event).detail));
    socket.addEventListener("state", () => this.#connectionChanged());
    socket.addEventListener("reset", () => this.#forget());
  }

  /** Take up what an earlier visit left unsent. */
  async restore() {
    const entries = await this.outbox.load().catch(() => []);
    const written = this.pending;
    this.pending = new Map();
    for (const entry of entries) this.pending.set(entry.cid, { ...entry, tries: 0, sentAt: 0, failed: false, fault: null });
    for (const [cid, entry] of written) this.pending.set(cid, entry);
    this.#changed();
    this.#flush();
  }

  /** Where a new connection resumes; given to the socket. */
  position() {
    return { after: this.cursor, epoch: this.epoch };
  }

  /** Everything to show: stored messages in order, then those on their way. @returns {Message[]} */
  get messages() {
    const ordered = [...this.stored.keys()].sort((a, b) => a - b).map((seq) => this.#shown(this.stored.get(seq)));
    for (const entry of this.pending.values()) {
      ordered.push({
        seq: null,
        id: null,
        cid: entry.cid,
        sender: { id: this.me },
        kind: entry.kind,
        content: entry.content,
        content_ne: "",
        attachment: entry.attachment ?? null,
        ts: entry.created_at,
        state: entry.failed ? "failed" : "sending",
        fault: entry.fault,
      });
    }
    return ordered;
  }

  /** Whether the room has messages before the first one here. */
  get hasOlder() {
    return this.stored.size > 0 && Math.min(...this.stored.keys()) > 1;
  }

  /** How many messages of others lie above the reader's mark. */
  get unread() {
    const mark = Math.max(this.reads[this.me] ?? 0, this.readWanted);
    return [...this.stored.values()].filter((row) => row.seq > mark && row.sender?.id !== this.me).length;
  }

  /** The ids of those who are typing now. */
  get typing() {
    return [...this.typists.keys()];
  }

  /** @param {any} row @returns {Message} */
  #shown(row) {
    const own = row.sender?.id === this.me;
    const seen = Object.entries(this.reads).some(([user, seq]) => user !== this.me && seq >= row.seq);
    return { attachment: null, content: "", content_ne: "", ...row, state: own ? (seen ? "read" : "sent") : "received" };
  }

  // ---------- sending ----------

  /**
   * Write a message. It is shown at once and sent as soon as there is a connection.
   * @param {string} content @param {{kind?: string, attachment?: any}} [more]
   * @returns {string | null} its cid; null when it is empty, the room closed or the outbox full
   */
  write(content, { kind = "TEXT", attachment = null } = {}) {
    const text = content.trim();
    if ((!text && !attachment) || this.closed || this.pending.size >= OUTBOX_LIMIT) return null;
    const entry = { cid: this.makeId(), kind, content: text, attachment, created_at: this.clock.now() };
    this.pending.set(entry.cid, { ...entry, tries: 0, sentAt: 0, failed: false, fault: null });
    this.outbox.put(entry).catch(() => {});
    this.stopTyping();
    this.#changed();
    this.#flush();
    return entry.cid;
  }

  /** Send a failed message again. @param {string} cid */
  retry(cid) {
    const entry = this.pending.get(cid);
    if (!entry) return;
    Object.assign(entry, { tries: 0, sentAt: 0, failed: false, fault: null });
    this.#changed();
    this.#flush();
  }

  /** Give up on a message that was not sent. @param {string} cid */
  discard(cid) {
    if (this.pending.delete(cid)) this.outbox.remove(cid).catch(() => {});
    this.#changed();
  }

  /** Send what waits, in order, with at most so many unanswered. */
  #flush() {
    if (!this.live || this.held || !this.socket.ready || this.closed) return;
    const now = this.clock.now();
    let unanswered = 0;
    for (const entry of this.pending.values()) {
      if (entry.failed) continue;
      if (unanswered >= IN_FLIGHT) break;
      unanswered += 1;
      if (entry.sentAt) continue;
      const frame = { type: "message", cid: entry.cid, kind: entry.kind, content: entry.content, content_ne: "" };
      if (entry.attachment) Object.assign(frame, { attachment: entry.attachment });
      if (!this.socket.send(frame)) return;
      entry.sentAt = now;
      entry.tries += 1;
    }
    this.#watchAcks();
  }

  /** Count an unanswered send as a failure after ten seconds, and send it again. */
  #watchAcks() {
    this.clock.clearTimeout(this.timers.ack);
    const sent = [...this.pending.values()].filter((entry) => entry.sentAt && !entry.failed);
    if (!sent.length) return;
    const first = Math.min(...sent.map((entry) => entry.sentAt));
    this.timers.ack = this.clock.setTimeout(() => {
      const late = this.clock.now() - ACK_MS;
      for (const entry of sent) {
        if (!this.pending.has(entry.cid) || entry.sentAt > late) continue;
        entry.sentAt = 0;
        entry.failed = entry.tries >= TRIES;
      }
      this.#changed();
      this.#flush();
    }, Math.max(0, first + ACK_MS - this.clock.now()));
  }

  /** @param {any} frame */
  #acknowledged(frame) {
    const entry = this.pending.get(frame.cid);
    if (!entry) return;
    this.#settle(frame.cid);
    this.#store({
      seq: frame.seq,
      id: frame.id,
      cid: frame.cid,
      sender: { id: this.me },
      kind: entry.kind,
      content: entry.content,
      content_ne: "",
      attachment: entry.attachment ?? null,
      ts: frame.ts,
    });
    this.#watchAcks();
    this.#flush();
  }

  /** @param {any} frame */
  #refused(frame) {
    const entry = frame.cid ? this.pending.get(frame.cid) : null;
    if (!entry) {
      if (frame.code === "room_closed") this.closed = true;
      this.fault = frame;
      // It does not say what it answers: earlier messages may be asked for again, missing ones are.
      this.loadingOlder = false;
      if (this.syncing && !REFUSALS.has(frame.code)) this.#syncLater(Number(frame.retry_after) || 1);
      return;
    }
    if (REFUSALS.has(frame.code)) {
      entry.failed = true;
      entry.fault = { message: frame.message ?? "", message_ne: frame.message_ne ?? "" };
      if (frame.code === "room_closed") this.closed = true;
    } else {
      // Not stored, or nobody knows: the same cid makes another try safe. What was sent after it
      // goes again as well, so that the order of writing stays.
      const tired = entry.tries >= TRIES;
      entry.failed = tired;
      let after = false;
      for (const other of this.pending.values()) {
        after ||= other === entry;
        if (after) other.sentAt = other.failed ? other.sentAt : 0;
      }
      this.held = true;
      this.clock.clearTimeout(this.timers.again);
      this.timers.again = this.clock.setTimeout(() => {
        this.held = false;
        this.#flush();
      }, (Number(frame.retry_after) || 1) * 1000);
    }
    this.#watchAcks();
  }

  /** @param {string} cid */
  #settle(cid) {
    if (this.pending.delete(cid)) this.outbox.remove(cid).catch(() => {});
  }

  // ---------- receiving ----------

  /** Take in one frame of the server. @param {any} frame */
  receive(frame) {
    switch (frame.type) {
      case "hello":
        this.#greeted(frame);
        break;
      case "history":
        this.fault = null;
        this.#page(frame);
        break;
      case "message":
        this.fault = null;
        this.#forgetTypist(frame.sender?.id);
        this.#store(frame);
        if (frame.sender?.id !== this.me) this.dispatchEvent(new CustomEvent("arrive", { detail: frame }));
        break;
      case "ack":
        this.fault = null;
        this.#acknowledged(frame);
        break;
      case "error":
        this.#refused(frame);
        break;
      case "typing":
        this.#typed(frame);
        break;
      case "read":
        this.reads = { ...this.reads, [frame.user]: Math.max(this.reads[frame.user] ?? 0, frame.seq) };
        break;
      case "presence":
        this.presence = {
          ...this.presence,
          [frame.user]: { state: frame.state, last_seen: frame.last_seen ?? null },
        };
        break;
      case "room":
        if (frame.closed === true || frame.is_active === false) this.closed = true;
        if (frame.closed === false || frame.is_active === true) this.closed = false;
        break;
      default:
        return;
    }
    this.#changed();
  }

  /** @param {any} frame */
  #greeted(frame) {
    const room = frame.room ?? {};
    if (this.epoch && room.epoch && room.epoch !== this.epoch) this.#forget();
    this.epoch = room.epoch ?? this.epoch;
    this.head = room.head ?? 0;
    for (const [user, seq] of Object.entries(room.read ?? {})) {
      this.reads[user] = Math.max(this.reads[user] ?? 0, Number(seq));
    }
    for (const [user, known] of Object.entries(room.presence ?? {})) {
      this.presence[user] = typeof known === "string" ? { state: known, last_seen: null } : /** @type {any} */ (known);
    }
    this.openedAt ??= this.reads[this.me] ?? 0;
    this.loadingOlder = false;
    this.olderThan = 0;
    this.fault = null;
    for (const entry of this.pending.values()) entry.sentAt = 0;
    if (this.head <= this.cursor) this.#goLive();
    // A server that has nothing to tell may send no page at all.
    else this.timers.flush = this.clock.setTimeout(() => this.#goLive(), FLUSH_MS);
  }

  #goLive() {
    this.clock.clearTimeout(this.timers.flush);
    this.live = true;
    this.loaded = true;
    this.#flush();
    if (this.readWanted > (this.reads[this.me] ?? 0)) this.#sendRead();
  }

  /** @param {any} frame a page of stored messages */
  #page(frame) {
    const rows = frame.messages ?? [];
    const oldest = this.stored.size ? Math.min(...this.stored.keys()) : Infinity;
    const older = (frame.to ?? 0) < Math.min(oldest, this.olderThan);
    // There is a hole before this page: what lies before the hole is read again when asked for.
    if (frame.gap && !older) {
      for (const seq of [...this.stored.keys()]) if (seq < (frame.from ?? rows[0]?.seq ?? 0)) this.stored.delete(seq);
    }
    for (const row of rows) this.#insert(row);
    if (older) {
      this.loadingOlder = false;
      this.olderThan = 0;
      return;
    }
    this.syncing = false;
    this.cursor = Math.max(this.cursor, frame.to ?? 0);
    this.#advance();
    if (frame.more) this.#sync();
    else if (!this.live) this.#goLive();
  }

  /** @param {any} row */
  #insert(row) {
    const known = this.stored.get(row.seq);
    this.stored.set(row.seq, known ? { ...known, ...row } : row);
    if (row.cid && row.sender?.id === this.me) this.#settle(row.cid);
  }

  /** Take in a live message and look for a jump. @param {any} row */
  #store(row) {
    this.#insert(row);
    this.head = Math.max(this.head, row.seq);
    this.#advance();
  }

  #advance() {
    while (this.stored.has(this.cursor + 1)) this.cursor += 1;
    const newest = this.stored.size ? Math.max(...this.stored.keys()) : 0;
    this.clock.clearTimeout(this.timers.jump);
    if (newest <= this.cursor || this.timers.resync) return;
    this.timers.jump = this.clock.setTimeout(() => {
      if (Math.max(...this.stored.keys()) > this.cursor) this.#sync();
    }, JUMP_MS);
  }

  /** Ask for what follows the cursor. */
  #sync() {
    this.syncing = this.socket.send({ type: "sync", since: this.cursor, limit: PAGE });
  }

  /** The server asked to wait before that. @param {number} seconds */
  #syncLater(seconds) {
    this.syncing = false;
    this.clock.clearTimeout(this.timers.jump);
    this.timers.resync = this.clock.setTimeout(() => {
      this.timers.resync = 0;
      this.#sync();
    }, seconds * 1000);
  }

  /** Ask for messages before the first one here. @returns {boolean} whether they are on the way */
  loadOlder() {
    if (this.loadingOlder || !this.hasOlder) return false;
    const before = Math.min(...this.stored.keys());
    this.loadingOlder = this.socket.send({ type: "history", before, limit: OLDER_PAGE });
    this.olderThan = before;
    this.#changed();
    return this.loadingOlder;
  }

  #forget() {
    this.stored.clear();
    this.olderThan = 0;
    this.cursor = 0;
    this.epoch = null;
    this.loaded = false;
    this.#changed();
  }

  // ---------- typing, reading ----------

  /** The reader pressed a key; told to the others at most every three seconds. */
  type() {
    const now = this.clock.now();
    this.clock.clearTimeout(this.timers.idle);
    this.timers.idle = this.clock.setTimeout(() => this.stopTyping(), TYPING_IDLE_MS);
    if (this.typingOn && now - this.typedAt < TYPING_EVERY_MS) return;
    if (this.socket.send({ type: "typing", on: true })) {
      this.typedAt = now;
      this.typingOn = true;
    }
  }

  /** The reader stopped, cleared the field or sent it. */
  stopTyping() {
    this.clock.clearTimeout(this.timers.idle);
    if (!this.typingOn) return;
    this.typingOn = false;
    this.socket.send({ type: "typing", on: false });
  }

  /** @param {any} frame */
  #typed(frame) {
    this.#forgetTypist(frame.user);
    if (!frame.on || frame.user === this.me) return;
    const timer = this.clock.setTimeout(() => {
      this.typists.delete(frame.user);
      this.#changed();
    }, (frame.ttl ?? TYPING_TTL_S) * 1000);
    this.typists.set(frame.user, timer);
  }

  /** @param {string | undefined} user */
  #forgetTypist(user) {
    if (user === undefined) return;
    this.clock.clearTimeout(this.typists.get(user));
    this.typists.delete(user);
  }

  /** The reader has seen everything up to the newest message here. */
  markRead() {
    const newest = this.stored.size ? Math.max(...this.stored.keys()) : 0;
    if (newest <= Math.max(this.readWanted, this.reads[this.me] ?? 0)) return;
    this.readWanted = newest;
    this.#sendRead();
  }

  /** At most every two seconds, and the last wish is never lost. */
  #sendRead() {
    const wait = this.readSentAt + READ_EVERY_MS - this.clock.now();
    this.clock.clearTimeout(this.timers.read);
    if (wait > 0) {
      this.timers.read = this.clock.setTimeout(() => this.#sendRead(), wait);
      return;
    }
    if (this.socket.send({ type: "read", seq: this.readWanted })) {
      this.readSentAt = this.clock.now();
      this.reads = { ...this.reads, [this.me]: Math.max(this.reads[this.me] ?? 0, this.readWanted) };
      this.#changed();
    }
  }

  #connectionChanged() {
    if (!this.socket.ready) {
      this.live = false;
      this.held = false;
      this.typingOn = false;
      this.syncing = false;
      for (const name of ["ack", "again", "flush", "jump", "resync"]) this.clock.clearTimeout(this.timers[name]);
      this.timers.resync = 0;
      for (const timer of this.typists.values()) this.clock.clearTimeout(timer);
      this.typists.clear();
    }
    this.#changed();
  }

  /** Stop all timers; the store is not used afterwards. */
  dispose() {
    this.stopTyping();
    for (const timer of Object.values(this.timers)) this.clock.clearTimeout(timer);
    for (const timer of this.typists.values()) this.clock.clearTimeout(timer);
  }

  #changed() {
    this.dispatchEvent(new CustomEvent("change"));
  }
}
