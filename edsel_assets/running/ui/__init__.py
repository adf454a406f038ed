"""The processes of ``edsel ui``, and what stands in front of and beside the pages of Dagster."""
