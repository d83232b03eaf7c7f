"""What the values of an experiment share: they cannot change, and know all their keys."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

PositiveInt = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]

Own = TypeVar("Own", bound="Frozen")


class Frozen(BaseModel):
    """A value that cannot change, and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_copy(
        self: Own, *, update: Mapping[str, Any] | None = None, deep: bool = False
    ) -> Own:
        """A copy, of which nothing is known yet that follows from its values."""
        copied = super().model_copy(update=update, deep=deep)
        for kept in vars(copied).keys() - type(self).model_fields.keys():
            del vars(copied)[kept]
        return copied
