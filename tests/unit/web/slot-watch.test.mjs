import assert from "node:assert/strict";
import { test } from "node:test";

import { SlotWatch } from "../../../server/web/static/app/slot-watch.js";
import { FakeSocket } from "./fakes.mjs";

function started({ ready = true } = {}) {
  const events = new EventTarget();
  const watch = new SlotWatch(events);
  const socket = new FakeSocket();
  socket.ready = ready;
  const say = (detail) => events.dispatchEvent(new CustomEvent("py-watch-slots", { detail }));
  return { events, watch, socket, say };
}

test("what is looked at is said once, and again after a reconnect", () => {
  const { watch, socket, say } = started();
  watch.attach(socket);
  say({ service: "s1", date: "2026-11-25", exclude: "" });
  say({ service: "s1", date: "2026-11-25", exclude: "" });
  assert.deepEqual(socket.sent, [{ type: "watch_slots", service: "s1", date: "2026-11-25" }]);
  say({ service: "s1", date: "2026-11-26", exclude: "b1" });
  assert.deepEqual(socket.sent[1], { type: "watch_slots", service: "s1", date: "2026-11-26", exclude: "b1" });
  socket.dispatchEvent(new CustomEvent("open"));
  assert.deepEqual(socket.sent[2], socket.sent[1]);
  say(null);
  assert.deepEqual(socket.sent[3], { type: "unwatch_slots" });
  socket.dispatchEvent(new CustomEvent("open"));
  assert.equal(socket.sent.length, 4);
});

test("what was looked at before there was a connection is said when it opens", () => {
  const { watch, socket, say } = started({ ready: false });
  say({ service: "s1", date: "2026-11-25" });
  watch.attach(socket);
  socket.ready = true;
  socket.dispatchEvent(new CustomEvent("open"));
  assert.deepEqual(socket.sent, [{ type: "watch_slots", service: "s1", date: "2026-11-25" }]);
});

test("frames of slots become events of the page, others do not", () => {
  const { events, watch, socket } = started();
  const heard = [];
  events.addEventListener("py-live-slots", (event) => heard.push(event.detail.date));
  watch.attach(socket);
  socket.dispatchEvent(new CustomEvent("frame", { detail: { type: "slots", date: "2026-11-25", slots: [] } }));
  socket.dispatchEvent(new CustomEvent("frame", { detail: { type: "badge", unread: 1 } }));
  assert.deepEqual(heard, ["2026-11-25"]);
});
