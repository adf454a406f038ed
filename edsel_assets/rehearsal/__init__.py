"""A whole study on stand-ins, in minutes: every strategy, trial, round and the report, before it costs money.

``scaled`` turns a study into its rehearsal, which is a study like any other. ``stand_ins`` makes what the
rehearsal reads: prompts, tasks (``made_up``, ``definitions``), a judge (``judge_server``). ``mistakes`` are
settings of the full study that cannot work; ``needs`` (with ``amounts``) are what it lacks here and what it
takes.
"""
