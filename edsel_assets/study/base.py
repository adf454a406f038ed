"""What every section of a study is made of."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

#: Names become parts of file names, of which the longest is 255 bytes.
_LONGEST = 100


def _address(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("should begin with http:// or https://")
    return value


# Bounds leave room for every use, and no number makes a run that never ends or that no file can hold.
Positive = Annotated[int, Field(ge=1, le=10**9)]
#: How often, or how many at a time.
Few = Annotated[int, Field(ge=1, le=1000)]
Tokens = Annotated[int, Field(ge=1, le=10**7)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
#: In any currency.
Money = Annotated[float, Field(ge=0, le=10**12)]
Seconds = Annotated[float, Field(gt=0, le=7 * 86_400)]
#: Widths, weights, temperatures and rates: what a model or a similarity is multiplied by.
Factor = Annotated[float, Field(gt=0, le=10**6)]
#: A list whose items are each computed.
SHORT_LIST = 1000
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=_LONGEST)]
#: Where a server answers.
Address = Annotated[str, AfterValidator(_address)]
#: A name that is part of a partition's key.
#: What Dagster takes for a name of its own.
NodeName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=_LONGEST)]
PlainName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=_LONGEST)]


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
