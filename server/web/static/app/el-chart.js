/**
 * `<py-chart>`: draws the table inside it as a chart above it. The table stays: it is what screen
 * readers, paper and pages without script have.
 *
 * The first column names the points (`th[data-x]`: a day, YYYY-MM-DD), every further column with
 * `th[data-series]` in the head is a line; its cells carry their number in `data-n`. Attributes:
 * `unit` (`money` in paisa, `count`, `stars`), `kind` (`lines`, `bars`), `label` (what the chart
 * shows). Lines differ by dashes and by the shape of their points, not by colour alone.
 */

import uPlot from "../vendor/uplot/uplot.js";
import { read, spread } from "./chart-table.js";
import { number, price } from "./i18n.js";

const HEIGHT = 260;
const PHONE_HEIGHT = 200;
const PHONE = 520;
const DAY_SECONDS = 86_400;
const MOST_POINTS_SHOWN = 45;
/** Dashes of the lines, in order; the first is unbroken. */
const DASHES = [[], [8, 5], [2, 4], [12, 4, 2, 4]];
const COLOURS = ["--sindoor", "--calm", "--good", "--warn"];
/** Added to a colour #rrggbb: a third of it. */
const THIRD = "55";
const BAR_WIDTH = [0.7, 40];

/** @param {string} name */
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

class Chart extends HTMLElement {
  constructor() {
    super();
    this.plot = /** @type {any} */ (null);
    this.resized = new ResizeObserver(() => this.#fit());
    this.themed = matchMedia("(prefers-color-scheme: dark)");
    this.onTheme = () => this.#draw();
  }

  connectedCallback() {
    this.#draw();
    this.resized.observe(this);
    this.themed.addEventListener("change", this.onTheme);
  }

  disconnectedCallback() {
    this.resized.disconnect();
    this.themed.removeEventListener("change", this.onTheme);
    this.#clear();
  }

  #clear() {
    this.plot?.destroy();
    this.plot = null;
    this.querySelector(".plot")?.remove();
  }

  get #size() {
    const width = Math.floor(this.clientWidth);
    return { width, height: width < PHONE ? PHONE_HEIGHT : HEIGHT };
  }

  #fit() {
    const size = this.#size;
    if (!this.plot) this.#draw();
    else if (size.width > 0 && size.width !== this.plot.width) this.plot.setSize(size);
  }

  /** @param {number | null} value */
  #shown(value) {
    if (value === null || value === undefined) return "–";
    if (this.getAttribute("unit") === "money") return price(Math.round(value));
    return number(value, this.getAttribute("unit") === "stars" ? 2 : 0);
  }

  #draw() {
    const table = this.querySelector("table");
    if (!table || !this.#size.width) return;
    const { name, points, series } = read(table);
    if (points.length < 2 || !series.length) return;
    this.#clear();
    const box = document.createElement("div");
    box.className = "plot";
    // The table beside it says the same, better: this is for the eye.
    box.setAttribute("aria-hidden", "true");
    this.prepend(box);
    this.plot = new uPlot(this.#options(name, points, series), [points.map((each) => each.x), ...series.map((each) => each.values)], box);
  }

  /**
   * @param {string} name of the points
   * @param {{x: number, text: string}[]} points
   * @param {{name: string, values: (number | null)[]}[]} series
   */
  #options(name, points, series) {
    const byX = new Map(points.map((each) => [each.x, each.text]));
    const [ink, line] = [token("--soft"), token("--line")];
    const isBars = this.getAttribute("kind") === "bars";
    const font = `12px ${getComputedStyle(this).fontFamily}`;
    const first = points[0].x;
    const step = points.length > 1 ? points[1].x - first : DAY_SECONDS;
    return {
      ...this.#size,
      scales: {
        // Half a step of room, so that the first and the last bar are whole.
        x: { time: false, range: () => [first - step / 2, points[points.length - 1].x + step / 2] },
        y: { range: (/** @type {any} */ _, /** @type {number} */ least, /** @type {number} */ most) => [Math.min(0, least), most > 0 ? most * 1.1 : 1] },
      },
      cursor: { points: { size: 9 }, drag: { x: false, y: false } },
      legend: { live: true, markers: { width: 3 } },
      series: [
        { label: name, value: (/** @type {any} */ _, /** @type {number} */ x) => byX.get(x) ?? "–" },
        ...series.map((each, place) => ({
          label: each.name,
          stroke: token(COLOURS[place % COLOURS.length]),
          width: 2,
          dash: DASHES[place % DASHES.length],
          fill: isBars && place === 0 ? `${token(COLOURS[0])}${THIRD}` : undefined,
          paths: isBars && place === 0 ? uPlot.paths.bars({ size: BAR_WIDTH }) : undefined,
          points: { show: (!isBars || place > 0) && points.length <= MOST_POINTS_SHOWN, size: 6 + 2 * place },
          value: (/** @type {any} */ _, /** @type {number | null} */ value) => this.#shown(value),
        })),
      ],
      axes: [
        {
          stroke: ink,
          font,
          grid: { show: false },
          ticks: { stroke: line },
          splits: (/** @type {any} */ plot) => spread(points.map((each) => each.x), Math.max(2, Math.floor(plot.width / 110))),
          values: (/** @type {any} */ _, /** @type {number[]} */ splits) => splits.map((x) => byX.get(x) ?? ""),
        },
        {
          stroke: ink,
          font,
          size: this.getAttribute("unit") === "money" ? 84 : 48,
          grid: { stroke: line, width: 1 },
          ticks: { show: false },
          incrs: this.#steps,
          values: (/** @type {any} */ _, /** @type {number[]} */ splits) => splits.map((value) => this.#shown(value)),
        },
      ],
    };
  }

  /** Steps of the axis: whole rupees, whole bookings. */
  get #steps() {
    const unit = this.getAttribute("unit") === "money" ? 100 : 1;
    return [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7].map((each) => each * unit);
  }
}

customElements.define("py-chart", Chart);
