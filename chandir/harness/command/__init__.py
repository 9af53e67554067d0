"""What a command line may say: overrides, choices, launchers' settings. No torch."""
