"""A whole study on stand-ins, in minutes: every strategy, trial, round and the report, before it costs money.

``scaled`` turns a study into its rehearsal, which is a study like any other (``sizes``, ``changes``).
``stand_ins`` makes what it reads: prompts (``pool``), tasks (``definitions``, ``made_up``), a judge
(``judge_server``). ``mistakes`` are settings of the full study that cannot work. ``needs`` says what it lacks
here, and ``takes`` what it takes (``amounts``).
"""
