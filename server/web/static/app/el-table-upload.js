/**
 * `<py-table-upload>`: sends a table of the catalogue, says how far it is, and leads to what it would do.
 */

import { html, nothing } from "../vendor/lit/lit.js";
import { api } from "./api.js";
import { number, t } from "./i18n.js";
import { icon, PageElement } from "./page.js";

const PATH = "/api/admin/catalogue/imports/";

class TableUpload extends PageElement {
  static properties = { part: { state: true }, fault: { state: true } };

  constructor() {
    super();
    /** @type {number | null} how much is sent, 0 to 1; null while nothing is */
    this.part = null;
    this.fault = "";
  }

  /** @param {SubmitEvent} event */
  async #send(event) {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
    this.fault = "";
    this.part = 0;
    try {
      const found = await api.upload(PATH, form, (part) => (this.part = part));
      location.assign(`/admin/catalogue/imports/${encodeURIComponent(found.id)}/`);
    } catch (error) {
      this.fault = /** @type {any} */ (error).text ?? /** @type {Error} */ (error).message;
      this.part = null;
    }
  }

  render() {
    const busy = this.part !== null;
    return html`<form @submit=${this.#send}>
      <div class="fields">
        <div class="field">
          <label for="import-kind">${t("What the table holds")}</label>
          <select id="import-kind" name="kind">
            <option value="items">${t("Items and prices")}</option>
            <option value="rules">${t("What pujas need")}</option>
            <option value="templates">${t("Ready lists")}</option>
          </select>
        </div>
        <div class="field">
          <label for="import-file">${t("CSV file")}</label>
          <input id="import-file" type="file" name="file" accept=".csv,text/csv" required />
        </div>
      </div>
      ${this.fault ? html`<p class="note note--bad" role="alert">${icon("circle-alert")}<span>${this.fault}</span></p>` : nothing}
      ${busy ? html`<progress max="1" value=${this.part ?? 0} aria-label=${t("Sending")}>${number(Math.round((this.part ?? 0) * 100))}</progress>` : nothing}
      <button ?disabled=${busy} aria-busy=${busy}>${icon("upload")}${t("Check the table")}</button>
    </form>`;
  }
}

customElements.define("py-table-upload", TableUpload);
