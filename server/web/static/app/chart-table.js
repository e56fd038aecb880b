/** What a chart takes from the table that it draws; no drawing here, so that node can test it. */

/** @param {string} day YYYY-MM-DD */
const seconds = (day) => Date.parse(`${day}T00:00:00Z`) / 1000;

/**
 * What the table says: points, and a row of numbers for each series.
 * @param {HTMLTableElement} table
 */
export function read(table) {
  const heads = /** @type {HTMLElement[]} */ ([...table.querySelectorAll("thead th")]);
  const columns = heads.map((head, place) => ({ head, place })).filter(({ head }) => head.hasAttribute("data-series"));
  const rows = [...table.querySelectorAll("tbody tr")].filter((row) => row.querySelector("[data-x]"));
  const points = rows.map((row) => {
    const head = /** @type {HTMLElement} */ (row.querySelector("[data-x]"));
    return { x: seconds(head.dataset.x ?? ""), text: head.dataset.short || (head.textContent ?? "").trim() };
  });
  const series = columns.map(({ head, place }) => ({
    name: (head.textContent ?? "").trim(),
    values: rows.map((row) => {
      const given = /** @type {HTMLElement | undefined} */ (row.children[place])?.dataset.n;
      return given === undefined || given === "" ? null : Number(given);
    }),
  }));
  return { name: (heads[0]?.textContent ?? "").trim(), points, series };
}

/**
 * About so many of the values, evenly spread, the first and the last among them.
 * @param {number[]} all @param {number} most
 */
export function spread(all, most) {
  if (all.length <= most) return all;
  const step = (all.length - 1) / (most - 1);
  return Array.from({ length: most }, (_, place) => all[Math.round(place * step)]);
}
