"""Engine-neutral memory arithmetic for one rank."""
