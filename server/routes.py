"""All routes, joined from the tables that stand beside the handlers."""

from __future__ import annotations

from typing import Final

from server.handlers import (
    accounts,
    accuracy,
    admin,
    analytics,
    booking_wizard,
    bookings,
    catalogue,
    catalogue_admin,
    chat,
    feedback,
    feeds,
    invoices,
    kundali,
    notifications,
    operation,
    pages,
    pandits,
    papers,
    payment_admin,
    payments,
    places,
    recommendations,
    recurrences,
    reviews,
    user_admin,
)
from server.handlers.routing import Route
from server.ws import connection

ROUTES: Final[tuple[Route, ...]] = (
    # Routes are tried in turn, and when everybody reconnects these are the ones asked for.
    *connection.ROUTES,
    *accounts.ROUTES,
    *catalogue.ROUTES,
    # Before the pandits: what stands behind "me" is no id.
    *papers.ROUTES,
    *pandits.ROUTES,
    *places.ROUTES,
    # Before the bookings: their ids stand in the same place.
    *analytics.ROUTES,
    *bookings.ROUTES,
    *booking_wizard.ROUTES,
    *invoices.ROUTES,
    *payments.ROUTES,
    *recurrences.ROUTES,
    *kundali.ROUTES,
    *chat.ROUTES,
    *notifications.ROUTES,
    *feedback.ROUTES,
    *feeds.ROUTES,
    *recommendations.ROUTES,
    *reviews.ROUTES,
    *admin.ROUTES,
    *user_admin.ROUTES,
    *catalogue_admin.ROUTES,
    *payment_admin.ROUTES,
    *accuracy.ROUTES,
    *operation.ROUTES,
    *pages.ROUTES,
)
