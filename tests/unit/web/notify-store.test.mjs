import assert from "node:assert/strict";
import { test } from "node:test";

import { notificationOf } from "../../../server/web/static/app/notify-store.js";
import { notificationUrl } from "../../../server/web/static/app/routes.js";

test("a notification leads where the server says, live as in the list", () => {
  const data = { booking_id: "b1", payment_id: "b-1" };
  const frame = { type: "notification", seq: 1, id: "n1", kind: "PAYMENT_SUCCESS", data, url: "/payments/b-1/" };
  const row = { sequence: 1, id: "n1", notification_type: "PAYMENT_SUCCESS", booking: "b1", data, url: "/payments/b-1/" };
  for (const each of [frame, row]) assert.equal(notificationUrl(notificationOf(each)), "/payments/b-1/");
});

test("one without an address leads to the list", () => {
  assert.equal(notificationUrl(notificationOf({ id: "n1", kind: "BOOKING_ACCEPTED", data: {} })), "/notifications/");
});
