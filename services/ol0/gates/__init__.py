"""What the two gates share: verdicts, offers, groups, balances, answers, and what a restart takes."""
