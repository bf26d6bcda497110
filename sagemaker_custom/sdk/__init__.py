"""What the adapters of SDK v2 and v3 share: arguments of a constructor → images, without either SDK."""
