"""What is fed: datasets, decoding, augmentation, mixing and the order of an epoch."""
