import assert from "node:assert/strict";
import { test } from "node:test";

import { FAVOURITE, NEVER_SHOW, Preferences } from "../../../server/web/static/app/preferences.js";

function fakeApi(pages, { down = false } = {}) {
  const calls = [];
  const answer = (value) => (down ? Promise.reject(new Error("away")) : Promise.resolve(value));
  return {
    calls,
    get: (path, options) => (calls.push(["GET", options.query]), answer(pages.shift())),
    put: (path, body) => (calls.push(["PUT", path, body]), answer({})),
    delete: (path) => (calls.push(["DELETE", path]), answer(null)),
  };
}

test("what was said is read page by page", async () => {
  const api = fakeApi([
    { results: [{ item_id: "ghee", preference: FAVOURITE }], next: "more" },
    { results: [{ item_id: "peda", preference: NEVER_SHOW }], next: null },
  ]);
  const preferences = new Preferences(api);
  await preferences.load();
  assert.deepEqual(api.calls.map((call) => call[1].cursor), [undefined, "more"]);
  assert.equal(preferences.of("ghee"), FAVOURITE);
  assert.equal(preferences.of("peda"), NEVER_SHOW);
  assert.equal(preferences.of("rice"), "");
});

test("what is said again is taken back", async () => {
  const preferences = new Preferences(fakeApi([{ results: [], next: null }]));
  assert.equal(await preferences.toggle("a b", FAVOURITE), true);
  assert.deepEqual(preferences.api.calls[0], ["PUT", "/api/users/me/samagri-preferences/a%20b/", { preference: FAVOURITE }]);
  assert.equal(preferences.of("a b"), FAVOURITE);
  await preferences.toggle("a b", NEVER_SHOW);
  assert.equal(preferences.of("a b"), NEVER_SHOW);
  await preferences.toggle("a b", NEVER_SHOW);
  assert.deepEqual(preferences.api.calls[2], ["DELETE", "/api/users/me/samagri-preferences/a%20b/"]);
  assert.equal(preferences.of("a b"), "");
});

test("what the server has not heard is not believed", async () => {
  const preferences = new Preferences(fakeApi([], { down: true }));
  await preferences.load();
  assert.equal(await preferences.toggle("ghee", FAVOURITE), false);
  assert.equal(preferences.of("ghee"), "");
});
