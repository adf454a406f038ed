"""When choosing pays: answers that aiming at a target saves, by the target's share of the pool."""
