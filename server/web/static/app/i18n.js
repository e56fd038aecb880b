/**
 * Texts, numbers, prices and dates in the reader's language and time zone.
 *
 * Texts are whole English sentences with `{name}` placeholders; they are their own keys in the
 * catalogue `{"Send": "…", "{n} new message": ["…", "…"]}`. The browser knows time zones and
 * groups digits; names of days and months come from the catalogue, because not every browser has
 * Nepali ones, and prices are written by hand, because none writes them as people do.
 */

const NEPAL = "Asia/Kathmandu";
const DEVANAGARI = "०१२३४५६७८९";
const MINUTE = 60_000;
const HOUR = 3_600_000;
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
 * A price from integer minor units: `Rs 1,23,456`, `रु १,२३,४५६.५०`; paisa only where there are any.
 * @param {number} minor paisa or cents @param {string} [currency]
 */
export function price(minor, currency = "NPR") {
  const whole = Math.trunc(Math.abs(minor) / 100);
  const paisa = Math.abs(minor) % 100;
  const rest = paisa ? `.${String(paisa).padStart(2, "0")}` : "";
  const grouped = new Intl.NumberFormat("en-IN").format(whole);
  const name = currency === "NPR" ? (state.language === "ne" ? "रु" : "Rs") : currency;
  return `${name} ${minor < 0 ? "−" : ""}${inDigits(`${grouped}${rest}`)}`;
}

// Some browsers carry no Nepali names of days and months, so the catalogue does.
const months = () => [
  t("January"), t("February"), t("March"), t("April"), t("May"), t("June"),
  t("July"), t("August"), t("September"), t("October"), t("November"), t("December"),
];

const weekdays = () => [
  t("Sunday"), t("Monday"), t("Tuesday"), t("Wednesday"), t("Thursday"), t("Friday"), t("Saturday"),
];

/**
 * A moment as numbers on the calendar and clock of a zone; `month` from 0, `weekday` from Sunday.
 * @param {string | number | Date} instant @param {string} zone
 */
function fields(instant, zone) {
  const options = /** @type {Intl.DateTimeFormatOptions} */ ({
    timeZone: zone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  const parts = new Intl.DateTimeFormat("en-GB", options).formatToParts(new Date(instant));
  const { year, month, day, hour, minute } = Object.fromEntries(parts.map((part) => [part.type, Number(part.value)]));
  const weekday = new Date(Date.UTC(year, month - 1, day)).getUTCDay();
  return { year, month: month - 1, day, hour, minute, weekday };
}

// What Nepali says before an hour from then on.
const TIMES_OF_DAY = /** @type {[number, string][]} */ ([
  [20, "राति"], [17, "साँझ"], [12, "दिउँसो"], [4, "बिहान"], [0, "राति"],
]);

/** `6:05 pm`, `साँझ ६:०५`. @param {string | number | Date} instant @param {string} [zone] */
export function time(instant, zone = state.timezone) {
  const { hour, minute } = fields(instant, zone);
  const clock = inDigits(`${hour % 12 || 12}:${String(minute).padStart(2, "0")}`);
  if (state.language === "ne") return `${TIMES_OF_DAY.find(([from]) => hour >= from)?.[1]} ${clock}`;
  return `${clock} ${hour < 12 ? "am" : "pm"}`;
}

/** `21 November 2026`. @param {string | number | Date} instant @param {string} [zone] */
export function date(instant, zone = state.timezone) {
  const { day, month, year } = fields(instant, zone);
  return t("{day} {month} {year}", { day, month: months()[month], year: inDigits(String(year)) });
}

/** `Saturday, 21 November`. @param {string | number | Date} instant @param {string} [zone] */
export function weekday(instant, zone = state.timezone) {
  const { day, month, weekday: name } = fields(instant, zone);
  return t("{weekday}, {day} {month}", { weekday: weekdays()[name], day, month: months()[month] });
}

/** Date and time together. @param {string | number | Date} instant @param {string} [zone] */
export const dateTime = (instant, zone) => `${date(instant, zone)}, ${time(instant, zone)}`;

/** The calendar day `YYYY-MM-DD` on which an instant falls. @param {string | number | Date} instant @param {string} [zone] */
export function dayOf(instant, zone = state.timezone) {
  const { year, month, day } = fields(instant, zone);
  return `${year}-${String(month + 1).padStart(2, "0")}-${String(day).padStart(2, "0")}`;
}

/** The clock `HH:MM` of an instant, for forms. @param {string | number | Date} instant @param {string} [zone] */
export function clockOf(instant, zone = NEPAL) {
  const { hour, minute } = fields(instant, zone);
  return `${String(hour).padStart(2, "0")}:${String(minute).padStart(2, "0")}`;
}

const MONTHS_BS = [
  ["Baisakh", "वैशाख"], ["Jestha", "जेठ"], ["Asar", "असार"], ["Saun", "साउन"],
  ["Bhadau", "भदौ"], ["Asoj", "असोज"], ["Kartik", "कात्तिक"], ["Mangsir", "मङ्सिर"],
  ["Poush", "पुस"], ["Magh", "माघ"], ["Phagun", "फागुन"], ["Chait", "चैत"],
];

/** A date of the Bikram Sambat calendar, `2083-08-05`: `5 Mangsir 2083`, `२०८३ मङ्सिर ५`. @param {string} text */
export function dateBs(text) {
  const [year, month, day] = text.split("-").map(Number);
  const [english, nepali] = MONTHS_BS[month - 1] ?? [text, text];
  return inDigits(state.language === "ne" ? `${year} ${nepali} ${day}` : `${day} ${english} ${year}`);
}

/**
 * How long ago or ahead: `3 hours ago`, `३ घण्टा पहिले`; from a week on, the date.
 * @param {string | number | Date} instant @param {number} [now] milliseconds since the epoch
 */
export function ago(instant, now = Date.now()) {
  const difference = new Date(instant).getTime() - now;
  const size = Math.abs(difference);
  if (size >= 7 * DAY) return date(instant);
  if (size < MINUTE) return t("just now");
  if (size < HOUR) return inMinutes(Math.trunc(difference / MINUTE));
  if (size < DAY) return inHours(Math.trunc(difference / HOUR));
  return inDays(Math.trunc(difference / DAY));
}

/** @param {number} n negative: in the past */
function inMinutes(n) {
  return n < 0 ? tn("{n} minute ago", "{n} minutes ago", -n) : tn("in {n} minute", "in {n} minutes", n);
}

/** @param {number} n */
function inHours(n) {
  return n < 0 ? tn("{n} hour ago", "{n} hours ago", -n) : tn("in {n} hour", "in {n} hours", n);
}

/** @param {number} n */
function inDays(n) {
  return n < 0 ? tn("{n} day ago", "{n} days ago", -n) : tn("in {n} day", "in {n} days", n);
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
