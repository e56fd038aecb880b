/**
 * The REST API from the site's own pages: cookie session, XSRF header, RFC 9457 problems.
 *
 * An expired session is renewed once and the request repeated. Refresh tokens rotate, and one that
 * is used twice ends the session; so tabs take turns, and the second one sees that it has been done.
 */

import { language, t } from "./i18n.js";

const REFRESH_PATH = "/api/auth/token/refresh/";
const REFRESHED_AT = "pandityatra.refreshed";
const TIMEOUT_MS = 20_000;

/**
 * One fault of one field.
 * @typedef {{field: string, code: string, message: string}} FieldError
 */

/** An answer that is not a success, or no answer at all (`status` 0). */
export class ApiError extends Error {
  /**
   * @param {{status: number, type?: string, title?: string, detail?: string, errors?: FieldError[],
   *   retryAfter?: number | null, requestId?: string | null}} problem `retryAfter` in seconds
   */
  constructor({ status, type = "", title = "", detail = "", errors = [], retryAfter = null, requestId = null }) {
    super(detail || title || `HTTP ${status}`);
    this.name = "ApiError";
    this.status = status;
    this.type = type;
    this.title = title;
    this.detail = detail;
    this.errors = errors;
    this.retryAfter = retryAfter;
    this.requestId = requestId;
  }

  /** What to show to a person. */
  get text() {
    return this.errors.length === 1 ? this.errors[0].message : this.message;
  }

  /** True when the same request may succeed later without a change. */
  get temporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** @param {string} cookies @param {string} name */
function cookieNamed(cookies, name) {
  for (const part of cookies.split(";")) {
    const at = part.indexOf("=");
    if (part.slice(0, at).trim() === name) return decodeURIComponent(part.slice(at + 1));
  }
  return "";
}

/** @param {Response} response */
function retryAfter(response) {
  const text = response.headers.get("Retry-After");
  if (!text) return null;
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}

/** What a status says when nothing else does, as before a proxy that answers by itself. @param {number} status */
function plainTitle(status) {
  if (status === 413) return t("Too large");
  if (status === 415) return t("Unsupported format");
  return t("That did not work.");
}

/** @param {Response} response @returns {Promise<ApiError>} */
async function problemOf(response) {
  /** @type {Record<string, any>} */
  let body = {};
  if ((response.headers.get("Content-Type") ?? "").includes("json")) {
    body = await response.json().catch(() => ({}));
  }
  return new ApiError({
    status: response.status,
    // A stable slug, or an address that ends in it.
    type: String(body.type ?? "").split("/").filter(Boolean).at(-1) ?? "",
    title: body.title ?? plainTitle(response.status),
    detail: body.detail,
    errors: Array.isArray(body.errors) ? body.errors : [],
    retryAfter: retryAfter(response),
    requestId: response.headers.get("X-Request-ID"),
  });
}

/** No answer came, because there is no way to the server. */
const unreachable = () =>
  new ApiError({
    status: 0,
    type: "unreachable",
    title: t("No connection. Please try again when you are online."),
  });

/**
 * @typedef {object} Options
 * @property {Record<string, string | number | null | undefined>} [query] empty values are left out
 * @property {any} [body] sent as JSON; a FormData goes out as it is
 * @property {string | boolean} [idempotencyKey] true makes one
 * @property {AbortSignal} [signal]
 * @property {number} [timeout] milliseconds
 * @property {boolean} [keepalive] the request outlives the page
 */

/** A client of the API. Everything it touches can be given, for tests. */
export class Api {
  /**
   * @param {{fetch?: typeof fetch, cookies?: () => string, xsrfCookie?: string, signedIn?: boolean,
   *   storage?: Pick<Storage, "getItem" | "setItem"> | null, locks?: LockManager | null, events?: EventTarget | null}} [given]
   */
  constructor(given = {}) {
    this.fetch = given.fetch ?? ((...args) => globalThis.fetch(...args));
    this.cookies = given.cookies ?? (() => document.cookie);
    this.xsrfCookie = given.xsrfCookie ?? "_xsrf";
    this.signedIn = given.signedIn ?? false;
    this.storage = given.storage ?? null;
    this.locks = given.locks ?? null;
    this.events = given.events ?? null;
    /** @type {Promise<boolean> | null} */
    this.refreshing = null;
  }

  /** @param {string} path @param {Options} [options] */
  get(path, options) {
    return this.request("GET", path, options);
  }

  /** @param {string} path @param {any} [body] @param {Options} [options] */
  post(path, body, options) {
    return this.request("POST", path, { ...options, body });
  }

  /** @param {string} path @param {any} [body] @param {Options} [options] */
  put(path, body, options) {
    return this.request("PUT", path, { ...options, body });
  }

  /** @param {string} path @param {any} [body] @param {Options} [options] */
  patch(path, body, options) {
    return this.request("PATCH", path, { ...options, body });
  }

  /** @param {string} path @param {Options} [options] */
  delete(path, options) {
    return this.request("DELETE", path, options);
  }

  /**
   * Upload a form and report how far it is, which `fetch` cannot tell.
   * @param {string} path @param {FormData} form @param {(part: number) => void} progress from 0 to 1
   * @returns {Promise<any>}
   * @throws {ApiError}
   */
  upload(path, form, progress) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", path);
      request.setRequestHeader("Accept", "application/json");
      request.setRequestHeader("Accept-Language", language());
      request.setRequestHeader("X-XSRFToken", cookieNamed(this.cookies(), this.xsrfCookie));
      request.setRequestHeader("Idempotency-Key", crypto.randomUUID());
      request.upload.onprogress = (event) => event.total && progress(event.loaded / event.total);
      request.onerror = () => reject(unreachable());
      request.onload = async () => {
        const headers = new Headers({ "Content-Type": request.getResponseHeader("Content-Type") ?? "" });
        const response = new Response(request.responseText || null, { status: request.status, headers });
        if (response.ok) resolve(await response.json());
        else reject(await problemOf(response));
      };
      request.send(form);
    });
  }

  /**
   * Send one request and return its JSON (null when the answer has no body).
   * @param {string} method @param {string} path @param {Options} [options]
   * @returns {Promise<any>}
   * @throws {ApiError}
   */
  async request(method, path, options = {}) {
    const key = options.idempotencyKey === true ? crypto.randomUUID() : options.idempotencyKey || "";
    const startedAt = Date.now();
    let response = await this.#send(method, path, options, key);
    if (response.status === 401 && this.signedIn && path !== REFRESH_PATH) {
      if (await this.refresh(startedAt)) response = await this.#send(method, path, options, key);
    }
    if (!response.ok) throw await problemOf(response);
    if (response.status === 204) return null;
    const text = await response.text();
    return text ? JSON.parse(text) : null;
  }

  /** @param {string} method @param {string} path @param {Options} options @param {string} key */
  async #send(method, path, options, key) {
    const url = new URL(path, globalThis.location?.origin ?? "http://localhost");
    for (const [name, value] of Object.entries(options.query ?? {})) {
      if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, String(value));
    }
    /** @type {Record<string, string>} */
    const headers = { Accept: "application/json", "Accept-Language": language() };
    if (method !== "GET") headers["X-XSRFToken"] = cookieNamed(this.cookies(), this.xsrfCookie);
    if (key) headers["Idempotency-Key"] = key;
    let body = options.body;
    if (body !== undefined && !(body instanceof FormData)) {
      headers["Content-Type"] = "application/json";
      body = JSON.stringify(body);
    }
    const limit = AbortSignal.timeout(options.timeout ?? TIMEOUT_MS);
    const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
    try {
      return await this.fetch(url.href, { method, headers, body, signal, credentials: "same-origin", keepalive: options.keepalive ?? false });
    } catch (error) {
      if (options.signal?.aborted) throw error;
      if (!limit.aborted) throw unreachable();
      throw new ApiError({
        status: 0,
        type: "timeout",
        title: t("The server took too long to answer. Please try again."),
      });
    }
  }

  /**
   * Renew the session. Calls at the same time, also from other tabs, share one renewal.
   * @param {number} [since] a renewal after this moment (ms) is as good as a new one
   * @returns {Promise<boolean>} whether there is a session afterwards
   */
  refresh(since = Date.now()) {
    this.refreshing ??= this.#refreshInTurn(since).finally(() => {
      this.refreshing = null;
    });
    return this.refreshing;
  }

  /** @param {number} since */
  async #refreshInTurn(since) {
    const renew = async () => {
      if (Number(this.storage?.getItem(REFRESHED_AT) ?? 0) > since) return true;
      const response = await this.#send("POST", REFRESH_PATH, { body: {} }, "");
      if (response.ok) {
        this.storage?.setItem(REFRESHED_AT, String(Date.now()));
        return true;
      }
      if (response.status !== 401 && response.status !== 403 && response.status !== 422) {
        throw await problemOf(response);
      }
      this.signedIn = false;
      this.events?.dispatchEvent(new CustomEvent("py-signed-out"));
      return false;
    };
    return this.locks ? this.locks.request("pandityatra.refresh", renew) : renew();
  }
}

/** The page's own client. */
export const api = new Api({
  storage: globalThis.localStorage ?? null,
  locks: globalThis.navigator?.locks ?? null,
  events: globalThis.window ?? null,
});
