"""The embedded demo study: a pool, a pretrained tiny model and its benchmarks, all made by this package.

``pool.demo_pool`` makes the pool, ``benchmark.TASKS`` in ``benchmark.TASKS_DIR`` are the lm-eval tasks, and
``make_model.MODEL_DIR`` holds the model that ``python -m edsel_assets.demo.make_model`` made.
"""
