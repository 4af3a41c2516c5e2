"""Environments as a repository holds them: what each is made of, and which images are locked.

`python -m dap.environments` is what a pipeline runs in the environment image-builder. Standard
library and PyYAML alone.
"""
