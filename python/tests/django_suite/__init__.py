"""Django's own cache tests, run on Pinyon's backends (see run.py)."""
