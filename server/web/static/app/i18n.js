/**
 * Texts, numbers, prices and dates in the reader's language and time zone.
 *
 * Texts are whole English sentences with `{name}` placeholders; they are their own keys in the
 * catalogue `{"Send": "…", "{n} new message": ["…", "…"]}`. Numbers and dates come from the
 * browser's own tables. Prices are written by hand, because no browser writes them as people do.
 */

const NEPAL = "Asia/Kathmandu";
const DEVANAGARI = "०१२३४५६७८९";
const MINUTE = 60_000;
const DAY = 86_400_000;

/** @type {{language: string, timezone: string, messages: Record<string, string | string[]>}} */
const state = { language: "en", timezone: NEPAL, messages: {} };

/**
 * Set what the functions below use. Called once by boot.js, and by tests.
 * @param {{language?: string, timezone?: string, messages?: Record<string, string | string[]>}} given
 */
export function configure(given) {
  Object.assign(state, given);
}

/** The language of the page: "en" or "ne". */
export const language = () => state.language;

/** The reader's IANA time zone. */
export const timezone = () => state.timezone;

/** @param {string} text @param {Record<string, unknown>} params */
function fill(text, params) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = params[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? number(value) : String(value);
  });
}

/**
 * A text in the page's language.
 * @param {string} text @param {Record<string, unknown>} [params] numbers are written in the page's digits
 */
export function t(text, params = {}) {
  const found = state.messages[text];
  return fill(typeof found === "string" && found ? found : text, params);
}

/**
 * A text that depends on a count; `{n}` in it is the count.
 * @param {string} one @param {string} many @param {number} n @param {Record<string, unknown>} [params]
 */
export function tn(one, many, n, params = {}) {
  const found = state.messages[one];
  const [single, plural] = Array.isArray(found) && found[0] ? found : [one, many];
  return fill(n === 1 ? single : plural, { n, ...params });
}

/**
 * The field in the page's language of a thing that carries both: `name` or `name_ne`.
 * @param {Record<string, any> | null | undefined} thing @param {string} field
 * @returns {string}
 */
export function pick(thing, field) {
  if (!thing) return "";
  const nepali = thing[`${field}_ne`] ?? "";
  const english = thing[field] ?? "";
  return String(state.language === "ne" ? nepali || english : english || nepali);
}

/** Write Latin digits as Devanagari ones. @param {string} text */
export const toDevanagari = (text) => text.replace(/[0-9]/g, (digit) => DEVANAGARI[Number(digit)]);

/** Write Devanagari digits as Latin ones. @param {string} text */
export const toLatin = (text) => text.replace(/[०-९]/g, (digit) => String(DEVANAGARI.indexOf(digit)));

const inDigits = (/** @type {string} */ text) => (state.language === "ne" ? toDevanagari(text) : text);
const dateLocale = () => (state.language === "ne" ? "ne-NP" : "en-GB");

/**
 * A number grouped as in South Asia: 12,34,567.
 * @param {number} value @param {number} [digits] the most digits after the point
 */
export function number(value, digits = 3) {
  const text = new Intl.NumberFormat("en-IN", { maximumFractionDigits: digits }).format(value);
  return inDigits(text);
}

/**
 * Read a number that a person typed, in either kind of digits; NaN when it is none.
 * @param {string} text
 */
export function parseNumber(text) {
  const plain = toLatin(text).replace(/[,\s]/g, "");
  return /^\d+(\.\d+)?$/.test(plain) ? Number(plain) : Number.NaN;
}

/**
 * A price from integer minor units: `Rs 1,23,456.50`, `रु १,२३,४५६.५०`.
 * @param {number} minor paisa or cents @param {string} [currency]
 */
export function price(minor, currency = "NPR") {
  const whole = Math.trunc(Math.abs(minor) / 100);
  const rest = String(Math.abs(minor) % 100).padStart(2, "0");
  const grouped = new Intl.NumberFormat("en-IN").format(whole);
  const name = currency === "NPR" ? (state.language === "ne" ? "रु" : "Rs") : currency;
  return `${name} ${minor < 0 ? "−" : ""}${inDigits(`${grouped}.${rest}`)}`;
}

/** `6:05 pm`. @param {string | number | Date} instant @param {string} [zone] */
export function time(instant, zone = state.timezone) {
  const options = /** @type {Intl.DateTimeFormatOptions} */ ({
    hour: "numeric",
    minute: "2-digit",
    hour12: true,
    timeZone: zone,
  });
  return inDigits(new Intl.DateTimeFormat(dateLocale(), options).format(new Date(instant)));
}

/**
 * The named parts of a date. Their order is ours: browsers write Nepali dates as no one speaks them.
 * @param {string | number | Date} instant @param {string} zone
 */
function dateParts(instant, zone) {
  const options = /** @type {Intl.DateTimeFormatOptions} */ ({
    weekday: "long",
    day: "numeric",
    month: "long",
    year: "numeric",
    timeZone: zone,
  });
  const parts = new Intl.DateTimeFormat(dateLocale(), options).formatToParts(new Date(instant));
  return Object.fromEntries(parts.map((part) => [part.type, inDigits(part.value)]));
}

/** `21 November 2026`. @param {string | number | Date} instant @param {string} [zone] */
export function date(instant, zone = state.timezone) {
  const { day, month, year } = dateParts(instant, zone);
  return `${day} ${month} ${year}`;
}

/** `Saturday, 21 November`. @param {string | number | Date} instant @param {string} [zone] */
export function weekday(instant, zone = state.timezone) {
  const { weekday: name, day, month } = dateParts(instant, zone);
  return `${name}, ${day} ${month}`;
}

/** Date and time together. @param {string | number | Date} instant @param {string} [zone] */
export const dateTime = (instant, zone) => `${date(instant, zone)}, ${time(instant, zone)}`;

/** The calendar day `YYYY-MM-DD` on which an instant falls. @param {string | number | Date} instant @param {string} [zone] */
export function dayOf(instant, zone = state.timezone) {
  return new Intl.DateTimeFormat("en-CA", { timeZone: zone }).format(new Date(instant));
}

/** The clock `HH:MM` of an instant, for forms. @param {string | number | Date} instant @param {string} [zone] */
export function clockOf(instant, zone = NEPAL) {
  const written = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  return written.format(new Date(instant));
}

/** A date of the Bikram Sambat calendar, `2083-08-05`, in the page's digits. @param {string} text */
export const dateBs = (text) => inDigits(text);

/**
 * How long ago or ahead: `3 hours ago`, `३ घण्टा पहिले`; from a week on, the date.
 * @param {string | number | Date} instant @param {number} [now] milliseconds since the epoch
 */
export function ago(instant, now = Date.now()) {
  const difference = new Date(instant).getTime() - now;
  const size = Math.abs(difference);
  if (size >= 7 * DAY) return date(instant);
  const written = new Intl.RelativeTimeFormat(state.language === "ne" ? "ne" : "en", { numeric: "auto" });
  if (size < MINUTE) return t("just now");
  const [unit, length] = /** @type {[Intl.RelativeTimeFormatUnit, number]} */ (
    size < 60 * MINUTE ? ["minute", MINUTE] : size < DAY ? ["hour", 60 * MINUTE] : ["day", DAY]
  );
  return inDigits(written.format(Math.trunc(difference / length), unit));
}

/** `today`, `yesterday` or the weekday and date. @param {string | number | Date} instant @param {number} [now] */
export function dayName(instant, now = Date.now()) {
  const day = dayOf(instant);
  if (day === dayOf(now)) return t("Today");
  if (day === dayOf(now - DAY)) return t("Yesterday");
  return now - new Date(instant).getTime() > 300 * DAY ? date(instant) : weekday(instant);
}

/** A file's size: `340 kB`. @param {number} bytes */
export function fileSize(bytes) {
  if (bytes < 1_000_000) return t("{n} kB", { n: Math.max(1, Math.round(bytes / 1000)) });
  return t("{n} MB", { n: Math.round(bytes / 100_000) / 10 });
}

export { NEPAL };
