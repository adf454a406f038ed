"""WHAT is made, when and by whom: cells, their ledgers, the planner, leases and runners.

``cells`` names what can be made. ``ledger`` is the record beside each artifact. ``freshness`` compares
a ledger with the study and the store; ``plan`` lists what has to be made and why. ``local`` makes cells
in this process and ``workers`` in several. ``instance`` opens Dagster's own log, which shows history
and decides nothing. No asset is declared here.
"""
