/**
 * Messages that the server has not confirmed yet, kept over reloads.
 *
 * Entries belong to one person and one room, so that nobody sends what another person wrote on the
 * same machine. Where the browser keeps nothing (private windows), memory has to do.
 */

const DATABASE = "pandityatra";
const STORE = "outbox";

/**
 * @typedef {object} Entry
 * @property {string} cid the message's own id, made here
 * @property {string} kind TEXT, IMAGE or FILE
 * @property {string} content
 * @property {any} [attachment]
 * @property {number} created_at milliseconds since the epoch
 */

/** An outbox that forgets with the page. */
export class MemoryOutbox {
  constructor() {
    /** @type {Map<string, Entry>} */
    this.entries = new Map();
  }

  /** Every entry, oldest first. @returns {Promise<Entry[]>} */
  async load() {
    return [...this.entries.values()].sort((a, b) => a.created_at - b.created_at);
  }

  /** @param {Entry} entry */
  async put(entry) {
    this.entries.set(entry.cid, entry);
  }

  /** @param {string} cid */
  async remove(cid) {
    this.entries.delete(cid);
  }
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** An outbox in IndexedDB, one box for each person and room. */
class StoredOutbox {
  /** @param {IDBDatabase} database @param {string} box */
  constructor(database, box) {
    this.database = database;
    this.box = box;
  }

  /** @param {IDBTransactionMode} mode */
  #store(mode) {
    return this.database.transaction(STORE, mode).objectStore(STORE);
  }

  /** @returns {Promise<Entry[]>} */
  async load() {
    const rows = await done(this.#store("readonly").index("box").getAll(this.box));
    return rows.map((row) => row.entry).sort((a, b) => a.created_at - b.created_at);
  }

  /** @param {Entry} entry */
  async put(entry) {
    await done(this.#store("readwrite").put({ key: `${this.box}/${entry.cid}`, box: this.box, entry }));
  }

  /** @param {string} cid */
  async remove(cid) {
    await done(this.#store("readwrite").delete(`${this.box}/${cid}`));
  }
}

/**
 * The outbox of one person for one room.
 * @param {string} userId @param {string} roomId @param {IDBFactory | undefined} [factory]
 * @returns {Promise<MemoryOutbox | StoredOutbox>}
 */
export async function openOutbox(userId, roomId, factory = globalThis.indexedDB) {
  try {
    const request = factory.open(DATABASE, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(STORE, { keyPath: "key" }).createIndex("box", "box");
    };
    return new StoredOutbox(await done(request), `${userId}/${roomId}`);
  } catch {
    return new MemoryOutbox();
  }
}
