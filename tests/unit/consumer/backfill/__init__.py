"""Tests of listings and of what becomes of them."""
