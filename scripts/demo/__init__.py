"""The demo's data, made by code: families of tasks, the pool and the items of them, and the model.

``python -m scripts.demo.make_data`` writes the pool and the items, ``python -m scripts.demo.make_model`` the
model. Everything is seeded, so the files come out byte for byte as they are in ``edsel_assets/demo``.
"""
