"""DriftMonitor: judges how far a candidate moves, and whether what serves keeps what it was released for."""
