/**
 * The way to a puja, live. Positions are told over the socket and kept nowhere.
 *
 * `<py-share-position booking-id="…">`: the pandit's switch; asks the device for its position and
 * sends it while the page is open. `<py-on-the-way booking-id="…" lat="…" lng="…">`: what the
 * customer sees of it: distance, minutes, when it was last heard, and a drawing without any map
 * service. Both speak through window events: `py-say` to the socket, `py-position` from it.
 */

import { html, nothing, svg } from "../vendor/lit/lit.js";
import { number, t, time, tn } from "./i18n.js";
import { icon, PageElement } from "./page.js";

const SEND_MS = 5000;
const KM_PER_DEGREE = 111.2;
const SIZE = 240;
const EDGE = 36;

/** @param {Record<string, unknown>} frame whether it went out stands in `sent` */
function say(frame) {
  const detail = { frame, sent: false };
  window.dispatchEvent(new CustomEvent("py-say", { detail }));
  return detail.sent;
}

const REASONS = () => ({
  arrived: t("You have arrived, so your position is not shared any more."),
  started: t("The puja has begun, so your position is not shared any more."),
  cancelled: t("The booking was called off, so your position is not shared any more."),
  moved: t("The booking has another time, so your position is not shared any more."),
  time: t("The time for sharing is over."),
  silent: t("Nothing was heard of this device for a while, so your position is not shared any more."),
});

class SharePosition extends PageElement {
  static properties = {
    bookingId: { attribute: "booking-id" },
    on: { state: true },
    over: { state: true },
    note: { state: true },
  };

  constructor() {
    super();
    this.bookingId = "";
    this.on = false;
    /** Whether the way itself is over, so that there is nothing to share any more. */
    this.over = false;
    this.note = "";
    /** @type {number | null} */
    this.watch = null;
    this.sentAt = 0;
    /** @type {any} */
    this.timer = null;
    /** @type {GeolocationPosition | null} */
    this.last = null;
    this.onFrame = (/** @type {any} */ event) => this.#hear(event.detail);
    this.onSocket = (/** @type {any} */ event) => {
      // A new connection may lead to another server, which knows nothing of this share.
      if (event.detail === "open" && this.on) this.#ask();
    };
    this.onHide = () => this.on && this.stop("");
  }

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener("py-position", this.onFrame);
    window.addEventListener("py-socket", this.onSocket);
    window.addEventListener("pagehide", this.onHide);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.removeEventListener("py-position", this.onFrame);
    window.removeEventListener("py-socket", this.onSocket);
    window.removeEventListener("pagehide", this.onHide);
    if (this.on) this.stop("");
  }

  get #cid() {
    return `share-${this.bookingId}`.slice(0, 36);
  }

  #ask() {
    return say({ type: "share", booking: this.bookingId, cid: this.#cid });
  }

  start() {
    if (!navigator.geolocation) {
      this.note = t("This device does not tell its position.");
      return;
    }
    if (!this.#ask()) {
      this.note = t("You are offline. Try again when you are connected.");
      return;
    }
    this.on = true;
    this.note = "";
    this.watch = navigator.geolocation.watchPosition(
      (position) => {
        this.last = position;
        this.#send();
      },
      () => this.stop(t("Your device did not tell its position. Allow it in the settings of the browser.")),
      { enableHighAccuracy: true, maximumAge: 10_000, timeout: 30_000 },
    );
    // Who stands still tells it as well, so that the family knows that he is still heard.
    this.timer = setInterval(() => this.#send(), SEND_MS * 4);
  }

  #send() {
    if (!this.on || !this.last || Date.now() - this.sentAt < SEND_MS) return;
    const { latitude, longitude, accuracy } = this.last.coords;
    const frame = { type: "position", booking: this.bookingId, lat: latitude, lng: longitude, accuracy, cid: this.#cid };
    if (say(frame)) this.sentAt = Date.now();
  }

  /** @param {string} note what to tell beside the switch */
  stop(note) {
    if (this.watch !== null) navigator.geolocation.clearWatch(this.watch);
    this.watch = null;
    clearInterval(this.timer);
    if (this.on) say({ type: "unshare", booking: this.bookingId });
    this.on = false;
    this.last = null;
    this.note = note;
  }

  /** @param {any} frame */
  #hear(frame) {
    if (frame.type === "error" && frame.cid === this.#cid) {
      if (frame.code === "not_found" && this.on) this.#ask();
      else if (frame.code !== "rate_limited") this.stop(document.documentElement.lang === "ne" ? frame.message_ne : frame.message);
    } else if (frame.type === "position_ended" && frame.booking === this.bookingId && this.on) {
      this.over = ["arrived", "started", "cancelled", "moved", "time"].includes(frame.reason);
      this.on = false;
      this.stop(/** @type {Record<string, string>} */ (REASONS())[frame.reason] ?? "");
    }
  }

  render() {
    if (this.over) return html`<p class="note" role="status">${this.note}</p>`;
    return html`<div class="note" role="group" aria-label=${t("Your way")}>
      ${icon("navigation")}
      <div>
        <p>${this.on
          ? t("The family sees where you are. It ends by itself when you arrive, and nothing is kept.")
          : t("Let the family see where you are on your way. Nothing is kept, and it ends when you arrive.")}</p>
        <button type="button" class=${this.on ? "outline" : ""} aria-pressed=${this.on}
          @click=${() => (this.on ? this.stop("") : this.start())}>
          ${icon("locate-fixed")}${this.on ? t("Stop sharing my position") : t("Share my position")}
        </button>
        <p role="status" class="small">${this.note || nothing}</p>
      </div>
    </div>`;
  }
}

class OnTheWay extends PageElement {
  static properties = {
    bookingId: { attribute: "booking-id" },
    lat: { type: Number },
    lng: { type: Number },
    frame: { state: true },
    ended: { state: true },
  };

  constructor() {
    super();
    this.bookingId = "";
    this.lat = Number.NaN;
    this.lng = Number.NaN;
    /** @type {any} */
    this.frame = null;
    this.ended = false;
    /** @type {any} */
    this.timer = null;
    this.onFrame = (/** @type {any} */ event) => this.#hear(event.detail);
  }

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener("py-position", this.onFrame);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.removeEventListener("py-position", this.onFrame);
    clearTimeout(this.timer);
  }

  /** @param {any} frame */
  #hear(frame) {
    if (frame.booking !== this.bookingId) return;
    clearTimeout(this.timer);
    if (frame.type === "position") {
      this.frame = frame;
      this.ended = false;
      this.timer = setTimeout(() => (this.ended = true), frame.ttl * 1000);
    } else if (frame.type === "position_ended") {
      this.ended = true;
      this.frame = null;
    }
  }

  /** A drawing of the last kilometres: the home in the middle, the pandit where he is. */
  #drawing() {
    const { lat, lng } = this.frame;
    if (Number.isNaN(this.lat) || Number.isNaN(this.lng)) return nothing;
    const north = (lat - this.lat) * KM_PER_DEGREE;
    const east = (lng - this.lng) * KM_PER_DEGREE * Math.cos((this.lat * Math.PI) / 180);
    const far = Math.hypot(north, east);
    const ring = [0.5, 1, 2, 5, 10, 25, 50, 100, 200, 500].find((km) => km >= far) ?? 1000;
    const scale = (SIZE / 2 - EDGE) / ring;
    const [x, y] = [SIZE / 2 + east * scale, SIZE / 2 - north * scale];
    const known = { distance: number(this.frame.distance_km ?? far), ring: number(ring) };
    const label = t("The pandit is {distance} km from you, inside a ring of {ring} km.", known);
    const edge = t("{distance} km", { distance: known.ring });
    return html`<svg class="way" viewBox="0 0 ${SIZE} ${SIZE}" role="img" aria-label=${label}>
      ${svg`<circle class="map-ring" cx=${SIZE / 2} cy=${SIZE / 2} r=${ring * scale}></circle>
      <text class="map-km" x=${SIZE / 2} y=${SIZE / 2 - ring * scale - 4} text-anchor="middle">${edge}</text>
      <line class="way__line" x1=${SIZE / 2} y1=${SIZE / 2} x2=${x} y2=${y}></line>
      <circle class="way__home" cx=${SIZE / 2} cy=${SIZE / 2} r="7"></circle>
      <circle class="map-pin" cx=${x} cy=${y} r="8"></circle>`}
    </svg>`;
  }

  render() {
    if (!this.frame) return nothing;
    const { distance_km: distance, minutes, ts } = this.frame;
    const at = { time: time(ts) };
    const heard = this.ended ? t("Last heard at {time}; nothing has come since.", at) : t("Last heard at {time}", at);
    const away = distance === null ? "" : t("{distance} km away", { distance: number(distance) });
    const left = distance === null || minutes === null ? "" : tn("about {n} minute", "about {n} minutes", minutes);
    return html`<section class="note" aria-label=${t("The pandit's way to you")}>
      ${icon("navigation")}
      <div>
        <p><strong>${t("The pandit is on his way.")}</strong>
          ${[away, left].filter(Boolean).join(", ")}</p>
        ${this.#drawing()}
        <p class="small muted" role="status">${heard}</p>
      </div>
    </section>`;
  }
}

customElements.define("py-share-position", SharePosition);
customElements.define("py-on-the-way", OnTheWay);
