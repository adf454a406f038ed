"""What every section of a study is made of."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

#: Names become parts of file names, of which the longest is 255 bytes.
_LONGEST = 100


def _address(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("should begin with http:// or https://")
    return value


Positive = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=_LONGEST)]
#: Where a server answers.
Address = Annotated[str, AfterValidator(_address)]
#: A name that is part of a partition's key.
PlainName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=_LONGEST)]


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
