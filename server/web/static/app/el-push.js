/**
 * `<py-push>`: switches messages to this browser on and off (Web Push).
 *
 * The browser is asked for leave only after the button was pressed, which says what it is for. What
 * is stored at the server belongs to the session: signing out ends it.
 */

import { html, nothing } from "../vendor/lit/lit.js";
import { api } from "./api.js";
import { t } from "./i18n.js";
import { icon, PageElement } from "./page.js";

const PATH = "/api/push-subscriptions/";

/** @param {string} text base64url @returns {Uint8Array} */
export function bytesOf(text) {
  const plain = text.replaceAll("-", "+").replaceAll("_", "/");
  return Uint8Array.from(atob(plain), (letter) => letter.charCodeAt(0));
}

/** @returns {boolean} */
function isPossible() {
  return "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
}

class Push extends PageElement {
  static properties = { state: { state: true }, busy: { state: true }, fault: { state: true } };

  constructor() {
    super();
    /** @type {"unknown" | "impossible" | "refused" | "off" | "on"} */
    this.state = "unknown";
    this.busy = false;
    this.fault = "";
  }

  connectedCallback() {
    super.connectedCallback();
    this.#look();
  }

  async #look() {
    if (!isPossible()) {
      this.state = "impossible";
      return;
    }
    if (Notification.permission === "denied") {
      this.state = "refused";
      return;
    }
    const registration = await navigator.serviceWorker.getRegistration();
    const subscription = await registration?.pushManager.getSubscription();
    // Told again: the session may be a new one, and then the server has forgotten this browser.
    if (subscription && Notification.permission === "granted") {
      await api.post(PATH, subscription.toJSON()).then(
        () => (this.state = "on"),
        () => (this.state = "off"),
      );
    } else this.state = "off";
  }

  /** @param {() => Promise<void>} work */
  async #doing(work) {
    this.busy = true;
    this.fault = "";
    try {
      await work();
    } catch (error) {
      this.fault = /** @type {Error} */ (error).message;
    }
    this.busy = false;
  }

  #on() {
    return this.#doing(async () => {
      if ((await Notification.requestPermission()) !== "granted") {
        this.state = Notification.permission === "denied" ? "refused" : "off";
        return;
      }
      const registration = await navigator.serviceWorker.ready;
      const { public_key: key } = await api.get(PATH);
      const subscription = await registration.pushManager.subscribe({
        userVisibleOnly: true,
        applicationServerKey: /** @type {any} */ (bytesOf(key)),
      });
      await api.post(PATH, subscription.toJSON());
      this.state = "on";
    });
  }

  #off() {
    return this.#doing(async () => {
      const registration = await navigator.serviceWorker.getRegistration();
      const subscription = await registration?.pushManager.getSubscription();
      if (subscription) {
        await api.delete(PATH, { body: { endpoint: subscription.endpoint } });
        await subscription.unsubscribe();
      }
      this.state = "off";
    });
  }

  #words() {
    if (this.state === "impossible") return t("This browser cannot take messages when no page is open.");
    if (this.state === "refused") return t("Messages are blocked in this browser's own settings for this site.");
    if (this.state === "on") return t("This browser tells you of bookings and messages when no page of ours is open.");
    return t("This browser can tell you of bookings and messages when no page of ours is open.");
  }

  render() {
    if (this.state === "unknown") return nothing;
    return html`<p role="status">${this.#words()}</p>
      ${this.fault ? html`<p class="note note--bad" role="alert">${icon("circle-alert")}<span>${this.fault}</span></p>` : nothing}
      ${this.state === "off"
        ? html`<button type="button" aria-busy=${this.busy} ?disabled=${this.busy} @click=${() => this.#on()}>${t("Tell me on this browser")}</button>`
        : nothing}
      ${this.state === "on"
        ? html`<button type="button" class="outline secondary" aria-busy=${this.busy} ?disabled=${this.busy} @click=${() => this.#off()}>${t("Stop telling me on this browser")}</button>`
        : nothing}`;
  }
}

customElements.define("py-push", Push);
