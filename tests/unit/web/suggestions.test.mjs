import assert from "node:assert/strict";
import { test } from "node:test";

import { MOST, Suggestions } from "../../../server/web/static/app/suggestions.js";

function advised(id, more = {}) {
  return { item: { id, name: id, name_ne: id }, quantity: "1", unit: "piece", source: "model", reason: "",
    reason_ne: "", price_at_booking: 100, user_hidden: false, ...more };
}

function fakeApi(results, { recId = "signed", down = false } = {}) {
  const calls = [];
  const answer = (value) => (down ? Promise.reject(new Error("away")) : Promise.resolve(value));
  return {
    calls,
    get: (path, options) => (calls.push(["GET", path, options.query]), answer({ results, rec_id: recId })),
    post: (path, body) => (calls.push(["POST", path, body]), answer({ recorded: 1 })),
    delete: (path) => (calls.push(["DELETE", path]), answer(null)),
  };
}

test("only finds of the model that the list lacks are suggested, a few of them", async () => {
  const many = ["a", "b", "c", "d", "e", "f"].map((id) => advised(id));
  const api = fakeApi([advised("rule", { source: "rule" }), advised("gone", { user_hidden: true }), ...many]);
  const suggestions = new Suggestions(api, { puja: "griha", pandit: "p1" });
  await suggestions.load();
  assert.deepEqual(api.calls[0], ["GET", "/api/recommendations/samagri/", { puja_id: "griha", pandit_id: "p1" }]);
  assert.deepEqual(suggestions.beside(["a"]).map((each) => each.item.id), ["b", "c", "d", "e"]);
  assert.equal(MOST, 4);
});

test("what is seen is told once, with the id of its recommendation", async () => {
  const api = fakeApi([advised("a"), advised("b")]);
  const suggestions = new Suggestions(api, { puja: "griha" });
  await suggestions.load();
  await suggestions.seen(["a"]);
  await suggestions.seen(["a", "b"]);
  await suggestions.added("b");
  assert.deepEqual(api.calls.slice(1).map((call) => call[2]), [
    { kind: "shown", item_ids: ["a"], rec_id: "signed" },
    { kind: "shown", item_ids: ["b"], rec_id: "signed" },
    { kind: "added", item_id: "b", rec_id: "signed" },
  ]);
});

test("a recommendation to nobody in particular is not told of", async () => {
  const api = fakeApi([advised("a")], { recId: null });
  const suggestions = new Suggestions(api, { puja: "griha" });
  await suggestions.load();
  await suggestions.seen(["a"]);
  await suggestions.added("a");
  assert.equal(api.calls.length, 1);
});

test("what is hidden goes at once and comes back when that is undone", async () => {
  const api = fakeApi([advised("a"), advised("b")]);
  const suggestions = new Suggestions(api, { puja: "griha" });
  await suggestions.load();
  assert.equal(await suggestions.hide("a"), true);
  assert.deepEqual(suggestions.beside([]).map((each) => each.item.id), ["b"]);
  assert.deepEqual(api.calls.at(-1)[2], { kind: "never_show", item_id: "a", rec_id: "signed" });
  assert.equal(await suggestions.unhide("a"), true);
  assert.deepEqual(api.calls.at(-1), ["DELETE", "/api/users/me/samagri-preferences/a/"]);
  assert.deepEqual(suggestions.beside([]).map((each) => each.item.id), ["a", "b"]);
});

test("a server that is away leaves the list without suggestions, and hides nothing", async () => {
  const suggestions = new Suggestions(fakeApi([advised("a")], { down: true }), { puja: "griha" });
  await suggestions.load();
  assert.deepEqual(suggestions.beside([]), []);
  suggestions.advised = [advised("a")];
  suggestions.recommendation = "signed";
  await suggestions.seen(["a"]);
  assert.equal(await suggestions.hide("a"), false);
  assert.deepEqual(suggestions.beside([]).map((each) => each.item.id), ["a"]);
});
