/** Where a notification leads, and which icon says what it is about. */

const ICONS = /** @type {Record<string, string>} */ ({
  NEW_MESSAGE: "message-circle",
  PAYMENT_SUCCESS: "receipt",
  PAYMENT_FAILED: "circle-alert",
  REVIEW_RECEIVED: "star",
  PANDIT_VERIFIED: "badge-check",
  PANDIT_REJECTED: "circle-x",
  BOOKING_CANCELLED: "calendar-x",
  BOOKING_REJECTED: "calendar-x",
  BOOKING_FAILED: "calendar-x",
  BOOKING_PASSED_ON: "calendar-x",
  BOOKING_ACCEPTED: "calendar-check",
  BOOKING_COMPLETED: "circle-check",
  BOOKING_REMINDER: "bell",
  BOOKING_SAMAGRI_PROPOSED: "shopping-basket",
  BOOKING_SAMAGRI_AGREED: "shopping-basket",
  BOOKING_SAMAGRI_DECLINED: "shopping-basket",
  BOOKING_SAMAGRI_LAPSED: "shopping-basket",
});

/** @param {import("./notify-store.js").Notification} item */
export const notificationUrl = (item) => item.url || "/notifications/";

/** @param {string} kind */
export const notificationIcon = (kind) => ICONS[kind] ?? "calendar-clock";
