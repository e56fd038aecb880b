/**
 * `<py-samagri booking-id="…">`: the items of a booking, to be changed while the price follows.
 *
 * Attributes: `booking-id`; `readonly` shows the list only; `compute` asks the server for its
 * recommendation when the list is still empty; `puja-id` and `pandit-id` let it suggest what others
 * take for that puja, and tell the server what became of it. Elements anywhere in the page with
 * `data-fee="service_fee"`, `"samagri_fee"` or `"total_fee"` show the current sums. Events: `py-fees`
 * (bubbles, detail: `{service_fee, samagri_fee, total_fee, currency}`).
 *
 * Once the booking is accepted, changes make a proposal: the customer sees the list as he proposes
 * it, with its sums, and the rest of the page what holds until the pandit agrees.
 *
 * A quantity goes out a moment after the last press. A form of the page that is sent meanwhile waits
 * until the server has it, and stays when the server refuses; whoever leaves otherwise takes it along.
 * Where the page stays after all, as when a file is fetched, the answer is shown as always.
 */

import { html, noChange, nothing } from "../vendor/lit/lit.js";
import { repeat } from "../vendor/lit/directives/repeat.js";
import { live } from "../vendor/lit/directives/live.js";
import { api } from "./api.js";
import { number, parseNumber, pick, price, t } from "./i18n.js";
import { icon, PageElement, toast } from "./page.js";
import { FAVOURITE, NEVER_SHOW, Preferences } from "./preferences.js";
import { Suggestions } from "./suggestions.js";
import { grouped, lineOf, MOST, orderable, stepped, unitName } from "./samagri-list.js";

const TYPING_MS = 600;
const SEARCH_MS = 250;

/** @param {string} type */
function groupName(type) {
  if (type === "REQUIRED") return t("Required by this puja");
  if (type === "ESSENTIAL") return t("Essential");
  return t("Optional");
}

class Samagri extends PageElement {
  static properties = {
    bookingId: { attribute: "booking-id" },
    pujaId: { attribute: "puja-id" },
    panditId: { attribute: "pandit-id" },
    readonly: { type: Boolean },
    compute: { type: Boolean },
    lines: { state: true },
    fees: { state: true },
    canEdit: { state: true },
    needsConsent: { state: true },
    proposed: { state: true },
    busy: { state: true },
    fault: { state: true },
    faults: { state: true },
    found: { state: true },
    searched: { state: true },
  };

  constructor() {
    super();
    this.bookingId = "";
    this.pujaId = "";
    this.panditId = "";
    /** @type {Suggestions | null} */
    this.suggestions = null;
    /** @type {Preferences | null} */
    this.preferences = null;
    /** Tells when the suggestions come into view. @type {IntersectionObserver | null} */
    this.watch = null;
    this.readonly = false;
    this.compute = false;
    /** @type {import("./samagri-list.js").Line[] | null} */
    this.lines = null;
    /** @type {{service_fee: number, samagri_fee: number, total_fee: number, currency: string} | null} */
    this.fees = null;
    /** Whether the server lets this person change the list now. */
    this.canEdit = false;
    /** Whether a change is only proposed. */
    this.needsConsent = false;
    /** Whether what is shown is a proposal. */
    this.proposed = false;
    /** How often the page's note of the proposal is being fetched because of a change made here. */
    this.noting = 0;
    /** Ids of the lines that wait for the server. @type {Set<string>} */
    this.busy = new Set();
    this.fault = "";
    /** @type {Record<string, string>} */
    this.faults = {};
    /** The line whose quantity is being typed: what is drawn anew meanwhile leaves its field alone. */
    this.typed = "";
    /** @type {any[]} */
    this.found = [];
    this.searched = "";
    /** Quantities that are not on their way yet, by line. @type {Map<string, {quantity: number, unit: string, timer: any}>} */
    this.waiting = new Map();
    /** Quantities as the server told them last, by line. @type {Map<string, number>} */
    this.told = new Map();
    /** Changes that the server has not answered. @type {Set<Promise<boolean>>} */
    this.running = new Set();
    /** The form that goes when all is saved. @type {{form: HTMLFormElement, submitter: HTMLElement | null} | null} */
    this.leaving = null;
    /** @type {any} */
    this.searching = 0;
    /** Answers that come late must not overwrite newer ones. */
    this.turn = 0;
    this.queue = Promise.resolve();
    // Agreed to, cancelled, begun: what may be changed is another list now, or none.
    this.onBooking = () => this.noting > 0 || this.load();
    this.onSubmit = (/** @type {SubmitEvent} */ event) => this.#holdBack(event);
    this.onLeave = () => this.#sendAlong();
  }

  get path() {
    return `/api/bookings/${encodeURIComponent(this.bookingId)}/samagri/`;
  }

  /** @param {string} id of an item */
  #pathOf(id) {
    return `${this.path}${encodeURIComponent(id)}/`;
  }

  connectedCallback() {
    super.connectedCallback();
    document.addEventListener("py-booking-changed", this.onBooking);
    // Before anybody else takes the form for sent.
    document.addEventListener("submit", this.onSubmit, { capture: true });
    // Early, while the page is whole; and where that is not told, as it ends.
    window.addEventListener("beforeunload", this.onLeave);
    window.addEventListener("pagehide", this.onLeave);
    this.load();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    document.removeEventListener("py-booking-changed", this.onBooking);
    document.removeEventListener("submit", this.onSubmit, { capture: true });
    window.removeEventListener("beforeunload", this.onLeave);
    window.removeEventListener("pagehide", this.onLeave);
    this.watch?.disconnect();
    this.watch = null;
    clearTimeout(this.searching);
    this.#sendAlong();
  }

  /** Read the list again. */
  async load() {
    this.fault = "";
    try {
      let answer = await api.get(this.path);
      if (this.compute && answer.can_edit && !answer.needs_consent && answer.results.length === 0) {
        answer = await api.post(this.path, {}, { idempotencyKey: true });
      }
      this.#take(answer);
      await this.#suggest();
    } catch (error) {
      this.fault = /** @type {any} */ (error).text ?? String(error);
    }
  }

  /** Ask once what else might be wanted, and what the customer thinks of items. */
  async #suggest() {
    if (!this.preferences && this.#editable) {
      this.preferences = new Preferences(api);
      await this.preferences.load();
      this.requestUpdate();
    }
    if (this.suggestions || !this.pujaId || !this.#editable) return;
    this.suggestions = new Suggestions(api, { puja: this.pujaId, pandit: this.panditId });
    await this.suggestions.load();
    this.requestUpdate();
  }

  get #suggested() {
    return this.suggestions?.beside((this.lines ?? []).map((line) => line.id)) ?? [];
  }

  /** @param {Map<string, unknown>} changed */
  updated(changed) {
    super.updated(changed);
    const place = this.querySelector(".samagri__suggested");
    this.watch?.disconnect();
    if (!place) return;
    this.watch = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) {
        this.suggestions?.seen(this.#suggested.map((each) => each.item.id));
      }
    });
    this.watch.observe(place);
  }

  /** @param {import("./suggestions.js").Advised} each */
  async #accept(each) {
    if (await this.#add(each.item.id, Number(each.quantity), each.unit)) {
      this.suggestions?.added(each.item.id);
      toast({ kind: "good", text: t("{name} was added.", { name: pick(each.item, "name") }) });
      /** @type {HTMLElement | null} */ (this.querySelector("#samagri-title"))?.focus();
    } else {
      this.fault = this.faults[each.item.id];
    }
  }

  /** @param {import("./suggestions.js").Advised} each */
  async #hide(each) {
    const id = each.item.id;
    const done = await this.suggestions?.hide(id);
    this.requestUpdate();
    if (!done) {
      toast({ kind: "bad", text: t("That did not work. Please try again.") });
      return;
    }
    toast({
      text: t("{name} will not be suggested again.", { name: pick(each.item, "name") }),
      action: {
        label: t("Undo"),
        run: async () => {
          await this.suggestions?.unhide(id);
          this.requestUpdate();
        },
      },
    });
    /** @type {HTMLElement | null} */ (this.querySelector("#samagri-title"))?.focus();
  }

  /** @param {import("./samagri-list.js").Line} line @param {string} preference */
  async #opine(line, preference) {
    const done = await this.preferences?.toggle(line.id, preference);
    this.requestUpdate();
    if (!done) {
      toast({ kind: "bad", text: t("That did not work. Please try again.") });
      return;
    }
    const said = this.preferences?.of(line.id);
    if (said === NEVER_SHOW && line.canRemove) {
      await this.#remove(line);
      return;
    }
    const name = line.name;
    if (said === FAVOURITE) toast({ kind: "good", text: t("{name} is one of your favourites now.", { name }) });
    else if (said === NEVER_SHOW) toast({ text: t("{name} stays, because the puja needs it, and is not suggested elsewhere.", { name }) });
    else toast({ text: t("Nothing special is known of {name} any more.", { name }) });
  }

  /** @param {import("./samagri-list.js").Line} line */
  #opinions(line) {
    if (!this.#editable || !this.preferences) return nothing;
    const said = this.preferences.of(line.id);
    const like = t("Favourite: {name}", { name: line.name });
    const hide = t("Never suggest {name}", { name: line.name });
    return html`<span class="samagri__opinions">
      <button
        type="button"
        class="icon-btn"
        aria-pressed=${said === FAVOURITE}
        aria-label=${like}
        @click=${() => this.#opine(line, FAVOURITE)}
      >
        ${icon("heart")}
      </button>
      <button
        type="button"
        class="icon-btn"
        aria-pressed=${said === NEVER_SHOW}
        aria-label=${hide}
        @click=${() => this.#opine(line, NEVER_SHOW)}
      >
        ${icon("eye-off")}
      </button>
    </span>`;
  }

  get #editable() {
    return this.canEdit && !this.readonly;
  }

  /** Show the server's list and sums. @param {any} answer */
  #take(answer) {
    this.canEdit = answer.can_edit;
    this.needsConsent = answer.needs_consent;
    this.proposed = this.#editable && Boolean(answer.proposal);
    const shown = this.proposed ? answer.proposal : answer;
    const lines = /** @type {import("./samagri-list.js").Line[]} */ (shown.results.map(lineOf));
    for (const [id, { timer }] of this.waiting) {
      if (lines.some((line) => line.id === id)) continue;
      clearTimeout(timer);
      this.waiting.delete(id);
    }
    this.told = new Map(lines.map((line) => [line.id, line.quantity]));
    // What was pressed since is newer than this answer.
    this.lines = lines.map((line) => ({ ...line, quantity: this.waiting.get(line.id)?.quantity ?? line.quantity }));
    const { service_fee, samagri_fee, total_fee, currency } = answer;
    const fees = { service_fee, samagri_fee, total_fee, currency };
    this.fees = { ...fees, samagri_fee: shown.samagri_fee, total_fee: shown.total_fee };
    for (const place of document.querySelectorAll("[data-fee]")) {
      const sum = /** @type {any} */ (fees)[/** @type {HTMLElement} */ (place).dataset.fee ?? ""];
      if (Number.isInteger(sum)) place.textContent = price(sum, fees.currency);
    }
    this.dispatchEvent(new CustomEvent("py-fees", { bubbles: true, detail: fees }));
  }

  /**
   * Make one change, then show the list and sums that the server answers. One after another.
   * @param {string} id the line it is about @param {() => Promise<any>} run
   * @returns {Promise<boolean>} whether it was done
   */
  #change(id, run) {
    const turn = (this.turn += 1);
    this.busy = new Set(this.busy).add(id);
    this.faults = { ...this.faults, [id]: "" };
    const work = this.queue.then(async () => {
      try {
        const answer = await run();
        // Only the last of several quick changes is shown, so that numbers do not jump back.
        if (turn === this.turn) {
          this.#take(answer);
          this.#note();
        }
        return true;
      } catch (error) {
        const problem = /** @type {import("./api.js").ApiError} */ (error);
        await this.#refuse(id, problem.text ?? String(error));
        await this.load();
        // When not even the list can be read: what is shown must not look saved.
        if (this.fault) this.#showTold(id);
        return false;
      } finally {
        const busy = new Set(this.busy);
        busy.delete(id);
        this.busy = busy;
      }
    });
    this.queue = work.then(() => {});
    this.running.add(work);
    work.then(() => this.running.delete(work));
    return work;
  }

  /** @param {string} id of a line whose change was not saved */
  #showTold(id) {
    const quantity = this.told.get(id);
    if (quantity === undefined || this.waiting.has(id)) return;
    this.lines = (this.lines ?? []).map((line) => (line.id === id ? { ...line, quantity } : line));
  }

  /** Send a quantity that waits. @param {string} id of its line */
  #save(id) {
    const wanted = this.waiting.get(id);
    if (!wanted) return;
    this.#stopWaiting(id);
    const { quantity, unit } = wanted;
    this.#change(id, () => api.patch(this.#pathOf(id), { quantity, unit }));
  }

  /** @param {string} id */
  #stopWaiting(id) {
    clearTimeout(this.waiting.get(id)?.timer);
    this.waiting.delete(id);
  }

  /**
   * Let a form go only when the server has all changes; one that it refuses is shown, and the form stays.
   * @param {SubmitEvent} event
   */
  async #holdBack(event) {
    if (!this.waiting.size && !this.running.size) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const isHeld = this.leaving !== null;
    const form = /** @type {HTMLFormElement} */ (event.target);
    this.leaving = { form, submitter: event.submitter };
    if (isHeld) return;
    event.submitter?.setAttribute("aria-busy", "true");
    let isSaved = true;
    while (this.waiting.size || this.running.size) {
      for (const id of [...this.waiting.keys()]) this.#save(id);
      const done = await Promise.all(this.running);
      isSaved &&= done.every(Boolean);
    }
    event.submitter?.removeAttribute("aria-busy");
    const going = this.leaving;
    this.leaving = null;
    if (!isSaved) {
      await this.updateComplete;
      this.querySelector(".samagri__error, .note--bad")?.scrollIntoView({ block: "center" });
    } else if (going.form.isConnected) {
      going.form.requestSubmit(going.submitter?.isConnected ? going.submitter : null);
    }
  }

  /** Send what waits at once and so that it outlives the page. */
  #sendAlong() {
    for (const [id, { quantity, unit }] of this.waiting) {
      this.#stopWaiting(id);
      const sent = api.patch(this.#pathOf(id), { quantity, unit }, { keepalive: true });
      // Whoever is gone by then hears of no refusal.
      sent.catch(() => {});
      if (this.isConnected) this.#change(id, () => sent);
    }
  }

  /** Show in the page what is proposed now; the server says it in words. */
  async #note() {
    if (!this.needsConsent) return;
    const part = document.querySelector(`py-booking-status[booking-id="${CSS.escape(this.bookingId)}"][data-samagri]`);
    this.noting += 1;
    try {
      await /** @type {any} */ (part)?.refresh?.();
    } finally {
      this.noting -= 1;
    }
  }

  /** Nothing is being typed any more: the fields show what holds. */
  #typedAll() {
    this.typed = "";
    this.requestUpdate();
  }

  /** Say at a line why its quantity is not taken, where it is seen. @param {string} id @param {string} text */
  async #refuse(id, text) {
    this.faults = { ...this.faults, [id]: text };
    await this.updateComplete;
    this.querySelector(`[data-item="${CSS.escape(id)}"] .samagri__error`)?.scrollIntoView({ block: "nearest" });
  }

  /** @param {import("./samagri-list.js").Line} line @param {number} quantity @param {number} [wait] */
  #setQuantity(line, quantity, wait = TYPING_MS) {
    if (quantity > MOST) {
      const most = { quantity: number(MOST), unit: unitName(line.unit, MOST) };
      this.#refuse(line.id, t("At most {quantity} {unit} of it can be ordered.", most));
      return;
    }
    if (!orderable(line, quantity)) {
      this.#refuse(line.id, t("Please enter a quantity above zero; whole numbers for pieces."));
      return;
    }
    if (quantity < line.least) {
      const needed = { quantity: number(line.least), unit: unitName(line.unit, line.least) };
      this.#refuse(line.id, t("This puja needs at least {quantity} {unit} of it.", needed));
      return;
    }
    this.faults = { ...this.faults, [line.id]: "" };
    if (quantity === line.quantity) return;
    this.lines = (this.lines ?? []).map((other) => (other.id === line.id ? { ...other, quantity } : other));
    this.#stopWaiting(line.id);
    this.waiting.set(line.id, { quantity, unit: line.unit, timer: setTimeout(() => this.#save(line.id), wait) });
  }

  /** @param {import("./samagri-list.js").Line} line */
  async #remove(line) {
    this.#stopWaiting(line.id);
    const done = await this.#change(line.id, () => api.delete(this.#pathOf(line.id)));
    if (!done) return;
    toast({
      text: t("{name} was removed.", { name: line.name }),
      action: { label: t("Undo"), run: () => this.#add(line.id, line.quantity, line.unit) },
    });
    /** @type {HTMLElement | null} */ (this.querySelector("#samagri-title"))?.focus();
  }

  /** @param {string} id @param {number} quantity @param {string} unit */
  #add(id, quantity, unit) {
    return this.#change(id, () => api.put(this.#pathOf(id), { quantity, unit }));
  }

  /** @param {any} item an item of the catalogue */
  async #choose(item) {
    this.found = [];
    this.searched = "";
    const field = /** @type {HTMLInputElement} */ (this.querySelector("#samagri-search"));
    field.value = "";
    field.focus();
    const unit = item.base_unit ?? item.unit;
    if (await this.#add(item.id, Number(item.base_quantity ?? 1), unit)) {
      toast({ kind: "good", text: t("{name} was added.", { name: pick(item, "name") }) });
    } else {
      this.fault = this.faults[item.id];
    }
  }

  /** @param {string} text */
  #search(text) {
    clearTimeout(this.searching);
    const words = text.trim();
    if (words.length < 2) {
      this.found = [];
      this.searched = "";
      return;
    }
    this.searching = setTimeout(async () => {
      const answer = await api.get("/api/samagri/items/", { query: { q: words, limit: 8 } }).catch(() => null);
      // An older question that is answered late must not undo a newer one.
      const field = /** @type {HTMLInputElement | null} */ (this.querySelector("#samagri-search"));
      if (!answer || field?.value.trim() !== words) return;
      const present = new Set(this.lines?.map((line) => line.id));
      this.found = answer.results.filter((/** @type {any} */ item) => !present.has(item.id));
      this.searched = words;
    }, SEARCH_MS);
  }

  /** @param {import("./samagri-list.js").Line} line */
  #quantity(line) {
    const label = t("Quantity of {name}", { name: line.name });
    const field = t("Quantity of {name}, in {unit}", { name: line.name, unit: line.unitName });
    const less = t("Less {name}", { name: line.name });
    const more = t("More {name}", { name: line.name });
    if (!this.#editable) return html`<span class="numeric">${number(line.quantity)} ${line.unitName}</span>`;
    return html`<span class="stepper" role="group" aria-label=${label}>
        <button
          type="button"
          aria-label=${less}
          ?disabled=${stepped(line, -1) === line.quantity}
          @click=${() => this.#setQuantity(line, stepped(line, -1))}
        >
          ${icon("minus")}
        </button>
        <input
          type="text"
          inputmode="decimal"
          autocomplete="off"
          aria-label=${field}
          .value=${this.typed === line.id ? noChange : live(number(line.quantity))}
          @input=${() => (this.typed = line.id)}
          @blur=${() => this.#typedAll()}
          @change=${(/** @type {any} */ event) => {
            this.#typedAll();
            this.#setQuantity(line, parseNumber(event.target.value), 0);
          }}
        />
        <button
          type="button"
          aria-label=${more}
          @click=${() => this.#setQuantity(line, stepped(line, 1))}
        >
          ${icon("plus")}
        </button> </span
      ><span class="unit">${line.unitName}</span>`;
  }

  /** @param {import("./samagri-list.js").Line} line */
  #row(line) {
    const remove = t("Remove {name}", { name: line.name });
    const fault = this.faults[line.id];
    return html`<li class="samagri__row" data-item=${line.id} aria-busy=${this.busy.has(line.id)}>
      <div class="samagri__name">
        <strong><a href=${`/samagri/${encodeURIComponent(line.id)}/`}>${line.name}</a></strong>
        <span class="samagri__reason">${line.reason}</span>${this.#opinions(line)}
      </div>
      <div class="samagri__quantity">${this.#quantity(line)}</div>
      <span class="samagri__price price">${price(line.price, this.fees?.currency)}</span>
      <div class="samagri__remove">
        ${line.canRemove
          ? !this.#editable
            ? nothing
            : html`<button
                type="button"
                class="icon-btn"
                aria-label=${remove}
                ?disabled=${this.busy.has(line.id)}
                @click=${() => this.#remove(line)}
              >
                ${icon("trash-2")}
              </button>`
          : html`<span class="samagri__fixed">${icon("lock")}${t("Needed")}</span>`}
      </div>
      ${fault ? html`<p class="samagri__error" role="alert">${fault}</p>` : nothing}
    </li>`;
  }

  #adder() {
    const none = t("Nothing found for “{words}”.", { words: this.searched });
    return html`<div class="samagri__add">
      <label for="samagri-search">${t("Add another item")}</label>
      <input
        id="samagri-search"
        type="search"
        autocomplete="off"
        placeholder=${t("For example sandalwood, ghee")}
        @input=${(/** @type {any} */ event) => this.#search(event.target.value)}
        @keydown=${(/** @type {KeyboardEvent} */ event) => event.key === "Enter" && event.preventDefault()}
      />
      <div role="status">
        ${this.searched && !this.found.length
          ? html`<p class="hint">${none}</p>`
          : nothing}
      </div>
      ${this.found.length
        ? html`<ul class="list samagri__found" aria-label=${t("Items found")}>
            ${repeat(
              this.found,
              (item) => item.id,
              (item) => html`<li>
                <button type="button" @click=${() => this.#choose(item)}>
                  <span class="icon-text">${icon("plus")}${pick(item, "name")}</span>
                  <span class="price">${price(item.price, item.currency)}</span>
                </button>
              </li>`,
            )}
          </ul>`
        : nothing}
    </div>`;
  }

  #suggestions() {
    const suggested = this.#suggested;
    if (!suggested.length) return nothing;
    return html`<section class="samagri__suggested" aria-labelledby="samagri-suggested">
      <h3 id="samagri-suggested">${t("Families also take")}</h3>
      <ul class="samagri__list">
        ${repeat(
          suggested,
          (each) => each.item.id,
          (each) => {
            const name = pick(each.item, "name");
            return html`<li class="samagri__row" data-suggested=${each.item.id}>
              <div class="samagri__name"><strong>${name}</strong><span class="samagri__reason">${pick(each, "reason")}</span></div>
              <div class="samagri__quantity">
                <button
                  type="button"
                  class="small"
                  aria-label=${t("Add {name}", { name })}
                  ?disabled=${this.busy.has(each.item.id)}
                  @click=${() => this.#accept(each)}
                >
                  <span class="icon-text">${icon("plus")}${t("Add")}</span>
                </button>
              </div>
              <span class="samagri__price price">${price(each.price_at_booking, this.fees?.currency)}</span>
              <div class="samagri__remove">
                <button
                  type="button"
                  class="icon-btn"
                  aria-label=${t("Do not suggest {name} again", { name })}
                  @click=${() => this.#hide(each)}
                >
                  ${icon("x")}
                </button>
              </div>
            </li>`;
          },
        )}
      </ul>
    </section>`;
  }

  #sums() {
    const fees = this.fees;
    if (!fees) return nothing;
    return html`<table class="price-table ${this.busy.size ? "is-updating" : ""}" aria-live="polite">
      <caption class="visually-hidden">
        ${t("Price")}
      </caption>
      <tbody>
        <tr>
          <th scope="row">${t("Puja service")}</th>
          <td>${price(fees.service_fee, fees.currency)}</td>
        </tr>
        <tr>
          <th scope="row">${t("Samagri")}</th>
          <td>${price(fees.samagri_fee, fees.currency)}</td>
        </tr>
      </tbody>
      <tfoot>
        <tr>
          <th scope="row">${this.proposed ? t("Total, once the pandit agrees") : t("Total")}</th>
          <td>${price(fees.total_fee, fees.currency)}</td>
        </tr>
      </tfoot>
    </table>`;
  }

  #fault() {
    if (!this.fault) return nothing;
    return html`<div class="note note--bad" role="alert">
      ${icon("circle-alert")}
      <div>${this.fault} <button type="button" class="plain small" @click=${() => this.load()}>${t("Try again")}</button></div>
    </div>`;
  }

  render() {
    if (!this.lines) {
      return this.fault
        ? this.#fault()
        : html`<div aria-busy="true" aria-label=${t("Loading")}>
            <div class="skeleton skeleton--row"></div>
            <div class="skeleton skeleton--row"></div>
            <div class="skeleton skeleton--row"></div>
          </div>`;
    }
    return html`<div class="samagri">
      <h2 id="samagri-title" tabindex="-1">${t("Samagri for this puja")}</h2>
      ${this.#editable && this.needsConsent
        ? html`<p class="hint">${t("Your booking is accepted. The pandit has to agree to each change of this list.")}</p>`
        : nothing}
      ${this.#fault()}
      ${this.lines.length
        ? grouped(this.lines).map(
            (group) => html`<section class="samagri__group">
              <h3>
                ${groupName(group.type)}
                <span class="badge badge--plain badge--${group.type}">${number(group.lines.length)}</span>
              </h3>
              <ul class="samagri__list">
                ${repeat(group.lines, (line) => line.id, (line) => this.#row(line))}
              </ul>
            </section>`,
          )
        : html`<div class="empty">${icon("shopping-basket")}<p>${t("No items yet.")}</p></div>`}
      ${this.#editable ? [this.#suggestions(), this.#adder()] : nothing} ${this.#sums()}
    </div>`;
  }
}

customElements.define("py-samagri", Samagri);
