import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import * as i18n from "../../../server/web/static/app/i18n.js";

const NOON = Date.parse("2026-11-21T12:20:00Z"); // 18:05 in Nepal

beforeEach(() => i18n.configure({ language: "en", timezone: "Asia/Kathmandu", messages: {} }));

const nepali = (messages = {}) => i18n.configure({ language: "ne", messages });

test("a text without a translation is its own", () => {
  assert.equal(i18n.t("Hello {name}", { name: "Sita" }), "Hello Sita");
  nepali({ "Hello {name}": "नमस्ते {name}" });
  assert.equal(i18n.t("Hello {name}", { name: "सीता" }), "नमस्ते सीता");
  assert.equal(i18n.t("Never seen"), "Never seen");
});

test("a placeholder without a value stays, so that it is noticed", () => {
  assert.equal(i18n.t("Hello {name}"), "Hello {name}");
});

test("counts choose the form and are written in the page's digits", () => {
  assert.equal(i18n.tn("{n} new", "{n} new ones", 1), "1 new");
  assert.equal(i18n.tn("{n} new", "{n} new ones", 0), "0 new ones");
  nepali({ "{n} new": ["{n} नयाँ", "{n} नयाँ"] });
  assert.equal(i18n.tn("{n} new", "{n} new ones", 12), "१२ नयाँ");
});

test("prices come from integer paisa with South Asian grouping", () => {
  assert.equal(i18n.price(12345650), "Rs 1,23,456.50");
  assert.equal(i18n.price(5), "Rs 0.05");
  assert.equal(i18n.price(-250000), "Rs −2,500");
  assert.equal(i18n.price(1999, "USD"), "USD 19.99");
  nepali();
  assert.equal(i18n.price(12345650), "रु १,२३,४५६.५०");
});

test("the largest sums keep every paisa", () => {
  assert.equal(i18n.price(9007199254740991), "Rs 9,00,71,99,25,47,409.91");
});

test("both kinds of digits can be typed", () => {
  assert.equal(i18n.parseNumber("१,२५०"), 1250);
  assert.equal(i18n.parseNumber(" 2.5 "), 2.5);
  for (const text of ["", "-1", "1e3", "two", "1.2.3"]) assert.ok(Number.isNaN(i18n.parseNumber(text)), text);
});

test("times and dates are those of Nepal, a quarter hour off the others", () => {
  assert.equal(i18n.time(NOON), "6:05 pm");
  assert.equal(i18n.date(NOON), "21 November 2026");
  assert.equal(i18n.clockOf(NOON), "18:05");
  assert.equal(i18n.dayOf("2026-11-21T18:20:00Z"), "2026-11-22");
  assert.equal(i18n.weekday(NOON), "Saturday, 21 November");
  assert.equal(i18n.time("2026-11-21T18:20:00Z"), "12:05 am");
  nepali({ November: "नोभेम्बर", Saturday: "शनिबार" });
  assert.equal(i18n.date(NOON), "२१ नोभेम्बर २०२६");
  assert.equal(i18n.weekday(NOON), "शनिबार, २१ नोभेम्बर");
  assert.equal(i18n.time(NOON), "साँझ ६:०५");
});

test("how long ago is told until a week, then the date", () => {
  assert.equal(i18n.ago(NOON - 5_000, NOON), "just now");
  assert.equal(i18n.ago(NOON - 3 * 3_600_000, NOON), "3 hours ago");
  assert.equal(i18n.ago(NOON - 8 * 86_400_000, NOON), "13 November 2026");
  assert.equal(i18n.ago(NOON - 86_400_000, NOON), "1 day ago");
  assert.equal(i18n.ago(NOON + 1_800_000, NOON), "in 30 minutes");
  nepali({ "{n} hour ago": ["{n} घण्टा पहिले", "{n} घण्टा पहिले"] });
  assert.equal(i18n.ago(NOON - 3 * 3_600_000, NOON), "३ घण्टा पहिले");
});

test("the field of the page's language wins, and an empty one falls back", () => {
  const item = { name: "Rice", name_ne: "चामल" };
  assert.equal(i18n.pick(item, "name"), "Rice");
  nepali();
  assert.equal(i18n.pick(item, "name"), "चामल");
  assert.equal(i18n.pick({ name: "Rice", name_ne: "" }, "name"), "Rice");
  assert.equal(i18n.pick(null, "name"), "");
});
