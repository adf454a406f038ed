"""The report: trials' scores and win rates brought together."""
