/**
 * The page's start: language, then elements, then the live connection of a signed-in person.
 *
 * Loaded as `<script type="module" src="…/app/boot.js">`. A page works without it; every element is
 * added life over markup that the server has already written.
 */

import { api } from "./api.js";
import { watchPage } from "./forms.js";
import { configure, number, t } from "./i18n.js";
import { NotifyStore } from "./notify-store.js";
import { boot, pageUrl, toast } from "./page.js";
import { SlotWatch } from "./slot-watch.js";
import { Socket } from "./socket.js";

/** Which module makes which tag; a page loads only those that it uses. */
const ELEMENTS = /** @type {Record<string, () => Promise<unknown>>} */ ({
  "py-toasts": () => import("./el-toasts.js"),
  "py-offline": () => import("./el-offline.js"),
  "py-bell": () => import("./el-bell.js"),
  "py-chat": () => import("./el-chat.js"),
  "py-samagri": () => import("./el-samagri.js"),
  "py-slots": () => import("./el-slots.js"),
  "py-booking-status": () => import("./el-booking-status.js"),
  "py-hold": () => import("./el-hold.js"),
  "py-push": () => import("./el-push.js"),
  "py-table-upload": () => import("./el-table-upload.js"),
  "py-payment": () => import("./el-payment.js"),
  "py-handover": () => import("./el-handover.js"),
  "py-countdown": () => import("./el-countdown.js"),
  "py-chart": () => import("./el-chart.js"),
  "py-live": () => import("./el-live.js"),
  "py-share-position": () => import("./el-on-the-way.js"),
  "py-on-the-way": () => import("./el-on-the-way.js"),
});

/** The page's title without the number in front. */
const title = document.title;

async function loadCatalogue() {
  if (!boot.catalogue_url) return {};
  const answer = await fetch(boot.catalogue_url, { credentials: "same-origin" });
  return answer.ok ? answer.json() : {};
}

/** @param {{notifications: number, chat: number, rooms: Record<string, number>}} counts */
function showCounts(counts) {
  const total = counts.notifications + counts.chat;
  document.title = total ? `(${number(total)}) ${title}` : title;
  for (const place of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-unread]"))) {
    const name = place.dataset.unread ?? "";
    const n = name.startsWith("room:") ? (counts.rooms[name.slice(5)] ?? 0) : /** @type {any} */ (counts)[name] ?? 0;
    place.hidden = n === 0;
    place.textContent = n > 99 ? `${number(99)}+` : number(n);
  }
}

/** @param {SlotWatch} watch */
function connect(watch) {
  /** @type {NotifyStore | null} */
  let store = null;
  const socket = new Socket({
    path: "/ws/notifications/",
    cursor: () => store?.position() ?? {},
    refresh: () => api.refresh(),
  });
  store = new NotifyStore({ socket, api, events: window });
  watch.attach(socket);
  socket.addEventListener("state", (event) => {
    window.dispatchEvent(new CustomEvent("py-socket", { detail: /** @type {CustomEvent} */ (event).detail }));
  });
  // What an element says by itself; whether it went out is told in the event.
  window.addEventListener("py-say", (event) => {
    const { detail } = /** @type {CustomEvent} */ (event);
    detail.sent = socket.send(detail.frame);
  });
  window.addEventListener("py-unread", (event) => showCounts(/** @type {CustomEvent} */ (event).detail));
  for (const bell of document.querySelectorAll("py-bell")) Object.assign(bell, { store });
  socket.start();
}

/** Buttons that must not be pressed twice, and questions before what cannot be undone. */
function watchForms() {
  document.addEventListener("submit", (event) => {
    const form = /** @type {HTMLFormElement} */ (event.target);
    if (event.defaultPrevented || form.method !== "post") return;
    const button = /** @type {HTMLButtonElement | null} */ (/** @type {SubmitEvent} */ (event).submitter);
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    button?.setAttribute("aria-busy", "true");
  });
  // A page that comes back from the browser's memory can be sent again.
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) {
      form.removeAttribute("data-sent");
      for (const button of form.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
    }
  });
  document.addEventListener("click", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const opener = /** @type {HTMLElement | null} */ (target.closest("[data-dialog]"));
    if (opener) {
      const dialog = /** @type {HTMLDialogElement | null} */ (document.getElementById(opener.dataset.dialog ?? ""));
      if (dialog) {
        event.preventDefault();
        dialog.showModal();
      }
    }
    if (target.closest("[data-close]")) {
      event.preventDefault();
      target.closest("dialog")?.close();
    }
  });
  for (const field of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("form[data-auto] select"))) {
    field.addEventListener("change", () => field.closest("form")?.requestSubmit());
  }
}

async function start() {
  const messages = await loadCatalogue().catch(() => ({}));
  configure({ language: boot.language, timezone: boot.timezone, messages });
  api.signedIn = boot.user !== null;
  api.xsrfCookie = boot.xsrf_cookie;
  watchForms();
  watchPage();
  window.addEventListener("py-signed-out", () => {
    const back = encodeURIComponent(location.pathname + location.search);
    toast({ kind: "bad", text: t("Your session has ended. Please sign in again."), href: `${pageUrl("sign_in")}?next=${back}` });
  });
  // Before the elements: they say at once what they look at.
  const watch = new SlotWatch(window);
  const used = Object.keys(ELEMENTS).filter((tag) => document.querySelector(tag));
  await Promise.all(used.map((tag) => ELEMENTS[tag]()));
  if (boot.user) connect(watch);
  if (boot.service_worker) navigator.serviceWorker?.register(boot.service_worker).catch(() => {});
  document.documentElement.dataset.ready = "yes";
}

start();
