/**
 * `<py-bell>`: the number of unread notifications, and their list in a panel.
 *
 * Without script the server's link to the notifications page inside the tag (`data-fallback`) does
 * the same. The element is given its store by boot.js.
 */

import { html, nothing } from "../vendor/lit/lit.js";
import { repeat } from "../vendor/lit/directives/repeat.js";
import { ago, number, pick, t, tn } from "./i18n.js";
import { icon, pageUrl, PageElement } from "./page.js";
import { notificationIcon, notificationUrl } from "./routes.js";

class Bell extends PageElement {
  static properties = { store: { attribute: false }, open: { state: true }, busy: { state: true }, fault: { state: true } };

  constructor() {
    super();
    /** @type {import("./notify-store.js").NotifyStore | null} */
    this.store = null;
    this.open = false;
    this.busy = false;
    this.fault = "";
    this.onChange = () => this.requestUpdate();
    this.onOutside = (/** @type {Event} */ event) => {
      if (this.open && !event.composedPath().includes(this)) this.#close(false);
    };
    this.onKey = (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Escape" && this.open) this.#close(true);
    };
  }

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener("py-unread", this.onChange);
    document.addEventListener("click", this.onOutside);
    this.addEventListener("keydown", this.onKey);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.removeEventListener("py-unread", this.onChange);
    document.removeEventListener("click", this.onOutside);
    this.removeEventListener("keydown", this.onKey);
    this.store?.removeEventListener("change", this.onChange);
  }

  /** @param {Map<string, any>} changed */
  updated(changed) {
    if (!changed.has("store")) return;
    changed.get("store")?.removeEventListener("change", this.onChange);
    this.store?.addEventListener("change", this.onChange);
  }

  async #toggle() {
    if (this.open) {
      this.#close(true);
      return;
    }
    this.open = true;
    if (!this.store?.listed) await this.#load();
    await this.updateComplete;
    this.querySelector(".bell__panel")?.focus();
  }

  async #load() {
    this.busy = true;
    this.fault = "";
    try {
      await this.store?.loadMore();
    } catch (error) {
      this.fault = /** @type {Error} */ (error).message;
    }
    this.busy = false;
  }

  /** @param {boolean} back whether focus returns to the button */
  #close(back) {
    this.open = false;
    if (back) this.querySelector("button")?.focus();
  }

  #panel() {
    const items = this.store?.list ?? [];
    const unread = this.store?.counts.notifications ?? 0;
    return html`<section id="bell-panel" class="bell__panel" tabindex="-1" aria-labelledby="bell-title">
      <header class="bell__head">
        <h2 id="bell-title">${t("Notifications")}</h2>
        ${unread
          ? html`<button type="button" class="plain" @click=${() => this.store?.markAllRead()}>${t("Mark all as read")}</button>`
          : nothing}
      </header>
      ${this.fault ? html`<p class="note note--bad" role="alert">${icon("circle-alert")}<span>${this.fault}</span></p>` : nothing}
      ${items.length === 0 && !this.busy && !this.fault
        ? html`<p class="bell__empty">${t("Nothing new. We tell you here when a booking or a message arrives.")}</p>`
        : nothing}
      <ul class="bell__list" aria-busy=${this.busy}>
        ${repeat(items, (item) => item.id, (item) => this.#row(item))}
        ${this.busy ? html`<li class="skeleton skeleton--row"></li>` : nothing}
      </ul>
      <footer class="bell__foot"><a href=${pageUrl("notifications")}>${t("See all")}</a></footer>
    </section>`;
  }

  /** @param {import("./notify-store.js").Notification} item */
  #row(item) {
    return html`<li class=${item.read ? "" : "is-unread"}>
      <a class="bell__item" href=${notificationUrl(item)} @click=${() => this.store?.markRead([item.id])}>
        ${icon(notificationIcon(item.kind))}
        <div>
          <p class="bell__title">
            ${pick(item, "title")}${item.read ? nothing : html`<span class="visually-hidden">, ${t("unread")}</span>`}
          </p>
          <p class="bell__text">${pick(item, "body")}</p>
          <time datetime=${item.ts}>${ago(item.ts)}</time>
        </div>
      </a>
    </li>`;
  }

  render() {
    const unread = this.store?.counts.notifications ?? 0;
    const label = unread
      ? tn("Notifications, {n} unread", "Notifications, {n} unread", unread)
      : t("Notifications");
    return html`<button
        type="button"
        class="icon-btn bell"
        aria-label=${label}
        aria-expanded=${this.open}
        aria-controls="bell-panel"
        @click=${() => this.#toggle()}
      >
        ${icon("bell")}${unread
          ? html`<span class="count" aria-hidden="true">${unread > 99 ? `${number(99)}+` : number(unread)}</span>`
          : nothing}
      </button>
      ${this.open ? this.#panel() : nothing}`;
  }
}

customElements.define("py-bell", Bell);
