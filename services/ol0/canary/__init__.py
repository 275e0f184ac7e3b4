"""CanaryGate: judges quality, on trusted prompts and on people's sessions."""
