"""Administration: the trained models, how they compare, and which of them serves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from server.domain.recommendation import ModelVersion
from server.handlers.base import ADMIN
from server.handlers.pages.base import Page
from server.handlers.routing import Route
from server.i18n import N_
from server.schemas.recommendations import ActivateRequest, ModelsQuery

_BACK: Final = "/admin/models/"
_SLOTS: Final = {
    "samagri": N_("Samagri by what is in the list"),
    "user_item": N_("Samagri by the customer"),
    "pandit": N_("Pandits"),
    "puja": N_("Next puja"),
}
# The page is ours, yet ids of the data stand in it: it may show its own style and pictures, and
# nothing else, as if it came from nowhere.
_REPORT_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)


class ModelsPage(Page):
    """The versions in the store."""

    roles = ADMIN
    section = "admin"

    async def get(self) -> None:
        """Show them, the newest first, and what was refused last."""
        recommendations = self.services.recommendations
        listing = await recommendations.model_versions(self.filters(ModelsQuery).limit)
        await self.show(
            "admin/models.html",
            title=self.translate("Trained models"),
            versions=listing.versions,
            state=recommendations.model_state,
            figures=self._figures,
            made_at=self._made_at,
        )

    def _made_at(self, version: ModelVersion) -> str:
        """When it was trained; as its maker wrote it where that is no instant."""
        try:
            at = datetime.fromisoformat(version.created_at)
        except ValueError:
            return version.created_at
        return self.formatter.instant(at if at.tzinfo else at.replace(tzinfo=UTC))

    def _figures(self, version: ModelVersion) -> list[tuple[str, str]]:
        """NDCG@10 with its interval, by what the model is asked; what serves no answers says so."""
        found = []
        left_out = {str(gate.get("name")) for gate in version.gates if gate.get("left_out")}
        for slot, title in _SLOTS.items():
            mean, low, high = version.metrics.get(slot, {}).get("ndcg@10") or (None, None, None)
            if mean is not None and low is not None and high is not None:
                shown = self.translate(
                    "{mean} ({low} to {high})",
                    mean=f"{mean:.3f}",
                    low=f"{low:.3f}",
                    high=f"{high:.3f}",
                )
                if f"quality.baseline.{slot}" in left_out:
                    shown = self.translate("{figure}: not used", figure=shown)
                found.append((self.translate(title), self.formatter.digits(shown)))
        return found


class ModelReportPage(Page):
    """The comparison that training wrote."""

    roles = ADMIN

    async def get(self, version: str) -> None:
        """Send it as it lies in the version, locked in."""
        report = await self.services.recommendations.model_report(version)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", _REPORT_POLICY)
        self.set_header("Cache-Control", "private, no-cache")
        self.set_header("Vary", "Cookie")
        self.finish(report)


class ActivateModelPage(Page):
    """The button that lets a version serve."""

    roles = ADMIN

    async def post(self, version: str) -> None:
        """Let it serve in all processes."""

        async def activate() -> str:
            body = self.read(ActivateRequest)
            await self.services.recommendations.activate_model(
                self.person, version, reason=body.reason, force=body.force
            )
            self.flash("good", self.translate("The model {version} serves now.", version=version))
            return _BACK

        await self.do(activate, _BACK)


ROUTES: Final = (
    Route("/admin/models/", ModelsPage, "page-admin-models"),
    Route("/admin/models/{version}/report/", ModelReportPage, "page-admin-model-report"),
    Route("/admin/models/{version}/activate/", ActivateModelPage, "page-admin-model-activate"),
)
