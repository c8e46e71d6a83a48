"""Time: stamps of any calendar, the steps between them, and what users write for ranges of dates."""
