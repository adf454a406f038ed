"""WHAT is made from what, and what is fresh: a pure function of study and store.

``cells`` names what can be made. ``ledger`` is the record beside each artifact, ``recording`` gathers it.
``reads`` says what decides each kind of cell, ``external`` which files outside the store. ``freshness``
compares a ledger with both; ``plan`` lists what has to be made and why; ``answers`` what waits for people;
``preflight`` what is wrong before anything is made. Nothing here imports Dagster.
"""
