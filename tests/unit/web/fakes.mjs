/** What the tests of the browser's modules share: a clock that is turned by hand, and a socket. */

export class Clock {
  constructor() {
    this.time = 1_000_000;
    this.timers = new Map();
    this.count = 0;
    this.now = () => this.time;
    this.setTimeout = (run, ms) => {
      this.count += 1;
      this.timers.set(this.count, { at: this.time + ms, run });
      return this.count;
    };
    this.clearTimeout = (id) => this.timers.delete(id);
  }

  /** Let `ms` pass, and run what becomes due, in order. */
  tick(ms) {
    const end = this.time + ms;
    for (;;) {
      const due = [...this.timers].filter(([, timer]) => timer.at <= end).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      this.timers.delete(due[0]);
      this.time = Math.max(this.time, due[1].at);
      due[1].run();
    }
    this.time = end;
  }
}

/** A connection as the chat store sees it. */
export class FakeSocket extends EventTarget {
  constructor() {
    super();
    this.ready = false;
    this.sent = [];
  }

  send(frame) {
    if (!this.ready) return false;
    this.sent.push(frame);
    return true;
  }

  /** The frames of one type that were sent since the last call. */
  take(type) {
    const found = this.sent.filter((frame) => frame.type === type);
    this.sent = this.sent.filter((frame) => frame.type !== type);
    return found;
  }

  receive(frame) {
    this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
  }

  open(room = {}) {
    this.ready = true;
    this.dispatchEvent(new CustomEvent("state", { detail: "open" }));
    this.receive({ type: "hello", room: { id: "r", epoch: "e1", head: 0, read: {}, ...room } });
  }

  drop() {
    this.ready = false;
    this.dispatchEvent(new CustomEvent("state", { detail: "waiting" }));
  }
}

/** A raw WebSocket of which the test is the other end. */
export class FakeWebSocket {
  static made = [];

  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
    this.readyState = 1;
    this.sent = [];
    FakeWebSocket.made.push(this);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.readyState = 3;
  }

  frame(frame) {
    this.onmessage({ data: JSON.stringify(frame) });
  }

  closed(code) {
    this.readyState = 3;
    this.onclose({ code, reason: "" });
  }
}
