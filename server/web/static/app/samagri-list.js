/** The samagri of a booking as data: grouping, quantities, totals. No DOM. */

import { pick, t, tn } from "./i18n.js";

/** The order of groups, from what cannot be left out to what can. */
export const GROUPS = ["REQUIRED", "ESSENTIAL", "OPTIONAL"];

/** Units that are weighed or measured; all others are counted in whole numbers. */
const STEPS = /** @type {Record<string, number>} */ ({ g: 50, kg: 0.5, ml: 50, l: 0.5 });

/** The most that the server takes of one item, in its unit. */
export const MOST = 10_000;

/** A unit's name beside a quantity. @param {string} unit @param {number} n */
export function unitName(unit, n) {
  switch (unit) {
    case "kg":
      return t("kg");
    case "g":
      return t("g");
    case "l":
      return t("l");
    case "ml":
      return t("ml");
    case "piece":
      return tn("piece", "pieces", n);
    case "packet":
      return tn("packet", "packets", n);
    case "bunch":
      return tn("bunch", "bunches", n);
    case "garland":
      return tn("garland", "garlands", n);
    case "roll":
      return tn("roll", "rolls", n);
    case "bundle":
      return tn("bundle", "bundles", n);
    case "bottle":
      return tn("bottle", "bottles", n);
    case "set":
      return tn("set", "sets", n);
    default:
      return unit;
  }
}

/**
 * One line, whatever way the answer nests the item.
 * @typedef {object} Line
 * @property {string} id the item's id
 * @property {string} name
 * @property {string} unit
 * @property {string} unitName
 * @property {number} quantity
 * @property {number} least what the puja needs of it, 0 where any amount will do
 * @property {string} type
 * @property {string} reason
 * @property {boolean} canRemove
 * @property {boolean} userAdded
 * @property {number} price minor units, for the whole line
 */

/** @param {any} row @returns {Line} */
export function lineOf(row) {
  const item = typeof row.item === "object" && row.item !== null ? row.item : { id: row.item_id ?? row.item };
  return {
    id: String(item.id),
    name: pick(item, "name") || pick(row, "name") || pick(row, "item_name"),
    unit: row.unit ?? "",
    unitName: unitName(row.unit ?? "", Number(row.quantity)),
    quantity: Number(row.quantity),
    least: Number(row.min_quantity ?? 0),
    type: GROUPS.includes(row.type) ? row.type : "OPTIONAL",
    reason: pick(row, "reason"),
    canRemove: row.can_remove !== false,
    userAdded: row.user_added === true,
    price: row.price_at_booking ?? 0,
  };
}

/** How much one press of plus or minus changes. @param {Line} line */
export const stepOf = (line) => STEPS[line.unit.toLowerCase()] ?? 1;

/**
 * The quantity after a press, never below the smallest sensible amount, nor below what is needed.
 * @param {Line} line @param {number} direction 1 or -1
 */
export function stepped(line, direction) {
  const step = stepOf(line);
  const next = Math.round((line.quantity + direction * step) * 1000) / 1000;
  return Math.max(next, Math.min(step, line.quantity), Math.min(line.least, line.quantity));
}

/** Whether a typed quantity can be ordered: above zero, and whole where things are counted. @param {Line} line @param {number} quantity */
export function orderable(line, quantity) {
  if (!Number.isFinite(quantity) || quantity <= 0 || quantity > MOST) return false;
  return line.unit.toLowerCase() in STEPS || Number.isInteger(quantity);
}

/** Lines by group, empty groups left out. @param {Line[]} lines @returns {{type: string, lines: Line[]}[]} */
export function grouped(lines) {
  return GROUPS.map((type) => ({ type, lines: lines.filter((line) => line.type === type) })).filter(
    (group) => group.lines.length > 0,
  );
}
