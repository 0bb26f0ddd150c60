"""The tank gauge: read, told to the backend, and obeyed when it alarms."""
