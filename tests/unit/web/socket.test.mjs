import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { afterClose, backoffBound, Socket } from "../../../server/web/static/app/socket.js";
import { Clock, FakeWebSocket } from "./fakes.mjs";

const settled = () => new Promise((resolve) => setImmediate(resolve));

beforeEach(() => {
  FakeWebSocket.made = [];
});

function make(more = {}, world = {}) {
  const clock = new Clock();
  const browser = new EventTarget();
  const page = Object.assign(new EventTarget(), { visibilityState: "visible" });
  const socket = new Socket({
    path: "/ws/chat/r1/",
    world: {
      WebSocket: FakeWebSocket, setTimeout: clock.setTimeout, clearTimeout: clock.clearTimeout, now: clock.now,
      random: () => 0.5, window: browser, document: page, online: () => true, ...world,
    },
    ...more,
  });
  socket.start();
  return { clock, socket, browser, page, last: () => FakeWebSocket.made.at(-1) };
}

test("the address carries the position and never a token", () => {
  const { last } = make({ cursor: () => ({ after: 7, epoch: "e1" }) });
  assert.equal(last().url, "ws://localhost/ws/chat/r1/?after=7&epoch=e1");
  assert.deepEqual(last().protocols, ["pandityatra.v1"]);
});

test("nothing is sent before the server's greeting", () => {
  const { socket, last } = make();
  assert.equal(socket.send({ type: "read", seq: 1 }), false);
  last().frame({ type: "hello" });
  assert.equal(socket.send({ type: "read", seq: 1 }), true);
  assert.deepEqual(last().sent, [{ type: "read", seq: 1 }]);
});

test("close codes are decided by their range", () => {
  for (const code of [1000, 1002, 1003, 1007, 1008, 1009, 4400, 4403, 4404, 4409, 4410, 4499]) {
    assert.equal(afterClose(code), "stop", String(code));
  }
  for (const code of [1001, 1006, 1011, 1012, 1013, 4000, 4001, 4002, 4399]) {
    assert.equal(afterClose(code), "reconnect", String(code));
  }
  assert.deepEqual([4003, 4004, 4005, 4401].map(afterClose), ["refresh", "reset", "slow", "authenticate"]);
});

test("waiting doubles up to half a minute", () => {
  assert.deepEqual([0, 1, 2, 3, 6, 20].map(backoffBound), [1000, 1000, 2000, 4000, 30000, 30000]);
});

test("a lost connection comes back with its position", () => {
  const { clock, last } = make();
  last().frame({ type: "hello" });
  last().closed(1006);
  assert.equal(FakeWebSocket.made.length, 1);
  clock.tick(500);
  assert.equal(FakeWebSocket.made.length, 2);
});

test("a final refusal stays closed and is told", () => {
  const { clock, socket, last } = make();
  let refused = 0;
  socket.addEventListener("refused", (event) => {
    refused = event.detail.code;
  });
  last().closed(4404);
  clock.tick(120_000);
  assert.equal(FakeWebSocket.made.length, 1);
  assert.equal(refused, 4404);
});

test("a drained server is given the time it asked for", () => {
  const { clock, browser, last } = make();
  last().frame({ type: "hello" });
  last().frame({ type: "reconnect", after_ms: 8000 });
  last().closed(4000);
  browser.dispatchEvent(new Event("online"));
  clock.tick(7_900);
  assert.equal(FakeWebSocket.made.length, 1);
  clock.tick(200);
  assert.equal(FakeWebSocket.made.length, 2);
});

test("an expired session is renewed before the next connection", async () => {
  let renewals = 0;
  const { clock, last } = make({ refresh: async () => (renewals += 1) > 0 });
  last().frame({ type: "hello" });
  last().closed(4003);
  await settled();
  assert.equal(renewals, 1);
  clock.tick(1_000);
  assert.equal(FakeWebSocket.made.length, 2);
});

test("not signed in: one renewal is tried, a second refusal is final", async () => {
  let refused = 0;
  const { clock, socket, last } = make({ refresh: async () => true });
  socket.addEventListener("refused", (event) => {
    refused = event.detail.code;
  });
  last().closed(4401);
  await settled();
  clock.tick(1_000);
  assert.equal(FakeWebSocket.made.length, 2);
  last().closed(4401);
  await settled();
  assert.equal(refused, 4401);
});

test("no session any more is final at once", async () => {
  const { clock, socket, last } = make({ refresh: async () => false });
  last().closed(4003);
  await settled();
  clock.tick(60_000);
  assert.equal(FakeWebSocket.made.length, 1);
  assert.equal(socket.state, "stopped");
});

test("lost state is reported so that caches are dropped", async () => {
  const { clock, socket, last } = make();
  let reset = 0;
  socket.addEventListener("reset", () => {
    reset += 1;
  });
  last().closed(4004);
  await settled();
  clock.tick(1_000);
  assert.deepEqual([reset, FakeWebSocket.made.length], [1, 2]);
});

test("who sent too fast stays away for half a minute", async () => {
  const { clock, last } = make();
  last().closed(4005);
  await settled();
  clock.tick(29_000);
  assert.equal(FakeWebSocket.made.length, 1);
  clock.tick(1_500);
  assert.equal(FakeWebSocket.made.length, 2);
});

test("silence is answered by a ping, and further silence by a new connection", async () => {
  const { clock, last } = make();
  last().frame({ type: "hello" });
  const first = last();
  clock.tick(25_000);
  assert.equal(first.sent.at(-1).type, "ping");
  first.frame({ type: "pong", t: 1 });
  clock.tick(39_000);
  assert.equal(FakeWebSocket.made.length, 1);
  clock.tick(1_500);
  await settled();
  clock.tick(1_000);
  assert.equal(FakeWebSocket.made.length, 2);
});

test("coming online does not wait out a long delay", async () => {
  const { clock, browser, socket, last } = make();
  for (let at = 0; at < 6; at += 1) {
    last().closed(1006);
    await settled();
    clock.tick(20_000);
  }
  const before = FakeWebSocket.made.length;
  last().closed(1006);
  await settled();
  browser.dispatchEvent(new Event("online"));
  clock.tick(0);
  assert.equal(FakeWebSocket.made.length, before + 1);
  assert.equal(socket.state, "connecting");
});

test("an unseen tab waits for its turn", async () => {
  const { clock, page, last } = make();
  last().closed(1006);
  await settled();
  page.visibilityState = "hidden";
  page.dispatchEvent(new Event("visibilitychange"));
  clock.tick(0);
  assert.equal(FakeWebSocket.made.length, 1);
});
