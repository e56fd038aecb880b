/**
 * Service worker: a page of our own instead of the browser's when there is no network, and versioned
 * static files from the cache. Nothing private is ever kept: no page but the offline one, no API.
 * And messages that arrive while no page is open, with the page that they lead to.
 *
 * Registered as `/sw.js?static=/static/<hash>/`; a new hash is a new worker with a new cache.
 */

const STATIC = new URL(self.location.href).searchParams.get("static") || "/static/";
const CACHE = `pandityatra ${STATIC}`;
const LANGUAGES = ["en", "ne"];
/** Under this address the cache keeps which language the pages spoke last. */
const SPOKEN = "/offline/language";
/** @param {string} language */
const offline = (language) => `/offline/${language}/`;
const FIRST = [
  ...LANGUAGES.map(offline),
  `${STATIC}site.css`,
  `${STATIC}vendor/pico.min.css`,
  `${STATIC}vendor/icons.svg`,
  `${STATIC}img/icon.svg`,
];

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(CACHE)
      .then((cache) => cache.addAll(FIRST))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

/** @param {Request} request */
async function fromCache(request) {
  const cache = await caches.open(CACHE);
  const known = await cache.match(request);
  if (known) return known;
  const answer = await fetch(request);
  if (answer.ok && answer.status === 200) await cache.put(request, answer.clone());
  return answer;
}

/** @param {Request} request */
async function pageOrOffline(request) {
  try {
    const answer = await fetch(request);
    // Beside the answer: what cannot be kept must not keep a page from anybody.
    remember(answer.headers.get("Content-Language") ?? "").catch(() => undefined);
    return answer;
  } catch {
    const cache = await caches.open(CACHE);
    return (await cache.match(offline(await language(cache)))) ?? Response.error();
  }
}

let spoken = "";

/** Keep the language of a page: without a network nobody can be asked for it. @param {string} found */
async function remember(found) {
  if (found === spoken || !LANGUAGES.includes(found)) return;
  spoken = found;
  const cache = await caches.open(CACHE);
  await cache.put(SPOKEN, new Response(found));
}

/** The language of the last page, else the browser's. @param {Cache} cache */
async function language(cache) {
  spoken ||= (await (await cache.match(SPOKEN))?.text()) ?? "";
  return spoken || (navigator.language.startsWith("ne") ? "ne" : "en");
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  if (request.mode === "navigate") event.respondWith(pageOrOffline(request));
  else if (url.pathname.startsWith(STATIC)) event.respondWith(fromCache(request));
});

/** What a message says; one that cannot be read still has to be shown. @param {PushMessageData | null} data */
function messageOf(data) {
  try {
    return data?.json() ?? {};
  } catch {
    return {};
  }
}

/** The address, if it is one of this site. @param {unknown} url */
function ownUrl(url) {
  const found = new URL(String(url ?? "/notifications/"), self.location.origin);
  return found.origin === self.location.origin ? found.href : new URL("/notifications/", self.location.origin).href;
}

self.addEventListener("push", (event) => {
  const { title, body, url, tag, lang } = messageOf(event.data);
  event.waitUntil(
    self.registration.showNotification(title || "PanditYatra", {
      body: body || "",
      lang: lang || "en",
      tag: tag || undefined,
      renotify: Boolean(tag),
      icon: `${STATIC}img/icon.svg`,
      data: { url: ownUrl(url) },
    }),
  );
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const url = ownUrl(event.notification.data?.url);
  event.waitUntil(
    self.clients.matchAll({ type: "window", includeUncontrolled: true }).then(async (pages) => {
      const open = pages.find((page) => page.url === url) ?? pages[0];
      if (!open) return self.clients.openWindow(url);
      await open.focus();
      return open.url === url ? undefined : open.navigate(url);
    }),
  );
});
