"""What it runs on: one contract for CPU, CUDA and IPU, real or simulated."""
