"""``neardup report``: a page that shows what a folder run, a bootstrap or a span of the verdict topic has found."""
