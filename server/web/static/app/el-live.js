/**
 * `<py-live id="…" kinds="BOOKING_CREATED …">`: a part of a page that is fetched again when a
 * notification of one of these kinds comes.
 *
 * Its content is the server's, so that counts and rights are decided in one place. Several
 * notifications at once fetch the page once. What has changed is said politely by the part itself
 * (`role="status"` in the server's markup).
 */

const TIMEOUT_MS = 15_000;
const PAUSE_MS = 300;

class Live extends HTMLElement {
  constructor() {
    super();
    this.timer = /** @type {any} */ (null);
    this.onNotification = (/** @type {any} */ event) => {
      const kinds = (this.getAttribute("kinds") ?? "").split(/\s+/);
      if (!kinds.includes(event.detail.kind)) return;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.refresh(), PAUSE_MS);
    };
  }

  connectedCallback() {
    window.addEventListener("py-notification", this.onNotification);
  }

  disconnectedCallback() {
    clearTimeout(this.timer);
    window.removeEventListener("py-notification", this.onNotification);
  }

  async refresh() {
    try {
      const answer = await fetch(location.href, {
        credentials: "same-origin",
        headers: { Accept: "text/html" },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const other = page.getElementById(this.id);
      if (!other || other.textContent === this.textContent) return;
      const focused = this.contains(document.activeElement);
      this.replaceChildren(...[...other.childNodes].map((node) => document.importNode(node, true)));
      if (focused) {
        this.tabIndex = -1;
        this.focus();
      }
    } catch {
      // The bell has told of it; the next notification tries again.
    }
  }
}

customElements.define("py-live", Live);
