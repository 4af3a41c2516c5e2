"""Stands where GitLab would: the part of its API that content and runners use, with state.

Written from GitLab's API documentation (19.5). It is stricter than GitLab: a parameter that it does
not know is refused, where GitLab would leave it without effect.
"""
