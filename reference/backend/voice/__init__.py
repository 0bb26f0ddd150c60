"""Announcements of verified payments on loudspeakers."""
