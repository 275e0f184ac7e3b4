"""What the two gates share: verdicts, offers, groups, and how they read snapshots."""
