"""The second look: what is kept of how a picture looks from close by, and how two of them compare.

`look` makes it of `points` (found at the sizes of a `pyramid`) and, for drawn pictures, of `cells`. `second_look`
compares two by a `common_map`, and asks `contradiction` whether drawn ones are filled in otherwise.
"""
