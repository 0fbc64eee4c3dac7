"""The Triton model repository: the built-in models and what prepares them for tritonserver.

`embedder` and `generator` are the folders of the models; `minilm` and `extractive` are packages that preparing
copies beside the `model.py` that uses them, so that a prepared repository needs nothing of this project.
"""
