"""What training adds to a network: losses, optimizers, schedules."""
