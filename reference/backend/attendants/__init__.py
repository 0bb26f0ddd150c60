"""Attendants: who they are, where they are on duty, what they may do, and the record of privileged acts."""
