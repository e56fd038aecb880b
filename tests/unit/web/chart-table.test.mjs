import assert from "node:assert/strict";
import { test } from "node:test";

import { read, spread } from "../../../server/web/static/app/chart-table.js";

/** As much of a table as a chart asks for. */
function table(heads, rows) {
  const cell = ({ text = "", ...dataset } = {}) => ({
    textContent: text,
    dataset,
    hasAttribute: (name) => name.replace("data-", "") in dataset,
  });
  const lines = rows.map((cells) => {
    const children = cells.map(cell);
    return { children, querySelector: () => children.find((each) => "x" in each.dataset) ?? null };
  });
  return { querySelectorAll: (what) => (what === "thead th" ? heads.map(cell) : lines) };
}

test("rows are points, marked columns are lines, and what is missing is a gap", () => {
  const found = read(
    table(
      [{ text: "Day" }, { text: " Placed ", series: "" }, { text: "Note" }, { text: "Held", series: "" }],
      [
        [{ text: "1 November", x: "2026-11-01", short: "1 Nov" }, { n: "3" }, { text: "?" }, { n: "0" }],
        [{ text: "Together" }, { n: "3" }, {}, { n: "0" }],
        [{ text: "2 November", x: "2026-11-02" }, { n: "" }, {}, { n: "2.5" }],
      ],
    ),
  );
  assert.equal(found.name, "Day");
  assert.deepEqual(found.points, [
    { x: 1793491200, text: "1 Nov" },
    { x: 1793577600, text: "2 November" },
  ]);
  assert.deepEqual(found.series, [
    { name: "Placed", values: [3, null] },
    { name: "Held", values: [0, 2.5] },
  ]);
});

test("labels are spread evenly, with the first and the last among them", () => {
  const days = Array.from({ length: 31 }, (_, place) => place);
  assert.deepEqual(spread(days, 4), [0, 10, 20, 30]);
  assert.deepEqual(spread([5, 6], 4), [5, 6]);
  assert.equal(spread(days, 31).length, 31);
});
