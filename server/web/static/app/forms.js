/** Small conveniences of server-rendered pages: where the focus goes, and one's own position. */

import { t } from "./i18n.js";
import { icon, toast } from "./page.js";
import { html, render } from "../vendor/lit/lit.js";

/** Read to whoever sent a form what is wrong with it, before anything else. */
function focusFaults() {
  /** @type {HTMLElement | null} */ (document.querySelector("[data-focus]"))?.focus();
}

/** Offer to search around where one is; the place itself never leaves the address line. */
function offerPosition() {
  const form = /** @type {HTMLFormElement | null} */ (document.querySelector("form[data-place]"));
  const place = form?.querySelector('[name="place"]');
  if (!form || !place || !navigator.geolocation) return;
  const holder = document.createElement("div");
  place.after(holder);
  const near = () => {
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => {
        for (const [name, value] of [["lat", coords.latitude.toFixed(3)], ["lng", coords.longitude.toFixed(3)], ["sort", "distance"]]) {
          let field = /** @type {HTMLInputElement | null} */ (form.querySelector(`input[name="${name}"]`));
          if (!field) {
            form.querySelector(`select[name="${name}"]`)?.remove();
            field = Object.assign(document.createElement("input"), { type: "hidden", name });
            form.append(field);
          }
          field.value = value;
        }
        /** @type {HTMLInputElement} */ (place).value = "";
        form.requestSubmit();
      },
      () => toast({ kind: "bad", text: t("Your position is not known. Please type a place instead.") }),
      { timeout: 10_000, maximumAge: 600_000 },
    );
  };
  const button = html`<button type="button" class="plain small" @click=${near}>
    ${icon("locate-fixed")}${t("Near me")}
  </button>`;
  render(button, holder);
}

/** Offer names of places while one is typed, in either script; the server knows them. */
function offerNames() {
  const place = /** @type {HTMLInputElement | null} */ (document.querySelector('form[data-place] [name="place"]'));
  const list = place && document.getElementById("place-names");
  if (!place || !list) return;
  let asked = 0;
  place.addEventListener("input", async () => {
    const typed = place.value.trim();
    const turn = ++asked;
    if (typed.length < 2) return;
    const answer = await fetch(`/api/places/?country=NP&q=${encodeURIComponent(typed.slice(0, 60))}`).catch(() => null);
    // An older question that is answered late must not undo a newer one.
    if (!answer?.ok || turn !== asked) return;
    const { results } = await answer.json();
    const isNepali = document.documentElement.lang === "ne";
    list.replaceChildren(
      ...results.map((/** @type {{name: string, name_ne: string, region: string}} */ each) =>
        Object.assign(document.createElement("option"), {
          value: isNepali ? each.name_ne : each.name,
          label: each.region,
        }),
      ),
    );
  });
}

/** Links that look and announce themselves as buttons answer to the space bar like buttons. */
function pressWithSpace() {
  document.addEventListener("keydown", (event) => {
    const link = /** @type {HTMLElement} */ (event.target).closest?.('a[role="button"]');
    if (event.key !== " " || !link) return;
    event.preventDefault();
    /** @type {HTMLElement} */ (link).click();
  });
}

/** Links within `data-carry="names of fields"` take along what stands in those fields now. */
function carryFields() {
  document.addEventListener("click", (event) => {
    const link = /** @type {HTMLAnchorElement | null} */ (/** @type {HTMLElement} */ (event.target).closest?.("[data-carry] a"));
    const names = /** @type {HTMLElement | null} */ (link?.closest("[data-carry]"))?.dataset.carry;
    if (!link || !names) return;
    const address = new URL(link.href);
    for (const name of names.split(" ")) {
      const field = /** @type {HTMLInputElement | null} */ (document.querySelector(`form [name="${name}"]`));
      if (field) address.searchParams.set(name, field.value);
    }
    link.href = address.href;
  });
}

/** Called once by boot.js. */
export function watchPage() {
  carryFields();
  pressWithSpace();
  focusFaults();
  offerPosition();
  offerNames();
}
