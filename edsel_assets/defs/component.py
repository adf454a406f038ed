"""A study as a component of Dagster, for a ``defs.yaml`` of a team's own project."""

import re

import dagster as dg
from dagster.components import ComponentLoadContext, ComponentTypeSpec, Scaffolder, ScaffoldRequest
from dagster.components import scaffold_component as write_files
from pydantic import Field


class StudyScaffolder(Scaffolder):
    """Writes a ``defs.yaml`` on the demo; the prefix is the folder's name, so that each study has its own."""

    def scaffold(self, request: ScaffoldRequest) -> None:
        prefix = re.sub(r"\W", "_", request.target_path.name)
        write_files(request, {"study": "demo", "prefix": prefix})


@dg.scaffold_with(StudyScaffolder)
class EdselStudy(dg.Component, dg.Resolvable, dg.Model):
    """Which prompts to annotate: all assets, checks, jobs and triggers of one study."""

    study: str = Field(
        "demo", description="A shipped study, or a study's file, from the folder of defs.yaml."
    )
    prefix: str | None = Field(None, description="In place of the study's own prefix, if it has one.")
    home: str | None = Field(None, description="Where results lie; by default $EDSEL_HOME, else .edsel.")

    @classmethod
    def get_spec(cls) -> ComponentTypeSpec:
        kinds = ["asset", "asset_check", "job", "resource", "schedule", "sensor"]
        return ComponentTypeSpec(description=cls.__doc__, tags=["edsel"], produces=kinds)

    def build_defs(self, context: ComponentLoadContext) -> dg.Definitions:
        """The definitions.

        Raises:
            StudyError: no such study, or one that does not hold together.
        """
        from edsel_assets.defs.build import build_definitions
        from edsel_assets.store import Home
        from edsel_assets.study import Study

        file = context.path / self.study
        study = Study.load(file if file.is_file() else self.study)
        if self.prefix is not None:
            # As from a file, so that a prefix that is none is refused.
            study = Study.model_validate({**study.model_dump(exclude_unset=True), "prefix": self.prefix})
        return build_definitions(study, home=Home.at(self.home))
