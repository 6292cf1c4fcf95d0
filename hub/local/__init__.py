"""The hub on one machine: embedded servers, all roles as processes, simulated members, the demonstration."""
