"""The page of a report: one HTML file that holds all it shows, and needs no network."""

from neardup.report.page.html import render

__all__ = ["render"]
