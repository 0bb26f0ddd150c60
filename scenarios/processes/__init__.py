"""Real processes of a measured run: the database, the backends, the site, the services; started and ended here."""
