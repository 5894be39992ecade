"""What a report of duplicates shows: counted, sampled, with thumbnails; see `document.py`."""
