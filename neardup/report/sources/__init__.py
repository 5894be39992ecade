"""Where a report is made from, but for topics: a run in folder mode, a bootstrap, and the files of their images."""
