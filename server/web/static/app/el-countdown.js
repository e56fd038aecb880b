/**
 * `<py-countdown until="ISO time">`: how long something is still held, each second.
 *
 * The time itself stands beside it in words; this is decoration for the eye and says nothing to
 * screen readers.
 */

import { number } from "./i18n.js";

const SECOND_MS = 1000;

class Countdown extends HTMLElement {
  constructor() {
    super();
    this.timer = /** @type {any} */ (null);
  }

  connectedCallback() {
    this.setAttribute("aria-hidden", "true");
    this.#tick();
    this.timer = setInterval(() => this.#tick(), SECOND_MS);
  }

  disconnectedCallback() {
    clearInterval(this.timer);
  }

  #tick() {
    const left = Math.max(0, Math.ceil((Date.parse(this.getAttribute("until") ?? "") - Date.now()) / SECOND_MS));
    const two = (/** @type {number} */ part) => (part < 10 ? `${number(0)}${number(part)}` : number(part));
    this.textContent = `${number(Math.floor(left / 60))}:${two(left % 60)}`;
    if (left === 0) clearInterval(this.timer);
  }
}

customElements.define("py-countdown", Countdown);
