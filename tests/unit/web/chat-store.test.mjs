import assert from "node:assert/strict";
import { test } from "node:test";
import { ChatStore, OUTBOX_LIMIT } from "../../../server/web/static/app/chat-store.js";
import { MemoryOutbox } from "../../../server/web/static/app/outbox.js";
import { Clock, FakeSocket } from "./fakes.mjs";

const THEM = { id: "them", role: "pandit", name: "Hari" };

function room(more = {}) {
  const clock = new Clock();
  const socket = new FakeSocket();
  const outbox = new MemoryOutbox();
  let count = 0;
  const store = new ChatStore({ me: "me", socket, outbox, clock, makeId: () => `c${(count += 1)}`, ...more });
  return { clock, socket, outbox, store };
}

const theirs = (seq, content = `m${seq}`) => ({
  type: "message", seq, id: `i${seq}`, cid: `t${seq}`, sender: THEM, kind: "TEXT", content, content_ne: "",
  ts: "2026-11-21T12:00:00.000Z",
});
const page = (from, to, more = {}) => ({
  type: "history", room: "r", from, to, more: false, gap: false,
  messages: Array.from({ length: to - from + 1 }, (_, at) => theirs(from + at)), ...more,
});
const ack = (cid, seq) => ({ type: "ack", cid, id: `i${seq}`, seq, ts: "2026-11-21T12:00:01.000Z", dup: false });
const states = (store) => store.messages.map((message) => message.state);
const seqs = (store) => store.messages.map((message) => message.seq);

test("a message is shown at once, then sent, then read", async () => {
  const { socket, store, outbox } = room();
  socket.open();
  store.write("  Namaste  ");
  assert.deepEqual(states(store), ["sending"]);
  assert.equal((await outbox.load()).length, 1);
  const [frame] = socket.take("message");
  assert.deepEqual([frame.cid, frame.kind, frame.content], ["c1", "TEXT", "Namaste"]);
  socket.receive(ack("c1", 1));
  assert.deepEqual(states(store), ["sent"]);
  assert.equal((await outbox.load()).length, 0);
  socket.receive({ type: "read", user: "them", seq: 1, ts: "" });
  assert.deepEqual(states(store), ["read"]);
});

test("the reader's own mark makes no message read", () => {
  const { socket, store } = room();
  socket.open();
  store.write("x");
  socket.receive(ack("c1", 1));
  socket.receive({ type: "read", user: "me", seq: 1, ts: "" });
  assert.deepEqual(states(store), ["sent"]);
});

test("what is written offline goes out in order after the history", () => {
  const { socket, store } = room();
  store.write("one");
  store.write("two");
  assert.equal(socket.sent.length, 0);
  socket.open({ head: 3 });
  assert.deepEqual(socket.take("message"), []);
  socket.receive(page(1, 3));
  assert.deepEqual(socket.take("message").map((frame) => frame.content), ["one", "two"]);
});

test("an unanswered message goes again with its cid, and fails after three times", () => {
  const { clock, socket, store } = room();
  socket.open();
  store.write("x");
  for (let round = 0; round < 3; round += 1) {
    assert.deepEqual(socket.take("message").map((frame) => frame.cid), ["c1"]);
    assert.deepEqual(states(store), ["sending"]);
    clock.tick(10_000);
  }
  assert.deepEqual(states(store), ["failed"]);
  assert.deepEqual(socket.take("message"), []);
  store.retry("c1");
  assert.deepEqual(socket.take("message").map((frame) => frame.cid), ["c1"]);
  socket.receive(ack("c1", 1));
  assert.deepEqual(states(store), ["sent"]);
});

test("after a lost connection the same cid is sent again, and one message is left", () => {
  const { socket, store } = room();
  socket.open();
  store.write("x");
  socket.take("message");
  socket.drop();
  socket.open({ head: 1 });
  // The server had stored it: the history brings it back under its cid.
  socket.receive({ ...page(1, 0), to: 1, messages: [{ ...theirs(1, "x"), cid: "c1", sender: { id: "me" } }] });
  assert.deepEqual(socket.take("message"), []);
  assert.deepEqual(states(store), ["sent"]);
});

test("a refused message fails with the server's reason and can be deleted", async () => {
  const { socket, store, outbox } = room();
  socket.open();
  store.write("x");
  socket.receive({ type: "error", code: "too_large", message: "Too long", message_ne: "धेरै लामो", cid: "c1" });
  assert.deepEqual(states(store), ["failed"]);
  assert.equal(store.messages[0].fault.message_ne, "धेरै लामो");
  store.discard("c1");
  assert.deepEqual(store.messages, []);
  assert.equal((await outbox.load()).length, 0);
});

test("a busy server is asked again after the time it names, in the order of writing", () => {
  const { clock, socket, store } = room();
  socket.open();
  store.write("one");
  store.write("two");
  socket.take("message");
  socket.receive({ type: "error", code: "overloaded", message: "", message_ne: "", cid: "c1", retry_after: 3 });
  store.write("three");
  clock.tick(2_900);
  assert.deepEqual(socket.take("message"), []);
  clock.tick(200);
  assert.deepEqual(socket.take("message").map((frame) => frame.content), ["one", "two", "three"]);
});

test("the outbox has an end", () => {
  const { store } = room();
  for (let at = 0; at < OUTBOX_LIMIT; at += 1) assert.notEqual(store.write(`m${at}`), null);
  assert.equal(store.write("one too many"), null);
  assert.equal(store.messages.length, OUTBOX_LIMIT);
});

test("what an earlier visit left is taken up before what was written meanwhile", async () => {
  const { socket, store, outbox } = room();
  await outbox.put({ cid: "old", kind: "TEXT", content: "old", created_at: 1 });
  store.write("new");
  await store.restore();
  socket.open();
  assert.deepEqual(socket.take("message").map((frame) => frame.content), ["old", "new"]);
});

test("the cursor moves to the page's end, also over holes", () => {
  const { socket, store } = room();
  socket.open({ head: 60 });
  socket.receive({ ...page(11, 20), to: 60, gap: true });
  assert.deepEqual(store.position(), { after: 60, epoch: "e1" });
  assert.ok(store.hasOlder);
});

test("pages follow one another until there is no more", () => {
  const { socket, store } = room();
  socket.open({ head: 4 });
  socket.receive(page(1, 2, { more: true }));
  assert.deepEqual(socket.take("sync"), [{ type: "sync", since: 2, limit: 200 }]);
  socket.receive(page(3, 4));
  assert.deepEqual(seqs(store), [1, 2, 3, 4]);
  assert.deepEqual(socket.take("sync"), []);
});

test("a jump is asked for after a moment; a late message makes that needless", () => {
  const { clock, socket, store } = room();
  socket.open({ head: 1 });
  socket.receive(page(1, 1));
  socket.receive(theirs(3));
  assert.equal(store.position().after, 1);
  clock.tick(100);
  socket.receive(theirs(2));
  clock.tick(500);
  assert.deepEqual(socket.take("sync"), []);
  assert.equal(store.position().after, 3);
  socket.receive(theirs(6));
  clock.tick(250);
  assert.deepEqual(socket.take("sync"), [{ type: "sync", since: 3, limit: 200 }]);
});

test("the acknowledgement of an own message can be the jump", () => {
  const { clock, socket, store } = room();
  socket.open();
  store.write("x");
  socket.receive(ack("c1", 2));
  clock.tick(250);
  assert.deepEqual(socket.take("sync"), [{ type: "sync", since: 0, limit: 200 }]);
  socket.receive(page(1, 1, { to: 2 }));
  assert.deepEqual(seqs(store), [1, 2]);
});

test("the same message twice is one", () => {
  const { socket, store } = room();
  socket.open();
  socket.receive(theirs(1));
  socket.receive(theirs(1));
  assert.deepEqual(seqs(store), [1]);
});

test("a message of another device of the same person takes the place of the waiting copy", () => {
  const { socket, store } = room();
  socket.open();
  store.write("x");
  socket.receive({ ...theirs(1, "x"), cid: "c1", sender: { id: "me" } });
  assert.deepEqual(states(store), ["sent"]);
});

test("a hole before the newest page drops what lies before the hole", () => {
  const { socket, store } = room();
  socket.open({ head: 2 });
  socket.receive(page(1, 2));
  socket.drop();
  socket.open({ head: 900 });
  socket.receive(page(851, 900, { gap: true }));
  assert.equal(seqs(store)[0], 851);
  assert.equal(store.messages.length, 50);
});

test("earlier messages come on request and leave the cursor alone", () => {
  const { socket, store } = room();
  socket.open({ head: 100 });
  socket.receive(page(51, 100, { gap: true }));
  assert.ok(store.loadOlder());
  assert.equal(store.loadOlder(), false);
  assert.deepEqual(socket.take("history"), [{ type: "history", before: 51, limit: 50 }]);
  socket.receive(page(1, 50));
  assert.equal(store.messages.length, 100);
  assert.equal(store.position().after, 100);
  assert.equal(store.hasOlder, false);
});

const busy = (more = {}) => ({ type: "error", code: "storage_unavailable", message: "Later", message_ne: "पछि", ...more });

test("a refused request for earlier messages can be made again, and its notice goes with the answer", () => {
  const { socket, store } = room();
  socket.open({ head: 100 });
  socket.receive(page(51, 100, { gap: true }));
  assert.ok(store.loadOlder());
  socket.receive(busy());
  assert.equal(store.fault.message, "Later");
  assert.equal(store.loadingOlder, false);
  assert.ok(store.loadOlder());
  assert.equal(socket.take("history").length, 2);
  socket.receive(page(1, 50, { more: true }));
  assert.equal(store.fault, null);
  assert.equal(store.messages.length, 100);
  assert.equal(store.position().after, 100);
});

test("an error about something else loses no earlier messages", () => {
  const { socket, store } = room();
  socket.open({ head: 100 });
  socket.receive(page(51, 100, { gap: true }));
  store.loadOlder();
  socket.receive({ type: "error", code: "rate_limited", message: "", message_ne: "", retry_after: 1 });
  socket.receive(page(1, 50, { more: true, gap: true }));
  assert.equal(store.messages.length, 100);
  assert.equal(store.position().after, 100);
  assert.deepEqual(socket.take("sync"), []);
});

test("missing messages are asked for again after the time that the server names", () => {
  const { clock, socket, store } = room();
  socket.open({ head: 1 });
  socket.receive(page(1, 1));
  socket.receive(theirs(3));
  clock.tick(250);
  assert.equal(socket.take("sync").length, 1);
  socket.receive(busy({ retry_after: 5 }));
  // More of what is to come does not make it impatient, and no notice stays.
  socket.receive(theirs(4));
  assert.equal(store.fault, null);
  clock.tick(4_500);
  assert.deepEqual(socket.take("sync"), []);
  clock.tick(600);
  assert.deepEqual(socket.take("sync"), [{ type: "sync", since: 1, limit: 200 }]);
  socket.receive(page(2, 4));
  assert.equal(store.position().after, 4);
  clock.tick(60_000);
  assert.deepEqual(socket.take("sync"), []);
});

test("a request that is refused for good is not made again by itself", () => {
  const { clock, socket } = room();
  socket.open({ head: 1 });
  socket.receive(page(1, 1, { more: true }));
  assert.equal(socket.take("sync").length, 1);
  socket.receive(busy({ code: "bad_request" }));
  clock.tick(60_000);
  assert.deepEqual(socket.take("sync"), []);
});

test("the notice of a fault goes with the next message or acknowledgement", () => {
  const { socket, store } = room();
  socket.open();
  socket.receive(busy());
  socket.receive(theirs(1));
  assert.equal(store.fault, null);
  store.write("x");
  socket.receive(busy());
  assert.ok(store.fault);
  socket.receive(ack("c1", 2));
  assert.equal(store.fault, null);
});

test("another epoch means that the room is read anew", () => {
  const { socket, store } = room();
  socket.open({ head: 5 });
  socket.receive(page(1, 5));
  socket.drop();
  socket.open({ epoch: "e2", head: 1 });
  socket.receive(page(1, 1, { gap: true }));
  assert.deepEqual(store.position(), { after: 1, epoch: "e2" });
  assert.equal(store.messages.length, 1);
});

test("typing is told every three seconds at most, and its end when sent", () => {
  const { clock, socket, store } = room();
  socket.open();
  for (let at = 0; at < 40; at += 1) {
    store.type();
    clock.tick(100);
  }
  assert.deepEqual(socket.take("typing").map((frame) => frame.on), [true, true]);
  store.write("done");
  assert.deepEqual(socket.take("typing").map((frame) => frame.on), [false]);
  store.type();
  clock.tick(6_000);
  assert.deepEqual(socket.take("typing").map((frame) => frame.on), [true, false]);
});

test("somebody's typing is forgotten after its time, or with his message", () => {
  const { clock, socket, store } = room();
  socket.open();
  socket.receive({ type: "typing", user: "them", on: true, ttl: 6 });
  assert.deepEqual(store.typing, ["them"]);
  clock.tick(6_100);
  assert.deepEqual(store.typing, []);
  socket.receive({ type: "typing", user: "them", on: true, ttl: 6 });
  socket.receive(theirs(1));
  assert.deepEqual(store.typing, []);
});

test("reading is told every two seconds at most, with the last word never lost", () => {
  const { clock, socket, store } = room();
  socket.open({ head: 1 });
  socket.receive(page(1, 1));
  store.markRead();
  assert.deepEqual(socket.take("read"), [{ type: "read", seq: 1 }]);
  socket.receive(theirs(2));
  store.markRead();
  socket.receive(theirs(3));
  store.markRead();
  assert.deepEqual(socket.take("read"), []);
  clock.tick(2_000);
  assert.deepEqual(socket.take("read"), [{ type: "read", seq: 3 }]);
  store.markRead();
  clock.tick(5_000);
  assert.deepEqual(socket.take("read"), []);
});

test("what was read offline is told when the connection is back", () => {
  const { clock, socket, store } = room();
  socket.open({ head: 2 });
  socket.receive(page(1, 2));
  socket.drop();
  store.markRead();
  clock.tick(3_000);
  socket.open({ head: 2 });
  assert.deepEqual(socket.take("read"), [{ type: "read", seq: 2 }]);
});

test("unread counts the others' messages above the mark", () => {
  const { socket, store } = room();
  socket.open({ head: 3, read: { me: 1 } });
  socket.receive(page(1, 3));
  assert.equal(store.unread, 2);
  assert.equal(store.openedAt, 1);
});

test("a closed room takes no message", () => {
  const { socket, store } = room();
  socket.open();
  socket.receive({ type: "room", closed: true });
  assert.equal(store.write("x"), null);
});

test("frames of a later version are passed over", () => {
  const { socket, store } = room();
  socket.open();
  socket.receive({ type: "confetti", amount: 7 });
  assert.deepEqual(store.messages, []);
});
