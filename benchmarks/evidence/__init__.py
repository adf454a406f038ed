"""Evidence on real prompts: the study ``t0_heldout``, its table and its plot."""
