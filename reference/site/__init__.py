"""The site controller that stands at the station: pump drivers, journal, uplink, receipts."""
