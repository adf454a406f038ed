"""WHO makes it: runners and workers, and Dagster's own log, which decides nothing.

``local`` makes cells in this process as the planner says, and ``workers`` in several. ``launcher`` hands the
UI's runs to such workers. ``ordering`` opens the desk of the paid loop. ``instance`` opens Dagster's
log, and ``dagster_internals`` holds every use of Dagster's private modules. No asset is declared here.
"""
