/**
 * `<py-slots service-id="…">`: the free times of a day, over a plain date and a plain time field.
 *
 * Inside it the server puts `<input type="date" name="booking_date">` and a labelled
 * `<input name="booking_time">` (in a `data-time` wrapper, which is hidden here); those two are what
 * the form sends, with or without script. Times are Nepal's. `exclude-booking` names the booking
 * that is being moved. While the page is open the times follow what others book, over the person's
 * socket; whoever is not signed in sees them anew when he comes back to the page. Events: `py-slot`
 * (bubbles, detail: `{date, time}`).
 */

import { html, nothing } from "../vendor/lit/lit.js";
import { repeat } from "../vendor/lit/directives/repeat.js";
import { api } from "./api.js";
import { clockOf, date, dateBs, NEPAL, t, time, timezone, weekday } from "./i18n.js";
import { icon, PageElement } from "./page.js";

const SKELETON_MS = 300;
const STALE_MS = 30_000;

/** The parts of a day by the hour at which they begin. */
const parts = () => [
  { from: 0, name: t("Morning") },
  { from: 12, name: t("Afternoon") },
  { from: 17, name: t("Evening") },
];

class Slots extends PageElement {
  static properties = {
    serviceId: { attribute: "service-id" },
    excludeBooking: { attribute: "exclude-booking" },
    slots: { state: true },
    bs: { state: true },
    busy: { state: true },
    fault: { state: true },
    chosen: { state: true },
    missing: { state: true },
    lost: { state: true },
  };

  constructor() {
    super();
    this.serviceId = "";
    this.excludeBooking = "";
    /** @type {{start: string, end: string, available: boolean}[] | null} */
    this.slots = null;
    this.bs = "";
    this.busy = false;
    this.fault = "";
    this.chosen = "";
    this.missing = false;
    /** Whether the chosen time was taken by somebody else. */
    this.lost = false;
    this.loadedAt = 0;
    /** @type {AbortController | null} */
    this.request = null;
    this.onLive = (/** @type {Event} */ event) => this.#take(/** @type {CustomEvent} */ (event).detail);
    this.onVisible = () => {
      if (document.visibilityState === "visible" && this.slots && Date.now() - this.loadedAt > STALE_MS) this.#load();
    };
    this.onDate = () => {
      this.#markDay();
      this.#load();
    };
    this.onSubmit = (/** @type {SubmitEvent} */ event) => {
      // "Back" leaves the step without a time.
      const button = /** @type {HTMLButtonElement | null} */ (event.submitter);
      if (this.chosen || button?.formNoValidate) return;
      event.preventDefault();
      this.missing = true;
      /** @type {HTMLElement | null} */ (this.querySelector(".slot input:enabled") ?? this.dateField)?.focus();
    };
  }

  connectedCallback() {
    super.connectedCallback();
    this.dateField = /** @type {HTMLInputElement} */ (this.querySelector('[name="booking_date"]'));
    this.timeField = /** @type {HTMLInputElement} */ (this.querySelector('[name="booking_time"]'));
    const wrapper = /** @type {HTMLElement | null} */ (this.querySelector("[data-time]"));
    if (wrapper) wrapper.hidden = true;
    // A hidden field cannot be filled in, so the browser must not insist on it; the server does.
    this.timeField?.removeAttribute("required");
    this.chosen = this.timeField?.value ?? "";
    this.dateField?.addEventListener("change", this.onDate);
    this.form = this.closest("form");
    this.form?.addEventListener("submit", this.onSubmit);
    window.addEventListener("py-live-slots", this.onLive);
    document.addEventListener("visibilitychange", this.onVisible);
    if (this.dateField?.value) this.#load();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.dateField?.removeEventListener("change", this.onDate);
    this.form?.removeEventListener("submit", this.onSubmit);
    window.removeEventListener("py-live-slots", this.onLive);
    document.removeEventListener("visibilitychange", this.onVisible);
    window.dispatchEvent(new CustomEvent("py-watch-slots", { detail: null }));
    this.request?.abort();
  }

  /** In the list of the days ahead, outline the one that the field says, if it is there. */
  #markDay() {
    const day = this.dateField?.value ?? "";
    for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (this.form?.querySelectorAll(".days__list a") ?? [])) {
      if (day && new URL(link.href).searchParams.get("booking_date") === day) link.setAttribute("aria-current", "date");
      else link.removeAttribute("aria-current");
    }
  }

  async #load() {
    this.request?.abort();
    const request = new AbortController();
    this.request = request;
    this.fault = "";
    const day = this.dateField?.value ?? "";
    if (!day) {
      this.slots = null;
      this.busy = false;
      return;
    }
    const waiting = setTimeout(() => {
      this.busy = true;
    }, SKELETON_MS);
    try {
      const found = await api.get("/api/booking-slots/available-slots/", {
        query: { service_id: this.serviceId, date: day, exclude_booking: this.excludeBooking },
        signal: request.signal,
      });
      this.loadedAt = Date.now();
      this.bs = found.date_bs ?? "";
      this.#show(found.slots);
      this.lost = false;
      const detail = { service: this.serviceId, date: day, exclude: this.excludeBooking };
      window.dispatchEvent(new CustomEvent("py-watch-slots", { detail }));
    } catch (error) {
      if (request.signal.aborted) return;
      this.slots = null;
      this.fault = /** @type {any} */ (error).text ?? String(error);
    } finally {
      clearTimeout(waiting);
      if (this.request === request) this.busy = false;
    }
  }

  /** What the server has pushed. @param {{service: string, date: string, slots: any[]}} frame */
  #take(frame) {
    if (!this.slots || frame.service !== this.serviceId || frame.date !== this.dateField?.value) return;
    this.loadedAt = Date.now();
    this.#show(frame.slots);
  }

  /** Show these times; the choice stays as long as it is free. @param {any[]} slots */
  #show(slots) {
    this.slots = slots;
    const kept = slots.some((slot) => slot.available && this.#clock(slot.start) === this.chosen);
    if (kept || !this.chosen) return;
    this.lost = true;
    this.#choose("");
  }

  /** @param {string} start an instant, or already a clock time */
  #clock(start) {
    return /^\d\d:\d\d/.test(start) ? start.slice(0, 5) : clockOf(start, NEPAL);
  }

  /** The instant of a slot, for showing it. @param {string} start */
  #instant(start) {
    return /^\d\d:\d\d/.test(start) ? `${this.dateField?.value}T${start.slice(0, 5)}:00+05:45` : start;
  }

  /** @param {string} clock */
  #choose(clock) {
    this.chosen = clock;
    if (this.timeField) this.timeField.value = clock;
    if (!clock) return;
    this.missing = false;
    this.lost = false;
    const detail = { date: this.dateField?.value ?? "", time: clock };
    this.dispatchEvent(new CustomEvent("py-slot", { bubbles: true, detail }));
  }

  /** @param {{start: string, end: string, available: boolean}} slot */
  #slot(slot) {
    const clock = this.#clock(slot.start);
    return html`<label class="slot">
      <input
        type="radio"
        name="slot"
        form=""
        value=${clock}
        .checked=${this.chosen === clock}
        ?disabled=${!slot.available}
        @change=${() => this.#choose(clock)}
      /><span>${time(this.#instant(slot.start), NEPAL)}${slot.available
          ? nothing
          : html`<span class="visually-hidden">, ${t("taken")}</span>`}</span>
    </label>`;
  }

  /** @param {{start: string, end: string, available: boolean}[]} slots */
  #groups(slots) {
    const limits = parts();
    return limits.map((part, at) => {
      const until = limits[at + 1]?.from ?? 24;
      const inside = slots.filter((slot) => {
        const hour = Number(this.#clock(slot.start).slice(0, 2));
        return hour >= part.from && hour < until;
      });
      if (!inside.length) return nothing;
      return html`<fieldset class="slots">
        <legend class="slots__group">${part.name}</legend>
        ${repeat(inside, (slot) => this.#clock(slot.start), (slot) => this.#slot(slot))}
      </fieldset>`;
    });
  }

  #ownZone() {
    if (!this.chosen || timezone() === NEPAL) return nothing;
    const there = this.#instant(this.chosen);
    if (clockOf(there, NEPAL) === clockOf(there, timezone())) return nothing;
    const text = t("That is {time} on {date} in your time zone ({zone}).", {
      time: time(there),
      date: date(there),
      zone: timezone(),
    });
    return html`<p class="hint">${text}</p>`;
  }

  #content() {
    if (this.busy) return html`<div class="skeleton skeleton--row"></div><div class="skeleton skeleton--row"></div>`;
    if (this.fault) {
      return html`<div class="note note--bad" role="alert">
        ${icon("circle-alert")}
        <div>${this.fault} <button type="button" class="plain small" @click=${() => this.#load()}>${t("Try again")}</button></div>
      </div>`;
    }
    if (!this.slots) return html`<p class="hint">${t("Choose a date to see the free times.")}</p>`;
    if (!this.slots.some((slot) => slot.available)) {
      return html`<div class="empty">
        ${icon("calendar-x")}
        <p>${t("No free time on this day. Please choose another date.")}</p>
      </div>`;
    }
    return this.#groups(this.slots);
  }

  render() {
    const day = this.dateField?.value;
    const bs = t("{date} BS", { date: dateBs(this.bs) });
    return html`<div aria-live="polite" aria-busy=${this.busy}>
      ${day && this.slots
        ? html`<p class="icon-text">
            ${icon("calendar-days")}<span
              ><strong>${weekday(`${day}T12:00:00+05:45`, NEPAL)}</strong>${this.bs
                ? html` · ${bs}`
                : nothing}
              · ${t("Nepal time")}</span
            >
          </p>`
        : nothing}
      ${this.#content()} ${this.#ownZone()}
      ${this.lost
        ? html`<p class="field-error" role="alert">${t("The time that you chose has just been taken. Please choose another one.")}</p>`
        : nothing}
      ${this.missing ? html`<p class="field-error" role="alert">${t("Please choose a time.")}</p>` : nothing}
    </div>`;
  }
}

customElements.define("py-slots", Slots);
