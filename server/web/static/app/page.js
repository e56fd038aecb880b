/** What elements share: the page's boot data, icons, toasts, and the light-DOM base class. */

import { html, LitElement } from "../vendor/lit/lit.js";

const SPRITE = new URL("../vendor/icons.svg", import.meta.url).pathname;

/**
 * What the server writes into `<script type="application/json" id="boot">`.
 * @typedef {object} Boot
 * @property {{id: string, role: string, full_name: string} | null} user
 * @property {string} language "en" or "ne"
 * @property {string} timezone
 * @property {string} xsrf_cookie
 * @property {string} catalogue_url empty when the language needs none
 * @property {string} [service_worker] its address; without one, none is registered
 */

/** Where things are shown. */
const URLS = {
  notifications: "/notifications/",
  sign_in: "/sign-in/",
};

/** @type {Boot} */
export const boot = {
  user: null,
  language: "en",
  timezone: "Asia/Kathmandu",
  xsrf_cookie: "_xsrf",
  catalogue_url: "",
  service_worker: "",
  ...JSON.parse(globalThis.document?.getElementById("boot")?.textContent || "{}"),
};

/** The address of a page. @param {keyof typeof URLS} name */
export const pageUrl = (name) => URLS[name];

/** An icon of the sprite; decoration, so it says nothing to screen readers. @param {string} name */
export function icon(name) {
  return html`<svg class="icon" aria-hidden="true"><use href="${SPRITE}#${name}"></use></svg>`;
}

/**
 * Tell the person what was done, for six seconds. Errors also belong where they happened.
 * @param {{text: string, title?: string, kind?: "info" | "good" | "bad", href?: string,
 *   action?: {label: string, run: () => void}}} detail
 */
export function toast(detail) {
  window.dispatchEvent(new CustomEvent("py-toast", { detail }));
}

/** A Lit element whose markup is the page's own: labels, forms and styles reach into it. */
export class PageElement extends LitElement {
  createRenderRoot() {
    return this;
  }

  connectedCallback() {
    // What the server put there for pages without script.
    for (const node of this.querySelectorAll(":scope > [data-fallback]")) node.remove();
    super.connectedCallback();
  }
}
