"""The site's pages, a module for each subject."""

from __future__ import annotations

from typing import Final

from server.handlers import static
from server.handlers.pages import (
    account,
    accuracy,
    admin,
    bookings,
    catalogue,
    catalogue_admin,
    chats,
    dashboard,
    feeds,
    kundali,
    models,
    notifications,
    offers,
    papers,
    payment_admin,
    payments,
    preferences,
    requests,
    reviews,
    search,
    series,
    user_admin,
    wizard,
)

ROUTES: Final = (
    *search.ROUTES,
    *catalogue.ROUTES,
    *account.ROUTES,
    *feeds.ROUTES,
    *reviews.ROUTES,
    # Before the bookings: a word behind a booking's address is one of its moves.
    *payments.ROUTES,
    *bookings.ROUTES,
    *wizard.ROUTES,
    *series.ROUTES,
    *kundali.ROUTES,
    *requests.ROUTES,
    *offers.ROUTES,
    *papers.ROUTES,
    *chats.ROUTES,
    *notifications.ROUTES,
    *admin.ROUTES,
    *catalogue_admin.ROUTES,
    *payment_admin.ROUTES,
    *dashboard.ROUTES,
    *user_admin.ROUTES,
    *accuracy.ROUTES,
    *models.ROUTES,
    *preferences.ROUTES,
    *static.ROUTES,
)
