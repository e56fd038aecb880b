import assert from "node:assert/strict";
import { test } from "node:test";
import { Api, ApiError } from "../../../server/web/static/app/api.js";

const json = (status, body, headers = {}) =>
  new Response(body === null ? null : JSON.stringify(body), {
    status,
    headers: { "Content-Type": status < 400 ? "application/json" : "application/problem+json", ...headers },
  });

/** A client whose server is a list of answers. */
function client(answers, more = {}) {
  const calls = [];
  const api = new Api({
    cookies: () => "a=b; _xsrf=2%7Ctoken",
    signedIn: true,
    fetch: async (url, options) => {
      calls.push({ path: new URL(url).pathname + new URL(url).search, ...options });
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return answer;
    },
    ...more,
  });
  return { api, calls };
}

test("writes carry the XSRF token, reads do not", async () => {
  const { api, calls } = client([json(200, { a: 1 }), json(201, { b: 2 })]);
  assert.deepEqual(await api.get("/api/pujas/", { query: { q: "x y", cursor: null } }), { a: 1 });
  assert.deepEqual(await api.post("/api/bookings/", { c: 3 }, { idempotencyKey: "key-12345" }), { b: 2 });
  assert.equal(calls[0].path, "/api/pujas/?q=x+y");
  assert.equal(calls[0].headers["X-XSRFToken"], undefined);
  assert.equal(calls[1].headers["X-XSRFToken"], "2|token");
  assert.equal(calls[1].headers["Idempotency-Key"], "key-12345");
  assert.equal(calls[1].body, '{"c":3}');
});

test("a problem becomes an error with its type, text and fields", async () => {
  const errors = [{ field: "quantity", code: "range", message: "Too many" }];
  const { api } = client([json(422, { type: "invalid", title: "Invalid", status: 422, detail: "Look again", errors })]);
  await assert.rejects(api.patch("/api/x/", {}), (error) => {
    assert.ok(error instanceof ApiError);
    assert.deepEqual([error.status, error.type, error.text, error.temporary], [422, "invalid", "Too many", false]);
    return true;
  });
});

test("an answer of something between us and the server is named by its status", async () => {
  const plain = (status) => new Response("<html>", { status, headers: { "Content-Type": "text/html" } });
  const { api } = client([plain(413), plain(415), plain(500)]);
  for (const title of ["Too large", "Unsupported format", "That did not work."]) {
    await assert.rejects(api.post("/api/x/", {}), { text: title });
  }
});

test("a request that shall outlive the page says so", async () => {
  const { api, calls } = client([json(200, {}), json(200, {})]);
  await api.patch("/api/x/", {}, { keepalive: true });
  await api.patch("/api/x/", {});
  assert.deepEqual(calls.map((call) => call.keepalive), [true, false]);
});

test("the time to wait is told", async () => {
  const { api } = client([json(429, { type: "rate-limited", title: "Slow" }, { "Retry-After": "17" })]);
  await assert.rejects(api.get("/api/x/"), { status: 429, retryAfter: 17, temporary: true });
});

test("no network is an error like the others", async () => {
  const { api } = client([new TypeError("failed")]);
  await assert.rejects(api.get("/api/x/"), { status: 0, type: "unreachable", temporary: true });
});

test("an answer without a body is null", async () => {
  const { api } = client([json(204, null)]);
  assert.equal(await api.delete("/api/x/"), null);
});

test("an expired session is renewed once and the request repeated", async () => {
  const { api, calls } = client([json(401, {}), json(200, {}), json(200, { ok: true })]);
  assert.deepEqual(await api.get("/api/x/"), { ok: true });
  assert.deepEqual(calls.map((call) => call.path), ["/api/x/", "/api/auth/token/refresh/", "/api/x/"]);
});

test("requests at the same time share one renewal", async () => {
  let renewals = 0;
  const seen = new Set();
  const { api } = client([], {
    fetch: async (url) => {
      if (url.endsWith("/refresh/")) {
        renewals += 1;
        return json(200, {});
      }
      if (seen.has(url)) return json(200, {});
      seen.add(url);
      return json(401, {});
    },
  });
  await Promise.all(["/api/a/", "/api/b/", "/api/c/"].map((path) => api.get(path)));
  assert.equal(renewals, 1);
});

test("a renewal by another tab meanwhile is not repeated: its token would count as stolen", async () => {
  const storage = { getItem: () => String(Date.now() + 1000), setItem: () => assert.fail("renewed again") };
  const { api, calls } = client([json(401, {}), json(200, { ok: true })], { storage });
  assert.deepEqual(await api.get("/api/x/"), { ok: true });
  assert.equal(calls.length, 2);
});

test("the end of the session is told to the page, and the request fails as 401", async () => {
  const events = new EventTarget();
  let told = 0;
  events.addEventListener("py-signed-out", () => {
    told += 1;
  });
  const { api } = client([json(401, { title: "Sign in" }), json(401, {})], { events });
  await assert.rejects(api.get("/api/x/"), { status: 401 });
  assert.equal(told, 1);
  assert.equal(api.signedIn, false);
});

test("visitors are not asked to renew anything", async () => {
  const { api, calls } = client([json(401, {})], { signedIn: false });
  await assert.rejects(api.get("/api/x/"), { status: 401 });
  assert.equal(calls.length, 1);
});
