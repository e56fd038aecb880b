/** `<py-toasts>`: short messages about what was done or has just happened. One in a page. */

import { html, nothing } from "../vendor/lit/lit.js";
import { repeat } from "../vendor/lit/directives/repeat.js";
import { pick, t } from "./i18n.js";
import { icon, PageElement } from "./page.js";
import { notificationUrl } from "./routes.js";

const SHOWN_MS = 6_000;
const MOST = 4;

/** Kinds whose notifications are good or bad news for the reader; all others are neutral. */
const TONES = /** @type {Record<string, string>} */ ({
  BOOKING_ACCEPTED: "good",
  BOOKING_COMPLETED: "good",
  BOOKING_SAMAGRI_AGREED: "good",
  PAYMENT_SUCCESS: "good",
  PANDIT_VERIFIED: "good",
  BOOKING_REJECTED: "bad",
  BOOKING_CANCELLED: "bad",
  BOOKING_FAILED: "bad",
  PAYMENT_FAILED: "bad",
  PANDIT_REJECTED: "bad",
});

class Toasts extends PageElement {
  static properties = { toasts: { state: true } };

  constructor() {
    super();
    /** @type {any[]} */
    this.toasts = [];
    this.count = 0;
    this.timers = new Map();
    this.onToast = (/** @type {any} */ event) => this.#add(event.detail);
    this.onNotification = (/** @type {any} */ event) => this.#notify(event.detail);
  }

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener("py-toast", this.onToast);
    window.addEventListener("py-notification", this.onNotification);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.removeEventListener("py-toast", this.onToast);
    window.removeEventListener("py-notification", this.onNotification);
  }

  /** @param {any} item */
  #notify(item) {
    if (item.read || this.#onScreen(item)) return;
    this.#add({
      title: pick(item, "title"),
      text: pick(item, "body"),
      kind: TONES[item.kind] ?? "info",
      href: notificationUrl(item),
    });
  }

  /** What the open list or the open conversation shows is no news. @param {any} item */
  #onScreen(item) {
    if (document.querySelector(".bell__panel")) return true;
    const room = item.data?.room_id ?? item.data?.room;
    if (item.kind !== "NEW_MESSAGE" || !room || document.visibilityState === "hidden") return false;
    return document.querySelector(`py-chat[room-id="${CSS.escape(room)}"]`) !== null;
  }

  /** @param {any} detail */
  #add(detail) {
    this.count += 1;
    const item = { kind: "info", ...detail, key: this.count };
    this.toasts = [...this.toasts, item].slice(-MOST);
    this.#hold(item.key);
    this.#release(item.key);
  }

  /** @param {number} key */
  #hold(key) {
    clearTimeout(this.timers.get(key));
  }

  /** @param {number} key */
  #release(key) {
    this.timers.set(key, setTimeout(() => this.#remove(key), SHOWN_MS));
  }

  /** @param {number} key */
  #remove(key) {
    this.#hold(key);
    this.timers.delete(key);
    this.toasts = this.toasts.filter((item) => item.key !== key);
  }

  /** @param {any} item */
  #act(item) {
    item.action.run();
    this.#remove(item.key);
  }

  render() {
    return html`<div class="toasts" role="status" aria-live="polite" aria-atomic="false">
      ${repeat(
        this.toasts,
        (item) => item.key,
        (item) => html`<div
          class="toast toast--${item.kind}"
          @pointerenter=${() => this.#hold(item.key)}
          @pointerleave=${() => this.#release(item.key)}
          @focusin=${() => this.#hold(item.key)}
          @focusout=${() => this.#release(item.key)}
        >
          <div class="toast__text">
            ${item.title ? html`<p class="toast__title">${item.title}</p>` : nothing}
            <p>${item.href ? html`<a href=${item.href}>${item.text}</a>` : item.text}</p>
          </div>
          ${item.action
            ? html`<button type="button" class="outline" @click=${() => this.#act(item)}>${item.action.label}</button>`
            : nothing}
          <button type="button" class="icon-btn" aria-label=${t("Dismiss")} @click=${() => this.#remove(item.key)}>
            ${icon("x")}
          </button>
        </div>`,
      )}
    </div>`;
  }
}

customElements.define("py-toasts", Toasts);
