/**
 * `<py-booking-status booking-id="…" updated="…">`: a part of a page that follows a booking.
 *
 * Its content is the server's: badge, facts, actions. When a notification says that the booking has
 * changed, the page is fetched again and the same part taken from it, so that rights and texts are
 * decided in one place. Whenever a connection opens, the first part of a booking asks for what
 * happened between the page (`updated`) and the connection. Events: `py-booking-changed` (bubbles) after the part was replaced.
 */

import { api } from "./api.js";
import { t } from "./i18n.js";
import { toast } from "./page.js";

const TIMEOUT_MS = 15_000;

class BookingStatus extends HTMLElement {
  constructor() {
    super();
    this.loading = false;
    this.again = false;
    this.onNotification = (/** @type {any} */ event) => {
      if (event.detail.booking === this.bookingId && event.detail.kind !== "NEW_MESSAGE") this.refresh();
    };
    this.onUpdate = (/** @type {any} */ event) => event.detail?.booking === this.bookingId && this.refresh();
    this.onSocket = (/** @type {any} */ event) => event.detail === "open" && this.#catchUp();
  }

  connectedCallback() {
    window.addEventListener("py-notification", this.onNotification);
    window.addEventListener("py-refresh-booking", this.onUpdate);
    window.addEventListener("py-socket", this.onSocket);
  }

  disconnectedCallback() {
    window.removeEventListener("py-notification", this.onNotification);
    window.removeEventListener("py-refresh-booking", this.onUpdate);
    window.removeEventListener("py-socket", this.onSocket);
  }

  get bookingId() {
    return this.getAttribute("booking-id") ?? "";
  }

  get #selector() {
    return `py-booking-status[booking-id="${CSS.escape(this.bookingId)}"]`;
  }

  /** Nobody tells a new connection what has happened since the page was made. */
  async #catchUp() {
    if (document.querySelector(this.#selector) !== this) return;
    const found = await api.get(`/api/bookings/${this.bookingId}/`).catch(() => null);
    if (!found || Date.parse(found.updated_at) === Date.parse(this.getAttribute("updated") ?? "")) return;
    window.dispatchEvent(new CustomEvent("py-refresh-booking", { detail: { booking: this.bookingId } }));
  }

  /** Where this part stands among the parts of the same booking in the page. @param {Document} page */
  #same(page) {
    const place = [...document.querySelectorAll(this.#selector)].indexOf(this);
    return page.querySelectorAll(this.#selector)[place] ?? null;
  }

  /** Somebody is filling in a form here; it must not vanish under the hands. */
  get #inUse() {
    if (this.querySelector("dialog[open]")) return true;
    return [...this.querySelectorAll("textarea, input")].some((field) => {
      const { value, defaultValue, checked, defaultChecked } = /** @type {HTMLInputElement} */ (field);
      return value !== defaultValue || Boolean(checked) !== Boolean(defaultChecked);
    });
  }

  /** Fetch the page again and show its version of this part. */
  async refresh() {
    if (this.loading) {
      this.again = true;
      return;
    }
    if (this.#inUse) {
      toast({
        text: t("This booking has changed."),
        action: { label: t("Show"), run: () => location.reload() },
      });
      return;
    }
    this.loading = true;
    this.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(location.href, {
        credentials: "same-origin",
        headers: { Accept: "text/html" },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (answer.ok) this.#replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      toast({ kind: "bad", text: t("This booking has changed, but it could not be loaded."), href: location.href });
    } finally {
      this.loading = false;
      this.removeAttribute("aria-busy");
    }
    if (this.again) {
      this.again = false;
      await this.refresh();
    }
  }

  /** @param {Document} page */
  #replace(page) {
    const other = this.#same(page);
    if (!other) {
      location.reload();
      return;
    }
    const focused = this.contains(document.activeElement);
    this.setAttribute("updated", other.getAttribute("updated") ?? "");
    this.replaceChildren(...[...other.childNodes].map((node) => document.importNode(node, true)));
    if (focused) {
      this.tabIndex = -1;
      this.focus();
    }
    for (const badge of this.querySelectorAll(".badge")) badge.classList.add("is-fresh");
    this.dispatchEvent(new CustomEvent("py-booking-changed", { bubbles: true, detail: { booking: this.bookingId } }));
  }
}

customElements.define("py-booking-status", BookingStatus);
