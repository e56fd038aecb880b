/**
 * What the model suggests beside a list of samagri, and what becomes of it. No DOM.
 *
 * A suggestion counts as shown once, when it is seen; as added or hidden when the customer does so.
 * Telling of it is best effort: whether the server hears it changes nothing in the page.
 */

const ADVICE = "/api/recommendations/samagri/";
const FEEDBACK = "/api/recommendations/feedback/";
const PREFERENCES = "/api/users/me/samagri-preferences/";

/** As many as fit beside a list without taking it over. */
export const MOST = 4;

/**
 * @typedef {{item: {id: string, name: string, name_ne: string}, quantity: number | string, unit: string,
 *   source: string, reason: string, reason_ne: string, price_at_booking: number, user_hidden: boolean}} Advised
 */

export class Suggestions {
  /** @param {{get: Function, post: Function, delete: Function}} api @param {{puja: string, pandit?: string}} about */
  constructor(api, { puja, pandit = "" }) {
    this.api = api;
    this.query = pandit ? { puja_id: puja, pandit_id: pandit } : { puja_id: puja };
    /** Signed by the server; null when nobody is signed in. @type {string | null} */
    this.recommendation = null;
    /** @type {Advised[]} */
    this.advised = [];
    /** @type {Set<string>} */
    this.told = new Set();
    /** @type {Set<string>} */
    this.hidden = new Set();
  }

  /** Ask the server. Without an answer there are no suggestions, and nothing else is lost. */
  async load() {
    const answer = await this.api.get(ADVICE, { query: this.query }).catch(() => null);
    if (!answer) return;
    this.recommendation = answer.rec_id;
    this.advised = answer.results.filter((/** @type {Advised} */ each) => each.source === "model");
  }

  /** Those that the list lacks. @param {Iterable<string>} present ids @returns {Advised[]} */
  beside(present) {
    const there = new Set([...present, ...this.hidden]);
    return this.advised.filter((each) => !there.has(each.item.id) && !each.user_hidden).slice(0, MOST);
  }

  /** The customer has these before his eyes. @param {string[]} ids */
  async seen(ids) {
    const fresh = ids.filter((id) => !this.told.has(id));
    if (!fresh.length || !this.recommendation) return;
    for (const id of fresh) this.told.add(id);
    await this.#tell({ kind: "shown", item_ids: fresh });
  }

  /** He has put it on his list. @param {string} id */
  async added(id) {
    if (this.recommendation) await this.#tell({ kind: "added", item_id: id });
  }

  /** He never wants to see it again. Returns whether the server has heard it. @param {string} id */
  async hide(id) {
    this.hidden.add(id);
    const heard = await this.#tell({ kind: "never_show", item_id: id });
    if (!heard) this.hidden.delete(id);
    return heard;
  }

  /** He has thought better of it. @param {string} id */
  async unhide(id) {
    const done = await this.api.delete(`${PREFERENCES}${encodeURIComponent(id)}/`).then(
      () => true,
      () => false,
    );
    if (done) this.hidden.delete(id);
    return done;
  }

  /** @param {Record<string, unknown>} report */
  #tell(report) {
    const whole = this.recommendation ? { ...report, rec_id: this.recommendation } : report;
    return this.api.post(FEEDBACK, whole).then(
      () => true,
      () => false,
    );
  }
}
