/**
 * A WebSocket that comes back by itself.
 *
 * What happens after a close depends on the range of its code alone: 4000 to 4399 and the usual
 * network faults reconnect, 4400 to 4499 and protocol faults stay closed. Delays are fully random
 * below a doubling bound, so that thousands of clients do not return in the same second.
 *
 * Events: `open`, `frame` (detail: the frame), `state` (detail: "connecting", "open", "waiting",
 * "stopped"), `reset` (what was cached no longer holds), `refused` (detail: `{code, reason}`).
 */

const SILENCE_MS = 25_000;
const ANSWER_MS = 15_000;
const FIRST_BOUND_MS = 500;
const LAST_BOUND_MS = 30_000;
const STABLE_MS = 60_000;
const TOO_FAST_MS = 30_000;
const SUBPROTOCOL = "pandityatra.v1";
const PROTOCOL_FAULTS = new Set([1002, 1003, 1007, 1008, 1009]);

/**
 * The longest wait before attempt number `attempt` (from 0), in milliseconds. The first one is a
 * whole second, so that a drop of everybody at once is spread over it.
 * @param {number} attempt
 */
export function backoffBound(attempt) {
  return attempt === 0 ? 1000 : Math.min(LAST_BOUND_MS, FIRST_BOUND_MS * 2 ** attempt);
}

/**
 * What a close code asks of a client.
 * @param {number} code
 * @returns {"stop" | "reconnect" | "refresh" | "reset" | "slow" | "authenticate"}
 */
export function afterClose(code) {
  if (code === 4401) return "authenticate";
  if (code === 1000 || PROTOCOL_FAULTS.has(code) || (code >= 4400 && code <= 4499)) return "stop";
  if (code === 4003) return "refresh";
  if (code === 4004) return "reset";
  if (code === 4005) return "slow";
  return "reconnect";
}

/** The real clock and sources of events; tests give their own. */
const browser = {
  WebSocket: globalThis.WebSocket,
  setTimeout: (/** @type {() => void} */ run, /** @type {number} */ ms) => setTimeout(run, ms),
  clearTimeout: (/** @type {any} */ id) => clearTimeout(id),
  now: () => Date.now(),
  random: () => Math.random(),
  window: /** @type {EventTarget | null} */ (globalThis.window ?? null),
  document: /** @type {any} */ (globalThis.document ?? null),
  online: () => globalThis.navigator?.onLine !== false,
};

export class Socket extends EventTarget {
  /**
   * @param {object} given
   * @param {string} given.path for example `/ws/notifications/`
   * @param {() => {after?: number, epoch?: string | null}} [given.cursor] where to resume
   * @param {() => Promise<boolean>} [given.refresh] renews the session; false when there is none
   * @param {Partial<typeof browser>} [given.world]
   */
  constructor({ path, cursor = () => ({}), refresh = async () => false, world = {} }) {
    super();
    this.path = path;
    this.cursor = cursor;
    this.refresh = refresh;
    this.world = { ...browser, ...world };
    this.state = "stopped";
    this.attempt = 0;
    /** @type {WebSocket | null} */
    this.raw = null;
    this.greeted = false;
    this.wanted = false;
    this.notBefore = 0;
    this.retryTimer = null;
    this.lifeTimer = null;
    this.stableTimer = null;
    this.refusedOnce = false;
    this.renewing = false;
    this.wake = () => this.#wake();
  }

  /** Connect, and stay connected until `stop`. */
  start() {
    if (this.wanted) return;
    this.wanted = true;
    this.world.window?.addEventListener("online", this.wake);
    this.world.document?.addEventListener("visibilitychange", this.wake);
    this.#connect();
  }

  /** Close and stay closed. */
  stop() {
    this.wanted = false;
    this.world.window?.removeEventListener("online", this.wake);
    this.world.document?.removeEventListener("visibilitychange", this.wake);
    this.#clear();
    const raw = this.raw;
    this.raw = null;
    raw?.close(1000);
    this.#become("stopped");
  }

  /** True from the server's first frame on. */
  get ready() {
    return this.greeted && this.raw?.readyState === 1;
  }

  /**
   * Send a frame if the connection is ready.
   * @param {Record<string, unknown>} frame `type` comes first
   * @returns {boolean} whether it was handed to the network
   */
  send(frame) {
    if (!this.ready) return false;
    this.raw?.send(JSON.stringify(frame));
    return true;
  }

  #url() {
    const base = new URL(this.path, globalThis.location?.href ?? "http://localhost/");
    base.protocol = base.protocol === "https:" ? "wss:" : "ws:";
    const { after = 0, epoch = null } = this.cursor();
    if (after > 0) {
      base.searchParams.set("after", String(after));
      if (epoch) base.searchParams.set("epoch", epoch);
    }
    return base.href;
  }

  #connect() {
    this.#clear();
    if (!this.wanted || this.raw) return;
    this.#become("connecting");
    const raw = new this.world.WebSocket(this.#url(), [SUBPROTOCOL]);
    this.raw = raw;
    this.greeted = false;
    raw.onmessage = (event) => raw === this.raw && this.#receive(event.data);
    raw.onclose = (event) => raw === this.raw && this.#closed(event.code, event.reason);
    this.#listen();
  }

  /** @param {string} data */
  #receive(data) {
    /** @type {any} */
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    this.#listen();
    if (frame.type === "hello") {
      this.greeted = true;
      this.refusedOnce = false;
      this.stableTimer = this.world.setTimeout(() => {
        this.attempt = 0;
      }, STABLE_MS);
      this.#become("open");
      this.dispatchEvent(new CustomEvent("open"));
    } else if (frame.type === "reconnect") {
      this.notBefore = this.world.now() + (Number(frame.after_ms) || 0);
    } else if (frame.type === "token_expiring") {
      // The new cookie counts for the next connection; the server closes this one with 4003.
      this.refresh().catch(() => {});
    }
    this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
  }

  /** Ask for a sign of life after silence, and give up when none comes. */
  #listen() {
    this.world.clearTimeout(this.lifeTimer);
    this.lifeTimer = this.world.setTimeout(() => {
      this.send({ type: "ping", t: this.world.now() });
      this.lifeTimer = this.world.setTimeout(() => this.#drop(), ANSWER_MS);
    }, SILENCE_MS);
  }

  /** Let go of a connection that says nothing; its own close event may take minutes. */
  #drop() {
    const raw = this.raw;
    this.raw = null;
    raw?.close();
    this.#closed(1006, "");
  }

  /** @param {number} code @param {string} reason */
  async #closed(code, reason) {
    this.#clear();
    this.raw = null;
    this.greeted = false;
    if (!this.wanted) return;
    const action = afterClose(code);
    if (action === "stop" || (action === "authenticate" && this.refusedOnce)) {
      this.#refuse(code, reason);
      return;
    }
    this.#become("waiting");
    if (action === "refresh" || action === "authenticate") {
      this.refusedOnce = action === "authenticate";
      this.renewing = true;
      // An error is the network's, not the session's: try again after the usual delay.
      const renewed = await this.refresh().catch(() => true);
      this.renewing = false;
      if (!this.wanted) return;
      if (!renewed) {
        this.#refuse(code, reason);
        return;
      }
    }
    if (action === "reset") this.dispatchEvent(new CustomEvent("reset"));
    if (action === "slow") this.notBefore = this.world.now() + TOO_FAST_MS;
    this.#schedule();
  }

  /** @param {number} code @param {string} reason */
  #refuse(code, reason) {
    this.stop();
    this.dispatchEvent(new CustomEvent("refused", { detail: { code, reason } }));
  }

  #schedule() {
    const jitter = this.world.random() * backoffBound(this.attempt);
    this.attempt += 1;
    const earliest = Math.max(0, this.notBefore - this.world.now());
    if (!this.world.online()) return;
    this.retryTimer = this.world.setTimeout(() => this.#connect(), Math.max(jitter, earliest));
  }

  /** The network is back or the tab is seen again: do not wait out a long delay. */
  #wake() {
    if (!this.wanted || this.renewing || this.state !== "waiting") return;
    if (this.world.document?.visibilityState === "hidden") return;
    this.world.clearTimeout(this.retryTimer);
    const earliest = Math.max(0, this.notBefore - this.world.now());
    this.retryTimer = this.world.setTimeout(() => this.#connect(), earliest);
  }

  #clear() {
    for (const timer of [this.retryTimer, this.lifeTimer, this.stableTimer]) this.world.clearTimeout(timer);
    this.retryTimer = null;
    this.lifeTimer = null;
    this.stableTimer = null;
  }

  /** @param {"connecting" | "open" | "waiting" | "stopped"} state */
  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}
