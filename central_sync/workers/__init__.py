"""What happens without a request: offline detection, live events, checkpoints."""
