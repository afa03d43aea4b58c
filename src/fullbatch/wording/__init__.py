"""What people are told: of wrong arguments, and of paths and URLs without their secrets."""
