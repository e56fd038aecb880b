/**
 * `<py-handover>`: sends the form in it to the payment service by itself, once.
 *
 * Whoever comes back with the browser's own button is not thrown out again: the button stays.
 */

class Handover extends HTMLElement {
  connectedCallback() {
    const [entry] = performance.getEntriesByType("navigation");
    if (/** @type {any} */ (entry)?.type === "back_forward") return;
    const form = this.querySelector("form");
    // A field may be called "submit" and hide the form's own method.
    if (form) HTMLFormElement.prototype.submit.call(form);
  }
}

customElements.define("py-handover", Handover);
