/**
 * `<py-payment payment-id="…" live>`: follows one payment.
 *
 * Its content is the server's. While the outcome is open (`live`) it listens on `/ws/payment/`, and
 * fetches the page again when a frame says that the payment has moved; whenever a connection opens,
 * too, for what happened in between. Without a connection it asks every few seconds.
 */

import { api } from "./api.js";
import { Socket } from "./socket.js";

const TIMEOUT_MS = 15_000;
const ASK_MS = 10_000;

class Payment extends HTMLElement {
  constructor() {
    super();
    /** @type {Socket | null} */
    this.socket = null;
    this.timer = /** @type {any} */ (null);
    this.loading = false;
    this.again = false;
    this.version = 0;
  }

  connectedCallback() {
    if (!this.hasAttribute("live")) return;
    this.socket = new Socket({ path: "/ws/payment/", refresh: () => api.refresh() });
    this.socket.addEventListener("frame", (event) => this.#receive(/** @type {CustomEvent} */ (event).detail));
    this.socket.start();
    this.timer = setInterval(() => this.socket?.state !== "open" && this.refresh(), ASK_MS);
  }

  disconnectedCallback() {
    this.#end();
  }

  #end() {
    clearInterval(this.timer);
    this.socket?.stop();
    this.socket = null;
  }

  /** @param {any} frame */
  #receive(frame) {
    if (frame.type === "hello") this.refresh();
    if (frame.type !== "payment" || frame.payment !== this.getAttribute("payment-id")) return;
    if (frame.version <= this.version) return;
    this.version = frame.version;
    this.refresh();
  }

  /** Fetch the page again and show its version of this part. */
  async refresh() {
    if (this.loading) {
      this.again = true;
      return;
    }
    this.loading = true;
    try {
      const answer = await fetch(location.href, {
        credentials: "same-origin",
        headers: { Accept: "text/html" },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (answer.ok) this.#replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      // The next frame, or the next round, asks again.
    } finally {
      this.loading = false;
    }
    if (this.again) {
      this.again = false;
      await this.refresh();
    }
  }

  /** @param {Document} page */
  #replace(page) {
    const other = page.querySelector("py-payment");
    const state = (/** @type {Element} */ part) => part.querySelector("[data-state]")?.getAttribute("data-state");
    if (!other) return;
    const isOver = !other.hasAttribute("live");
    // Nothing new: leave buttons, focus and what a screen reader says alone.
    if (state(other) === state(this) && !isOver) return;
    if (isOver) {
      this.#end();
      this.removeAttribute("live");
    }
    const focused = this.contains(document.activeElement);
    this.replaceChildren(...[...other.childNodes].map((node) => document.importNode(node, true)));
    for (const part of document.querySelectorAll("[data-while-open]")) /** @type {HTMLElement} */ (part).hidden = isOver;
    if (focused) {
      this.tabIndex = -1;
      this.focus();
    }
  }
}

customElements.define("py-payment", Payment);
