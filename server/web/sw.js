/**
 * Service worker: a page of our own instead of the browser's when there is no network, and versioned
 * static files from the cache. Nothing private is ever kept: no page but the offline one, no API.
 *
 * Registered as `/sw.js?static=/static/<hash>/`; a new hash is a new worker with a new cache.
 */

const STATIC = new URL(self.location.href).searchParams.get("static") || "/static/";
const CACHE = `pandityatra ${STATIC}`;
const OFFLINE = "/offline/";
const FIRST = [
  OFFLINE,
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
    return await fetch(request);
  } catch {
    const cache = await caches.open(CACHE);
    return (await cache.match(OFFLINE)) ?? Response.error();
  }
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  if (request.mode === "navigate") event.respondWith(pageOrOffline(request));
  else if (url.pathname.startsWith(STATIC)) event.respondWith(fromCache(request));
});
