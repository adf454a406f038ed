"""The parts of the script, and how long each may take: eight minutes together."""

from __future__ import annotations

from benchmarks.gpu import choosing, models, targeted, what_is_here
from benchmarks.gpu.job import Part

PARTS = {
    "environment": Part(what_is_here.environment, 30),
    "tests": Part(what_is_here.marked_tests, 70),
    "selection": Part(choosing.selection, 110),
    "k_means": Part(choosing.k_means, 60),
    "pass": Part(models.reading, 90),
    "finetuning": Part(models.training, 70),
    "targeted": Part(targeted.targeted, 50),
}
