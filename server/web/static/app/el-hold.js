/**
 * `<py-hold booking-id="…" until="ISO time">`: how long an unfinished booking still holds its time.
 *
 * Inside it the server puts the sentence that says so, with a `[data-left]` for the minutes and
 * seconds, which are for the eye alone. Whoever works on the page keeps the time: now and then it is
 * held a while longer, as far as the server allows. Screen readers hear of it two minutes before the
 * end, and at the end.
 */

import { api } from "./api.js";
import { number, t } from "./i18n.js";

const SECOND_MS = 1000;
const RENEW_MS = 60_000;
const WARN_SECONDS = 120;

class Hold extends HTMLElement {
  constructor() {
    super();
    this.timer = /** @type {any} */ (null);
    this.busy = false;
    this.renewedAt = Date.now();
    this.told = "";
    this.onWork = (/** @type {Event} */ event) => {
      // Whoever goes on to another page renews it by that.
      const target = /** @type {Element | null} */ (event.target);
      if (!target?.closest?.('a, button:not([type="button"])')) this.#work();
    };
  }

  connectedCallback() {
    this.place = /** @type {HTMLElement | null} */ (this.querySelector("[data-left]"));
    this.place?.setAttribute("aria-hidden", "true");
    this.voice = Object.assign(document.createElement("p"), { className: "visually-hidden" });
    this.voice.setAttribute("role", "status");
    this.append(this.voice);
    document.addEventListener("input", this.onWork);
    document.addEventListener("click", this.onWork);
    this.#tick();
    this.timer = setInterval(() => this.#tick(), SECOND_MS);
  }

  disconnectedCallback() {
    clearInterval(this.timer);
    document.removeEventListener("input", this.onWork);
    document.removeEventListener("click", this.onWork);
  }

  get #left() {
    return Math.max(0, Math.ceil((Date.parse(this.getAttribute("until") ?? "") - Date.now()) / SECOND_MS));
  }

  async #work() {
    if (this.busy || this.#left === 0 || Date.now() - this.renewedAt < RENEW_MS) return;
    this.busy = true;
    this.renewedAt = Date.now();
    try {
      const path = `/api/booking-wizard/${encodeURIComponent(this.getAttribute("booking-id") ?? "")}/renew/`;
      const draft = await api.post(path, {});
      if (draft.held_until) this.setAttribute("until", draft.held_until);
    } catch {
      // It is held until the time that is shown; the next step says what has become of it.
    } finally {
      this.busy = false;
    }
  }

  #tick() {
    const left = this.#left;
    const two = (/** @type {number} */ part) => (part < 10 ? `${number(0)}${number(part)}` : number(part));
    if (this.place) this.place.textContent = `${number(Math.floor(left / 60))}:${two(left % 60)}`;
    if (left === 0) {
      clearInterval(this.timer);
      this.#say("end", t("Your time is no longer held. Please choose a time once more."));
      this.querySelector(".note")?.classList.replace("note--warn", "note--bad");
      if (this.voice) this.voice.className = "field-error";
    } else if (left <= WARN_SECONDS) {
      this.#say("soon", t("Your time is held for two more minutes."));
    }
  }

  /** Say something once. @param {string} what @param {string} text */
  #say(what, text) {
    if (this.told === what || !this.voice) return;
    this.told = what;
    this.voice.textContent = text;
  }
}

customElements.define("py-hold", Hold);
