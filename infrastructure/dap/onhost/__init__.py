"""What runs on a host to look at it: the standard library of Python 3.10 alone; changes nothing.

`dap.reach` sends these modules there. `main` of one gets plain data and prints its answer.
"""
