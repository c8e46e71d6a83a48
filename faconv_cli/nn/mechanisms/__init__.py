"""The parts cells and networks are built of: attention, mixing, padding, layout, domain, seasons."""
