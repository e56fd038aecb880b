/**
 * `<py-chat room-id="…" with="Name of the other">`: one conversation.
 *
 * What is written is shown at once, kept until the server has it, and sent again by itself. The log
 * is `role="log"`, so that new messages are read out; ticks are pictures with a spoken name. The
 * server's plain list and form inside the tag (`data-fallback`) serve pages without script.
 * Attributes: `room-id`, `with`, `peer` (the other's user id, for presence), `closed`, `max-bytes` (the
 * largest file that the server takes).
 */

import { html, nothing } from "../vendor/lit/lit.js";
import { repeat } from "../vendor/lit/directives/repeat.js";
import { api } from "./api.js";
import { ChatStore } from "./chat-store.js";
import { ago, dayName, dayOf, fileSize, language, pick, t, time, tn } from "./i18n.js";
import { openOutbox } from "./outbox.js";
import { boot, icon, PageElement, toast } from "./page.js";
import { Socket } from "./socket.js";

const NEAR_PX = 80;
const MAX_LENGTH = 4000;
const PICTURES = ["image/jpeg", "image/png", "image/webp"];

class Chat extends PageElement {
  static properties = {
    roomId: { attribute: "room-id" },
    with: {},
    peer: {},
    closed: { type: Boolean },
    maxBytes: { attribute: "max-bytes", type: Number },
    connection: { state: true },
    refusal: { state: true },
    fresh: { state: true },
    upload: { state: true },
    fault: { state: true },
  };

  constructor() {
    super();
    this.roomId = "";
    this.with = "";
    this.peer = "";
    this.closed = false;
    this.maxBytes = 0;
    this.connection = "connecting";
    this.refusal = 0;
    /** How many messages came while the reader was further up. */
    this.fresh = 0;
    /** @type {{name: string, part: number} | null} */
    this.upload = null;
    this.fault = "";
    /** @type {ChatStore | null} */
    this.store = null;
    /** @type {Socket | null} */
    this.socket = null;
    this.atEnd = true;
    this.opened = false;
    this.height = 0;
    this.onSeen = () => this.#seen();
  }

  connectedCallback() {
    super.connectedCallback();
    document.addEventListener("visibilitychange", this.onSeen);
    window.addEventListener("focus", this.onSeen);
    if (boot.user && !this.store) this.#open(boot.user.id);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    document.removeEventListener("visibilitychange", this.onSeen);
    window.removeEventListener("focus", this.onSeen);
    this.store?.dispose();
    this.socket?.stop();
    this.store = null;
    this.socket = null;
  }

  /** @param {string} me */
  async #open(me) {
    const socket = new Socket({
      path: `/ws/chat/${encodeURIComponent(this.roomId)}/`,
      cursor: () => this.store?.position() ?? {},
      refresh: () => api.refresh(),
    });
    this.socket = socket;
    socket.addEventListener("state", (event) => {
      this.connection = /** @type {CustomEvent} */ (event).detail;
      window.dispatchEvent(new CustomEvent("py-socket", { detail: this.connection }));
    });
    socket.addEventListener("refused", (event) => {
      this.refusal = /** @type {CustomEvent} */ (event).detail.code;
    });
    const store = new ChatStore({ me, socket, outbox: await openOutbox(me, this.roomId) });
    if (!this.isConnected) return;
    this.store = store;
    store.closed = this.closed;
    store.addEventListener("change", () => this.requestUpdate());
    store.addEventListener("arrive", () => {
      if (!this.atEnd || document.visibilityState === "hidden") this.fresh += 1;
    });
    await store.restore();
    socket.start();
    this.requestUpdate();
  }

  get #log() {
    return /** @type {HTMLElement | null} */ (this.querySelector(".chat__log"));
  }

  get #field() {
    return /** @type {HTMLTextAreaElement | null} */ (this.querySelector(".chat__composer textarea"));
  }

  // ---------- scrolling and reading ----------

  updated() {
    const log = this.#log;
    if (!log || !this.store) return;
    if (!this.opened && this.store.loaded) {
      this.opened = true;
      const mark = this.querySelector(".chat__mark");
      if (mark) mark.scrollIntoView({ block: "center" });
      else log.scrollTop = log.scrollHeight;
      this.#scrolled();
    } else if (this.atEnd) {
      log.scrollTop = log.scrollHeight;
    } else if (this.heightBefore) {
      // Older messages came in above: keep the same line under the eyes.
      log.scrollTop += log.scrollHeight - this.heightBefore;
      this.heightBefore = 0;
    }
    this.#seen();
  }

  #scrolled() {
    const log = this.#log;
    if (!log) return;
    this.atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_PX;
    if (log.scrollTop < NEAR_PX && this.opened) this.#older();
    this.#seen();
  }

  #older() {
    const height = this.#log?.scrollHeight ?? 0;
    if (this.store?.loadOlder()) this.heightBefore = height;
  }

  /** What is in view of a person who looks is read. */
  #seen() {
    if (!this.store?.loaded || !this.atEnd || document.visibilityState === "hidden" || !document.hasFocus()) return;
    if (this.fresh) this.fresh = 0;
    this.store.markRead();
  }

  #toEnd() {
    const log = this.#log;
    if (!log) return;
    this.atEnd = true;
    log.scrollTop = log.scrollHeight;
    this.#seen();
    this.#field?.focus();
  }

  // ---------- writing ----------

  /** @param {Event} [event] */
  #send(event) {
    event?.preventDefault();
    const field = this.#field;
    if (!field || !this.store) return;
    if (!field.value.trim()) return;
    if (this.store.write(field.value) === null) {
      this.fault = t("Too many messages are waiting to be sent. Please wait until you are online.");
      return;
    }
    this.fault = "";
    field.value = "";
    this.atEnd = true;
    field.focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    // Nepali keyboards compose letters; Enter then ends the letter, not the message.
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) this.#send(event);
  }

  /** @param {any} event */
  #input(event) {
    if (event.target.value) this.store?.type();
    else this.store?.stopTyping();
  }

  /** @param {FileList | null | undefined} files */
  async #attach(files) {
    const file = files?.[0];
    if (!file || this.upload || !this.store) return;
    if (file.size > this.maxBytes) {
      this.fault = t("This file is too large. The limit is {size}.", { size: fileSize(this.maxBytes) });
      return;
    }
    this.fault = "";
    this.upload = { name: file.name, part: 0 };
    const form = new FormData();
    form.set("room_id", this.roomId);
    form.set("file", file);
    try {
      const attachment = await api.upload("/api/chat/attachments/", form, (part) => {
        this.upload = { name: file.name, part };
      });
      const kind = PICTURES.includes(attachment.mime ?? file.type) ? "IMAGE" : "FILE";
      this.store?.write(this.#field?.value ?? "", { kind, attachment });
      if (this.#field) this.#field.value = "";
      this.atEnd = true;
    } catch (error) {
      this.fault = /** @type {any} */ (error).text ?? String(error);
    }
    this.upload = null;
  }

  /** @param {DragEvent} event */
  #drop(event) {
    event.preventDefault();
    this.querySelector(".chat")?.classList.remove("is-drop");
    this.#attach(event.dataTransfer?.files);
  }

  /** @param {DragEvent} event */
  #drag(event) {
    event.preventDefault();
    this.querySelector(".chat")?.classList.toggle("is-drop", event.type === "dragover");
  }

  /** @param {ClipboardEvent} event */
  #paste(event) {
    if (!event.clipboardData?.files.length) return;
    event.preventDefault();
    this.#attach(event.clipboardData.files);
  }

  // ---------- showing ----------

  /** @param {import("./chat-store.js").Message} message */
  #tick(message) {
    const shown = {
      sending: ["clock", t("Sending")],
      sent: ["check", t("Sent")],
      read: ["check-check", t("Read")],
      failed: ["circle-alert", t("Not sent")],
      received: null,
    }[message.state];
    if (!shown) return nothing;
    return html`<span class="tick" role="img" data-state=${message.state} aria-label=${shown[1]}>${tickIcon(shown[0])}</span>`;
  }

  /** @param {import("./chat-store.js").Message} message */
  #attachment(message) {
    const file = message.attachment;
    if (!file) return nothing;
    const url = file.file_url ?? file.url ?? `/api/chat/attachments/${encodeURIComponent(file.id)}/`;
    if (message.kind === "IMAGE") {
      return html`<a href=${url} target="_blank" rel="noopener"
        ><img
          class="bubble__image"
          src=${url}
          alt=${file.name || t("Picture")}
          width=${file.width || nothing}
          height=${file.height || nothing}
          loading="lazy"
      /></a>`;
    }
    return html`<a class="bubble__file" href=${url} download>
      ${icon("file-text")}<span>${file.name}${file.size ? ` (${fileSize(file.size)})` : ""}</span>
    </a>`;
  }

  /** @param {import("./chat-store.js").Message} message */
  #message(message) {
    const text = pick(message, "content");
    if (message.kind === "SYSTEM") return html`<li class="chat__system">${text}</li>`;
    const own = message.state !== "received";
    // The other one of the two, by the name that the page calls him.
    const author = own ? t("You:") : `${this.with || message.sender.name}:`;
    const fault = message.fault ? pick(message.fault, "message") : "";
    return html`<li class="bubble ${own ? "bubble--own" : ""}" data-state=${message.state} data-cid=${message.cid ?? nothing}>
      <span class="visually-hidden">${author}</span>
      ${this.#attachment(message)} ${text ? html`<p class="bubble__text" dir="auto">${text}</p>` : nothing}
      <div class="bubble__meta">
        <time datetime=${new Date(message.ts).toISOString()}>${time(message.ts)}</time>${this.#tick(message)}
      </div>
      ${message.state === "failed"
        ? html`${fault ? html`<p class="small">${fault}</p>` : nothing}
            <div class="bubble__actions">
              <button type="button" class="outline" @click=${() => this.store?.retry(message.cid)}>${t("Try again")}</button>
              <button type="button" class="outline secondary" @click=${() => this.store?.discard(message.cid)}>
                ${t("Delete")}
              </button>
            </div>`
        : nothing}
    </li>`;
  }

  /** Messages with day lines and, once, the line above the first unread one. */
  #rows() {
    const store = /** @type {ChatStore} */ (this.store);
    const openedAt = store.openedAt ?? 0;
    const messages = store.messages;
    const first = messages.find((m) => m.seq !== null && m.seq > openedAt && m.state === "received");
    /** @type {{key: string, part: any}[]} */
    const rows = [];
    let day = "";
    for (const message of messages) {
      const its = dayOf(message.ts);
      if (its !== day) rows.push({ key: `day ${its}`, part: html`<li class="chat__day">${dayName(message.ts)}</li>` });
      day = its;
      if (message === first) rows.push({ key: "mark", part: html`<li class="chat__mark">${t("New messages")}</li>` });
      rows.push({ key: message.cid || message.id || String(message.seq), part: this.#message(message) });
    }
    return repeat(rows, (row) => row.key, (row) => row.part);
  }

  #presence() {
    const known = this.store?.presence ?? {};
    const peer = this.peer || Object.keys(known).find((user) => user !== this.store?.me) || "";
    const state = known[peer]?.state ?? "offline";
    // The servers cannot hear of each other for a moment: nothing is better than a guess.
    if (state === "unknown") return "";
    const seen = known[peer]?.last_seen;
    const text = {
      online: t("Online"),
      away: t("Away"),
      offline: seen ? t("Last seen {time}", { time: ago(seen) }) : t("Offline"),
    }[state];
    return html`<span class="presence" data-state=${state}>${text ?? t("Offline")}</span>`;
  }

  #head() {
    return html`<header class="chat__head">
      <span class="avatar avatar--small" aria-hidden="true">${[...this.with][0] ?? ""}</span>
      <div class="chat__who">
        <p><strong>${this.with}</strong></p>
        ${this.#presence()}
      </div>
    </header>`;
  }

  #notice() {
    const refusals = /** @type {Record<number, string>} */ ({
      4401: t("Your session has ended. Please sign in again; what you wrote is kept."),
      4403: t("You are not part of this conversation any more."),
      4404: t("There is no such conversation."),
      4409: t("The chat is open in too many windows. Please close one and reload this page."),
      4410: t("This conversation is closed. You can still read it."),
    });
    const text =
      this.fault ||
      (this.refusal ? (refusals[this.refusal] ?? t("The chat cannot connect. Please reload the page.")) : "") ||
      (this.store?.closed ? refusals[4410] : "") ||
      (this.store?.fault ? pick(this.store.fault, "message") : "") ||
      (this.connection === "waiting" && navigator.onLine ? t("Connecting… What you write is kept and sent by itself.") : "");
    return html`<div role="status">${text ? html`<p class="chat__notice">${text}</p>` : nothing}</div>`;
  }

  #composer() {
    if (this.store?.closed || [4403, 4404, 4410].includes(this.refusal)) return nothing;
    const attach = t("Attach a picture or a PDF, up to {size}", { size: fileSize(this.maxBytes) });
    return html`<form class="chat__composer" @submit=${(/** @type {Event} */ event) => this.#send(event)}>
      <input
        type="file"
        hidden
        accept=${[...PICTURES, "application/pdf"].join(",")}
        @change=${(/** @type {any} */ event) => {
          this.#attach(event.target.files);
          event.target.value = "";
        }}
      />
      <button
        type="button"
        class="icon-btn"
        aria-label=${attach}
        ?disabled=${this.upload !== null}
        @click=${() => /** @type {HTMLElement | null} */ (this.querySelector('[type="file"]'))?.click()}
      >
        ${icon("paperclip")}
      </button>
      <textarea
        rows="1"
        maxlength=${MAX_LENGTH}
        aria-label=${t("Message")}
        placeholder=${t("Write a message")}
        @keydown=${(/** @type {KeyboardEvent} */ event) => this.#key(event)}
        @input=${(/** @type {Event} */ event) => this.#input(event)}
        @paste=${(/** @type {ClipboardEvent} */ event) => this.#paste(event)}
      ></textarea>
      <button type="submit" class="send" aria-label=${t("Send")}>${icon("send")}</button>
    </form>`;
  }

  render() {
    const store = this.store;
    const typing = store?.typing.length ? t("{name} is typing…", { name: this.with }) : "";
    const label = t("Conversation with {name}", { name: this.with });
    const fresh = tn("{n} new message", "{n} new messages", this.fresh);
    const uploading = this.upload ? t("Uploading {name}", { name: this.upload.name }) : "";
    return html`<section
      class="chat"
      aria-label=${label}
      lang=${language()}
      @dragover=${(/** @type {DragEvent} */ event) => this.#drag(event)}
      @dragleave=${(/** @type {DragEvent} */ event) => this.#drag(event)}
      @drop=${(/** @type {DragEvent} */ event) => this.#drop(event)}
    >
      ${this.#head()} ${this.#notice()}
      <div class="chat__body">
        <div
          class="chat__log"
          role="log"
          aria-live="polite"
          aria-label=${t("Messages")}
          tabindex="0"
          @scroll=${() => this.#scrolled()}
        >
          ${store?.hasOlder
            ? html`<button type="button" class="plain small" ?disabled=${store.loadingOlder} @click=${() => this.#older()}>
                ${t("Show earlier messages")}
              </button>`
            : nothing}
          ${store && (store.loaded || store.messages.length)
            ? html`<ol class="chat__list">
                ${this.#rows()}
              </ol>`
            : html`<div class="skeleton skeleton--row"></div>
                <div class="skeleton skeleton--row"></div>`}
          ${store?.loaded && store.messages.length === 0
            ? html`<div class="empty">${icon("message-circle")}<p>${t("No messages yet. Say namaste!")}</p></div>`
            : nothing}
        </div>
        ${this.fresh
          ? html`<button type="button" class="chat__new" @click=${() => this.#toEnd()}>${icon("chevron-down")}${fresh}</button>`
          : nothing}
      </div>
      <p class="typing" aria-live="polite">
        ${typing ? html`<span class="typing__dots" aria-hidden="true"><i></i><i></i><i></i></span>${typing}` : nothing}
      </p>
      ${this.upload
        ? html`<div class="chat__upload" role="status">
            <span>${uploading}</span>
            <progress value=${this.upload.part} max="1" aria-label=${uploading}></progress>
          </div>`
        : nothing}
      ${this.#composer()}
    </section>`;
  }
}

/** The icons of ticks, written out so that the sprite can be checked against their names. @param {string} name */
function tickIcon(name) {
  switch (name) {
    case "check":
      return icon("check");
    case "check-check":
      return icon("check-check");
    case "circle-alert":
      return icon("circle-alert");
    default:
      return icon("clock");
  }
}

customElements.define("py-chat", Chat);
