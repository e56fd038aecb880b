/**
 * Which day's free times the page looks at, said over the person's own socket.
 *
 * Window events: `py-watch-slots` (send it; detail: `{service, date, exclude}`, or null to stop) and
 * `py-live-slots` (detail: the server's frame) whenever the times of that day have changed.
 */

export class SlotWatch {
  /** @param {EventTarget} events where window events go */
  constructor(events) {
    this.events = events;
    /** @type {{service: string, date: string, exclude?: string} | null} */
    this.wanted = null;
    /** @type {(EventTarget & {send(frame: Record<string, unknown>): boolean}) | null} */
    this.socket = null;
    events.addEventListener("py-watch-slots", (event) => {
      const before = this.wanted;
      this.wanted = /** @type {CustomEvent} */ (event).detail;
      if (JSON.stringify(before) !== JSON.stringify(this.wanted)) this.#say();
    });
  }

  /** @param {EventTarget & {send(frame: Record<string, unknown>): boolean}} socket */
  attach(socket) {
    this.socket = socket;
    // A new connection knows nothing of the one before.
    socket.addEventListener("open", () => this.wanted && this.#say());
    socket.addEventListener("frame", (event) => {
      const frame = /** @type {CustomEvent} */ (event).detail;
      if (frame.type === "slots") this.events.dispatchEvent(new CustomEvent("py-live-slots", { detail: frame }));
    });
  }

  #say() {
    if (!this.wanted) {
      this.socket?.send({ type: "unwatch_slots" });
      return;
    }
    const { service, date, exclude } = this.wanted;
    this.socket?.send({ type: "watch_slots", service, date, ...(exclude ? { exclude } : {}) });
  }
}
