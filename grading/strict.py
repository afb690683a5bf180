"""The base of every record that people write by hand. Pure, so that rules which do no I/O can be such records."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Configuration(BaseModel):
    """Frozen; an unknown key is an error, and no value is coerced into another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
