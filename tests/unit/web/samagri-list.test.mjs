import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { configure } from "../../../server/web/static/app/i18n.js";
import { grouped, lineOf, orderable, stepped } from "../../../server/web/static/app/samagri-list.js";

beforeEach(() => configure({ language: "en", messages: {} }));

const row = (more = {}) => ({
  item: { id: "haldi", name: "Haldi", name_ne: "बेसार" }, quantity: "100", unit: "g", type: "ESSENTIAL",
  reason: "Purifies", reason_ne: "शुद्ध गर्छ", can_remove: false, price_at_booking: 5000, user_added: false, ...more,
});

test("a line speaks the page's language", () => {
  assert.deepEqual([lineOf(row()).name, lineOf(row()).reason], ["Haldi", "Purifies"]);
  configure({ language: "ne" });
  assert.deepEqual([lineOf(row()).name, lineOf(row()).reason], ["बेसार", "शुद्ध गर्छ"]);
});

test("groups come from what is needed to what is not", () => {
  const lines = ["OPTIONAL", "REQUIRED", "OPTIONAL"].map((type) => lineOf(row({ type })));
  assert.deepEqual(grouped(lines).map((group) => [group.type, group.lines.length]), [["REQUIRED", 1], ["OPTIONAL", 2]]);
});

test("weights go by steps, pieces one by one, and never to nothing", () => {
  assert.equal(stepped(lineOf(row()), 1), 150);
  assert.equal(stepped(lineOf(row({ quantity: "50" })), -1), 50);
  assert.equal(stepped(lineOf(row({ quantity: "20" })), -1), 20);
  assert.equal(stepped(lineOf(row({ unit: "kg", quantity: "0.5" })), 1), 1);
  assert.equal(stepped(lineOf(row({ unit: "packet", quantity: "1" })), -1), 1);
});

test("less than the puja needs is not offered", () => {
  const needed = lineOf(row({ quantity: "120", min_quantity: "100" }));
  assert.equal(stepped(needed, -1), 100);
  assert.equal(stepped({ ...needed, quantity: 100 }, -1), 100);
  assert.equal(stepped({ ...needed, quantity: 100 }, 1), 150);
  assert.equal(stepped(lineOf(row({ quantity: "120", min_quantity: null })), -1), 70);
  // A list from before the least was kept may hold less; it is not raised unasked.
  assert.equal(stepped({ ...needed, quantity: 60 }, -1), 60);
});

test("half a coconut cannot be ordered, half a kilogram can", () => {
  assert.equal(orderable(lineOf(row({ unit: "piece" })), 0.5), false);
  assert.equal(orderable(lineOf(row({ unit: "kg" })), 0.5), true);
  for (const wrong of [0, -1, Number.NaN, 10_001]) assert.equal(orderable(lineOf(row()), wrong), false);
});
