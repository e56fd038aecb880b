/** `<py-offline>`: a banner while there is no connection, and for a moment when it is back. */

import { html, nothing } from "../vendor/lit/lit.js";
import { t } from "./i18n.js";
import { icon, PageElement } from "./page.js";

const LOST_MS = 4_000;
const BACK_MS = 3_000;

class Offline extends PageElement {
  static properties = { shown: { state: true } };

  constructor() {
    super();
    /** @type {"" | "offline" | "lost" | "back"} */
    this.shown = "";
    this.timer = /** @type {any} */ (null);
    this.onOnline = () => this.#set(navigator.onLine ? "back" : "offline");
    this.onSocket = (/** @type {any} */ event) => this.#socket(event.detail);
  }

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener("online", this.onOnline);
    window.addEventListener("offline", this.onOnline);
    window.addEventListener("py-socket", this.onSocket);
    if (!navigator.onLine) this.#set("offline");
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.removeEventListener("online", this.onOnline);
    window.removeEventListener("offline", this.onOnline);
    window.removeEventListener("py-socket", this.onSocket);
    clearTimeout(this.timer);
  }

  /** A short break of the connection is not worth a banner. @param {string} state */
  #socket(state) {
    if (state === "open") {
      if (this.shown === "lost" || this.shown === "offline") this.#set("back");
      else if (this.shown === "") clearTimeout(this.timer);
    } else if (state === "waiting" && this.shown === "") {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.#set(navigator.onLine ? "lost" : "offline"), LOST_MS);
    }
  }

  /** @param {"offline" | "lost" | "back"} shown */
  #set(shown) {
    clearTimeout(this.timer);
    if (shown === "back" && this.shown === "") return;
    this.shown = shown;
    if (shown === "back") {
      this.timer = setTimeout(() => {
        this.shown = "";
      }, BACK_MS);
    }
  }

  render() {
    const texts = {
      offline: t("You are offline. What you write is kept and sent when you are back."),
      lost: t("The connection was lost. Trying again…"),
      back: t("You are back online."),
    };
    const shown = this.shown;
    return html`<div role="status">
      ${shown
        ? html`<p class="offline ${shown === "back" ? "offline--back" : ""}">
            ${icon(shown === "back" ? "check" : "wifi-off")}${texts[shown]}
          </p>`
        : nothing}
    </div>`;
  }
}

customElements.define("py-offline", Offline);
