"""What training holds, moves and takes: formats, optimisers, activations, devices, parallelism."""
