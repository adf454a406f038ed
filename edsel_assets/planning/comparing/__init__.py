"""WHAT CHANGED, AND WHY: two selections, orders or studies side by side.

``sides`` opens what is compared, ``picks`` compares the prompts, ``causes`` follows the ledgers down to
where the difference began, ``studies`` does so for every cell of two stores. Reads stores alone: no
study file, no Dagster.
"""
