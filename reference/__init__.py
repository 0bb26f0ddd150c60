"""The reference system under test: the site controller and the backend."""
