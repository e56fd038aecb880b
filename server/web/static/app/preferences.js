/** What the customer thinks of items: favourites, and what is never to be suggested. No DOM. */

const PATH = "/api/users/me/samagri-preferences/";
const PAGES = 5;

export const FAVOURITE = "FAVOURITE";
export const NEVER_SHOW = "NEVER_SHOW";

export class Preferences {
  /** @param {{get: Function, put: Function, delete: Function}} api */
  constructor(api) {
    this.api = api;
    /** @type {Map<string, string>} */
    this.said = new Map();
  }

  /** Ask the server. Without an answer nothing is known, and nothing else is lost. */
  async load() {
    let cursor = "";
    for (let page = 0; page < PAGES; page += 1) {
      const query = cursor ? { limit: 100, cursor } : { limit: 100 };
      const answer = await this.api.get(PATH, { query }).catch(() => null);
      if (!answer) return;
      for (const row of answer.results) this.said.set(row.item_id, row.preference);
      if (!answer.next) return;
      cursor = answer.next;
    }
  }

  /** @param {string} id @returns {string} empty: he has said nothing */
  of(id) {
    return this.said.get(id) ?? "";
  }

  /**
   * Say it, or take it back where it was said already.
   * @param {string} id @param {string} preference
   * @returns {Promise<boolean>} whether the server has heard it
   */
  async toggle(id, preference) {
    const path = `${PATH}${encodeURIComponent(id)}/`;
    const isSaid = this.of(id) === preference;
    const asked = isSaid ? this.api.delete(path) : this.api.put(path, { preference });
    const heard = await asked.then(
      () => true,
      () => false,
    );
    if (heard && isSaid) this.said.delete(id);
    if (heard && !isSaid) this.said.set(id, preference);
    return heard;
  }
}
