//! Whether `docs/operations.md` knows all that Torch says of itself.
