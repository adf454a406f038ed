"""The stages of a study as plain functions: tables in, tables out, no Dagster.

Each joins the parts of edsel that know nothing of each other (selection, language models,
files) for one asset of the graph, and can be called from a script or a notebook.
"""
