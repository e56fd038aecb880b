/**
 * `<py-wizard>`: a long form shown step by step.
 *
 * Inside it the server puts `ol.steps`, whose first entry is done already, and one form with a
 * `[data-step]` section for each of the others; `[data-review]` shows what was chosen before it is
 * sent. What is typed is kept in this tab until the form has been sent, so that going away and coming
 * back loses nothing.
 */

import { html, nothing, render } from "../vendor/lit/lit.js";
import { NEPAL, t, time, weekday } from "./i18n.js";
import { icon } from "./page.js";

const WITH_ADDRESS = ["HOME", "TEMPLE"];

class Wizard extends HTMLElement {
  connectedCallback() {
    this.form = /** @type {HTMLFormElement} */ (this.querySelector("form"));
    this.parts = /** @type {HTMLElement[]} */ ([...this.querySelectorAll("[data-step]")]);
    this.marks = /** @type {HTMLElement[]} */ ([...this.querySelectorAll(".steps > li")]);
    this.key = `pandityatra.draft ${location.pathname}`;
    this.refused = document.querySelector("[data-focus]") !== null;
    this.onPop = (/** @type {PopStateEvent} */ event) => this.#show(event.state?.step ?? 0, false);
    window.addEventListener("popstate", this.onPop);
    this.form.addEventListener("input", () => this.#keep());
    this.addEventListener("py-slot", () => this.#keep());
    this.form.addEventListener("submit", (event) => this.#submit(event));
    if (!this.refused && !location.search) this.#restore();
    for (const [at, part] of this.parts.entries()) this.#addButtons(part, at);
    this.#show(this.#firstFault(), false);
  }

  disconnectedCallback() {
    window.removeEventListener("popstate", this.onPop);
  }

  /** @param {string} name @returns {string} */
  #value(name) {
    return String(new FormData(this.form).get(name) ?? "").trim();
  }

  /** The step to begin with: where the server found a fault, else the first. */
  #firstFault() {
    const at = this.parts.findIndex((part) => part.querySelector('[aria-invalid="true"]'));
    return Math.max(at, 0);
  }

  /** @param {HTMLElement} part @param {number} at */
  #addButtons(part, at) {
    const place = document.createElement("div");
    place.className = "actions";
    const last = at === this.parts.length - 1;
    const back = html`<button type="button" class="outline secondary" @click=${() => history.back()}>
      ${icon("arrow-left")}${t("Back")}
    </button>`;
    const next = html`<button type="button" @click=${() => this.#next(at)}>${t("Next")}${icon("arrow-right")}</button>`;
    render(html`${at ? back : nothing}${last ? nothing : next}`, place);
    if (at || !last) part.append(place);
  }

  /** @param {number} at */
  #next(at) {
    if (this.#complete(at)) this.#show(at + 1, true);
  }

  /** Whether a step has what it needs; says what is missing otherwise. @param {number} at */
  #complete(at) {
    const part = this.parts?.[at];
    const slots = /** @type {any} */ (part?.querySelector("py-slots"));
    if (slots && !this.#value("booking_time")) {
      slots.missing = true;
      const field = slots.querySelector(".slot input:enabled") ?? slots.querySelector('[name="booking_date"]');
      field?.focus();
      return false;
    }
    const address = /** @type {HTMLInputElement | null} */ (part?.querySelector('[name="address"]'));
    if (address && WITH_ADDRESS.includes(this.#value("service_location")) && !address.value.trim()) {
      this.#complain(address, t("An address is needed for a puja at home or at a temple."));
      return false;
    }
    return true;
  }

  /** @param {HTMLInputElement} field @param {string} text */
  #complain(field, text) {
    let place = field.parentElement?.querySelector(".field-error");
    if (!place) {
      place = Object.assign(document.createElement("small"), { className: "field-error", id: `${field.id}-fault` });
      field.after(place);
    }
    place.textContent = text;
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", place.id);
    field.focus();
    field.addEventListener(
      "input",
      () => {
        field.removeAttribute("aria-invalid");
        place?.remove();
      },
      { once: true },
    );
  }

  /** @param {number} step @param {boolean} forward whether the reader pressed "Next" */
  #show(step, forward) {
    this.step = step;
    for (const [at, part] of (this.parts ?? []).entries()) part.hidden = at !== step;
    for (const [at, mark] of (this.marks ?? []).entries()) {
      if (at === step + 1) mark.setAttribute("aria-current", "step");
      else mark.removeAttribute("aria-current");
      if (at < step + 1) mark.dataset.state = "done";
      else delete mark.dataset.state;
    }
    if (step === (this.parts?.length ?? 0) - 1) this.#review();
    if (!forward) return;
    history.pushState({ step }, "");
    /** @type {HTMLElement | null | undefined} */ (this.parts?.[step]?.querySelector("h2"))?.focus();
    this.scrollIntoView({ block: "start" });
  }

  #review() {
    const place = /** @type {HTMLElement | null} */ (this.querySelector("[data-review]"));
    if (!place) return;
    const start = `${this.#value("booking_date")}T${this.#value("booking_time")}:00+05:45`;
    const chosen = (/** @type {string} */ name) =>
      this.form?.querySelector(`[name="${name}"]:checked`)?.closest("label")?.querySelector("strong")?.textContent ?? "";
    const where = [chosen("service_location"), this.#value("address"), this.#value("area"), this.#value("city")];
    const rows = [
      [t("When"), Number.isNaN(Date.parse(start)) ? "" : `${weekday(start, NEPAL)}, ${time(start, NEPAL)}`],
      [t("Where"), where.filter(Boolean).join(", ")],
      [t("Samagri"), chosen("samagri_required")],
      [t("Payment"), chosen("payment_method")],
      [t("Notes"), this.#value("notes")],
    ];
    render(
      html`<dl class="details">${rows.filter((row) => row[1]).map((row) => html`<dt>${row[0]}</dt><dd>${row[1]}</dd>`)}</dl>`,
      place,
    );
  }

  /** Enter in a field means "next" until the last step. @param {SubmitEvent} event */
  #submit(event) {
    const last = (this.parts?.length ?? 1) - 1;
    if ((this.step ?? 0) < last) {
      event.preventDefault();
      this.#next(this.step ?? 0);
      return;
    }
    if (!event.defaultPrevented) sessionStorage.removeItem(this.key ?? "");
  }

  #keep() {
    const kept = [...new FormData(this.form)].filter(([name]) => !name.startsWith("_"));
    sessionStorage.setItem(this.key ?? "", JSON.stringify(kept));
  }

  #restore() {
    const text = sessionStorage.getItem(this.key ?? "");
    for (const [name, value] of text ? JSON.parse(text) : []) {
      for (const field of /** @type {NodeListOf<HTMLInputElement>} */ (this.form?.querySelectorAll(`[name="${CSS.escape(name)}"]`))) {
        if (field.type === "radio") field.checked = field.value === value;
        else field.value = value;
      }
    }
  }
}

customElements.define("py-wizard", Wizard);
