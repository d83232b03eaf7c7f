"""What the values of an experiment share: they cannot change, and know all their keys."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PositiveInt = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


class Frozen(BaseModel):
    """A value that cannot change, and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
