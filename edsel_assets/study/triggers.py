"""What brings results up to date by itself: the clock, or a change of what a study reads."""

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from edsel_assets.study.base import Settings

Watched = Literal["pool", "answers", "orders", "model", "tasks", "settings"]
_CRON = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_PART = re.compile(r"(\*|\d+(?:-\d+)?)(?:/[1-9]\d*)?")


class TriggerSettings(Settings):
    """A schedule (`cron`) or a sensor (`watch`) that makes what is stale of its targets."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        description="Its name in the UI: letters, digits, underscores."
    )
    reason: str = Field("", description="Why it is there, for people; shown in the UI and on its runs.")
    cron: str | None = Field(
        None, description="When it runs: minute, hour, day, month, weekday, in numbers, such as 0 3 * * *."
    )
    timezone: str = Field("UTC", description="Of cron, such as Europe/Berlin.")
    watch: list[Watched] = Field(
        default_factory=list, description="What it compares by content: it runs when something of it changed."
    )
    seconds: Annotated[int, Field(ge=1, le=7 * 86_400)] = Field(
        30, description="How often it looks at what it watches."
    )
    minimum_new: Annotated[int, Field(ge=0, le=10**9)] = Field(
        0, description="New prompts that it waits for where only the pool changed."
    )
    targets: str | list[str] = Field(
        "selections", description="Asset, or list of them, that it brings up to date, with what they need."
    )
    active: bool = Field(False, description="On as soon as the UI starts; else switch it on there.")

    @property
    def assets(self) -> frozenset[str]:
        """``targets`` as a set of asset names."""
        return frozenset([self.targets] if isinstance(self.targets, str) else self.targets)

    @field_validator("cron")
    @classmethod
    def _five_fields(cls, cron: str | None) -> str | None:
        if cron is None:
            return None
        fields = cron.split()
        if len(fields) != len(_CRON):
            raise ValueError(f"must have five fields (minute hour day month weekday); got {cron!r}")
        for text, (name, least, most) in zip(fields, _CRON, strict=True):
            for part in text.split(","):
                numbers = [int(number) for number in re.findall(r"\d+", part.partition("/")[0])]
                if not _PART.fullmatch(part) or not all(least <= n <= most for n in numbers):
                    raise ValueError(
                        f"{name} must be *, numbers from {least} to {most}, or ranges; got {part!r}"
                    )
        return cron

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ValueError, OSError, KeyError) as error:
            raise ValueError(f"no time zone {timezone!r}; name one such as UTC or Europe/Berlin") from error
        return timezone

    @field_validator("targets")
    @classmethod
    def _some(cls, targets: str | list[str]) -> str | list[str]:
        if not targets:
            raise ValueError("must name at least one asset, such as selections")
        return targets

    @model_validator(mode="after")
    def _one_cause(self) -> "TriggerSettings":
        if (self.cron is None) == (not self.watch):
            raise ValueError(f"trigger {self.name!r} must have either cron or watch; give one of them")
        if self.minimum_new and "pool" not in self.watch:
            raise ValueError(f"trigger {self.name!r}: minimum_new counts prompts; add pool to watch")
        return self


NIGHTLY = TriggerSettings(
    name="reselect_nightly",
    reason="Selections are up to date every morning.",
    cron="0 3 * * *",
)
STALE = TriggerSettings(
    name="stale_selections",
    reason="The pool, the answers, the orders or a setting changed what the selections are made from.",
    watch=["pool", "answers", "orders", "settings"],
)
