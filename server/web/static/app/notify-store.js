/**
 * The person's notifications: one stream, live over its socket, listed over REST.
 *
 * Window events: `py-notification` (detail: the notification) for each that arrives while the page
 * is open; `py-unread` (detail: `{notifications, chat, rooms}`) when a count changed.
 */

/**
 * @typedef {object} Notification
 * @property {string} id
 * @property {number} seq
 * @property {string} kind BOOKING_ACCEPTED, NEW_MESSAGE, …
 * @property {string} title @property {string} title_ne
 * @property {string} body @property {string} body_ne
 * @property {Record<string, any>} data
 * @property {string} booking the id of the booking it is about, or ""
 * @property {string} url the page where it leads
 * @property {string} ts
 * @property {boolean} read
 */

const PAGE = 20;
/** What is handed to the elements of a way; an error may answer one of their frames. */
const POSITION_FRAMES = new Set(["sharing", "position", "position_ended", "error"]);
const COUNT_MS = 800;

/** One shape for the socket's frames and for REST rows. @param {any} row @returns {Notification} */
export function notificationOf(row) {
  const data = row.data ?? {};
  const booking = row.booking ?? row.booking_id ?? data.booking_id ?? data.booking ?? "";
  return {
    id: row.id,
    seq: row.seq ?? row.sequence ?? 0,
    kind: row.kind ?? row.notification_type ?? "",
    title: row.title ?? "",
    title_ne: row.title_ne ?? "",
    body: row.body ?? row.message ?? "",
    body_ne: row.body_ne ?? row.message_ne ?? "",
    data,
    booking: typeof booking === "object" ? (booking?.id ?? "") : booking,
    url: row.url ?? "",
    ts: row.ts ?? row.created_at ?? "",
    read: row.read ?? row.is_read ?? false,
  };
}

export class NotifyStore extends EventTarget {
  /**
   * @param {object} given
   * @param {EventTarget & {send(frame: Record<string, unknown>): boolean, ready: boolean, start(): void}} given.socket
   * @param {{get(path: string, options?: any): Promise<any>, post(path: string, body?: any): Promise<any>}} given.api
   * @param {EventTarget} given.events where window events go
   */
  constructor({ socket, api, events }) {
    super();
    this.socket = socket;
    this.api = api;
    this.events = events;
    /** @type {Map<string, Notification>} */
    this.items = new Map();
    this.cursor = 0;
    /** @type {string | null} */
    this.epoch = null;
    this.next = /** @type {string | null} */ (null);
    this.listed = false;
    this.counts = { notifications: 0, chat: 0, rooms: /** @type {Record<string, number>} */ ({}) };
    this.countTimer = /** @type {any} */ (null);
    /** Whether this is not the first connection, so that a page of history is news. */
    this.resumed = false;
    this.connected = false;
    socket.addEventListener("frame", (event) => this.receive(/** @type {CustomEvent} */ (event).detail));
    socket.addEventListener("reset", () => {
      this.cursor = 0;
    });
  }

  /** Where a new connection resumes; given to the socket. */
  position() {
    return { after: this.cursor, epoch: this.epoch };
  }

  /** Newest first. */
  get list() {
    return [...this.items.values()].sort((a, b) => b.seq - a.seq || (a.ts < b.ts ? 1 : -1));
  }

  /** @param {any} frame */
  receive(frame) {
    if (frame.type === "hello") {
      this.#count({ notifications: frame.unread ?? this.counts.notifications });
      this.epoch = frame.epoch ?? this.epoch;
      this.resumed = this.connected;
      this.connected = true;
      // The first connection starts at the head; what lies before it is listed when asked for.
      if (!this.cursor) this.cursor = frame.head ?? 0;
      this.recount();
    } else if (frame.type === "history") {
      for (const row of frame.messages ?? frame.notifications ?? []) {
        const fresh = this.resumed && !this.items.has(row.id) && (row.seq ?? 0) > this.cursor;
        this.#put(notificationOf(row), fresh);
      }
      this.cursor = Math.max(this.cursor, frame.to ?? 0);
      if (frame.more) this.socket.send({ type: "sync", since: this.cursor });
    } else if (frame.type === "notification") {
      const item = notificationOf(frame);
      const fresh = !this.items.has(item.id);
      const jump = this.cursor > 0 && item.seq > this.cursor + 1;
      this.#put(item, fresh);
      if (jump) this.socket.send({ type: "sync", since: this.cursor });
      else this.cursor = Math.max(this.cursor, item.seq);
      if (fresh && !item.read) this.#count({ notifications: this.counts.notifications + 1 });
    } else if (frame.type === "badge") {
      this.#count({ notifications: frame.unread ?? 0 });
    } else if (frame.type === "read") {
      this.#markHere(frame);
    } else if (POSITION_FRAMES.has(frame.type)) {
      this.events.dispatchEvent(new CustomEvent("py-position", { detail: frame }));
      return;
    } else if (frame.type === "room_head") {
      this.events.dispatchEvent(new CustomEvent("py-room-head", { detail: frame }));
      this.recount();
    }
    this.#changed();
  }

  /** Ask the server for the numbers, once for several causes at the same time. */
  recount() {
    clearTimeout(this.countTimer);
    this.countTimer = setTimeout(async () => {
      const found = await this.api.get("/api/unread-count/").catch(() => null);
      if (found) this.#count({ notifications: found.notifications, chat: found.total, rooms: found.rooms ?? {} });
    }, COUNT_MS);
  }

  /** Load the first page of the list, or the next one. */
  async loadMore() {
    if (this.listed && !this.next) return;
    const page = await this.api.get("/api/notifications/", { query: { limit: PAGE, cursor: this.next } });
    for (const row of page.results) this.#put(notificationOf(row), false);
    this.next = page.next;
    this.listed = true;
    this.#changed();
  }

  /** Mark some as read, here and on the server. @param {string[]} ids */
  async markRead(ids) {
    const unread = ids.filter((id) => this.items.get(id)?.read === false);
    if (!unread.length) return;
    this.#markHere({ ids: unread });
    this.#count({ notifications: Math.max(0, this.counts.notifications - unread.length) });
    this.#changed();
    if (!this.socket.send({ type: "read", ids: unread })) {
      await this.api.post("/api/notifications/read/", { ids: unread });
    }
  }

  /** Mark all as read up to the newest that is known. */
  async markAllRead() {
    const seq = Math.max(this.cursor, ...[...this.items.values()].map((item) => item.seq));
    this.#markHere({ seq });
    this.#count({ notifications: 0 });
    this.#changed();
    if (!this.socket.send({ type: "read", seq })) await this.api.post("/api/notifications/read/", { up_to: seq });
  }

  /** @param {{ids?: string[], seq?: number}} frame */
  #markHere(frame) {
    for (const [id, item] of this.items) {
      if (frame.ids?.includes(id) || (frame.seq !== undefined && item.seq <= frame.seq)) {
        this.items.set(id, { ...item, read: true });
      }
    }
  }

  /** @param {Notification} item @param {boolean} fresh */
  #put(item, fresh) {
    this.items.set(item.id, item);
    if (fresh) this.events.dispatchEvent(new CustomEvent("py-notification", { detail: item }));
  }

  /** @param {Partial<NotifyStore["counts"]>} found */
  #count(found) {
    this.counts = { ...this.counts, ...found };
    this.events.dispatchEvent(new CustomEvent("py-unread", { detail: this.counts }));
  }

  #changed() {
    this.dispatchEvent(new CustomEvent("change"));
  }
}
